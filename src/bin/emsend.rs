//! sendmail(8)-compatible submission.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    expressmail::cli::emsend::main()
}
