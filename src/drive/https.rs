//! Two kinds of web request: GET for a domain's MTA-STS policy, POST for a report on TLS.
//!
//! Called by `nexthop` through [`Fetch`] and by `emqueue tls-report`. HTTP/1.1 over verified TLS, no redirects, no cookies, bounded in octets and
//! time.
//! Trust: the server is hostile; what it says counts as its domain's word because its certificate is good for `mta-sts.DOMAIN`.
//! RFC 8460 §5.4, RFC 8461 §3.3, RFC 9112 (the little of it that one answer needs).

use super::tls_trust::ClientTls;
use crate::nexthop::resolver::{Data, Kind, Question};
use crate::nexthop::tls_report::WebPlace;
use crate::nexthop::{Fetch, POLICY_LIMIT, Resolver, Security, Trust};
use rustls::StreamOwned;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest time for a request, look-up and handshake included.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest header of an answer, in octets.
const HEADER_LIMIT: usize = 16 << 10;
/// Most addresses tried.
const ADDRESSES: usize = 4;
/// The port of HTTPS.
const PORT: u16 = 443;

/// Makes requests to web servers.
struct Web {
    tls: Arc<ClientTls>,
    resolver: Arc<dyn Resolver>,
    port: u16,
}

impl Web {
    /// Trusts whom `tls` trusts, finds servers by the resolver.
    fn new(tls: Arc<ClientTls>, resolver: Arc<dyn Resolver>) -> Web {
        Web { tls, resolver, port: PORT }
    }

    /// The same at another port.
    fn with_port(self, port: u16) -> Web {
        Web { port, ..self }
    }

    /// Sends a request to a host, at one address after the other, and reads its answer until `read` has what it wants of it; `read` is
    /// told at the answer's end.
    fn ask<T>(&self, host: &str, request: &[u8], read: &Reading<'_, T>) -> Result<T, String> {
        let until = Instant::now() + PATIENCE;
        let questions = [Kind::A, Kind::Aaaa].map(|kind| Question::new(host, kind));
        let found = self.resolver.ask(&questions, PATIENCE);
        let ips: Vec<IpAddr> = found
            .iter()
            .flatten()
            .flat_map(|answer| &answer.data)
            .filter_map(|data| match data {
                Data::Address(ip) => Some(*ip),
                _ => None,
            })
            .take(ADDRESSES)
            .collect();
        let mut last = match found.into_iter().find_map(Result::err) {
            Some(error) => format!("{host}: {error}"),
            None => format!("{host}: no address"),
        };
        for ip in ips {
            match self.ask_at(host, ip, request, read, until) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = format!("{host}: {error}"),
            }
        }
        Err(last)
    }

    fn ask_at<T>(
        &self,
        host: &str,
        ip: IpAddr,
        request: &[u8],
        read: &Reading<'_, T>,
        until: Instant,
    ) -> Result<T, String> {
        let left = || until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let words = |e: io::Error| e.to_string();
        let socket = TcpStream::connect_timeout(&SocketAddr::new(ip, self.port), left()).map_err(words)?;
        let trust = Trust::Names(vec![host.to_string()]);
        let security = Security { trust, implicit_tls: true, ..Security::opportunistic(host) };
        let (connection, judge) = self.tls.connect(&security, ip).map_err(|e| e.text)?;
        let mut tls = StreamOwned::new(connection, socket);
        tls.sock.set_write_timeout(Some(left())).map_err(words)?;
        tls.sock.set_read_timeout(Some(left())).map_err(words)?;
        let said = |e: io::Error| judge.as_ref().and_then(|j| j.verdict()).map_or_else(|| e.to_string(), |v| v.text);
        tls.write_all(request).and_then(|()| tls.flush()).map_err(said)?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            if Instant::now() >= until {
                return Err("timed out".to_string());
            }
            tls.sock.set_read_timeout(Some(left())).map_err(words)?;
            let n = match tls.read(&mut buffer) {
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // Many servers close without a farewell; the length tells whether all has come.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => 0,
                Err(e) => return Err(e.to_string()),
            };
            answer.extend_from_slice(&buffer[..n]);
            if answer.len() > HEADER_LIMIT + 2 * POLICY_LIMIT {
                return Err("an answer without end".to_string());
            }
            match read(&answer, n == 0)? {
                Some(wanted) => return Ok(wanted),
                None if n == 0 => return Err("an answer cut short".to_string()),
                None => {}
            }
        }
    }
}

/// Looks for what is wanted in an answer so far, or all of it; `None` when more must come.
type Reading<'a, T> = dyn Fn(&[u8], bool) -> Result<Option<T>, String> + 'a;

/// Fetches policies from the web servers of domains.
pub struct StsFetch {
    web: Web,
}

impl StsFetch {
    /// Trusts whom `tls` trusts, finds servers by the resolver.
    pub fn new(tls: Arc<ClientTls>, resolver: Arc<dyn Resolver>) -> StsFetch {
        StsFetch { web: Web::new(tls, resolver) }
    }

    /// The same at another port, for tests.
    pub fn with_port(self, port: u16) -> StsFetch {
        StsFetch { web: self.web.with_port(port) }
    }
}

impl Fetch for StsFetch {
    fn policy(&self, domain: &str) -> Result<String, String> {
        let host = format!("mta-sts.{domain}");
        let request = format!(
            "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {host}\r\nAccept: text/plain\r\nUser-Agent: ExpressMail\r\nConnection: close\r\n\r\n"
        );
        let text = self.web.ask(&host, request.as_bytes(), &body)?;
        String::from_utf8(text).map_err(|_| format!("{host}: not UTF-8 text"))
    }
}

/// Delivers TLS reports to the web servers that domains name (RFC 8460 §5.4).
pub struct ReportPost {
    web: Web,
}

impl ReportPost {
    /// Trusts whom `tls` trusts, finds servers by the resolver.
    pub fn new(tls: Arc<ClientTls>, resolver: Arc<dyn Resolver>) -> ReportPost {
        ReportPost { web: Web::new(tls, resolver) }
    }

    /// The same at another port, for tests.
    pub fn with_port(self, port: u16) -> ReportPost {
        ReportPost { web: self.web.with_port(port) }
    }

    /// Delivers one, compressed. The server has taken it when it says so by a code from 200 to 299.
    pub fn post(&self, place: &WebPlace, packed: &[u8]) -> Result<(), String> {
        let WebPlace { host, target } = place;
        let mut request = format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Length: {}\r\n\
             User-Agent: ExpressMail\r\nConnection: close\r\n\r\n",
            packed.len()
        )
        .into_bytes();
        request.extend_from_slice(packed);
        self.web.ask(host, &request, &|answer, _| {
            let Some(end) = memchr::memmem::find(answer, b"\r\n") else { return Ok(None) };
            let status = String::from_utf8_lossy(&answer[..end]).into_owned();
            match code(&status) {
                Some(200..300) => Ok(Some(())),
                _ => Err(refusal(&status)),
            }
        })
    }
}

/// The code of a status line.
fn code(status: &str) -> Option<u16> {
    let mut words = status.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

fn refusal(status: &str) -> String {
    format!("the server says {:?}", status.chars().take(80).collect::<String>())
}

/// The body of an answer that says 200 and `text/plain`; `None` when more must come.
fn body(answer: &[u8], is_end: bool) -> Result<Option<Vec<u8>>, String> {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else {
        return if answer.len() > HEADER_LIMIT { Err("a header without end".to_string()) } else { Ok(None) };
    };
    let header = std::str::from_utf8(&answer[..end]).map_err(|_| "a header that is no text".to_string())?;
    let rest = &answer[end + 4..];
    let mut lines = header.split("\r\n");
    let status = lines.next().unwrap_or("");
    if code(status) != Some(200) {
        return Err(refusal(status));
    }
    let fields: Vec<(String, &str)> =
        lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n.to_ascii_lowercase(), v.trim())).collect();
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
    let kind = field("content-type").unwrap_or("").split(';').next().unwrap_or("").trim();
    if !kind.eq_ignore_ascii_case("text/plain") {
        return Err(format!("the policy is {kind:?}, not text/plain"));
    }
    let whole = match (field("transfer-encoding"), field("content-length")) {
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => chunks(rest)?,
        (Some(coding), _) => return Err(format!("unknown transfer coding {coding:?}")),
        (None, Some(length)) => {
            let length: usize = length.parse().map_err(|_| "a length that is no number".to_string())?;
            too_long(length)?;
            rest.get(..length).map(<[u8]>::to_vec)
        }
        (None, None) => is_end.then(|| rest.to_vec()),
    };
    too_long(whole.as_ref().map_or(rest.len().saturating_sub(POLICY_LIMIT), Vec::len))?;
    Ok(whole)
}

fn too_long(length: usize) -> Result<(), String> {
    if length > POLICY_LIMIT { Err(format!("a policy of more than {POLICY_LIMIT} octets")) } else { Ok(()) }
}

/// RFC 9112 §7.1; `None` when more must come.
fn chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut whole = Vec::new();
    loop {
        let Some(end) = memchr::memmem::find(rest, b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|line| line.split(';').next());
        let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let size = size.ok_or("a chunk without size")?;
        too_long(whole.len().saturating_add(size))?;
        if size == 0 {
            return Ok(Some(whole));
        }
        rest = &rest[end + 2..];
        let Some(chunk) = rest.get(..size + 2) else { return Ok(None) };
        whole.extend_from_slice(&chunk[..size]);
        rest = &rest[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Result<Option<String>, String> {
        body(answer.as_bytes(), true).map(|found| found.map(|b| String::from_utf8(b).unwrap()))
    }

    #[test]
    fn bodies_of_three_kinds_are_read() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n";
        assert_eq!(read(&format!("{head}\r\nabc")), Ok(Some("abc".to_string())));
        let measured = format!("{head}Content-Length: 3\r\n\r\nabcdef");
        assert_eq!(read(&measured), Ok(Some("abc".to_string())));
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
        assert_eq!(read(&chunked), Ok(Some("abc".to_string())));
        // Every prefix says "more", or gives the same.
        for whole in [&measured[..measured.len() - 3], &chunked[..chunked.len() - 2]] {
            for end in 0..whole.len() {
                assert_eq!(body(&whole.as_bytes()[..end], false), Ok(None), "{:?}", &whole[..end]);
            }
        }
    }

    #[test]
    fn answers_that_count_for_nothing() {
        let long = "x".repeat(POLICY_LIMIT + 1);
        let plain = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
        for (answer, wanted) in [
            ("HTTP/1.1 301 Moved\r\nLocation: x\r\n\r\n".to_string(), "301"),
            ("HTTP/1.1 404 None\r\n\r\n".to_string(), "404"),
            ("SSH-2.0 200\r\n\r\n".to_string(), "SSH"),
            ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nx".to_string(), "text/html"),
            ("HTTP/1.1 200 OK\r\n\r\nx".to_string(), "not text/plain"),
            (format!("{plain}Content-Length: 65537\r\n\r\n"), "more than"),
            (format!("{plain}Content-Length: -1\r\n\r\n"), "no number"),
            (format!("{plain}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"), "more than"),
            (format!("{plain}Transfer-Encoding: chunked\r\n\r\nx\r\n"), "without size"),
            (format!("{plain}Transfer-Encoding: gzip\r\n\r\nx"), "unknown transfer"),
            (format!("{plain}\r\n{long}"), "more than"),
            (format!("{}{long}", "x".repeat(HEADER_LIMIT)), "without end"),
        ] {
            let error = read(&answer).unwrap_err();
            assert!(error.contains(wanted), "{wanted}: {error}");
        }
    }
}
