//! Places in a log file: the end of its whole lines, and by binary search the lines of a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use jiff::{SignedDuration, Timestamp};

use super::stamp::Near;
use super::{Stamp, archive, line};

/// A line longer than this is taken for several: our own are at most 64 KiB, but any file may lie there.
pub(super) const LONGEST_LINE: usize = 1024 * 1024;
/// Bytes looked at for each place: a whole line of ours begins in them, wherever they are taken.
const WINDOW: usize = 2 * line::MAX_LINE;

/// Where the last whole line in the first `length` bytes of `file` ends.
pub(super) fn whole_lines_end(file: &File, length: u64) -> io::Result<u64> {
    let mut block = vec![0; 4 * 1024];
    let mut end = length;
    while end > 0 && length - end < LONGEST_LINE as u64 {
        let start = end.saturating_sub(block.len() as u64);
        let block = &mut block[..usize::try_from(end - start).unwrap_or(0)];
        match file.read_exact_at(block, start) {
            // Emptied meanwhile: all that is there now is new.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            read => read?,
        }
        if let Some(newline) = memchr::memrchr(b'\n', block) {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(end)
}

/// The start of a line before which no line is stamped `from` or later; the file's first where its stamps do not say.
pub(super) fn start_of(file: &File, from: Option<Timestamp>, stamp: &Stamp) -> io::Result<u64> {
    match from.and_then(|from| from.checked_sub(stamp.disorder()).ok()) {
        Some(from) if stamp.is_dated() => search(file, from, stamp),
        Some(_) | None => Ok(0),
    }
}

/// An end of a line in the first `length` bytes after which every line is stamped later than `until`; `length` where stamps do not say.
pub(super) fn end_of(file: &File, length: u64, until: Option<Timestamp>, stamp: &Stamp) -> io::Result<u64> {
    match until.and_then(|until| until.checked_add(stamp.disorder()).ok()) {
        Some(until) if stamp.is_dated() => {
            // Of one whose clock was set back meanwhile the end is no later than what stands before it.
            if last_stamped(file, length, stamp)?.is_some_and(|last| last <= until) {
                return Ok(length);
            }
            // Lines of the very moment still count, however many they are.
            let later = until.checked_add(SignedDuration::from_micros(1)).unwrap_or(until);
            let end = (search(file, later, stamp)? + 2 * WINDOW as u64).min(length);
            if end == length {
                Ok(length)
            } else {
                whole_lines_end(file, end)
            }
        }
        Some(_) | None => Ok(length),
    }
}

/// The time of the last line in the first `length` bytes of `file`, if it can be found.
pub(super) fn last_stamped(file: &File, length: u64, stamp: &Stamp) -> io::Result<Option<Timestamp>> {
    let near = Near::to(archive::modified(file)?);
    let start = length.saturating_sub(WINDOW as u64);
    let mut bytes = vec![0; usize::try_from(length - start).unwrap_or(WINDOW)];
    let count = file.read_at(&mut bytes, start)?;
    let bytes = &bytes[..count];
    let starts = memchr::memrchr_iter(b'\n', bytes).map(|newline| newline + 1);
    let first = (start == 0).then_some(0);
    Ok(starts
        .chain(first)
        .find_map(|place| stamp.split(bytes.get(place..)?, near).0))
}

/// The start of a line, at most a window before the first that is stamped `from` or later.
fn search(file: &File, from: Timestamp, stamp: &Stamp) -> io::Result<u64> {
    let near = Near::to(archive::modified(file)?);
    let mut bytes = vec![0; WINDOW];
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high - low > bytes.len() as u64 {
        let middle = low + (high - low) / 2;
        let count = file.read_at(&mut bytes, middle)?;
        match first_stamped(&bytes[..count], stamp, near) {
            Some((place, time)) if time < from => low = middle + place as u64,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// The first line that begins in `bytes` after a newline and has a stamp.
fn first_stamped(bytes: &[u8], stamp: &Stamp, near: Near) -> Option<(usize, Timestamp)> {
    memchr::memchr_iter(b'\n', bytes)
        .map(|newline| newline + 1)
        .find_map(|place| stamp.split(bytes.get(place..)?, near).0.map(|time| (place, time)))
}
