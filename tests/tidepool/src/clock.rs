//! The only reader of the clock, and the only way to let time pass: waiting for messages.
//! Knows nothing of what is waited for.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since the first call in this process.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn monotonic() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// Lets `span` pass, handing over whatever arrives meanwhile. Ends early only when nothing can arrive any more.
pub fn receive_for<T>(inbox: &Receiver<T>, span: Duration, mut on_each: impl FnMut(T)) {
    let end = monotonic() + span;
    loop {
        match inbox.recv_timeout(end.saturating_sub(monotonic())) {
            Ok(message) => on_each(message),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn what_arrives_while_time_passes_is_handed_over_in_order() {
        let (sender, inbox) = mpsc::channel();
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        drop(sender);
        let mut seen = Vec::new();
        receive_for(&inbox, Duration::from_secs(60), |n| seen.push(n));
        assert_eq!(seen, [1, 2]);
    }
}
