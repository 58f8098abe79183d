//! The queue.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    expressmail::cli::emqueue::main()
}
