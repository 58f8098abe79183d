//! Password-change server.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    expressmail::cli::empass::main()
}
