//! Finds out when a service is ready: one small thread per probe that asks again and again and only reports.
//! What a report means, and when waiting has lasted too long, is decided elsewhere. `log` probes need no thread (the log
//! pump sees the line), `notify` is its own submodule; what asks about processes comes in as a closure.

mod http;
pub mod notify;
mod tcp;

use crate::shortage::not_started;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// The wait after the first failed attempt; it doubles up to the interval, so that a fast service is ready fast.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// What to ask.
#[derive(Debug)]
pub enum Probe {
    /// GET this `http:` URL: an answer of 2xx or 3xx is ready.
    Http(String),
    /// Connect to `HOST:PORT`.
    Tcp(String),
}

/// One look whether a service is ready; the error says why not yet. It has to return within its own limit: nothing interrupts it, and it is
/// dropped when the probe ends.
pub type Ask = Box<dyn FnMut() -> Result<(), String> + Send>;

/// What a probe says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeReport {
    /// The last report.
    Ready,
    /// Why not yet; only said when the text changes.
    NotYet(String),
}

/// A running probe. Dropping it ends the waiting at once; a report that is just being made may still come, and one of an
/// attempt that is under way does not.
#[derive(Debug)]
#[must_use = "dropping it cancels the probe"]
pub struct ProbeHandle {
    _alive: Sender<()>,
}

/// Starts to ask: at once, then after 10 ms, 20 ms, 40 ms, … and at last every `interval`, until the answer is ready.
///
/// # Errors
/// When the system gives no thread.
pub fn start(
    mut ask: Ask,
    interval: Duration,
    report: impl Fn(ProbeReport) + Send + 'static,
) -> io::Result<ProbeHandle> {
    let (alive, cancelled) = mpsc::channel::<()>();
    let probe = move || {
        let mut said = None;
        let mut wait = FIRST_WAIT.min(interval);
        loop {
            let answer = ask();
            if cancelled.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
                return;
            }
            match answer {
                Ok(()) => return report(ProbeReport::Ready),
                Err(why) if said.as_ref() == Some(&why) => {}
                Err(why) => {
                    said = Some(why.clone());
                    report(ProbeReport::NotYet(why));
                }
            }
            match cancelled.recv_timeout(wait) {
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) | Ok(()) => wait = next_wait(wait, interval),
            }
        }
    };
    let thread = thread::Builder::new().name("probe".to_owned());
    thread.spawn(probe).map_err(not_started)?;
    Ok(ProbeHandle { _alive: alive })
}

/// One attempt after the other, each of at most `limit`: what [`start`] asks, or a closure that asks more.
pub fn attempt(probe: Probe, limit: Duration) -> Ask {
    match probe {
        Probe::Http(url) => {
            let target = http::Target::new(&url, limit);
            Box::new(move || target.as_ref().map_err(Clone::clone).and_then(http::Target::get))
        }
        Probe::Tcp(address) => Box::new(move || tcp::connect(&address, limit)),
    }
}

fn next_wait(wait: Duration, interval: Duration) -> Duration {
    (wait * 2).min(interval).max(Duration::from_millis(1))
}

/// The cause of an I/O error as a user reads it: `connection refused`, without the system's number.
fn cause(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => {
            let text = error.to_string();
            let text = text.split_once(" (os error").map_or(text.as_str(), |(text, _)| text);
            text.to_lowercase()
        }
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
