//! The supervisor's end of the socket: accepts, reads requests, writes replies.
//! Decides nothing; whatever arrives becomes a message to the loop, and a slow reader never holds the loop up.

use super::protocol::{Envelope, PROTOCOL, Reply, Request};
use crate::paths;
use anyhow::{Context as _, Result};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Threads that only move lines need little stack.
const STACK: usize = 128 * 1024;

/// How long a command may take to read a part of a reply.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

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
    writers: HashMap<ClientId, (Sender<String>, JoinHandle<()>)>,
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
    spawn("accept", move || {
        for (number, stream) in listener.incoming().enumerate() {
            // Out of descriptors: the client sees its connection end and says so; the next one may succeed.
            let Ok(stream) = stream else { continue };
            let client = ClientId(number as u64);
            let Ok(reader) = stream.try_clone() else { continue };
            report(Arrival::Connected(client, stream));
            let report_line = report.clone();
            if spawn("client", move || read_requests(client, reader, report_line)).is_err() {
                report(Arrival::Gone(client));
            }
        }
    })
    .map(drop)
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
    let value: serde_json::Value = serde_json::from_str(line).map_err(|error| format!("not a request: {error}"))?;
    let theirs = value.get("protocol").and_then(serde_json::Value::as_u64);
    if theirs != Some(u64::from(PROTOCOL)) {
        let theirs = theirs.map_or_else(|| "none".to_owned(), |version| version.to_string());
        return Err(format!(
            "the supervisor of xtask {} speaks protocol {PROTOCOL}, this command {theirs}; \
             the stack keeps running: use the xtask that started it, or `stop` and start it anew",
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

impl Clients {
    /// Takes a connection in.
    pub fn add(&mut self, client: ClientId, stream: UnixStream) {
        let (sender, lines) = channel();
        if let Ok(thread) = spawn("reply", move || write_replies(stream, &lines)) {
            self.writers.insert(client, (sender, thread));
        }
    }

    /// Forgets a connection; its writer ends when everything is written.
    pub fn remove(&mut self, client: ClientId) {
        self.writers.remove(&client);
    }

    /// Sends a reply; a client that is gone gets none.
    pub fn send(&self, client: ClientId, reply: &Reply) {
        if let Some((writer, _)) = self.writers.get(&client)
            && let Ok(line) = serde_json::to_string(reply)
        {
            // The writer ends only when its peer is gone, which is reported as `Gone`.
            let _ = writer.send(line);
        }
    }

    /// All open connections.
    pub fn ids(&self) -> Vec<ClientId> {
        self.writers.keys().copied().collect()
    }

    /// Ends all connections when everything is written; one that does not read is given up after `WRITE_LIMIT`.
    pub fn close(self) {
        for (writer, thread) in self.writers.into_values() {
            drop(writer);
            // A writer that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

fn write_replies(mut stream: UnixStream, lines: &Receiver<String>) {
    // A command that was suspended must not hold up the end of the supervisor.
    if stream.set_write_timeout(Some(WRITE_LIMIT)).is_err() {
        return;
    }
    for mut line in lines {
        line.push('\n');
        if stream.write_all(line.as_bytes()).is_err() {
            return;
        }
    }
    // The reader's clone keeps the socket open; this ends it for both.
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(run)
        .with_context(|| format!("failed to start the {name} thread"))
}
