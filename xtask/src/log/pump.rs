//! Moves what a service writes from its pipe into its log, in a thread per pipe through which something has come (see `quiet`).
//!
//! The thread ends when the last process that holds the pipe has closed it. It costs little while the pipe is quiet: buffers grow
//! when reads fill them and go when nothing has come for a second. It knows nothing of files (see `writer`).

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::line::MAX_LINE;
use super::pace::Pace;
use super::writer::LogFile;
use super::{quiet, system};
use crate::clock;

/// Bytes of the stack of each thread; a hundred services may have two hundred of them.
const STACK: usize = 128 * 1024;
/// The read buffer of a quiet pipe and of a flooding one. Larger ones are slower: they fall out of the processor's cache.
pub(super) const SMALL: usize = 4 * 1024;
pub(super) const LARGE: usize = 128 * 1024;
/// After so many reads in a row that a small buffer would have held, the buffer becomes small again.
const SMALL_READS: u32 = 64;
/// How long nothing must come for buffers to go; also how long until what was lost is tried to be said again.
const QUIET: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Sees each complete line, without its line end (`\n` or `\r\n`), in pieces of at most 64 KiB; `false` when it wants no more.
pub type Observer = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// A pipe on its way into a log.
#[derive(Debug)]
pub struct Pump {
    pipe: Arc<OwnedFd>,
    phase: Arc<AtomicU8>,
}

/// What the one who reads a pipe is at.
const BUSY: u8 = 0;
const WAITING: u8 = 1;
const ENDED: u8 = 2;

impl Pump {
    /// Whether all that was written into the pipe so far is in the log. Never of a pipe whose end is about to be seen.
    pub fn is_idle(&self) -> bool {
        let mut fds = [PollFd::new(&self.pipe, PollFlags::IN)];
        // In this order: a pipe that is empty because it was just read has a busy reader.
        let is_empty = matches!(poll(&mut fds, Some(&Timespec::default())), Ok(0));
        match self.phase.load(Ordering::SeqCst) {
            ENDED => true,
            phase => is_empty && phase == WAITING,
        }
    }
}

/// Reads `pipe` to its end, stamps what it reads and writes it to `log`, shows `observer` each line, and calls `done` once everything
/// is written: in a thread that is started when the first byte comes, or, where pipes cannot be watched for that, at once. The only
/// error is that the thread could not be started; then `done` is not called.
pub fn pump(
    pipe: impl Into<OwnedFd>,
    log: Arc<LogFile>,
    observer: Option<Observer>,
    done: impl FnOnce() + Send + 'static,
) -> io::Result<Pump> {
    let pipe = Arc::new(pipe.into());
    let phase = Arc::new(AtomicU8::new(WAITING));
    let pump = Pump {
        pipe: pipe.clone(),
        phase: phase.clone(),
    };
    let flags = rustix::fs::fcntl_getfl(&pipe)?;
    rustix::fs::fcntl_setfl(&pipe, flags | rustix::fs::OFlags::NONBLOCK)?;
    let drain = Drain {
        pipe,
        phase,
        writer: log.new_writer(),
        log,
        lines: observer.map(Lines::new),
        done: Box::new(done),
        buffer: Vec::new(),
        small_reads: 0,
        pace: Pace::default(),
        is_said: true,
        is_unsettled: false,
    };
    match quiet::watch(Box::new(drain)) {
        Ok(()) => Ok(pump),
        Err(drain) => drain.start().map(|()| pump).map_err(|(error, _)| error),
    }
}

/// A pipe with everything that its reading needs.
pub(super) struct Drain {
    pipe: Arc<OwnedFd>,
    phase: Arc<AtomicU8>,
    log: Arc<LogFile>,
    writer: u64,
    lines: Option<Lines>,
    done: Box<dyn FnOnce() + Send>,
    buffer: Vec<u8>,
    small_reads: u32,
    pace: Pace,
    /// The log holds everything, or says what it does not.
    is_said: bool,
    /// The end of what was read waits for the next read, or for its absence.
    is_unsettled: bool,
}

/// What came of one read.
enum Read {
    Some,
    Nothing,
    End,
}

impl Drain {
    #[cfg(target_os = "linux")]
    pub(super) fn pipe(&self) -> &OwnedFd {
        &self.pipe
    }

    /// Reads to the end in a thread of its own; gives itself back when there is none to be had.
    pub(super) fn start(self: Box<Self>) -> Result<(), (io::Error, Box<Self>)> {
        // A thread that cannot be started drops its closure, but not what that would have taken from here.
        let slot = Arc::new(Mutex::new(Some(self)));
        let take = |slot: &Mutex<Option<Box<Self>>>| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let own = slot.clone();
        let thread = thread::Builder::new().name("log".into()).stack_size(STACK);
        let started = thread.spawn(move || {
            if let Some(drain) = take(&own) {
                drain.run();
            }
        });
        let Err(error) = started else { return Ok(()) };
        match take(&slot) {
            Some(drain) => Err((error, drain)),
            None => Ok(()),
        }
    }

    /// Reads once in the thread of the caller, who watches other pipes, too; `None` at the end.
    #[cfg(target_os = "linux")]
    pub(super) fn read_once(mut self: Box<Self>) -> Option<Box<Self>> {
        if let Read::End = self.read() {
            self.end();
            return None;
        }
        self.settle();
        self.phase.store(WAITING, Ordering::SeqCst);
        Some(self)
    }

    /// Reads to the end.
    pub(super) fn run(mut self) {
        loop {
            match self.read() {
                Read::Some => {
                    if let Some(pause) = self.pace.pause() {
                        let _ = poll(&mut [], Some(&pause));
                    }
                }
                Read::Nothing => {
                    self.settle();
                    self.pace.rest();
                    self.phase.store(WAITING, Ordering::SeqCst);
                    self.wait();
                }
                Read::End => return self.end(),
            }
        }
    }

    fn read(&mut self) -> Read {
        // Before the pipe can be empty: see `Pump::is_idle`.
        self.phase.store(BUSY, Ordering::SeqCst);
        if self.buffer.is_empty() {
            self.buffer = vec![0; SMALL];
        }
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.pipe, &mut self.buffer[..])) {
            Ok(0) => Read::End,
            Ok(count) => {
                self.take(count);
                self.fit(count);
                Read::Some
            }
            Err(Errno::AGAIN) => Read::Nothing,
            // A terminal whose other side is gone reports an error where a pipe reports its end.
            Err(_) => Read::End,
        }
    }

    /// Nobody holds the other end any more, and all that came is read.
    pub(super) fn end(mut self) {
        if let Some(lines) = &mut self.lines {
            lines.end();
        }
        // Nothing came: nothing to finish, and no wait for whoever else writes to that log.
        if !self.buffer.is_empty() {
            self.log.finish(self.writer, clock::wall());
        }
        self.phase.store(ENDED, Ordering::SeqCst);
        (self.done)();
    }

    fn take(&mut self, count: usize) {
        let (chunk, at) = (&self.buffer[..count], clock::wall());
        // A flood is read again at once.
        self.is_unsettled = self.buffer.len() == LARGE;
        self.is_said = if self.is_unsettled {
            self.log.append_part(self.writer, chunk, at)
        } else {
            self.log.append(self.writer, chunk, at)
        };
        if self.lines.as_mut().is_some_and(|lines| !lines.see(chunk)) {
            self.lines = None;
        }
        self.pace.read(count, at.as_microsecond());
    }

    /// Nothing more is there to be read at once.
    fn settle(&mut self) {
        if std::mem::take(&mut self.is_unsettled) {
            self.is_said = self.log.settle(clock::wall());
        }
    }

    /// Makes the buffer as large as the reads want it.
    fn fit(&mut self, count: usize) {
        self.small_reads = if count <= SMALL { self.small_reads + 1 } else { 0 };
        if count > self.buffer.len() / 2 && self.buffer.len() < LARGE {
            self.buffer = vec![0; (self.buffer.len() * 4).min(LARGE)];
            if self.buffer.len() == LARGE {
                system::enlarge_pipe(&self.pipe);
            }
        } else if self.small_reads >= SMALL_READS {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        self.small_reads = 0;
        if self.buffer.len() > SMALL {
            self.buffer = vec![0; SMALL];
            self.log.release(clock::wall());
        }
    }

    /// Waits for more. Where nothing comes, memory is given back and losses are said, once.
    fn wait(&mut self) {
        let is_large = self.buffer.len() > SMALL;
        let limit = (is_large || !self.is_said).then_some(&QUIET);
        let mut fds = [PollFd::new(&self.pipe, PollFlags::IN)];
        // Interrupted or not, the next read tells.
        if matches!(poll(&mut fds, limit), Ok(0)) {
            self.shrink();
            self.is_said = self.is_said || self.log.say_losses(self.writer, clock::wall());
        }
    }
}

/// Puts chunks together to lines for an observer.
struct Lines {
    observer: Observer,
    unfinished: Vec<u8>,
}

impl Lines {
    fn new(observer: Observer) -> Lines {
        Lines {
            observer,
            unfinished: Vec::new(),
        }
    }

    /// Shows the lines that `chunk` completes; `false` when the observer wants no more.
    fn see(&mut self, chunk: &[u8]) -> bool {
        let mut rest = chunk;
        while let Some(newline) = memchr::memchr(b'\n', rest) {
            let (end, after) = (&rest[..newline], &rest[newline + 1..]);
            rest = after;
            if !self.show(end) {
                return false;
            }
        }
        while self.unfinished.len() + rest.len() > MAX_LINE {
            let (piece, after) = rest.split_at(MAX_LINE - self.unfinished.len());
            rest = after;
            if !self.show(piece) {
                return false;
            }
        }
        self.unfinished.extend_from_slice(rest);
        true
    }

    /// Shows a last line that has no newline.
    fn end(&mut self) {
        if !self.unfinished.is_empty() {
            self.show(b"");
        }
    }

    fn show(&mut self, end: &[u8]) -> bool {
        let line = if self.unfinished.is_empty() {
            end
        } else {
            self.unfinished.extend_from_slice(end);
            &self.unfinished
        };
        let wants_more = (self.observer)(line.strip_suffix(b"\r").unwrap_or(line));
        self.unfinished.clear();
        wants_more
    }
}
