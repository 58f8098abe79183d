//! The network for the queue's SMTP client: blocking sockets with deadlines, TLS by rustls.

use crate::queue::{Net, NetError, Wire};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Most addresses of one host that are tried.
const ADDRESSES: usize = 8;
/// Longest wait while sending one piece.
const SEND_PATIENCE: Duration = Duration::from_secs(300);

/// Connects through the system's resolver.
#[derive(Debug, Default)]
pub struct Outgoing {
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Net for Outgoing {
    fn connect(&self, host: &str, port: u16, patience: Duration) -> Result<Box<dyn Wire>, NetError> {
        let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => (host, port)
                .to_socket_addrs()
                .map_err(|e| NetError(format!("no address: {e}")))?
                .take(ADDRESSES)
                .collect(),
        };
        let mut last = NetError("no address".to_string());
        for address in addresses {
            match TcpStream::connect_timeout(&address, patience.max(Duration::from_millis(1))) {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    let _ = stream.set_write_timeout(Some(SEND_PATIENCE));
                    let tls = self.tls.get_or_init(client_config).clone();
                    return Ok(Box::new(Line { stream: Some(Stream::Plain(stream)), address, tls }));
                }
                Err(e) => last = NetError(format!("connect: {e}")),
            }
        }
        Err(last)
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

struct Line {
    stream: Option<Stream>,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Line {
    fn socket(&self) -> Option<&TcpStream> {
        match self.stream.as_ref()? {
            Stream::Plain(socket) => Some(socket),
            Stream::Tls(tls) => Some(&tls.sock),
        }
    }
}

fn words(e: std::io::Error) -> NetError {
    match e.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => NetError("timed out".to_string()),
        _ => NetError(e.to_string()),
    }
}

impl Wire for Line {
    fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        match &mut self.stream {
            Some(Stream::Plain(socket)) => socket.write_all(bytes).map_err(words),
            Some(Stream::Tls(tls)) => tls.write_all(bytes).and_then(|()| tls.flush()).map_err(words),
            None => Err(NetError("no connection".to_string())),
        }
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize, NetError> {
        if let Some(socket) = self.socket() {
            let _ = socket.set_read_timeout(Some(patience.max(Duration::from_millis(1))));
        }
        loop {
            let result = match &mut self.stream {
                Some(Stream::Plain(socket)) => socket.read(buffer),
                Some(Stream::Tls(tls)) => tls.read(buffer),
                None => return Err(NetError("no connection".to_string())),
            };
            match result {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                other => return other.map_err(words),
            }
        }
    }

    fn start_tls(&mut self, host: &str) -> Result<(), NetError> {
        let name =
            ServerName::try_from(host.to_string()).unwrap_or_else(|_| ServerName::IpAddress(self.address.ip().into()));
        let client = ClientConnection::new(self.tls.clone(), name).map_err(|e| NetError(e.to_string()))?;
        let Some(Stream::Plain(socket)) = self.stream.take() else {
            return Err(NetError("TLS is on".to_string()));
        };
        let mut tls = Box::new(StreamOwned::new(client, socket));
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).map_err(words)?;
        }
        self.stream = Some(Stream::Tls(tls));
        Ok(())
    }

    fn peer(&self) -> String {
        self.address.to_string()
    }
}

fn client_config() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map(|b| {
        b.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))).with_no_client_auth()
    });
    // The default versions suit the default provider: this can't fail.
    Arc::new(config.expect("rustls knows its own defaults"))
}

/// Takes every certificate: opportunistic TLS has no name to check it against (RFC 7435); signatures are checked all the same.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
