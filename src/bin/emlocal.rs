//! Local delivery agent.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    expressmail::cli::emlocal::main()
}
