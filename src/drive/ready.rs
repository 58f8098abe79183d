//! Does a service answer?
//!
//! Asked by the supervisor before it says that it is ready, and by `emd` after a start, a restart or a reload.

use super::program::PROGRAMS;
use crate::config::Site;
use std::net::SocketAddr;
use std::time::Duration;

/// The first service of a program that does not answer: every port greets, and the queue daemon holds its lock.
pub fn silent(site: &Site, program: &str) -> Option<String> {
    if program == "emqueue" {
        let lock = crate::spool::Spool::of(site).daemon_lock();
        let is_held = matches!(crate::fsx::Lock::try_existing(&lock), Err(crate::fsx::LockError::Held));
        return (!is_held).then(|| "queue".to_string());
    }
    let proxied = match program {
        "emsmtp" => site.settings.smtp.proxy_from.as_slice(),
        "emimap" => site.settings.imap.proxy_from.as_slice(),
        _ => &[],
    };
    let (_, services) = PROGRAMS.iter().find(|(name, _)| *name == program)?;
    services.iter().find_map(|service| {
        let address = site.listens(service).iter().find(|address| !answers(service, **address, proxied))?;
        Some(format!("{service} {address}"))
    })
}

/// True when the port greets. To a server that expects a PROXY header from here, we say that we speak for ourselves.
fn answers(service: &str, address: SocketAddr, proxied: &[crate::settings::Network]) -> bool {
    use std::io::{Read, Write};
    let mut target = address;
    if target.ip().is_unspecified() {
        target.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    let Ok(mut stream) = std::net::TcpStream::connect_timeout(&target, Duration::from_secs(1)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    // Ports that begin with TLS say nothing; but they close when we do.
    if matches!(service, "submissions" | "pop3s" | "imaps") {
        return stream.shutdown(std::net::Shutdown::Write).is_ok() && stream.read(&mut [0; 64]).is_ok();
    }
    if proxied.iter().any(|n| n.holds(target.ip())) && stream.write_all(b"PROXY UNKNOWN\r\n").is_err() {
        return false;
    }
    matches!(stream.read(&mut [0; 64]), Ok(n) if n > 0)
}
