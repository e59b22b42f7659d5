//! Lines of output as they go into a log file: stamps before the lines of a chunk, lines that are too long in pieces.
//!
//! Pure, and small on purpose: a development build optimises this package alone, and a log is then written as fast as its pipe gives.
//! It never looks into a line's bytes except for the newline.

/// The longest line that is kept in one piece, in bytes without its newline.
pub const MAX_LINE: usize = 64 * 1024;
/// Ends every piece of a line but its last: the line was too long, or another writer of the same file came in between.
pub const CONTINUES: &[u8] = b" [xtask: line continues]";
/// Prefixes up to this size are copied as a piece of it: of a size that is known beforehand, that takes no call.
const PADDED: usize = 32;

/// Appends the lines of `chunk` to `out`, each with `prefix` before it, until the chunk or the room (`limit` bytes of `out`, which
/// the last line may pass) is used up; returns how many bytes of `chunk` were used.
///
/// `open` is how much of an unfinished line the file already holds, none at the start of a line; its rest goes on without a new
/// prefix, so that it ends up as one line however it arrives.
pub fn stamp_lines(chunk: &[u8], prefix: &[u8], open: &mut Option<usize>, out: &mut Vec<u8>, limit: usize) -> usize {
    let mut padded = [0; PADDED];
    let is_short = prefix.len() <= PADDED;
    if is_short {
        padded[..prefix.len()].copy_from_slice(prefix);
    }
    let mut rest = chunk;
    while !rest.is_empty() && out.len() < limit {
        let held = open.unwrap_or_else(|| {
            if is_short {
                let end = out.len() + prefix.len();
                out.extend_from_slice(&padded);
                out.truncate(end);
            } else {
                out.extend_from_slice(prefix);
            }
            0
        });
        let room = MAX_LINE.saturating_sub(held);
        let window = &rest[..rest.len().min(room + 1)];
        if let Some(end) = memchr::memchr(b'\n', window) {
            out.extend_from_slice(&rest[..=end]);
            rest = &rest[end + 1..];
            *open = None;
        } else if rest.len() <= room {
            out.extend_from_slice(rest);
            *open = Some(held + rest.len());
            rest = &[];
        } else {
            let cut = character_start(rest, room);
            out.extend_from_slice(&rest[..cut]);
            out.extend_from_slice(CONTINUES);
            out.push(b'\n');
            rest = &rest[cut..];
            *open = None;
        }
    }
    chunk.len() - rest.len()
}

/// The nearest place at or before `at` that does not split a UTF-8 character; `at` itself where the bytes are no UTF-8.
fn character_start(bytes: &[u8], at: usize) -> usize {
    let is_start = |place: &usize| bytes.get(*place).is_none_or(|byte| byte & 0xC0 != 0x80);
    (at.saturating_sub(3)..=at).rev().find(is_start).unwrap_or(at)
}

/// How many of the service's own bytes stand in `out[from..]`, which [`stamp_lines`] wrote with prefixes of `prefix` bytes; `in_line` when
/// it began within a line.
pub fn payload(out: &[u8], from: usize, prefix: usize, in_line: bool) -> usize {
    let (before, rest) = out.split_at(from.min(out.len()));
    let started = memchr::memrchr(b'\n', before).map(|newline| newline + 1);
    let cut_stamp = match started.or((!in_line).then_some(0)) {
        Some(start) => prefix.saturating_sub(from - start),
        None => 0,
    };
    let body = rest.get(..rest.len().saturating_sub(1)).unwrap_or_default();
    let stamps = memchr::memchr_iter(b'\n', body).count();
    rest.len().saturating_sub(cut_stamp + stamps * prefix)
}
