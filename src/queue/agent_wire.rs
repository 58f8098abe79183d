//! LMTP with a program: a mailer of a sendmail.cf that is started and spoken to by its standard input and output (flag z).
//!
//! Called by `agent`. To the conversation the program is a server of this machine: it is started where a socket would be connected to. Its
//! two ends are one socket, so that a program that neither reads nor writes ends like a host that does not.
//! RFC 2033.

use crate::deliver::{AgentCall, start_agent};
use crate::envelope::Mailer;
use crate::nexthop::{Hop, Net, NetError, Plan, Security, TlsError, TlsFault, Wire};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// How long a program may take to end after QUIT, or after it was left.
const LAST: Duration = Duration::from_secs(5);
/// Pause between two looks at it.
const PAUSE: Duration = Duration::from_millis(5);

/// Starts the program of a mailer.
pub(super) struct AgentNet {
    pub(super) call: AgentCall,
}

impl AgentNet {
    /// The plan that leads to the program, and nowhere else.
    pub(super) fn plan(&self) -> Plan {
        let name = self.call.program.display().to_string();
        let (addresses, security) = (Vec::new(), Security::clear());
        let socket = Some(self.call.program.clone());
        let hop = Hop { name: name.clone(), addresses, socket, security, login: None, policy: None };
        Plan { key: name, mailer: Mailer::Lmtp, hops: vec![hop] }
    }
}

impl Net for AgentNet {
    fn connect(&self, _: SocketAddr, _: Option<IpAddr>, _: Duration) -> Result<Box<dyn Wire>, NetError> {
        Err(NetError("connect: it is a program".to_string()))
    }

    fn connect_socket(&self, _: &Path, patience: Duration) -> Result<Box<dyn Wire>, NetError> {
        let failed = |e: std::io::Error| NetError(format!("start: {e}"));
        let (child, stream) = start_agent(&self.call).map_err(failed)?;
        let wire = AgentWire { child, stream: Some(stream), name: self.call.program.display().to_string() };
        // What it does not take in that time it will not take.
        wire.stream().and_then(|stream| stream.set_write_timeout(Some(patience)).map_err(failed))?;
        Ok(Box::new(wire))
    }
}

struct AgentWire {
    child: Child,
    /// `None` once it was left.
    stream: Option<UnixStream>,
    name: String,
}

impl AgentWire {
    fn stream(&self) -> Result<&UnixStream, NetError> {
        self.stream.as_ref().ok_or_else(|| NetError("the program has ended".to_string()))
    }

    fn has_ended_by(&mut self, until: Instant) -> bool {
        loop {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            if until <= Instant::now() {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Wire for AgentWire {
    fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.stream()?.write_all(bytes).map_err(|e| NetError(format!("write: {e}")))
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize, NetError> {
        let mut stream = self.stream()?;
        // No time at all would mean for ever.
        let patience = patience.max(Duration::from_millis(1));
        stream.set_read_timeout(Some(patience)).map_err(|e| NetError(format!("read: {e}")))?;
        loop {
            match stream.read(buffer) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Err(NetError("timed out".to_string())),
                // It ended with what we have said unread.
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(0),
                other => return other.map_err(|e| NetError(format!("read: {e}"))),
            }
        }
    }

    fn start_tls(&mut self, _: &Security, _: Duration) -> Result<(), TlsError> {
        Err(TlsError::new(TlsFault::NotOffered, "a program speaks no TLS"))
    }

    fn peer(&self) -> String {
        self.name.clone()
    }
}

impl Drop for AgentWire {
    /// The end of its input is the program's end; the whole group goes if it does not take the hint.
    fn drop(&mut self) {
        self.stream = None;
        if !self.has_ended_by(Instant::now() + LAST) {
            let _ = killpg(Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0)), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(script: &str) -> AgentNet {
        let argv = ["lmtpd", "-c", script].map(|word| word.as_bytes().to_vec()).to_vec();
        let (rights, folders, environment) = (None, Vec::new(), Vec::new());
        let (program, timeout) = ("/bin/sh".into(), Duration::from_secs(20));
        AgentNet { call: AgentCall { program, argv, rights, folders, environment, timeout } }
    }

    fn talk(script: &str, say: &[u8], patience: Duration) -> Result<String, NetError> {
        let mut wire = net(script).connect_socket(Path::new("/"), patience)?;
        wire.send(say)?;
        let mut heard = [0; 100];
        let n = wire.receive(&mut heard, patience)?;
        Ok(String::from_utf8_lossy(&heard[..n]).into_owned())
    }

    #[test]
    fn a_program_is_spoken_to_by_its_standard_input_and_output() {
        let patience = Duration::from_secs(20);
        assert_eq!(talk("read line; echo \"got $line\"", b"LHLO us\n", patience).unwrap(), "got LHLO us\n");
        assert_eq!(talk("read line", b"LHLO us\n", patience).unwrap(), "");
        let brief = Duration::from_millis(30);
        assert_eq!(talk("sleep 0.5", b"LHLO us\n", brief).unwrap_err().to_string(), "timed out");
        assert!(talk("sleep 0.5", &[b'x'; 1 << 20], brief).is_err());
        let missing = AgentNet { call: AgentCall { program: "/nonexistent/lmtpd".into(), ..net("").call } };
        assert!(missing.connect_socket(Path::new("/"), patience).is_err_and(|e| e.0.starts_with("start: ")));
    }
}
