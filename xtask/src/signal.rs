//! Signals become meaning here: nothing deeper knows a number.

use anyhow::{Context as _, Result};

/// The exit code after a signal has cut something short, as shells have it for SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Calls `report` for every SIGINT, SIGTERM or SIGHUP, on a thread of its own. Once per process.
///
/// # Errors
/// On a second call.
pub fn on_termination(report: impl Fn() + Send + 'static) -> Result<()> {
    ctrlc::set_handler(report).context("failed to listen for signals")
}

/// Ends this process as one that was interrupted, from any thread.
#[expect(
    clippy::disallowed_methods,
    reason = "the main thread waits for what nothing but the end of the process cuts short"
)]
pub fn exit_interrupted() -> ! {
    std::process::exit(INTERRUPTED.into())
}
