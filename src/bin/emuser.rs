//! Accounts.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    expressmail::cli::emuser::main()
}
