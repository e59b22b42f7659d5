//! Values → text. The parts print nothing; the few functions here are the one way to stdout.

pub mod describe;
pub mod log_line;
pub mod style;
pub mod table;
pub mod why;

use anyhow::{Context as _, Result};
use std::io::Write as _;

/// Prints to stdout; colours go where they are wanted.
///
/// # Errors
/// When nobody reads.
pub fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes())
}

/// Prints bytes to stdout as they are, whether they are text or not.
///
/// # Errors
/// When nobody reads.
pub fn print_bytes(bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(NobodyReads.into()),
        written @ (Ok(()) | Err(_)) => written.context("failed to write to stdout"),
    }
}

/// Whoever read our stdout has seen enough: `| head` is done. No failure of ours.
#[derive(Debug)]
pub struct NobodyReads;

impl std::error::Error for NobodyReads {}

impl std::fmt::Display for NobodyReads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody reads our output any more")
    }
}

/// Tells the user something on stderr; one who is gone is not told.
pub fn tell(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}
