//! A command's end of the socket: sends requests, waits for replies, and never hangs on a supervisor that does not answer.

use super::protocol::{Envelope, Failure, PROTOCOL, Reply, Request, SILENCE};
use crate::clock;
use anyhow::{Context as _, Result, bail};
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A connection to a supervisor.
pub struct Connection {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

/// A request as it is sent.
#[derive(Debug)]
pub struct Prepared(Vec<u8>);

impl Prepared {
    /// Puts a request into words.
    ///
    /// # Errors
    /// When it holds a path that is no UTF-8.
    pub fn new(request: Request) -> Result<Self, serde_json::Error> {
        let envelope = Envelope {
            protocol: PROTOCOL,
            request,
        };
        let mut line = serde_json::to_vec(&envelope)?;
        line.push(b'\n');
        Ok(Self(line))
    }
}

/// Why a request got no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// The supervisor is about to end: its successor may answer.
    Leaving,
    /// The connection ended.
    Closed,
    /// It said no.
    Refused(String),
    /// An answer that this version does not know.
    Foreign,
    /// Five seconds of silence.
    Silent,
    /// The socket failed.
    Failed(io::Error),
}

impl std::error::Error for Unanswered {}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Leaving => write!(
                f,
                "the stack is stopping; `cargo xtask dev` starts it again once it is down"
            ),
            Self::Closed => write!(f, "the supervisor ended before it answered; see supervisor.log"),
            Self::Refused(why) => write!(f, "{why}"),
            Self::Foreign => write!(
                f,
                "the supervisor's answer is not one that xtask {} knows; the stack keeps running: use the xtask that \
                 started it, or `stop` it and start it anew",
                env!("CARGO_PKG_VERSION")
            ),
            Self::Silent => write!(
                f,
                "the supervisor has not answered for {} s; it may be suspended (SIGCONT wakes it) or overloaded",
                SILENCE.as_secs()
            ),
            Self::Failed(cause) => write!(f, "failed to talk to the supervisor: {cause}"),
        }
    }
}

/// Connects without waiting: a supervisor that is suspended takes no connections, and the system keeps only so many for it.
fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&stream, FdFlags::CLOEXEC)?;
    let stream = UnixStream::from(stream);
    stream.set_nonblocking(true)?;
    rustix::net::connect(&stream, &SocketAddrUnix::new(socket)?)?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

impl Connection {
    /// Connects; `None` when nobody listens there.
    ///
    /// # Errors
    /// When the socket is somebody else's or cannot be used.
    pub fn open(socket: &Path) -> Result<Option<Self>> {
        let stream = match connect(socket) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            // So many wait to be heard already that the system takes no more.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(Unanswered::Silent.into()),
            Err(error) => return Err(error).with_context(|| format!("failed to connect to {}", socket.display())),
        };
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Some(Self { stream, reader }))
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When the supervisor is gone or does not read.
    pub fn send(&mut self, request: Request) -> Result<(), Unanswered> {
        let prepared = Prepared::new(request).map_err(|error| Unanswered::Failed(error.into()))?;
        self.send_prepared(&prepared)
    }

    /// Sends a request that was prepared before there was a connection.
    ///
    /// # Errors
    /// See [`Connection::send`].
    pub fn send_prepared(&mut self, request: &Prepared) -> Result<(), Unanswered> {
        self.stream.write_all(&request.0).map_err(unanswered)
    }

    /// The next reply that is not a sign of life.
    ///
    /// # Errors
    /// After five seconds of silence, or when the connection ends.
    pub fn receive(&mut self) -> Result<Reply, Unanswered> {
        loop {
            match self.receive_any()? {
                Reply::Working => {}
                reply => return Ok(reply),
            }
        }
    }

    /// The next reply that is not a sign of life, to a request that was sent a while ago: the first word must come within `left`.
    ///
    /// # Errors
    /// See [`Connection::receive`].
    pub fn receive_first(&mut self, left: Duration) -> Result<Reply, Unanswered> {
        // What has come is read also when no time is left.
        let limit = left.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(limit)).map_err(Unanswered::Failed)?;
        let first = self.receive_any();
        self.stream
            .set_read_timeout(Some(SILENCE))
            .map_err(Unanswered::Failed)?;
        match first? {
            Reply::Working => self.receive(),
            reply => Ok(reply),
        }
    }

    /// The next reply, which may be a sign of life.
    ///
    /// # Errors
    /// See [`Connection::receive`].
    pub fn receive_any(&mut self) -> Result<Reply, Unanswered> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => return Err(Unanswered::Closed),
            Ok(_) => {}
            Err(error) => return Err(unanswered(error)),
        }
        match serde_json::from_str(&line).map_err(|_| Unanswered::Foreign)? {
            Reply::Leaving => Err(Unanswered::Leaving),
            Reply::Refused(why) => Err(Unanswered::Refused(why)),
            reply @ (Reply::Working
            | Reply::Done { .. }
            | Reply::Status(_)
            | Reply::Invocation(_)
            | Reply::Details(_)
            | Reply::Owner(_)
            | Reply::Ended { .. }) => Ok(reply),
        }
    }

    /// Sends a request and waits until it is done.
    ///
    /// # Errors
    /// When it was refused or not answered.
    pub fn ask(&mut self, request: Request) -> Result<Vec<Failure>> {
        self.send(request)?;
        self.done()
    }

    /// Waits until the request that was sent is done.
    ///
    /// # Errors
    /// When it was refused or not answered.
    pub fn done(&mut self) -> Result<Vec<Failure>> {
        loop {
            match self.receive()? {
                Reply::Done { failures } | Reply::Ended { failures } => return Ok(failures),
                Reply::Owner(_) => {}
                other @ (Reply::Status(_) | Reply::Invocation(_) | Reply::Details(_)) => {
                    bail!("unexpected answer: {other:?}")
                }
                Reply::Working | Reply::Leaving | Reply::Refused(_) => {}
            }
        }
    }

    /// From now on silence is no error: the connection only waits for the stack's end.
    ///
    /// # Errors
    /// When the socket refuses.
    pub fn wait_without_limit(&self) -> Result<()> {
        self.stream
            .set_read_timeout(None)
            .context("failed to change the socket's time limit")
    }

    /// Waits until the supervisor closes the connection, as it does at its very end; `false` when that takes longer than `limit`.
    pub fn wait_closed(&mut self, limit: Duration) -> bool {
        let deadline = clock::monotonic() + limit;
        loop {
            let left = deadline.saturating_sub(clock::monotonic());
            if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
                return false;
            }
            match self.receive_any() {
                Err(Unanswered::Closed | Unanswered::Failed(_)) => return true,
                Ok(_)
                | Err(Unanswered::Silent | Unanswered::Leaving | Unanswered::Refused(_) | Unanswered::Foreign) => {}
            }
        }
    }

    /// A second handle for sending while another thread receives.
    ///
    /// # Errors
    /// When out of descriptors.
    pub fn second(&self) -> Result<Self> {
        let (stream, reader) = (self.stream.try_clone()?, BufReader::new(self.stream.try_clone()?));
        Ok(Self { stream, reader })
    }
}

/// What becomes of the first request of a connection: where that has ended already, for want of room as a rule, its last words are the
/// answer, and are still to be read.
///
/// # Errors
/// When it was not sent for another reason.
pub fn or_last_words(sent: Result<(), Unanswered>) -> Result<(), Unanswered> {
    match sent {
        Err(Unanswered::Closed) => Ok(()),
        sent => sent,
    }
}

fn unanswered(error: io::Error) -> Unanswered {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Unanswered::Silent,
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => Unanswered::Closed,
        _ => Unanswered::Failed(error),
    }
}
