//! Parses the command line, prints the error, picks the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match xtask::run_words(&args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            xtask::ui::tell(&xtask::commands::describe(&error));
            ExitCode::from(xtask::commands::exit_code(&error))
        }
    }
}
