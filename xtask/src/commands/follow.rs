//! Follows a stack's logs until the stack or the user ends it. The log files are read here, by the command, so that a
//! slow terminal never slows a service.

use super::stacks;
use super::workspace::Workspace;
use crate::ipc::client::{Connection, Unanswered};
use crate::ipc::protocol::{Failure, Reply, Request, SILENCE, Stack};
use crate::lifecycle::Monotonic;
use crate::log::grace::Grace;
use crate::log::reader::{Follow, Line, LineStream, Selection};
use crate::paths::STATE_FILE;
use crate::signal::INTERRUPTED;
use crate::ui::style::Style;
use crate::watch::files::FileWatch;
use crate::{clock, ui};
use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::SystemTime;

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
    grace: Grace,
    /// Whose last line was shown before it was finished.
    begun: Vec<(Arc<str>, LineStream)>,
    watch: FileWatch,
    /// What to follow, asked anew: services and stacks may join.
    again: Box<dyn Fn() -> Result<Selection> + 'a>,
    stacks: Stacks,
}

impl<'a> Follower<'a> {
    /// Follows from where a reader has stopped.
    pub(super) fn new(
        mut follow: Follow,
        style: Style,
        wake: Sender<Wake>,
        again: Box<dyn Fn() -> Result<Selection> + 'a>,
        mut stacks: Stacks,
    ) -> Result<Self> {
        // From here on: what came between the selection and this look is found by the first print.
        stacks.forget();
        let mut directories = follow.directories();
        directories.extend(stacks.directories());
        let watch = FileWatch::new(&directories, move || {
            let _ = wake.send(Wake::Logs);
        })?;
        Ok(Self {
            follow,
            style,
            grace: Grace::default(),
            begun: Vec::new(),
            watch,
            again,
            stacks,
        })
    }

    /// Prints lines that were read before.
    pub(super) fn show(&self, lines: &[Line]) -> Result<()> {
        ui::print_bytes(&self.style.render(lines))
    }

    /// Prints what is new, but for the youngest lines, before which older ones may still come: [`Follower::wait`] ends in time for them.
    pub(super) fn print(&mut self) -> Result<()> {
        self.watch.rearm().context("failed to watch the logs")?;
        self.join_new();
        let now = clock::now();
        let limit = if self.follow.is_single() {
            None
        } else {
            self.grace.limit(now)
        };
        let stays = self.print_until(limit)?;
        let mut unfinished = if self.style.shows_unfinished() && !self.follow.is_filtered() {
            self.follow.unfinished()
        } else {
            0
        };
        if stays.is_none() && unfinished > 0 && self.grace.shows_unfinished(now) {
            let lines = self.follow.take_unfinished().context("failed to read the logs")?;
            self.show(&lines)?;
            self.begun
                .extend(lines.into_iter().map(|line| (line.service, line.stream)));
            unfinished = 0;
        }
        self.grace.left(stays, unfinished, now);
        Ok(())
    }

    /// Prints all that is there.
    pub(super) fn print_rest(&mut self) -> Result<()> {
        self.join_new();
        self.print_until(None)?;
        let unfinished = self.follow.take_unfinished().context("failed to read the logs")?;
        self.show(&unfinished)
    }

    /// Waits until there may be something to print, something else happens, or it is `at_most` that late; none when nothing can happen
    /// any more.
    pub(super) fn wait(&self, wakes: &Receiver<Wake>, at_most: Option<Monotonic>) -> Option<Wake> {
        let Some(deadline) = self.grace.deadline().into_iter().chain(at_most).min() else {
            return wakes.recv().ok();
        };
        match wakes.recv_timeout(deadline.saturating_sub(clock::monotonic())) {
            Err(RecvTimeoutError::Timeout) => Some(Wake::Logs),
            other => other.ok(),
        }
    }

    fn print_until(&mut self, limit: Option<Timestamp>) -> Result<Option<Timestamp>> {
        loop {
            let (mut lines, stays) = self.follow.read_until(limit).context("failed to read the logs")?;
            if lines.is_empty() {
                return Ok(stays);
            }
            if !self.begun.is_empty() {
                lines.retain(|line| self.adds_something(line));
            }
            self.show(&lines)?;
        }
    }

    /// Whether a line is more than the end of one that was shown before it was finished.
    fn adds_something(&mut self, line: &Line) -> bool {
        let is_its = |(service, stream): &(Arc<str>, LineStream)| *service == line.service && *stream == line.stream;
        let Some(begun) = self.begun.iter().position(is_its) else {
            return true;
        };
        self.begun.swap_remove(begun);
        !line.text.is_empty() || self.style.is_raw()
    }

    /// A stack that came, or that launched something, may have new services: follows them, too.
    fn join_new(&mut self) {
        if !self.stacks.have_changed() {
            return;
        }
        for dir in self.stacks.directories() {
            // One that cannot be watched is looked at when another changes.
            let _ = self.watch.add(dir);
        }
        // A stack that cannot be asked just now has nobody who joins.
        let Ok(selection) = (self.again)() else { return };
        self.follow.join(&selection);
        self.style.widen(ui::name_width(&selection));
        for dir in self.follow.directories() {
            let _ = self.watch.add(dir);
        }
    }
}

/// The stacks that may run in a workspace, by their files.
pub(super) struct Stacks {
    state_dir: PathBuf,
    /// The one that counts; none: all do.
    profile: Option<String>,
    /// What each stack last wrote of what it runs.
    states: BTreeMap<PathBuf, Option<(SystemTime, u64)>>,
}

impl Stacks {
    pub(super) fn new(workspace: &Workspace, profile: Option<&str>) -> Self {
        Self {
            state_dir: workspace.state_dir.clone(),
            profile: profile.map(str::to_owned),
            states: BTreeMap::new(),
        }
    }

    fn forget(&mut self) {
        self.states.clear();
    }

    /// Whether a stack has come, or one has launched or ended something, since the last look. The first look finds everything new.
    fn have_changed(&mut self) -> bool {
        let state = |dir: &PathBuf| {
            let meta = std::fs::metadata(dir.join(STATE_FILE)).ok()?;
            Some((meta.modified().ok()?, meta.ino()))
        };
        let states = self.dirs().into_iter().map(|dir| {
            let state = state(&dir);
            (dir, state)
        });
        let states = states.collect();
        let have_changed = states != self.states;
        self.states = states;
        have_changed
    }

    /// Where something happens when that changes.
    fn directories(&self) -> Vec<PathBuf> {
        let mut directories = self.dirs();
        directories.push(self.state_dir.clone());
        directories
    }

    fn dirs(&self) -> Vec<PathBuf> {
        if let Some(profile) = &self.profile {
            return vec![self.state_dir.join(profile)];
        }
        let entries = std::fs::read_dir(&self.state_dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }
}

/// What the one who follows does besides.
pub(super) trait Launched {
    /// The supervisor has launched everything, or could not.
    fn launched(&self, failures: &[Failure]);
    /// What became of the others when some could not be launched.
    fn others(&self, stack: &Stack, failures: &[Failure]);
    /// The stack has ended: waits for its last process.
    fn ended(&self, profile: &str) -> Result<()>;
    /// Ends what a supervisor that was killed together with its keeper has left.
    fn clear(&self) -> Result<()>;
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
    let mut unprinted: Option<anyhow::Error> = None;
    let mut failed = Vec::new();
    // From Ctrl-C on the supervisor owes signs of life.
    let mut silent_at = None;
    loop {
        let wake = follower
            .wait(by.wakes(), silent_at)
            .context("nothing can arrive any more")?;
        if silent_at.is_some_and(|at| at <= clock::monotonic()) {
            return Err(by.silent());
        }
        if matches!(wake, Wake::Reply(_)) {
            silent_at = silent_at.map(|_| clock::monotonic() + SILENCE);
        }
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
            Wake::Reply(Ok(Reply::Ended { failures })) => {
                let code = end(follower, &failures, interrupts, by)?;
                return unprinted.map_or(Ok(code), |error| Err(error.context("the stack was stopped")));
            }
            Wake::Reply(Ok(
                Reply::Working | Reply::Leaving | Reply::Refused(_) | Reply::Invocation(_) | Reply::Details(_),
            )) => {}
            Wake::Reply(Err(Unanswered::Closed | Unanswered::Leaving)) => {
                by.ended(&profile)?;
                by.clear()?;
                bail!("the supervisor of {profile} ended without a word; what it ran was ended, see supervisor.log");
            }
            Wake::Reply(Err(error)) => return Err(error.into()),
            Wake::Interrupted if !owner => return Ok(0),
            Wake::Interrupted => {
                interrupts += 1;
                silent_at.get_or_insert_with(|| clock::monotonic() + SILENCE);
                interrupt(&mut asking, interrupts, &profile)?;
            }
        }
        if let Err(error) = follower.print()
            && interrupts == 0
        {
            // That nobody reads any more, as the terminal is gone or `| head` has seen enough, is no failure of ours; a full disk is.
            let error = (!error.is::<ui::NobodyReads>()).then_some(error);
            if !owner {
                return error.map_or(Ok(0), Err);
            }
            unprinted = error;
            interrupts = 1;
            silent_at = Some(clock::monotonic() + SILENCE);
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
    let _ = follower.print_rest();
    let profile = by.profile();
    by.ended(&profile)?;
    match stacks::failed(failures) {
        Some(error) => Err(error.context(format!("something of {profile} is left"))),
        None if interrupts > 1 => Ok(INTERRUPTED),
        None => Ok(0),
    }
}
