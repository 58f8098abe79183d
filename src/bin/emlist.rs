//! Mailing lists.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    expressmail::cli::emlist::main()
}
