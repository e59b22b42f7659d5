//! One log file and the one who writes it: appends stamped lines, rotates, and carries on whatever happens to the file.
//!
//! A service must neither block nor die of its log: what cannot be written is dropped and counted, and a line in the log says so
//! once writing works again. An unfinished line is written at once and goes on where it stopped, so nothing waits in memory.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::archive::{self, Identity};
use super::{compress, line, rotation};

/// Bytes that are stamped before they are written; more only where a chunk is nearly all newlines.
const WRITE_SIZE: usize = 128 * 1024;
/// How long a removed, moved or truncated file may go unnoticed, in microseconds: a look costs as much as a small write.
const LOOK_EVERY: i64 = 50_000;
/// How long to go on in the same file after it could not be renamed, in microseconds.
const ROTATE_AGAIN: i64 = 1_000_000;

/// Where a stream goes and how it is rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The file; none keeps nothing. Two streams with one path must share one [`LogFile`].
    pub path: Option<PathBuf>,
    /// Rotate before a file grows past this many bytes; a longer line stays whole, and 0 never rotates.
    pub max_size: u64,
    /// How many rotated files stay.
    pub retain: u32,
    /// Whether rotated files are compressed.
    pub compress: bool,
}

/// A log file, for as long as its service exists: successive runs of the service write to the same one.
pub struct LogFile {
    writer: Option<Mutex<Writer>>,
    dropped: AtomicU64,
    writers: AtomicU64,
}

impl LogFile {
    /// Opens the log, makes missing directories, and finishes what a crash left of earlier rotations. Never fails: a file that
    /// cannot be opened is tried again with every write.
    pub fn open(config: LogConfig) -> Arc<LogFile> {
        let writer = config.path.map(|path| {
            let mut writer = Writer::new(path, config.max_size, config.retain, config.compress);
            let _ = writer.open();
            writer.take_up_rotations();
            Mutex::new(writer)
        });
        Arc::new(LogFile {
            writer,
            dropped: AtomicU64::new(0),
            writers: AtomicU64::new(0),
        })
    }

    /// Empties the file, or makes it anew when it is missing; rotated files stay. Nothing written after it is lost.
    pub fn flush_empty(&self) -> io::Result<()> {
        match self.lock() {
            Some(mut writer) => writer.empty(),
            None => Ok(()),
        }
    }

    /// Bytes of the service that could not be written and are lost.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// A number that tells one writer's unfinished line from another's.
    pub(super) fn new_writer(&self) -> u64 {
        self.writers.fetch_add(1, Ordering::Relaxed)
    }

    /// Appends what `writer` read at `at`. Its unfinished line goes on with its next chunk; where another writer came in between,
    /// the line is split.
    pub(super) fn append(&self, writer: u64, chunk: &[u8], at: Timestamp) {
        if let Some(mut log) = self.lock() {
            let dropped = log.append(writer, chunk, at);
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }

    /// Ends the unfinished line of `writer`, whose stream has ended, and gives its memory back.
    pub(super) fn finish(&self, writer: u64, at: Timestamp) {
        if let Some(mut log) = self.lock() {
            if log.line.is_some_and(|(owner, _)| owner == writer) {
                log.append(writer, b"\n", at);
            }
            log.buffer = Vec::new();
        }
    }

    /// Gives memory back when a stream has become quiet.
    pub(super) fn release(&self) {
        if let Some(mut log) = self.lock() {
            log.buffer = Vec::new();
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Writer>> {
        Some(self.writer.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The file as far as the writer knows it.
struct Writer {
    path: PathBuf,
    max_size: u64,
    retain: u32,
    compress: bool,
    file: Option<Open>,
    /// Whose unfinished line ends the file, and how long it is.
    line: Option<(u64, usize)>,
    /// When the file was last compared with what lies at `path`.
    looked: Timestamp,
    /// When the file last could not be renamed.
    stuck: Option<Timestamp>,
    /// Rotated files that are kept, oldest first.
    rotated: VecDeque<Timestamp>,
    /// Bytes dropped since the log last said so, and why.
    lost: u64,
    cause: String,
    buffer: Vec<u8>,
}

struct Open {
    file: File,
    identity: Identity,
    size: u64,
    /// Only a regular file has a size and a place to be moved to.
    regular: bool,
    /// It ends within a line that nobody will continue.
    torn: bool,
}

impl Writer {
    fn new(path: PathBuf, max_size: u64, retain: u32, compress: bool) -> Writer {
        Writer {
            path,
            max_size,
            retain,
            compress,
            file: None,
            line: None,
            looked: Timestamp::UNIX_EPOCH,
            stuck: None,
            rotated: VecDeque::new(),
            lost: 0,
            cause: String::new(),
            buffer: Vec::new(),
        }
    }

    /// Writes `chunk` and returns how many of its bytes were lost.
    fn append(&mut self, owner: u64, chunk: &[u8], at: Timestamp) -> u64 {
        self.look(at);
        if let Err(error) = self.begin(owner, at) {
            return self.lose(chunk.len(), &error);
        }
        let prefix = line::prefix(at);
        let mut out = std::mem::take(&mut self.buffer);
        let (mut rest, mut lost) = (chunk, 0);
        while !rest.is_empty() && lost == 0 {
            out.clear();
            let mut open = self.line.map(|(_, length)| length);
            let in_line = open.is_some();
            let used = line::stamp_lines(rest, &prefix, &mut open, &mut out, WRITE_SIZE);
            rest = &rest[used..];
            match self.write(&out, in_line, at) {
                Ok(()) => self.line = open.map(|length| (owner, length)),
                Err((written, error)) => {
                    self.line = None;
                    lost = self.lose(line::payload(&out, written, in_line) + rest.len(), &error);
                }
            }
        }
        self.buffer = out;
        lost
    }

    /// Brings the file to where `owner` can write: open, at a line's start or in its own line, with every loss accounted for.
    fn begin(&mut self, owner: u64, at: Timestamp) -> io::Result<()> {
        let torn = self.open()?.torn;
        let mut head = Vec::new();
        if self.line.is_some_and(|(writer, _)| writer != owner) {
            head.extend_from_slice(line::CONTINUES);
            head.push(b'\n');
        } else if torn {
            head.push(b'\n');
        }
        if self.lost > 0 {
            head.extend_from_slice(&line::prefix(at));
            head.extend_from_slice(format!("[xtask: {} bytes were dropped: {}]\n", self.lost, self.cause).as_bytes());
        }
        if !head.is_empty() {
            self.line = None;
            self.put(&head).map_err(|(_, error)| error)?;
            self.lost = 0;
        }
        Ok(())
    }

    fn lose(&mut self, bytes: usize, error: &io::Error) -> u64 {
        let bytes = bytes as u64;
        self.lost += bytes;
        self.cause = error.to_string();
        bytes
    }

    /// Writes whole lines (but for the first and the last) and rotates between them; an error says how many bytes were written.
    fn write(&mut self, out: &[u8], in_line: bool, at: Timestamp) -> Result<(), (usize, io::Error)> {
        let mut done = 0;
        while done < out.len() {
            let rest = &out[done..];
            let fitting = self.fitting(rest, in_line && done == 0, at);
            if fitting == 0 {
                self.rotate(at).map_err(|error| (done, error))?;
                continue;
            }
            self.put(&rest[..fitting])
                .map_err(|(written, error)| (done + written, error))?;
            done += fitting;
        }
        Ok(())
    }

    /// How much of `out` goes into the present file; 0 to rotate first.
    fn fitting(&self, out: &[u8], in_line: bool, at: Timestamp) -> usize {
        let Some(open) = self.file.as_ref().filter(|open| open.regular && self.max_size > 0) else {
            return out.len();
        };
        let room = usize::try_from(self.max_size.saturating_sub(open.size)).unwrap_or(usize::MAX);
        if out.len() <= room || self.stuck.is_some_and(|stuck| within(at, stuck, ROTATE_AGAIN)) {
            return out.len();
        }
        match memchr::memrchr(b'\n', &out[..room]) {
            Some(newline) => newline + 1,
            None if in_line || open.size == 0 => memchr::memchr(b'\n', out).map_or(out.len(), |newline| newline + 1),
            None => 0,
        }
    }

    /// Appends bytes as they are; an error says how many were written, and leaves the file marked as torn.
    fn put(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let Some(open) = self.file.as_mut() else {
            return Err((0, io::ErrorKind::NotFound.into()));
        };
        let mut written = 0;
        let result = loop {
            if written == bytes.len() {
                break Ok(());
            }
            match open.file.write(&bytes[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        open.size += written as u64;
        open.torn = match (&result, written.checked_sub(1)) {
            (Ok(()), _) => false,
            (Err(_), Some(last)) => bytes[last] != b'\n',
            // What stood there before decides: the caller was within a line exactly if it had one open.
            (Err(_), None) => open.torn || open.ends_within_a_line(),
        };
        result.map_err(|error| (written, error))
    }

    /// The file, opened (and made, with its directories) where it is not.
    fn open(&mut self) -> io::Result<&mut Open> {
        let open = match self.file.take() {
            Some(open) => open,
            None => {
                self.line = None;
                Open::at(&self.path)?
            }
        };
        Ok(self.file.insert(open))
    }

    /// Notices, once in a while, when the file was removed, moved or truncated by somebody else.
    fn look(&mut self, at: Timestamp) {
        if !within(at, self.looked, LOOK_EVERY) {
            self.looked = at;
            self.look_now();
        }
    }

    fn look_now(&mut self) {
        let Some(open) = self.file.as_mut() else { return };
        match fs::metadata(&self.path) {
            Ok(found) if archive::identity(&found) == open.identity => {
                if open.regular && found.len() != open.size {
                    let cut = found.len() < open.size;
                    open.size = found.len();
                    if cut {
                        self.line = None;
                        open.torn = open.ends_within_a_line();
                    }
                }
            }
            Ok(_) | Err(_) => self.file = None,
        }
    }

    /// Moves the file aside and begins a new one. A file that cannot be moved is written on; an error means that there is no file.
    fn rotate(&mut self, at: Timestamp) -> io::Result<()> {
        self.look_now();
        if self.file.is_none() {
            return self.open().map(drop);
        }
        let stamp = rotation::next_stamp(at, self.rotated.back().copied());
        let aside = archive::plain_path(&self.path, stamp);
        if fs::rename(&self.path, &aside).is_err() {
            self.stuck = Some(at);
            return Ok(());
        }
        self.stuck = None;
        self.file = None;
        self.rotated.push_back(stamp);
        self.drop_surplus();
        if self.compress && self.retain > 0 {
            compress::queue(aside);
        }
        self.open().map(drop)
    }

    fn drop_surplus(&mut self) {
        for stamp in self.rotated.drain(..rotation::surplus(self.rotated.len(), self.retain)) {
            archive::remove(&self.path, stamp);
        }
    }

    /// Learns what earlier writers rotated, removes what is too much, and compresses what they did not get to.
    fn take_up_rotations(&mut self) {
        self.rotated = archive::rotations(&self.path).unwrap_or_default().into();
        self.drop_surplus();
        for stamp in &self.rotated {
            let plain = archive::plain_path(&self.path, *stamp);
            let compressed = archive::compressed_path(&plain);
            let _ = fs::remove_file(archive::unfinished_path(&compressed));
            if !plain.exists() {
                continue;
            }
            if self.compress {
                compress::queue(plain);
            }
        }
    }

    fn empty(&mut self) -> io::Result<()> {
        self.look_now();
        let open = self.open()?;
        if open.regular {
            open.file.set_len(0)?;
        }
        open.size = 0;
        open.torn = false;
        self.line = None;
        Ok(())
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Open> {
        let mut options = OpenOptions::new();
        // Reading is for the last byte. Not blocking is for a path that turns out to be a pipe or a terminal.
        options.read(true).append(true).create(true).mode(0o600);
        options.custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0));
        let file = match archive::found(options.open(path))? {
            Some(file) => file,
            None => {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(archive::directory(path))?;
                options.open(path)?
            }
        };
        let metadata = file.metadata()?;
        let (identity, size, regular) = (archive::identity(&metadata), metadata.len(), metadata.is_file());
        let mut open = Open {
            file,
            identity,
            size,
            regular,
            torn: false,
        };
        open.torn = open.ends_within_a_line();
        Ok(open)
    }

    fn ends_within_a_line(&self) -> bool {
        let mut last = [b'\n'];
        if self.regular && self.size > 0 {
            // A file that cannot be read is written to nonetheless.
            let _ = self.file.read_exact_at(&mut last, self.size - 1);
        }
        last != *b"\n"
    }
}

/// Whether `at` is less than `span` microseconds after `since`; a clock that was set back is not.
fn within(at: Timestamp, since: Timestamp, span: i64) -> bool {
    (0..span).contains(&(at.as_microsecond() - since.as_microsecond()))
}
