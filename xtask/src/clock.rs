//! The only reader of the clocks.
//! Everything else takes time as an argument, so that a test can play any history in no time.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Both clocks, read together once per turn of a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Time since an arbitrary origin; never set back. All deadlines are in it.
    pub monotonic: Duration,
    /// The time of day, for what people read.
    pub wall: jiff::Timestamp,
}

/// Reads both clocks.
pub fn now() -> Now {
    Now {
        monotonic: monotonic(),
        wall: wall(),
    }
}

/// Time since this process first asked; never set back.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub fn monotonic() -> Duration {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = *ORIGIN.get_or_init(Instant::now);
    Instant::now().saturating_duration_since(origin)
}

/// The time zone of this machine; read anew now and then, as it may be changed.
pub fn zone() -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::system()
}

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
