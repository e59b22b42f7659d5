//! Makes notify's watchers, and makes sure that each can work: notify takes no notice when it gets no thread for one, and panics at
//! the next call, or when that watcher is dropped.

use notify::{Config, ErrorKind, EventHandler, RecommendedWatcher, Watcher as _};

use crate::shortage::NO_THREAD_ADVICE;

/// A watcher that calls `handler`, from a thread of its own.
///
/// # Errors
/// The system's limits are reached; `explain` says which one to raise.
pub(super) fn watcher(handler: impl EventHandler) -> notify::Result<RecommendedWatcher> {
    answering(notify::recommended_watcher(handler)?)
}

/// `watcher`, if its thread answers: of all calls this one alone tells of a thread that is missing.
fn answering(mut watcher: RecommendedWatcher) -> notify::Result<RecommendedWatcher> {
    if watcher.configure(Config::default()).is_ok() {
        return Ok(watcher);
    }
    // To drop it would be to panic. What is lost is one descriptor, and the little memory that belongs to it.
    std::mem::forget(watcher);
    let text = format!("there is no thread to be had; {NO_THREAD_ADVICE}");
    Err(notify::Error::new(ErrorKind::Generic(text)))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_whose_thread_is_missing_is_an_error_and_no_panic() {
        let (sent, started) = std::sync::mpsc::channel();
        // A thread that has panicked is as one that could not be started: nobody receives what notify sends it.
        let handler = move |_: notify::Result<notify::Event>| {
            sent.send(()).unwrap();
            std::panic::resume_unwind(Box::new(()));
        };
        let place = tempfile::tempdir().unwrap();
        let mut watcher = watcher(handler).unwrap();
        watcher
            .watch(place.path(), notify::RecursiveMode::NonRecursive)
            .unwrap();
        std::fs::write(place.path().join("news"), "").unwrap();
        started.recv().unwrap();
        let error = answering(watcher).unwrap_err().to_string();
        assert!(error.contains("ulimit -u"), "{error}");
    }
}
