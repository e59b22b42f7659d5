//! Parses the command line, prints the error, picks the exit code.

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match xtask::run(xtask::cli::Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            anstream::eprintln!("{}", xtask::commands::describe(&error));
            ExitCode::from(xtask::commands::exit_code(&error))
        }
    }
}
