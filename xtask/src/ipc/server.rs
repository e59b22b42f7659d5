//! The supervisor's end of the socket: accepts, reads requests, writes replies.
//! Decides nothing; whatever arrives becomes a message to the loop, and a slow reader never holds the loop up.

use super::protocol::{Envelope, PROTOCOL, Reply, Request};
use crate::paths;
use crate::shortage::not_started;
use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Threads that only move lines need little stack.
const STACK: usize = 128 * 1024;

/// How long a command may take to read a part of a reply.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// The same, for one that has no writer of its own.
const INLINE_WRITE_LIMIT: Duration = Duration::from_millis(100);

/// How long a command may say nothing that is served without a thread of its own.
const INLINE_LIMIT: Duration = Duration::from_secs(2);

/// How long a connection waits when there is not even a descriptor to refuse it with.
const NO_ROOM_DELAY: Duration = Duration::from_millis(100);

/// A connection's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(pub u64);

/// What the socket reports.
#[derive(Debug)]
pub enum Arrival {
    /// Somebody connected.
    Connected(ClientId, UnixStream),
    /// A request came.
    Request(ClientId, Request),
    /// Something came that is no request of ours: the answer to send.
    Refused(ClientId, String),
    /// The connection ended.
    Gone(ClientId),
}

/// The open connections, each with the writer that owns its sending side.
#[derive(Default)]
pub struct Clients {
    writers: HashMap<ClientId, Writer>,
}

struct Writer {
    stream: UnixStream,
    /// Once something has not fitted into the socket's buffer: the thread that waits for the reader in our place.
    backlog: Option<Backlog>,
}

struct Backlog {
    lines: Sender<Vec<u8>>,
    /// How many of them are not written yet.
    unwritten: Arc<AtomicUsize>,
    /// Nothing more will come, and one who does not read is not waited for any longer.
    ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Binds the socket, mode 0600 in a directory of the user's own, and reports what arrives on it.
///
/// # Errors
/// When the path is taken by a supervisor that answers, or cannot be bound.
pub fn listen(socket: &Path, report: impl Fn(Arrival) + Clone + Send + 'static) -> Result<()> {
    if UnixStream::connect(socket).is_ok() {
        anyhow::bail!("another supervisor answers on {}", socket.display());
    }
    paths::remove_if_there(socket)?;
    let listener = UnixListener::bind(socket).with_context(|| format!("failed to bind {}", socket.display()))?;
    paths::make_private(socket, 0o600)?;
    let listener = Arc::new(listener);
    spawn("socket", move || serve(&listener, 0, report)).map(drop)
}

/// Takes connections in until there is one: that one is served here, and the next ones in a thread that is started meanwhile. A command
/// is heard without waiting for a thread.
fn serve(listener: &Arc<UnixListener>, first: u64, report: impl Fn(Arrival) + Clone + Send + 'static) {
    for number in first.. {
        let client = ClientId(number);
        let Some(stream) = accept(listener, client, &report) else {
            continue;
        };
        let (others, report_others) = (listener.clone(), report.clone());
        if spawn("socket", move || serve(&others, number + 1, report_others)).is_ok() {
            return read_requests(client, stream, report);
        }
        // No thread to be had: the others wait for as long as it has something to say.
        if stream.set_read_timeout(Some(INLINE_LIMIT)).is_ok() {
            read_requests(client, stream, &report);
        } else {
            report(Arrival::Gone(client));
        }
    }
}

/// Takes one connection in, and gives its receiving side; one there is no room for is told so.
fn accept(listener: &UnixListener, client: ClientId, report: &impl Fn(Arrival)) -> Option<UnixStream> {
    // Given up when there is no other descriptor left.
    let spare = File::open("/dev/null");
    let stream = match listener.accept() {
        Ok((stream, _)) => stream,
        Err(error) => {
            if spare.is_err() {
                // Nothing to give up: the connection waits until somebody closes something.
                thread::park_timeout(NO_ROOM_DELAY);
            }
            drop(spare);
            if is_shortage(&error)
                && let Ok((stream, _)) = listener.accept()
            {
                refuse(&stream, &error);
            }
            return None;
        }
    };
    match stream.try_clone() {
        Ok(reader) => {
            report(Arrival::Connected(client, stream));
            Some(reader)
        }
        Err(error) => {
            refuse(&stream, &error);
            None
        }
    }
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

/// Tells a client why nobody will answer it.
fn refuse(mut stream: &UnixStream, cause: &dyn std::fmt::Display) {
    let why = format!(
        "the supervisor has no room for another connection ({cause}); the stack goes on: try again, end some commands, \
         or raise `ulimit -n` and `ulimit -u` before the next start"
    );
    if let Ok(line) = serde_json::to_string(&Reply::Refused(why)) {
        // It fits into the socket's buffer; a client that is gone needs no answer.
        let _ = stream.write_all(format!("{line}\n").as_bytes());
    }
}

fn read_requests(client: ClientId, stream: UnixStream, report: impl Fn(Arrival)) {
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        report(match parse(&line) {
            Ok(request) => Arrival::Request(client, request),
            Err(why) => Arrival::Refused(client, why),
        });
    }
    report(Arrival::Gone(client));
}

/// The version is read first: a newer request may not parse as one of ours.
fn parse(line: &str) -> Result<Request, String> {
    // A whole plan is read once where it can be.
    match serde_json::from_str::<Envelope>(line) {
        Ok(envelope) if envelope.protocol == PROTOCOL => return Ok(envelope.request),
        Ok(_) | Err(_) => {}
    }
    let value: serde_json::Value = serde_json::from_str(line).map_err(|error| format!("not a request: {error}"))?;
    let theirs = value.get("protocol").and_then(serde_json::Value::as_u64);
    if theirs != Some(u64::from(PROTOCOL)) {
        if let Some(request) = value.get("request").and_then(lasting) {
            return Ok(request);
        }
        let theirs = theirs.map_or_else(|| "none".to_owned(), |version| version.to_string());
        return Err(format!(
            "the supervisor of xtask {} speaks protocol {PROTOCOL}, this command {theirs}; \
             the stack keeps running: use the xtask that started it, or `stop` it and start it anew",
            env!("CARGO_PKG_VERSION")
        ));
    }
    serde_json::from_value::<Envelope>(value)
        .map(|envelope| envelope.request)
        .map_err(|error| {
            format!(
                "the supervisor of xtask {} does not know this request: {error}",
                env!("CARGO_PKG_VERSION")
            )
        })
}

/// The requests that mean the same in every version, so that a stack can always be looked at and stopped.
fn lasting(request: &serde_json::Value) -> Option<Request> {
    match request.as_str()? {
        "Status" => Some(Request::Status),
        "Shutdown" => Some(Request::Shutdown),
        "Leave" => Some(Request::Leave),
        "Kill" => Some(Request::Kill),
        _ => None,
    }
}

impl Clients {
    /// Takes a connection in.
    pub fn add(&mut self, client: ClientId, stream: UnixStream) {
        let backlog = None;
        self.writers.insert(client, Writer { stream, backlog });
    }

    /// Forgets a connection, which ends when everything is written.
    pub fn remove(&mut self, client: ClientId) {
        if let Some(writer) = self.writers.remove(&client) {
            drop(writer.end());
        }
    }

    /// Sends a reply; a client that is gone gets none.
    pub fn send(&mut self, client: ClientId, reply: &Reply) {
        if let Some((writer, mut line)) = self.writers.get_mut(&client).zip(serde_json::to_vec(reply).ok()) {
            line.push(b'\n');
            if matches!(reply, Reply::Working) {
                writer.write_sign_of_life(line);
            } else {
                writer.write(line);
            }
        }
    }

    /// All open connections.
    pub fn ids(&self) -> Vec<ClientId> {
        self.writers.keys().copied().collect()
    }

    /// Ends all connections when everything is written; one that does not read is given up after `WRITE_LIMIT`.
    pub fn close(self) {
        let ending: Vec<_> = self.writers.into_values().filter_map(Writer::end).collect();
        for thread in ending {
            // A writer that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

impl Backlog {
    /// Its thread ends only when the client is gone, which is reported as `Gone`.
    fn send(&self, line: Vec<u8>) {
        self.unwritten.fetch_add(1, Ordering::Relaxed);
        let _ = self.lines.send(line);
    }
}

impl Writer {
    /// One who has not read the last ones, as he is suspended, needs no more of them.
    fn write_sign_of_life(&mut self, line: Vec<u8>) {
        match &self.backlog {
            // So short a line goes whole or not at all.
            None => drop(rustix::net::send(&self.stream, &line, SendFlags::DONTWAIT)),
            Some(backlog) if backlog.unwritten.load(Ordering::Relaxed) > 0 => {}
            Some(_) => self.write(line),
        }
    }

    /// Never waits for a reader, but where there is no thread to do that: then what it does not take in 100 ms is lost, and it, too.
    fn write(&mut self, mut line: Vec<u8>) {
        if let Some(backlog) = &self.backlog {
            backlog.send(line);
            return;
        }
        match rustix::net::send(&self.stream, &line, SendFlags::DONTWAIT) {
            Ok(sent) => drop(line.drain(..sent)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Reported as `Gone`.
            Err(_) => return,
        }
        if line.is_empty() {
            return;
        }
        let (lines, waiting) = channel();
        let (ending, unwritten) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_ending, left) = (ending.clone(), unwritten.clone());
        let own = self.stream.try_clone().map_err(anyhow::Error::from);
        match own.and_then(|stream| spawn("reply", move || write_replies(&stream, &waiting, &left, &is_ending))) {
            Ok(thread) => {
                let backlog = Backlog {
                    lines,
                    unwritten,
                    ending,
                    thread,
                };
                backlog.send(line);
                self.backlog = Some(backlog);
            }
            Err(_) => self.write_here(&line),
        }
    }

    fn write_here(&self, line: &[u8]) {
        let mut stream = &self.stream;
        let limited = stream.set_write_timeout(Some(INLINE_WRITE_LIMIT));
        if limited.and_then(|()| stream.write_all(line)).is_err() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends the connection for its reader, too, who holds a descriptor of his own: at once, or by the thread that still writes.
    fn end(self) -> Option<JoinHandle<()>> {
        if self.backlog.is_none() {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
        self.backlog.map(|backlog| {
            backlog.ending.store(true, Ordering::Relaxed);
            backlog.thread
        })
    }
}

/// Writes to one who may be suspended for long, but must not hold up the end of the supervisor.
fn write_replies(stream: &UnixStream, lines: &Receiver<Vec<u8>>, unwritten: &AtomicUsize, ending: &AtomicBool) {
    let limited = stream.set_write_timeout(Some(WRITE_LIMIT));
    let write = |line: &[u8]| {
        let (mut stream, mut rest) = (stream, line);
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && !ending.load(Ordering::Relaxed) => {}
                Err(_) => return false,
            }
        }
        unwritten.fetch_sub(1, Ordering::Relaxed);
        true
    };
    if limited.is_ok() {
        lines.iter().all(|line| write(&line));
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(run)
        .map_err(not_started)
        .with_context(|| format!("failed to start the {name} thread"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    const CLIENT: ClientId = ClientId(0);

    fn reply(number: usize) -> Reply {
        Reply::Refused(format!("{number} {}", "x".repeat(1000)))
    }

    #[test]
    fn a_client_that_does_not_read_holds_nobody_up_and_gets_everything_in_order() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut clients = Clients::default();
        clients.add(CLIENT, ours);
        // More than any socket's buffer holds; in this thread, which reads only afterwards.
        let all: Vec<Reply> = (0..2000).map(reply).collect();
        all.iter().for_each(|reply| clients.send(CLIENT, reply));
        clients.remove(CLIENT);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        let expected: String = all
            .iter()
            .map(|reply| serde_json::to_string(reply).unwrap() + "\n")
            .collect();
        assert!(text == expected, "{} bytes in place of {}", text.len(), expected.len());
    }

    #[test]
    fn a_client_that_was_suspended_gets_its_answer_whatever_signs_of_life_it_missed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut clients = Clients::default();
        clients.add(CLIENT, ours);
        // More than any socket's buffer holds.
        (0..100_000).for_each(|_| clients.send(CLIENT, &Reply::Working));
        clients.send(CLIENT, &reply(1));
        (0..100_000).for_each(|_| clients.send(CLIENT, &Reply::Working));
        let mut lines = BufReader::new(theirs).lines();
        let answer = lines
            .find(|line| line.as_ref().unwrap() != "\"Working\"")
            .unwrap()
            .unwrap();
        assert_eq!(answer, serde_json::to_string(&reply(1)).unwrap());
        // It is told of life again.
        while clients.writers[&CLIENT]
            .backlog
            .as_ref()
            .unwrap()
            .unwritten
            .load(Ordering::Relaxed)
            > 0
        {
            thread::yield_now();
        }
        clients.send(CLIENT, &Reply::Working);
        assert_eq!(lines.next().unwrap().unwrap(), "\"Working\"");
    }

    #[test]
    fn a_forgotten_connection_ends_for_whoever_still_reads_from_it() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let _reader = ours.try_clone().unwrap();
        let mut clients = Clients::default();
        clients.add(CLIENT, ours);
        clients.send(CLIENT, &Reply::Working);
        clients.close();
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        assert_eq!(text, "\"Working\"\n");
    }
}
