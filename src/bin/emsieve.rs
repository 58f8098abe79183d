//! ManageSieve server.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    expressmail::cli::emsieve::main()
}
