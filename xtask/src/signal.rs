//! Signals become meaning here: nothing deeper knows a number.

use crate::shortage::not_started;
use anyhow::{Context as _, Result};

/// The exit code after a signal has cut something short, as shells have it for SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Calls `report` for every SIGINT, SIGTERM or SIGHUP, on a thread of its own. Once per process.
///
/// # Errors
/// On a second call, or when the system gives no thread.
pub fn on_termination(report: impl Fn() + Send + 'static) -> Result<()> {
    let set = ctrlc::set_handler(report).map_err(|error| match error {
        // Its own words leave out the cause.
        ctrlc::Error::System(cause) => not_started(cause).into(),
        ctrlc::Error::NoSuchSignal(_) | ctrlc::Error::MultipleHandlers => anyhow::Error::from(error),
    });
    set.context("failed to listen for signals")
}

/// Ends this process as one that was interrupted, from any thread.
#[expect(
    clippy::disallowed_methods,
    reason = "the main thread waits for what nothing but the end of the process cuts short"
)]
pub fn exit_interrupted() -> ! {
    std::process::exit(INTERRUPTED.into())
}
