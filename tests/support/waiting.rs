//! Waiting: the one place of the tests that lets time pass. A test waits for something it can observe, within one overall limit.

use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What anything may take on a machine whose cores are all busy.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Looks until it sees something.
#[track_caller]
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    match wait_at_most(LIMIT, &mut look) {
        Some(found) => found,
        None => panic!("waited {LIMIT:?} in vain until {what}"),
    }
}

/// Looks until it sees something or the limit has passed.
pub fn wait_at_most<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = now();
    loop {
        let found = look();
        if found.is_some() || begin.elapsed() > limit {
            return found;
        }
        pause();
    }
}

/// How long something took.
pub fn measure<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let begin = now();
    let result = act();
    (result, begin.elapsed())
}

#[expect(clippy::disallowed_methods, reason = "the overall limit of a test needs a clock")]
fn now() -> Instant {
    Instant::now()
}

/// A moment between two looks: nothing is ever sent.
fn pause() {
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(Duration::from_millis(20));
}
