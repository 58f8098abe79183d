//! Drivers: what moves bytes between the network and the protocol machines.
//!
//! The same pair of machine and service runs on standard input ([`stdio`]), and in the event loop with its workers ([`event_loop`]).
//! Only this floor and the programs touch sockets, signals and the clock.

mod conn;
mod deflate;
mod dkim_key;
mod event_loop;
mod hosts_file;
mod https;
mod jobs;
mod listen;
mod net;
mod panics;
mod program;
mod ready;
mod resolver;
mod signals;
mod stdio;
mod supervisor;
mod tls;
mod tls_trust;
mod turned;
mod watch;
mod workers;

pub use conn::{Conn, Want};
pub use dkim_key::DkimKey;
pub use event_loop::{EventLoop, Port};
pub use https::{ReportPost, StsFetch};
pub use jobs::Job;
pub use listen::{Inherited, inherited, listen};
pub use net::{Outgoing, own};
pub use panics::log_panics;
pub use ready::silent;
pub use resolver::Dns;
pub use signals::Signals;
pub use stdio::{is_network, peer_of_stdin, run as run_stdio, stdin_is_network};
pub use supervisor::{Control, Status, Supervisor, answer_file, request_file};
pub use tls::{TlsSource, certificate_key, ensure_certificate, give_to_services};
pub use tls_trust::ClientTls;
pub use turned::serve_over;
