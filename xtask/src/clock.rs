//! The only reader of the clocks.
//! Everything else takes time as an argument, so that a test can play any history in no time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Both clocks, read together once per turn of a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Time since an origin that all processes of the machine share; never set back. All deadlines are in it.
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

/// Time since an origin of the machine's, so that one process may tell another a moment; never set back.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub fn monotonic() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
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
