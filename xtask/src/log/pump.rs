//! Moves what a service writes from its pipe into its log, in a thread per pipe.
//!
//! The thread ends when the last process that holds the pipe has closed it. It costs little while the pipe is quiet: buffers grow
//! when reads fill them and go when nothing has come for a second. It knows nothing of files (see `writer`).

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::line::MAX_LINE;
use super::system;
use super::writer::LogFile;
use crate::clock;

/// Bytes of the stack of each thread; a hundred services have two hundred of them.
const STACK: usize = 128 * 1024;
/// The read buffer of a quiet pipe and of a flooding one. Larger ones are slower: they fall out of the processor's cache.
const SMALL: usize = 4 * 1024;
const LARGE: usize = 64 * 1024;
/// After so many reads in a row that a small buffer would have held, the buffer becomes small again.
const SMALL_READS: u32 = 64;

/// Sees each complete line, without its line end (`\n` or `\r\n`), in pieces of at most 64 KiB; `false` when it wants no more.
pub type Observer = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// Starts a thread that reads `pipe` to its end, stamps what it reads and writes it to `log`, shows `observer` each line, and calls
/// `done` once everything is written. The only error is that the thread could not be started; then `done` is not called.
pub fn pump(
    pipe: impl AsFd + Read + Send + 'static,
    log: Arc<LogFile>,
    observer: Option<Observer>,
    done: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let thread = thread::Builder::new().name("log".into()).stack_size(STACK);
    thread.spawn(move || {
        drain(pipe, &log, observer.map(Lines::new));
        done();
    })?;
    Ok(())
}

fn drain(mut pipe: impl AsFd + Read, log: &LogFile, mut lines: Option<Lines>) {
    let writer = log.new_writer();
    let mut buffer = vec![0; SMALL];
    let mut small_reads = 0;
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                let chunk = &buffer[..count];
                log.append(writer, chunk, clock::wall());
                if lines.as_mut().is_some_and(|lines| !lines.see(chunk)) {
                    lines = None;
                }
                small_reads = if count <= SMALL { small_reads + 1 } else { 0 };
                if count == buffer.len() && count < LARGE {
                    buffer = vec![0; count * 4];
                    if buffer.len() == LARGE {
                        system::enlarge_pipe(pipe.as_fd());
                    }
                } else if count < buffer.len()
                    && buffer.len() > SMALL
                    && (small_reads >= SMALL_READS || is_quiet(&pipe))
                {
                    buffer = vec![0; SMALL];
                    log.release();
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait(&pipe, None),
            // A terminal whose other side is gone reports an error where a pipe reports its end.
            Err(_) => break,
        }
    }
    if let Some(mut lines) = lines {
        lines.end();
    }
    log.finish(writer, clock::wall());
}

/// Waits up to a second for more and says whether nothing came.
fn is_quiet(pipe: &impl AsFd) -> bool {
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&second)), Ok(0))
}

fn wait(pipe: &impl AsFd, limit: Option<&Timespec>) {
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    // Interrupted or not, the next read tells.
    let _ = poll(&mut fds, limit);
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
