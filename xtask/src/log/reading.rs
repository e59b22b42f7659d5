//! One file of a log, read forwards as far as it goes now, and what becomes of it: it grows, is truncated, is moved aside.
//!
//! It gives bytes; what their lines are is `origin`'s business, and which file comes next is `tail`'s.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use jiff::Timestamp;

use super::archive::{self, Content, Identity, Rotated};
use super::line::PREFIX_LEN;
use super::origin::Origin;
use super::seek::{LONGEST_LINE, whole_lines_end};

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// A file that is being read.
pub(super) struct Reading {
    /// Where its bytes come from.
    pub(super) source: Source,
    /// What was read after the last newline.
    pub(super) unfinished: Vec<u8>,
}

/// Where bytes come from.
pub(super) enum Source {
    /// A file that no longer changes.
    Rotated(Rotated),
    /// One that may.
    Current(Current),
}

/// The file that is, or was until it was rotated, written to.
pub(super) struct Current {
    /// The file.
    pub(super) file: Arc<File>,
    identity: Identity,
    position: u64,
    /// Where the last line (whole or not) that was read begins, and its first bytes: they change when the file is emptied and filled again.
    mark: Option<(u64, Vec<u8>)>,
    /// The writer has gone on to another file.
    pub(super) left: bool,
}

impl Reading {
    /// Begins to read.
    pub(super) fn of(source: Source) -> Reading {
        Reading {
            source,
            unfinished: Vec::new(),
        }
    }

    /// Reads on; 0 at the end of the file as it is now.
    pub(super) fn read(&mut self) -> io::Result<usize> {
        let held = self.unfinished.len();
        self.unfinished.resize(held + CHUNK, 0);
        let count = match &mut self.source {
            Source::Rotated(content) => content.read(&mut self.unfinished[held..]),
            Source::Current(current) => current.file.read_at(&mut self.unfinished[held..], current.position),
        };
        self.unfinished.truncate(held + *count.as_ref().unwrap_or(&0));
        let count = count?;
        if let Source::Current(current) = &mut self.source {
            if let Some(restart) = current.truncated(count)? {
                current.position = restart;
                self.unfinished.clear();
                return if current.file.metadata()?.len() > restart {
                    self.read()
                } else {
                    Ok(0)
                };
            }
            current.position += count as u64;
        }
        Ok(count)
    }

    /// Takes the lines that are whole.
    pub(super) fn take_whole_lines(&mut self) -> Vec<u8> {
        let end = match memchr::memrchr(b'\n', &self.unfinished) {
            Some(newline) => newline + 1,
            None if self.unfinished.len() >= LONGEST_LINE => self.unfinished.len(),
            None => 0,
        };
        let rest = self.unfinished.split_off(end);
        let whole = std::mem::replace(&mut self.unfinished, rest);
        if let Source::Current(current) = &mut self.source {
            let before = memchr::memrchr(b'\n', &whole[..end.saturating_sub(1)]).map_or(0, |newline| newline + 1);
            let last = if self.unfinished.is_empty() {
                &whole[before..]
            } else {
                &self.unfinished
            };
            let begin = current.position - last.len() as u64;
            current.mark = Some((begin, last[..last.len().min(PREFIX_LEN)].to_vec()));
        }
        whole
    }
}

impl Current {
    /// Reads `file` from `position` on.
    pub(super) fn new(file: Arc<File>, position: u64) -> io::Result<Current> {
        let identity = archive::identity(&file.metadata()?);
        Ok(Current {
            file,
            identity,
            position,
            mark: None,
            left: false,
        })
    }

    /// Sets the mark to the line that ends at `end`.
    pub(super) fn mark_before(&mut self, end: u64) -> io::Result<()> {
        if end > 0 {
            let begin = whole_lines_end(&self.file, end - 1)?;
            let mut bytes = vec![0; PREFIX_LEN.min(usize::try_from(end - begin).unwrap_or(PREFIX_LEN))];
            self.file.read_exact_at(&mut bytes, begin)?;
            self.mark = Some((begin, bytes));
        }
        Ok(())
    }

    /// Where to read again when the file was truncated; `read` is what came from the present position.
    fn truncated(&mut self, read: usize) -> io::Result<Option<u64>> {
        if let Some((begin, bytes)) = &self.mark {
            let mut now = [0; PREFIX_LEN];
            let now = &mut now[..bytes.len()];
            let intact = match self.file.read_exact_at(now, *begin) {
                Ok(()) => now == bytes.as_slice(),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
                Err(error) => return Err(error),
            };
            if !intact {
                self.mark = None;
                return Ok(Some(0));
            }
        }
        let length = if read == 0 {
            self.file.metadata()?.len()
        } else {
            self.position
        };
        Ok((length < self.position).then(|| if self.mark.is_some() { length } else { 0 }))
    }

    /// Whether another file has taken this one's place. While there is none at all, the writer may still be in this one.
    pub(super) fn was_moved(&self, origin: &Origin) -> io::Result<bool> {
        let now = archive::found(fs::metadata(&origin.path))?;
        Ok(now.is_some_and(|now| archive::identity(&now) != self.identity))
    }

    /// Whether this is the file that was rotated at `stamp`, even if only its compressed content is left.
    pub(super) fn became(&self, origin: &Origin, stamp: Timestamp) -> io::Result<bool> {
        // One that cannot be read is told when its lines are due.
        let Ok(Some(mut rotated)) = Rotated::open(&origin.path, stamp) else {
            return Ok(false);
        };
        match &rotated.content {
            Content::Plain(file) => Ok(file
                .metadata()
                .is_ok_and(|data| archive::identity(&data) == self.identity)),
            Content::Compressed(_) => {
                let (mut head, mut own) = ([0; 256], [0; 256]);
                let own_length = self.file.read_at(&mut own, 0)?;
                let length = rotated.read(&mut head).unwrap_or(0).min(own_length);
                Ok(length > 0 && head[..length] == own[..length])
            }
        }
    }
}
