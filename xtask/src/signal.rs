//! Signals become meaning here: nothing deeper knows a number.

use anyhow::{Context as _, Result};

/// Calls `report` for every SIGINT, SIGTERM or SIGHUP, on a thread of its own. Once per process.
///
/// # Errors
/// On a second call.
pub fn on_termination(report: impl Fn() + Send + 'static) -> Result<()> {
    ctrlc::set_handler(report).context("failed to listen for signals")
}
