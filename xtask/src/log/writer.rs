//! One log file and the one who writes it: appends stamped lines, rotates between them, and carries on whatever happens to the file.
//!
//! A service must neither block nor die of its log: what cannot be written is dropped and counted, and a line in the log says so
//! once writing works again. An unfinished line is written at once and goes on where it stopped, so nothing waits in memory.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::Stamp;
use super::archive::Listings;
use super::file::{Found, Open};
use super::kept::Kept;
use super::line;
use super::losses::{self, Health, Lost};

/// Bytes that are stamped before they are written; more only where a chunk is nearly all newlines.
const WRITE_SIZE: usize = 128 * 1024;
/// How long a removed, moved or truncated file may go unnoticed under a flood, in microseconds: a look costs as much as a small write.
const LOOK_EVERY: i64 = 50_000;
/// So many writes in that time are no flood, and each looks.
const LOOKS: u32 = 16;
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
    /// What begins each line.
    pub stamp: Stamp,
}

/// A log file, for as long as its service exists: successive runs of the service write to the same one.
pub struct LogFile {
    writer: Option<Mutex<Writer>>,
    /// Apart from the writer, which may be busy with a slow disk.
    health: Arc<Mutex<Health>>,
    writers: AtomicU64,
}

impl LogFile {
    /// Opens the log, makes missing directories, and finishes what a crash left of earlier rotations. Never fails: a file that
    /// cannot be opened is tried again with every write.
    pub fn open(config: LogConfig) -> Arc<LogFile> {
        Self::open_listed(config, &mut Listings::default())
    }

    /// The same for one of many logs, with the directories that are already read.
    pub fn open_listed(config: LogConfig, listings: &mut Listings) -> Arc<LogFile> {
        let health = Arc::new(Mutex::new(Health::default()));
        let writer = config.path.clone().map(|path| {
            let mut writer = Writer::new(path, config, health.clone(), listings);
            let _ = writer.open();
            Mutex::new(writer)
        });
        Arc::new(LogFile {
            writer,
            health,
            writers: AtomicU64::new(0),
        })
    }

    /// Goes on with other settings of rotation; the path stays what it is.
    pub fn configure(&self, config: LogConfig) {
        if let Some(mut writer) = self.lock() {
            writer.config = config;
        }
    }

    /// Empties the file, or makes it anew when it is missing; the rotated ones go. Nothing written after it is lost.
    pub fn flush_empty(&self) -> io::Result<()> {
        let Some(mut writer) = self.lock() else { return Ok(()) };
        writer.empty()?;
        writer.update(|health| *health = Health::default());
        Ok(())
    }

    /// How the log fares. Never waits for the disk.
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A number that tells one writer's unfinished line from another's.
    pub(super) fn new_writer(&self) -> u64 {
        self.writers.fetch_add(1, Ordering::Relaxed)
    }

    /// Appends what `writer` read at `at`. Its unfinished line goes on with its next chunk; where another writer came in between,
    /// the line is split. `false` while something is lost and the log does not say so yet.
    pub(super) fn append(&self, writer: u64, chunk: &[u8], at: Timestamp) -> bool {
        self.lock().is_none_or(|mut log| {
            log.append(writer, chunk, at);
            log.unsaid.is_none()
        })
    }

    /// Says what was lost, if that is possible by now; `false` when it is not.
    pub(super) fn say_losses(&self, writer: u64, at: Timestamp) -> bool {
        self.lock().is_none_or(|mut log| log.say_losses(writer, at))
    }

    /// Ends the unfinished line of `writer`, whose stream has ended, and gives its memory back.
    pub(super) fn finish(&self, writer: u64, at: Timestamp) {
        if let Some(mut log) = self.lock() {
            log.finish(writer, at);
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
    config: LogConfig,
    file: Option<Open>,
    /// Whose unfinished line ends the file, and how long it is.
    line: Option<(u64, usize)>,
    /// When a count of comparisons of the file with what lies at `path` began.
    looked: Timestamp,
    /// How often since then.
    looks: u32,
    /// When the file last could not be renamed.
    stuck: Option<Timestamp>,
    kept: Kept,
    /// What was lost since the log last said so, and why.
    unsaid: Option<(Lost, String)>,
    health: Arc<Mutex<Health>>,
    buffer: Vec<u8>,
}

impl Writer {
    fn new(path: PathBuf, config: LogConfig, health: Arc<Mutex<Health>>, listings: &mut Listings) -> Writer {
        Writer {
            kept: Kept::take_up(&path, config.retain, config.compress, listings),
            path,
            config,
            file: None,
            line: None,
            looked: Timestamp::UNIX_EPOCH,
            looks: 0,
            stuck: None,
            unsaid: None,
            health,
            buffer: Vec::new(),
        }
    }

    /// Writes `chunk`, or counts what of it is lost.
    fn append(&mut self, owner: u64, chunk: &[u8], at: Timestamp) {
        self.look(at);
        if let Err(error) = self.begin(owner, at) {
            return self.lose(Lost::of(chunk), &error);
        }
        let prefix = self.config.stamp.prefix(at);
        let mut out = std::mem::take(&mut self.buffer);
        let mut rest = chunk;
        while !rest.is_empty() {
            out.clear();
            let mut open = self.line.map(|(_, length)| length);
            let in_line = open.is_some();
            let used = line::stamp_lines(rest, &prefix, &mut open, &mut out, WRITE_SIZE);
            rest = &rest[used..];
            match self.write(&out, in_line, at) {
                Ok(()) => self.line = open.map(|length| (owner, length)),
                Err((written, error)) => {
                    self.line = None;
                    let of_this = Lost {
                        bytes: line::payload(&out, written, prefix.len(), in_line) as u64,
                        ..Lost::of(&out[written..])
                    };
                    self.lose(of_this.plus(Lost::of(rest)), &error);
                    rest = &[];
                }
            }
        }
        self.buffer = out;
    }

    /// Brings the file to where `owner` can write: open, at a line's start or in its own line, with every loss accounted for.
    fn begin(&mut self, owner: u64, at: Timestamp) -> io::Result<()> {
        self.open()?;
        // The disk may be full of this very log: before its losses are said, the oldest of it goes.
        if self.unsaid.is_some() && self.fitting(b"\n", false, at) == 0 {
            self.rotate(at)?;
        }
        let torn = self.open()?.torn;
        let mut head = Vec::new();
        if self.line.is_some_and(|(writer, _)| writer != owner) {
            head.extend_from_slice(line::CONTINUES);
            head.push(b'\n');
        } else if torn {
            head.push(b'\n');
        }
        if let Some((lost, cause)) = &self.unsaid {
            head.extend_from_slice(&self.config.stamp.prefix(at));
            head.extend_from_slice(lost.notice(cause).as_bytes());
        }
        if !head.is_empty() {
            self.line = None;
            self.put(&head).map_err(|(_, error)| error)?;
            self.unsaid = None;
            self.update(|health| health.unwritten = None);
        }
        Ok(())
    }

    fn lose(&mut self, lost: Lost, error: &io::Error) {
        let cause = losses::cause(error);
        self.update(|health| {
            health.lost = health.lost.plus(lost);
            health.unwritten = Some(cause.clone());
        });
        let before = self.unsaid.take().map_or(Lost::default(), |(before, _)| before);
        self.unsaid = Some((before.plus(lost), cause));
    }

    fn say_losses(&mut self, owner: u64, at: Timestamp) -> bool {
        if self.unsaid.is_some() {
            self.look(at);
            // The cause that counts is that of the last loss.
            let _ = self.begin(owner, at);
        }
        self.unsaid.is_none()
    }

    fn finish(&mut self, owner: u64, at: Timestamp) {
        self.look(at);
        if self.line.is_some_and(|(writer, _)| writer == owner) {
            self.line = None;
            // Where it fails the file is torn, and whoever writes next ends the line.
            let _ = self.put(b"\n");
        }
        self.say_losses(owner, at);
    }

    fn update(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
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
        let max_size = self.config.max_size;
        let Some(open) = self.file.as_ref().filter(|open| open.regular && max_size > 0) else {
            return out.len();
        };
        let room = usize::try_from(max_size.saturating_sub(open.size)).unwrap_or(usize::MAX);
        if out.len() <= room || self.stuck.is_some_and(|stuck| within(at, stuck, ROTATE_AGAIN)) {
            return out.len();
        }
        match memchr::memrchr(b'\n', &out[..room]) {
            Some(newline) => newline + 1,
            None if in_line || open.size == 0 => memchr::memchr(b'\n', out).map_or(out.len(), |newline| newline + 1),
            None => 0,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        match self.file.as_mut() {
            Some(open) => open.append(bytes),
            None => Err((0, io::ErrorKind::NotFound.into())),
        }
    }

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

    /// Notices when the file was removed, moved or truncated by somebody else; under a flood only once in a while.
    fn look(&mut self, at: Timestamp) {
        if !within(at, self.looked, LOOK_EVERY) {
            self.looked = at;
            self.looks = 0;
        }
        if self.looks < LOOKS {
            self.looks += 1;
            self.look_now();
        }
    }

    fn look_now(&mut self) {
        match self.file.as_mut().map(|open| open.look(&self.path)) {
            Some(Found::Same) | None => {}
            Some(Found::Cut) => self.line = None,
            Some(Found::Gone) => self.file = None,
        }
    }

    /// Moves the file aside and begins a new one. A file that cannot be moved is written on; an error means that there is no file.
    fn rotate(&mut self, at: Timestamp) -> io::Result<()> {
        self.look_now();
        if self.file.is_none() {
            return self.open().map(drop);
        }
        let LogConfig { retain, compress, .. } = self.config;
        match self.kept.rotate(&self.path, at, retain, compress) {
            Ok(()) => {
                if self.stuck.take().is_some() {
                    self.update(|health| health.unrotated = None);
                }
                self.file = None;
                self.open().map(drop)
            }
            Err(error) => {
                self.stuck = Some(at);
                self.update(|health| health.unrotated = Some(losses::cause(&error)));
                Ok(())
            }
        }
    }

    fn empty(&mut self) -> io::Result<()> {
        self.look_now();
        self.open()?.empty()?;
        self.kept.remove(&self.path);
        self.line = None;
        self.unsaid = None;
        Ok(())
    }
}

/// Whether `at` is less than `span` microseconds after `since`; a clock that was set back is not.
fn within(at: Timestamp, since: Timestamp, span: i64) -> bool {
    (0..span).contains(&(at.as_microsecond() - since.as_microsecond()))
}
