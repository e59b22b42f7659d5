//! What the system has run out of, and what to do about it: its own words name no limit.

use std::io;

/// What to do where there is no thread to be had.
pub const NO_THREAD_ADVICE: &str = "end some processes or raise `ulimit -u`";

/// Why a thread could not be started, with what to do.
pub fn no_thread(cause: io::Error) -> io::Error {
    io::Error::new(cause.kind(), format!("{cause}; {NO_THREAD_ADVICE}"))
}
