//! SMTP, submission and LMTP server.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    expressmail::cli::emsmtp::main()
}
