//! Finds out when a service is ready: one small thread per probe that asks again and again and only reports.
//! What a report means, and when waiting has lasted too long, is decided elsewhere. `log` probes need no thread (the log
//! pump sees the line), `notify` is its own submodule; what asks about processes comes in as a closure.

mod http;
pub mod notify;
mod tcp;

use std::fmt;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// The wait after the first failed attempt; it doubles up to the interval, so that a fast service is ready fast.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// What to ask.
pub enum Probe {
    /// GET this `http:` URL: an answer of 2xx or 3xx is ready.
    Http(String),
    /// Connect to `HOST:PORT`.
    Tcp(String),
    /// Call this, on the probe's thread, until it is `Ok`; the error is the reason for not yet. It has to return within a
    /// few seconds: nothing interrupts it, and it is dropped when the probe ends.
    Ask(Box<dyn FnMut() -> Result<(), String> + Send>),
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.debug_tuple("Http").field(url).finish(),
            Self::Tcp(address) => f.debug_tuple("Tcp").field(address).finish(),
            Self::Ask(_) => f.write_str("Ask"),
        }
    }
}

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

/// Starts to ask: at once, then after 10 ms, 20 ms, 40 ms, … and at last every `interval`, until the answer is ready. No attempt may take
/// longer than `limit`.
///
/// # Errors
/// When the system gives no thread.
pub fn start(
    probe: Probe,
    interval: Duration,
    limit: Duration,
    report: impl Fn(ProbeReport) + Send + 'static,
) -> io::Result<ProbeHandle> {
    let (alive, cancelled) = mpsc::channel::<()>();
    let mut attempt = attempt(probe, limit);
    let ask = move || {
        let mut said = None;
        let mut wait = FIRST_WAIT.min(interval);
        loop {
            let answer = attempt();
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
    thread::Builder::new().name("probe".to_owned()).spawn(ask)?;
    Ok(ProbeHandle { _alive: alive })
}

/// One attempt after the other, each of at most `limit`: what [`start`] asks, for a closure that asks more.
pub fn attempt(probe: Probe, limit: Duration) -> Box<dyn FnMut() -> Result<(), String> + Send> {
    match probe {
        Probe::Http(url) => {
            let target = http::Target::new(&url, limit);
            Box::new(move || target.as_ref().map_err(Clone::clone).and_then(http::Target::get))
        }
        Probe::Tcp(address) => Box::new(move || tcp::connect(&address, limit)),
        Probe::Ask(ask) => ask,
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
