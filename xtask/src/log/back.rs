//! One log read from its end, through its rotated files, as far as the merge asks.
//!
//! Plain files are read backwards in blocks; a compressed one is read through and only its last lines are kept. Files are opened when
//! their lines are due and not before: no line of a rotated file is later than the rotation.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use std::collections::VecDeque;

use jiff::Timestamp;

use super::archive::{self, Rotated, Snapshot};
use super::merge::Lane;
use super::origin::Origin;
use super::reader::Line;
use super::stamp::Near;

/// The first block from the end of a file, and the largest: a line that is longer is taken for several.
const FIRST_BLOCK: u64 = 16 * 1024;
const LARGEST_BLOCK: u64 = 1024 * 1024;

/// The lines of a log, newest first.
pub(super) struct Back {
    origin: Origin,
    /// The plain file being read, and where its unread part ends.
    plain: Option<(Arc<File>, u64)>,
    /// Rotated files not opened yet, oldest first.
    rotated: Vec<Timestamp>,
    /// Lines that were read, oldest first.
    lines: Vec<Line>,
    /// How many lines will be taken at most.
    wanted: usize,
    block: u64,
}

impl Back {
    /// The lines of `origin` as it was at `snapshot`, of which `end` bytes of the current file count.
    pub(super) fn new(origin: Origin, snapshot: &Snapshot, end: u64, wanted: usize) -> Back {
        let plain = snapshot.current.clone().map(|file| (file, end));
        let rotated = snapshot.rotated.clone();
        Back {
            origin,
            plain,
            rotated,
            lines: Vec::new(),
            wanted,
            block: FIRST_BLOCK,
        }
    }

    /// Reads the block before what was read of the plain file.
    fn read_block(&mut self, file: &Arc<File>, end: u64) -> io::Result<()> {
        let start = end.saturating_sub(self.block);
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
        if let Err(error) = file.read_exact_at(&mut bytes, start) {
            // Truncated meanwhile: what stood there is gone.
            return if error.kind() == io::ErrorKind::UnexpectedEof {
                Ok(())
            } else {
                Err(error)
            };
        }
        let first = match memchr::memchr(b'\n', &bytes) {
            _ if start == 0 => 0,
            Some(newline) if newline + 1 < bytes.len() => newline + 1,
            Some(_) | None => bytes.len(),
        };
        let written = archive::modified(file)?;
        let near = Near {
            after: written,
            before: written,
        };
        let stamp = bytes[first..]
            .split(|&byte| byte == b'\n')
            .find_map(|line| self.origin.stamp.split(line, near).0);
        let is_stamped = || self.origin.stamp.split(&bytes[first..], near).0.is_some();
        let is_clear = first < bytes.len() && (!self.origin.stamp.is_dated() || is_stamped());
        if start > 0 && !is_clear && self.block < LARGEST_BLOCK {
            // The first line is too long or has no stamp: what is before it decides what it is.
            self.block *= 4;
            self.plain = Some((file.clone(), end));
            return Ok(());
        }
        let first = if first == bytes.len() { 0 } else { first };
        let mut near = Near {
            after: stamp.unwrap_or(written),
            before: written,
        };
        self.origin
            .parse(&bytes[first..], &mut near, |line| self.lines.push(line));
        let left = start + first as u64;
        self.plain = (left > 0).then(|| (file.clone(), left));
        self.block = LARGEST_BLOCK.min(self.block * 4);
        Ok(())
    }

    /// Reads a compressed file through and keeps its last lines.
    fn read_through(&mut self, content: impl Read, rotated: Timestamp) {
        let mut near = Near {
            after: rotated,
            before: rotated,
        };
        let mut content = BufReader::with_capacity(64 * 1024, content);
        let (mut kept, mut bytes) = (VecDeque::new(), Vec::new());
        // A damaged file gives what could be read of it.
        while content
            .by_ref()
            .take(LARGEST_BLOCK)
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|count| count > 0)
        {
            self.origin.parse(&bytes, &mut near, |line| kept.push_back(line));
            if kept.len() > self.wanted {
                kept.pop_front();
            }
            bytes.clear();
        }
        self.lines = kept.into();
    }
}

impl Lane for Back {
    type Item = Line;
    type Error = io::Error;

    fn next_stamp(&mut self) -> io::Result<Option<Timestamp>> {
        while self.lines.is_empty()
            && let Some((file, end)) = self.plain.take()
        {
            self.read_block(&file, end)
                .map_err(|error| archive::context(&error, "read", &self.origin.path))?;
        }
        Ok(self
            .lines
            .last()
            .map(|line| line.stamp)
            .or(self.rotated.last().copied()))
    }

    fn take(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.lines.pop() {
            return Ok(Some(line));
        }
        if let Some(stamp) = self.rotated.pop() {
            match Rotated::open(&self.origin.path, stamp)? {
                Some(Rotated::Plain(file)) => {
                    let end = file.metadata()?.len();
                    self.block = FIRST_BLOCK;
                    self.plain = (end > 0).then(|| (Arc::new(file), end));
                }
                Some(Rotated::Compressed(content)) => self.read_through(content, stamp),
                // Removed meanwhile.
                None => {}
            }
        }
        Ok(None)
    }
}
