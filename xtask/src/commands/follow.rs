//! Follows a stack until the stack or the user ends it: its logs are printed, and what its supervisor and the user say is
//! answered. The log files are read by the command itself, so that a slow terminal never slows a service.

use super::printer::{Follower, Printer};
use super::stacks;
use super::teller::Teller;
use crate::ipc::client::{Connection, Unanswered};
use crate::ipc::protocol::{Failure, Reply, Request, SILENCE, Stack};
use crate::lifecycle::Monotonic;
use crate::log::reader::Line;
use crate::shortage::not_started;
use crate::signal::INTERRUPTED;
use crate::{clock, ui};
use anyhow::{Context as _, Result, bail};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// How long what is left to print may take once the user has asked for the end.
pub(super) const LAST_LINES_LIMIT: Duration = Duration::from_secs(2);

/// What can wake a command that follows.
pub(super) enum Wake {
    /// Ctrl-C, or the terminal was closed.
    Interrupted,
    /// The supervisor said something.
    Reply(Result<Reply, Unanswered>),
    /// Nothing more is printed: see [`Follower::start`].
    Printed(Result<()>),
}

/// The next thing that happens; none by the deadline.
pub(super) fn next(wakes: &Receiver<Wake>, deadline: Option<Monotonic>) -> Result<Option<Wake>> {
    let Some(deadline) = deadline else {
        return wakes.recv().map(Some).context("nothing can arrive any more");
    };
    match wakes.recv_timeout(deadline.saturating_sub(clock::monotonic())) {
        Ok(wake) => Ok(Some(wake)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(error @ RecvTimeoutError::Disconnected) => Err(error).context("nothing can arrive any more"),
    }
}

/// What the one who follows does besides.
pub(super) trait Launched {
    /// What is to be told when the supervisor has launched everything, or could not.
    fn launched(&self, failures: &[Failure]) -> Option<String>;
    /// What is to be told of the others when some could not be launched.
    fn others(&self, stack: &Stack, failures: &[Failure]) -> Vec<String>;
    /// The stack has ended: waits for its last process.
    fn ended(&self, profile: &str) -> Result<()>;
    /// Ends what a supervisor that was killed together with its keeper has left, and tells what that was.
    fn clear(&self, tell: &dyn Fn(&str)) -> Result<()>;
    /// Its supervisor owes an answer.
    fn silent(&self) -> anyhow::Error;
    /// The profile's name.
    fn profile(&self) -> String;
    /// Where everything arrives.
    fn wakes(&self) -> &Receiver<Wake>;
    /// For the thread that receives replies.
    fn sender(&self) -> Sender<Wake>;
}

/// Forwards every reply, until the connection ends or `forward` says that nobody listens any more.
pub(super) fn receive_all(
    mut connection: Connection,
    forward: impl Fn(Result<Reply, Unanswered>) -> bool + Send + 'static,
) -> Result<()> {
    std::thread::Builder::new()
        .name("replies".to_owned())
        .spawn(move || {
            loop {
                let reply = connection.receive_any();
                if matches!(reply, Ok(Reply::Done { .. })) && connection.wait_without_limit().is_err() {
                    return;
                }
                let over = reply.is_err();
                if !forward(reply) || over {
                    return;
                }
            }
        })
        .map(|_| ())
        .map_err(not_started)
        .context("failed to start the thread that receives replies")
}

/// Forwards to a command that follows.
pub(super) fn to(wake: Sender<Wake>) -> impl Fn(Result<Reply, Unanswered>) -> bool + Send {
    move |reply| wake.send(Wake::Reply(reply)).is_ok()
}

/// Prints until the stack ends, or until Ctrl-C: that stops the stack if it is ours, and a second one kills it.
pub(super) fn follow(
    follower: Follower,
    earlier: Vec<Line>,
    connection: Connection,
    owner: bool,
    teller: Teller,
    by: &impl Launched,
) -> Result<u8> {
    let done = begin(follower, earlier, connection, owner, &teller, by).and_then(Following::run);
    let is_told = teller.finish(LAST_LINES_LIMIT);
    match done {
        // Whoever tells it would wait for a terminal that takes nothing.
        Err(error) if !is_told => Ok(super::exit_code(&error)),
        done => done,
    }
}

fn begin<'a, B: Launched>(
    follower: Follower,
    earlier: Vec<Line>,
    connection: Connection,
    owner: bool,
    teller: &'a Teller,
    by: &'a B,
) -> Result<Following<'a, B>> {
    let asking = connection.second()?;
    receive_all(connection, to(by.sender()))?;
    let printed = by.sender();
    let printer = follower.start(earlier, move |result| {
        let _ = printed.send(Wake::Printed(result));
    })?;
    Ok(Following {
        by,
        teller,
        profile: by.profile(),
        asking,
        owner,
        had_terminal: ui::has_terminal(),
        printer: Some(printer),
        is_leaving: false,
        interrupts: 0,
        unprinted: None,
        failed: Vec::new(),
        silent_at: None,
    })
}

/// One command at it.
struct Following<'a, B> {
    by: &'a B,
    /// Nothing is told here: that may take as long as the terminal likes.
    teller: &'a Teller,
    profile: String,
    asking: Connection,
    /// Whether the stack is ours.
    owner: bool,
    had_terminal: bool,
    /// Gone when nothing more is printed.
    printer: Option<Printer>,
    /// Whether the supervisor was told that we leave: the user has asked for the end, or nothing can be printed.
    is_leaving: bool,
    /// How often the user has asked for the end.
    interrupts: u32,
    /// Why not everything was printed.
    unprinted: Option<anyhow::Error>,
    failed: Vec<Failure>,
    /// From when on the supervisor owes a sign of life.
    silent_at: Option<Monotonic>,
}

impl<B: Launched> Following<'_, B> {
    fn run(mut self) -> Result<u8> {
        loop {
            let Some(wake) = next(self.by.wakes(), self.silent_at)? else {
                return Err(self.by.silent());
            };
            let code = match wake {
                Wake::Reply(reply) => {
                    self.silent_at = self.silent_at.map(|_| clock::monotonic() + SILENCE);
                    self.replied(reply)?
                }
                Wake::Interrupted => self.interrupted()?,
                Wake::Printed(result) => self.printed(result)?,
            };
            if let Some(code) = code {
                return Ok(code);
            }
        }
    }

    /// The exit code, when that was the end.
    fn replied(&mut self, reply: Result<Reply, Unanswered>) -> Result<Option<u8>> {
        match reply {
            Ok(Reply::Owner(owner)) => return self.owned(owner),
            Ok(Reply::Done { failures }) => {
                self.tell(self.by.launched(&failures));
                if !failures.is_empty() {
                    self.ask(Request::Status)?;
                    self.failed = failures;
                }
            }
            Ok(Reply::Status(stack)) => self.tell(self.by.others(&stack, &self.failed)),
            Ok(Reply::Ended { failures }) => return self.ended(&failures).map(Some),
            Ok(Reply::Working | Reply::Leaving | Reply::Refused(_) | Reply::Invocation(_) | Reply::Details(_)) => {}
            Err(Unanswered::Closed | Unanswered::Leaving) => {
                self.by.ended(&self.profile)?;
                self.by.clear(&|text| self.teller.tell(text))?;
                self.finish();
                bail!(
                    "the supervisor of {} ended without a word; what it ran was ended, see supervisor.log",
                    self.profile
                );
            }
            Err(error) => return Err(error.into()),
        }
        Ok(None)
    }

    fn owned(&mut self, owner: bool) -> Result<Option<u8>> {
        // Somebody took the ownership away before we said that we leave.
        if !owner && self.is_leaving {
            return self.unprinted.take().map_or(Ok(Some(0)), Err);
        }
        if self.owner && !owner {
            self.teller.tell(format!(
                "another command leaves {} running; Ctrl-C leaves it up, too",
                self.profile
            ));
        }
        self.owner = owner;
        Ok(None)
    }

    fn ended(&mut self, failures: &[Failure]) -> Result<u8> {
        let ended = self.by.ended(&self.profile);
        self.finish();
        ended?;
        let code = self.code(failures)?;
        let unprinted = self.unprinted.take();
        unprinted.map_or(Ok(code), |error| Err(error.context("the stack was stopped")))
    }

    fn tell(&self, texts: impl IntoIterator<Item = String>) {
        texts.into_iter().for_each(|text| self.teller.tell(text));
    }

    fn finish(&mut self) {
        if let Some(printer) = self.printer.take() {
            printer.finish(self.by.wakes(), self.interrupts > 0);
        }
    }

    fn interrupted(&mut self) -> Result<Option<u8>> {
        if !self.owner {
            return Ok(Some(0));
        }
        // A terminal that is closed says so more than once: by itself or by its shell, and at the shell's end. Nobody is there who could
        // have pressed Ctrl-C a second time.
        if self.is_leaving && self.had_terminal && !ui::has_terminal() {
            return Ok(None);
        }
        self.interrupts += 1;
        // What is asked of the supervisor comes first: a terminal that takes nothing must not keep the stack up.
        match self.interrupts {
            1 => {
                self.leave()?;
                self.teller
                    .tell(format!("stopping {}; Ctrl-C again kills at once", self.profile));
            }
            2 => {
                self.ask(Request::Kill)?;
                self.teller.tell(format!("killing {}", self.profile));
            }
            _ => bail!(
                "given up waiting for the end of {0}; `cargo xtask stop -p {0}` looks again",
                self.profile
            ),
        }
        Ok(None)
    }

    /// Nothing more is printed.
    fn printed(&mut self, result: Result<()>) -> Result<Option<u8>> {
        self.printer = None;
        // Already told to end, it ends all the same: a terminal that is gone cannot be told the last lines.
        let Some(error) = result.err().filter(|_| !self.is_leaving) else {
            return Ok(None);
        };
        // That nobody reads any more, as the terminal is gone or `| head` has seen enough, is no failure of ours; a full disk is.
        let error = (!error.is::<ui::NobodyReads>()).then_some(error);
        if !self.owner {
            return error.map_or(Ok(Some(0)), Err);
        }
        self.unprinted = error;
        self.leave()?;
        Ok(None)
    }

    /// Asks the supervisor. That of one that has ended meanwhile is heard from the thread that receives: how it has.
    fn ask(&mut self, request: Request) -> Result<()> {
        match self.asking.send(request) {
            Ok(()) | Err(Unanswered::Closed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Has the stack stopped, which from now on owes signs of life.
    fn leave(&mut self) -> Result<()> {
        if !self.is_leaving {
            self.is_leaving = true;
            self.silent_at = Some(clock::monotonic() + SILENCE);
            self.ask(Request::Leave)?;
        }
        Ok(())
    }

    /// The exit code of a stack that has ended.
    fn code(&self, failures: &[Failure]) -> Result<u8> {
        match stacks::failed(failures) {
            Some(error) => Err(error.context(format!("something of {} is left", self.profile))),
            None if self.interrupts > 1 => Ok(INTERRUPTED),
            None => Ok(0),
        }
    }
}
