//! Follows a stack's logs until the stack or the user ends it. The log files are read here, by the command, so that a
//! slow terminal never slows a service.

use super::stacks;
use crate::ipc::client::{Connection, Unanswered};
use crate::ipc::protocol::{Failure, Reply, Request, Stack};
use crate::log::reader::{Follow, Line, Selection};
use crate::ui;
use crate::ui::style::Style;
use crate::watch::files::FileWatch;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::time::SystemTime;

/// The exit code after Ctrl-C has cut something short, as shells have it for SIGINT.
pub(super) const KILLED: u8 = 130;

/// What can wake a command that follows.
pub(super) enum Wake {
    /// Log files changed.
    Logs,
    /// Ctrl-C, or the terminal was closed.
    Interrupted,
    /// The supervisor said something.
    Reply(Result<Reply, Unanswered>),
}

/// Reads what is new in the logs and prints it.
pub(super) struct Follower<'a> {
    follow: Follow,
    style: Style,
    watch: FileWatch,
    /// What to follow, asked anew: services may join.
    again: Box<dyn Fn() -> Result<Selection> + 'a>,
    known: Vec<(PathBuf, Option<SystemTime>)>,
}

impl<'a> Follower<'a> {
    /// Follows from where a reader has stopped.
    pub(super) fn new(
        mut follow: Follow,
        style: Style,
        wake: Sender<Wake>,
        again: Box<dyn Fn() -> Result<Selection> + 'a>,
    ) -> Result<Self> {
        let directories = follow.directories();
        let watch = FileWatch::new(&directories, move || {
            let _ = wake.send(Wake::Logs);
        })?;
        let known = directories
            .into_iter()
            .map(|dir| (changed(&dir), dir))
            .map(|(at, dir)| (dir, at))
            .collect();
        Ok(Self {
            follow,
            style,
            watch,
            again,
            known,
        })
    }

    /// Prints lines that were read before.
    pub(super) fn show(&self, lines: &[Line]) -> Result<()> {
        ui::print_bytes(&self.style.render(lines))
    }

    /// Prints what is new.
    pub(super) fn print(&mut self) -> Result<()> {
        self.watch.rearm().context("failed to watch the logs")?;
        self.join_new();
        loop {
            let lines = self.follow.read_new().context("failed to read the logs")?;
            if lines.is_empty() {
                return Ok(());
            }
            self.show(&lines)?;
        }
    }

    /// A file that came into being may be a new service's: follows it, too.
    fn join_new(&mut self) {
        let mut grown = false;
        for (dir, at) in &mut self.known {
            let now = changed(dir);
            grown |= *at != now;
            *at = now;
        }
        // A stack that cannot be asked just now has nobody who joins.
        let Some(Ok(selection)) = grown.then(|| (self.again)()) else {
            return;
        };
        for log in &selection.logs {
            // One that cannot be opened is tried again when its directory changes next.
            let _ = self.follow.add(log);
        }
    }
}

/// When a file last came or went in a directory.
fn changed(dir: &Path) -> Option<SystemTime> {
    std::fs::metadata(dir).and_then(|meta| meta.modified()).ok()
}

/// What the one who follows does besides.
pub(super) trait Launched {
    /// The supervisor has launched everything, or could not.
    fn launched(&self, failures: &[Failure]);
    /// What became of the others when some could not be launched.
    fn others(&self, stack: &Stack, failures: &[Failure]);
    /// The stack has ended: waits for its last process.
    fn ended(&self, profile: &str) -> Result<()>;
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
                let reply = connection.receive();
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
        .context("failed to start the thread that receives replies")
}

/// Forwards to a command that follows.
pub(super) fn to(wake: Sender<Wake>) -> impl Fn(Result<Reply, Unanswered>) -> bool + Send {
    move |reply| wake.send(Wake::Reply(reply)).is_ok()
}

/// Prints until the stack ends, or until Ctrl-C: that stops the stack if it is ours, and a second one kills it.
pub(super) fn follow(
    follower: &mut Follower<'_>,
    connection: Connection,
    mut owner: bool,
    by: &impl Launched,
) -> Result<u8> {
    let mut asking = connection.second()?;
    receive_all(connection, to(by.sender()))?;
    let profile = by.profile();
    let mut interrupts = 0;
    let mut failed = Vec::new();
    loop {
        let wake = by.wakes().recv().context("nothing can arrive any more")?;
        match wake {
            Wake::Logs => {}
            // Somebody took the ownership away before our Ctrl-C arrived.
            Wake::Reply(Ok(Reply::Owner(false))) if interrupts > 0 => return Ok(0),
            Wake::Reply(Ok(Reply::Owner(now))) => owner = now,
            Wake::Reply(Ok(Reply::Done { failures })) => {
                by.launched(&failures);
                if !failures.is_empty() {
                    asking.send(Request::Status)?;
                    failed = failures;
                }
            }
            Wake::Reply(Ok(Reply::Status(stack))) => by.others(&stack, &failed),
            Wake::Reply(Ok(Reply::Ended { failures })) => return end(follower, &failures, interrupts, by),
            Wake::Reply(Ok(Reply::Working | Reply::Leaving | Reply::Refused(_) | Reply::Invocation(_))) => {}
            Wake::Reply(Err(Unanswered::Closed | Unanswered::Leaving)) => {
                by.ended(&profile)?;
                bail!("the supervisor of {profile} ended without a word; what it ran was ended, see supervisor.log");
            }
            Wake::Reply(Err(error)) => return Err(error.into()),
            Wake::Interrupted if !owner => return Ok(0),
            Wake::Interrupted => {
                interrupts += 1;
                interrupt(&mut asking, interrupts, &profile)?;
            }
        }
        if follower.print().is_err() && interrupts == 0 {
            // Nobody reads any more: the terminal is gone, or `| head` has seen enough.
            if !owner {
                return Ok(0);
            }
            interrupts = 1;
            asking.send(Request::Leave)?;
        }
    }
}

fn interrupt(asking: &mut Connection, count: u32, profile: &str) -> Result<()> {
    match count {
        1 => {
            ui::tell(&format!("stopping {profile}; Ctrl-C again kills at once"));
            asking.send(Request::Leave)?;
        }
        2 => asking.send(Request::Kill)?,
        _ => bail!("given up waiting for the end of {profile}; `cargo xtask stop -p {profile}` looks again"),
    }
    Ok(())
}

fn end(follower: &mut Follower<'_>, failures: &[Failure], interrupts: u32, by: &impl Launched) -> Result<u8> {
    // A terminal that is gone cannot be told the last lines; they are in the files.
    let _ = follower.print();
    let profile = by.profile();
    by.ended(&profile)?;
    match stacks::failed(failures) {
        Some(error) => Err(error.context(format!("something of {profile} is left"))),
        None if interrupts > 1 => Ok(KILLED),
        None => Ok(0),
    }
}
