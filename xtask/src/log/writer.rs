//! One log file and the one who writes it: appends stamped lines, rotates between them, and carries on whatever happens to the file.
//!
//! A service must neither block nor die of its log: what cannot be written is dropped and counted, and a line in the log says so
//! once writing works again. An unfinished line is written at once and goes on where it stopped. Only while a pipe is read without a
//! pause may the last bytes wait for the next: whole blocks of a file cost the system much less than parts of them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::Stamp;
use super::archive::{self, Listings};
use super::file::{Found, Open};
use super::kept::Kept;
use super::line;
use super::losses::{self, Health, Lost};

/// Bytes that are stamped before they are written; more only where a chunk is nearly all newlines.
const WRITE_SIZE: usize = 192 * 1024;
/// A flood is written up to multiples of this in the file, which the system then keeps in large pieces and not page by page.
const BLOCK: u64 = 64 * 1024;
/// How long a removed, moved or truncated file may go unnoticed under a flood, in microseconds: a look costs as much as a small write.
const LOOK_EVERY: i64 = 50_000;
/// So many writes in that time are no flood, and each looks.
const LOOKS: u32 = 16;
/// A file that was filled within this many microseconds is followed by another that will be.
const FLOOD: i64 = 1_000_000;
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
    /// A directory, such as the workspace, without which the file is not made anew: who removes it wants it gone, and who moves it
    /// takes the open file along.
    pub ground: Option<PathBuf>,
}

/// A log file, for as long as its service exists: successive runs of the service write to the same one.
pub struct LogFile {
    writer: Option<Mutex<Writer>>,
    /// Apart from the writer, which may be busy with a slow disk.
    health: Arc<Mutex<Health>>,
    writers: AtomicU64,
}

impl LogFile {
    /// A log that is opened by whoever comes first: the first who writes, or [`LogFile::open`].
    pub fn new(config: LogConfig) -> Arc<LogFile> {
        let health = Arc::new(Mutex::new(Health::default()));
        let path = config.path.clone();
        Arc::new(LogFile {
            writer: path.map(|path| Mutex::new(Writer::new(path, config, health.clone()))),
            health,
            writers: AtomicU64::new(0),
        })
    }

    /// Opens the log, makes missing directories, and finishes what a crash left of earlier rotations; of many logs, with the
    /// directories that are already read. Never fails: a file that cannot be opened is tried again with every write.
    pub fn open(&self, listings: &mut Listings) {
        if let Some(mut writer) = self.lock() {
            writer.take_up(listings);
            let _ = writer.open();
        }
    }

    /// Goes on with other settings of rotation; the path stays what it is.
    pub fn configure(&self, config: LogConfig) {
        if let Some(mut writer) = self.lock() {
            writer.config = config;
        }
    }

    /// Empties the file, or makes it anew when it is missing; the rotated ones go. Nothing written after it is lost. Errors name the
    /// file.
    pub fn flush_empty(&self) -> io::Result<()> {
        let Some(mut writer) = self.lock() else { return Ok(()) };
        writer
            .empty()
            .map_err(|error| archive::context(&error, "empty", &writer.path))?;
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
        self.change(|log| {
            log.append(writer, chunk, at);
            log.settle(at);
            // Who reads so little at a time is no flood, and may not come back to give it back.
            log.give_back();
        })
    }

    /// The same of a writer who has more and comes again at once, if only with [`LogFile::settle`]: what fills no whole block of the
    /// file may wait until then.
    pub(super) fn append_part(&self, writer: u64, chunk: &[u8], at: Timestamp) -> bool {
        self.change(|log| log.append(writer, chunk, at))
    }

    /// Writes what waits. `false` as above.
    pub(super) fn settle(&self, at: Timestamp) -> bool {
        self.change(|log| log.settle(at))
    }

    /// Says what was lost, if that is possible by now; `false` when it is not.
    pub(super) fn say_losses(&self, writer: u64, at: Timestamp) -> bool {
        self.change(|log| {
            log.say_losses(writer, at);
            log.give_back();
        })
    }

    /// Ends the unfinished line of `writer`, whose stream has ended, and gives its memory and its room on the disk back.
    pub(super) fn finish(&self, writer: u64, at: Timestamp) {
        if let Some(mut log) = self.lock() {
            log.finish(writer, at);
            log.waiting = Vec::new();
            log.give_back();
        }
    }

    /// Gives memory and room on the disk back when a stream has become quiet.
    pub(super) fn release(&self, at: Timestamp) {
        if let Some(mut log) = self.lock() {
            log.settle(at);
            log.waiting = Vec::new();
            log.give_back();
        }
    }

    /// Whether the log, once changed, says all that it lost.
    fn change(&self, change: impl FnOnce(&mut Writer)) -> bool {
        self.lock().is_none_or(|mut log| {
            change(&mut log);
            log.unsaid.is_none()
        })
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
    /// Whose unfinished line ends what was taken in, and how long it is.
    line: Option<(u64, usize)>,
    /// What was taken in and is not written yet: lines with stamps of `stamp_size` bytes each. While something waits, the file is open
    /// and nothing is unsaid.
    waiting: Vec<u8>,
    stamp_size: usize,
    /// What waits begins within a line.
    in_line: bool,
    /// When a count of comparisons of the file with what lies at `path` began.
    looked: Timestamp,
    /// How often since then.
    looks: u32,
    /// Since when the file is being filled, once something was written.
    filling: Option<Timestamp>,
    /// When the file last could not be renamed.
    stuck: Option<Timestamp>,
    /// Once it is known what earlier writers have left.
    kept: Option<Kept>,
    /// What was lost since the log last said so, and why.
    unsaid: Option<(Lost, String)>,
    health: Arc<Mutex<Health>>,
}

impl Writer {
    fn new(path: PathBuf, config: LogConfig, health: Arc<Mutex<Health>>) -> Writer {
        Writer {
            kept: None,
            path,
            config,
            file: None,
            line: None,
            waiting: Vec::new(),
            stamp_size: 0,
            in_line: false,
            looked: Timestamp::UNIX_EPOCH,
            looks: 0,
            filling: None,
            stuck: None,
            unsaid: None,
            health,
        }
    }

    /// What is kept of the file at the path.
    fn take_up(&mut self, listings: &mut Listings) -> (&mut Kept, &Path) {
        let LogConfig { retain, compress, .. } = self.config;
        let take_up = || Kept::take_up(&self.path, retain, compress, listings);
        (self.kept.get_or_insert_with(take_up), &self.path)
    }

    /// Waits until what is too much is gone; `false` when it was.
    fn settle_kept(&mut self) -> bool {
        self.kept.as_mut().is_some_and(Kept::settle)
    }

    /// Takes `chunk` in and writes whole blocks of the file, or counts what is lost.
    fn append(&mut self, owner: u64, chunk: &[u8], at: Timestamp) {
        self.look(at);
        let prefix = self.config.stamp.prefix(at);
        if self.stamp_size != prefix.len() {
            self.settle(at);
            self.stamp_size = prefix.len();
        }
        if let Err(error) = self.begin(owner, at) {
            return self.lose(Lost::of(chunk), &error);
        }
        self.filling.get_or_insert(at);
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.waiting.is_empty() {
                self.in_line = self.line.is_some();
            }
            let mut open = self.line.map(|(_, length)| length);
            let used = line::stamp_lines(rest, &prefix, &mut open, &mut self.waiting, WRITE_SIZE);
            self.line = open.map(|length| (owner, length));
            rest = &rest[used..];
            if let Err(error) = self.write(Extent::Blocks, at) {
                return self.lose(Lost::of(rest), &error);
            }
        }
    }

    /// Writes what waits, or counts it as lost.
    fn settle(&mut self, at: Timestamp) {
        if !self.waiting.is_empty() {
            // What is lost is counted.
            let _ = self.write(Extent::Whole, at);
        }
    }

    /// Brings the file to where `owner` can write: open, at a line's start or in its own line, with every loss accounted for.
    fn begin(&mut self, owner: u64, at: Timestamp) -> io::Result<()> {
        let is_cut_in = self.line.is_some_and(|(writer, _)| writer != owner);
        if is_cut_in {
            self.settle(at);
        }
        self.open()?;
        // The disk may be full of this very log: before its losses are said, the oldest of it goes.
        if self.unsaid.is_some() && self.fitting(b"\n", false, at) == 0 {
            self.rotate(at)?;
            self.settle_kept();
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

    fn say_losses(&mut self, owner: u64, at: Timestamp) {
        if self.unsaid.is_some() {
            self.look(at);
            // The cause that counts is that of the last loss.
            let _ = self.begin(owner, at);
        }
    }

    fn finish(&mut self, owner: u64, at: Timestamp) {
        self.settle(at);
        self.look(at);
        if self.line.is_some_and(|(writer, _)| writer == owner) {
            self.line = None;
            // Where it fails the file is torn, and whoever writes next ends the line.
            let _ = self.put(b"\n");
        }
        self.say_losses(owner, at);
        self.settle_kept();
    }

    fn update(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Writes what waits, as whole lines but for the first and the last, and rotates between them. After an error nothing waits, and
    /// what was not written is counted as lost.
    fn write(&mut self, extent: Extent, at: Timestamp) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let line = self.line.take();
        let (written, result) = self.write_from(&waiting, extent, at);
        self.waiting = waiting;
        if let Err(error) = &result {
            let unwritten = &self.waiting[written..];
            let bytes = line::payload(&self.waiting, written, self.stamp_size, self.in_line) as u64;
            let lines = Lost::of(unwritten).lines;
            self.lose(Lost { bytes, lines }, error);
            self.waiting.clear();
        } else {
            self.line = line;
            if let Some(last) = written.checked_sub(1) {
                self.in_line = self.waiting[last] != b'\n';
            }
            self.waiting.drain(..written);
        }
        result
    }

    /// How many bytes of `out` it wrote, also where it failed.
    fn write_from(&mut self, out: &[u8], extent: Extent, at: Timestamp) -> (usize, io::Result<()>) {
        let mut done = 0;
        while done < out.len() {
            let rest = &out[done..];
            let in_line = done.checked_sub(1).map_or(self.in_line, |last| out[last] != b'\n');
            let fitting = self.fitting(rest, in_line, at);
            if fitting == 0 {
                match self.rotate(at) {
                    Ok(()) => continue,
                    Err(error) => return (done, Err(error)),
                }
            }
            let is_last = fitting == rest.len();
            let count = match extent {
                Extent::Blocks if is_last => self.whole_blocks(fitting),
                Extent::Blocks | Extent::Whole => fitting,
            };
            match self.put(&rest[..count]) {
                Ok(()) if is_last => return (done + count, Ok(())),
                Ok(()) => done += count,
                Err((written, error)) => {
                    done += written;
                    // The disk may have room as soon as the oldest file is gone.
                    if !self.settle_kept() {
                        return (done, Err(error));
                    }
                }
            }
        }
        (done, Ok(()))
    }

    /// As much of `count` bytes as ends with a block of the file.
    fn whole_blocks(&self, count: usize) -> usize {
        match &self.file {
            Some(open) if open.regular => count.saturating_sub(((open.size + count as u64) % BLOCK) as usize),
            _ => count,
        }
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

    /// Gives back the room that was laid aside for a flood.
    fn give_back(&mut self) {
        if let Some(open) = self.file.as_mut() {
            open.give_back();
        }
    }

    fn open(&mut self) -> io::Result<&mut Open> {
        let open = match self.file.take() {
            Some(open) => open,
            None => {
                self.line = None;
                if self.is_without_ground() {
                    return Err(io::ErrorKind::NotFound.into());
                }
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
            self.settle(at);
            self.look_now();
        }
    }

    fn look_now(&mut self) {
        match self.file.as_mut().map(|open| open.look(&self.path)) {
            Some(Found::Same) | None => {}
            Some(Found::Cut) => self.line = None,
            Some(Found::Gone) if self.is_without_ground() => {}
            Some(Found::Gone) => self.file = None,
        }
    }

    fn is_without_ground(&self) -> bool {
        self.config.ground.as_ref().is_some_and(|ground| !ground.is_dir())
    }

    /// Moves the file aside and begins a new one. A file that cannot be moved is written on; an error means that there is no file.
    fn rotate(&mut self, at: Timestamp) -> io::Result<()> {
        self.look_now();
        if self.file.is_none() {
            return self.open().map(drop);
        }
        let LogConfig {
            max_size,
            retain,
            compress,
            ..
        } = self.config;
        let (kept, path) = self.take_up(&mut Listings::default());
        match kept.rotate(path, at, retain, compress) {
            Ok(()) => {
                if self.stuck.take().is_some() {
                    self.update(|health| health.unrotated = None);
                }
                self.file = None;
                let is_flood = self.filling.replace(at).is_some_and(|since| within(at, since, FLOOD));
                let open = self.open()?;
                if is_flood {
                    open.reserve(max_size);
                }
                Ok(())
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
        // Not before it has worked: what waits is either written or counted as lost.
        self.waiting.clear();
        let (kept, path) = self.take_up(&mut Listings::default());
        kept.remove(path);
        self.line = None;
        self.unsaid = None;
        Ok(())
    }
}

/// How much of what waits is written.
#[derive(Clone, Copy)]
enum Extent {
    /// All of it.
    Whole,
    /// What ends with a block of the file.
    Blocks,
}

/// Whether `at` is less than `span` microseconds after `since`; a clock that was set back is not.
fn within(at: Timestamp, since: Timestamp, span: i64) -> bool {
    (0..span).contains(&(at.as_microsecond() - since.as_microsecond()))
}
