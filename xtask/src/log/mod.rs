//! The log files of a stack: written by the supervisor, read by anybody.
//!
//! The writer stamps each line and rotates; the readers merge the files by those stamps and need nothing but the files, so they work
//! the same on a running, a stopped and a crashed stack. This file only says what the files are called.

mod archive;
mod back;
mod compress;
pub mod escape;
mod events;
mod file;
pub mod filter;
pub mod grace;
mod kept;
pub mod line;
mod losses;
pub mod merge;
#[cfg(test)]
mod model;
pub mod moment;
mod origin;
mod pace;
mod pump;
mod quiet;
pub mod reader;
#[cfg(test)]
mod reader_tests;
mod reading;
pub mod record;
pub mod rotation;
mod seek;
pub mod stamp;
pub mod structured;
mod system;
mod tail;
#[cfg(test)]
mod tests;
pub mod writer;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

pub use archive::{Listings, canonical, empty};
pub use compress::finish_compressing;
pub use events::EventLog;
pub use losses::{Health, Lost};
pub use pump::{Observer, Pump, pump};
pub use record::Stream;
pub use stamp::Stamp;
pub use writer::{LogConfig, LogFile};

/// Where the log of a service's stream is by default: `<dir>/<service>-out.log`.
pub fn log_file(dir: &Path, service: &str, stream: Stream) -> PathBuf {
    dir.join(format!("{service}-{}.log", stream.suffix()))
}

/// Whose log a file in a log directory is, and when it was rotated if it was; none for any other file. Exact: of `web-out-out.log`
/// the service is `web-out`.
pub fn parse_name(file_name: &str) -> Option<(&str, Stream, Option<Timestamp>)> {
    let plain = file_name
        .strip_suffix(".gz")
        .unwrap_or(file_name)
        .strip_suffix(".log")?;
    let (log, rotated) = match plain.rsplit_once('.').and_then(|(rest, _)| rest.rsplit_once('.')) {
        Some((log, _)) => match rotation::parse_name_stamp(&plain[log.len() + 1..]) {
            Some(stamp) => (log, Some(stamp)),
            None => (plain, None),
        },
        None => (plain, None),
    };
    if rotated.is_none() && file_name.ends_with(".gz") {
        return None;
    }
    let (service, suffix) = log.rsplit_once('-')?;
    let stream = [Stream::Out, Stream::Err]
        .into_iter()
        .find(|stream| stream.suffix() == suffix)?;
    (!service.is_empty()).then_some((service, stream, rotated))
}
