//! Reaches the supervisor of a stack: the one that runs, or a new one under its keeper. Several commands at once make one.
//! And hands it the plan.

use super::stacks;
use crate::ipc::client::{Connection, Prepared, Unanswered, or_last_words};
use crate::ipc::protocol::{Reply, Request, Up};
use crate::keeper::{ALIVE_LIMIT, own_program, own_words};
use crate::lifecycle::Monotonic;
use crate::paths::{Lock, StackPaths};
use crate::process::{self, Detached};
use crate::supervisor::State;
use crate::{clock, ui};
use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use std::cell::LazyCell;
use std::io::{PipeReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a new supervisor may take until it listens: longer than its keeper waits for the one before, and so hears what that says then.
const START_LIMIT: Duration = ALIVE_LIMIT.saturating_add(Duration::from_secs(1));

/// How long those that were started in vain may take until they are gone.
const DISMISS_LIMIT: Duration = Duration::from_secs(1);

/// How long another command may take to start the stack: it clears what an earlier one left, and starts the supervisor.
const LOCK_LIMIT: Duration = Duration::from_secs(20);

/// How long the end of a stack that is on its way down is awaited before a new one starts.
const LEAVING_LIMIT: Duration = Duration::from_secs(120);

/// How long somebody waits for that without being told.
const PATIENCE: Duration = Duration::from_secs(1);

/// A stack whose supervisor has taken the plan; it says `Done` when the plan's goal is reached.
pub(super) struct Reached<T> {
    pub(super) connection: Connection,
    /// Whether this connection owns the stack.
    pub(super) owner: bool,
    /// Whether its supervisor is a new one.
    pub(super) fresh: bool,
    /// What was made before the plan was handed over.
    pub(super) before: T,
}

/// A keeper and a supervisor that are started and wait for the word to begin: nobody sees anything of them before. Where there is none, they
/// end when this is dropped.
pub(super) struct Ahead {
    socket: PathBuf,
    processes: Detached,
}

impl Ahead {
    /// Starts those of a stack that is probably wanted, where it is probably down: they come to be while `dev.toml` is read. `None` where
    /// that is of no use, or has not worked; then they are started when it is certain.
    pub(super) fn start(paths: Result<StackPaths>) -> Option<Self> {
        let paths = paths.ok()?;
        let is_down = !paths.socket.exists();
        is_down.then(|| Self::of(&paths).ok())?
    }

    fn of(paths: &StackPaths) -> Result<Self> {
        let processes = process::detach(own_program()?, &own_words("keeper", paths))?;
        Ok(Self {
            socket: paths.socket.clone(),
            processes,
        })
    }

    /// Whether they can begin: nothing is told before the word but why not.
    fn is_waiting(&self) -> bool {
        matches!(first_line(self.processes.stdout(), Monotonic::ZERO), Ok(None))
    }

    /// Lets them begin, and waits for the supervisor's word that it listens; `meanwhile` runs until then. `false` when they were ended
    /// before there was one: also who has heard the word may be.
    fn begin(mut self, meanwhile: impl Fn()) -> Result<bool> {
        self.processes.go();
        let deadline = clock::monotonic() + START_LIMIT;
        meanwhile();
        match first_line(self.processes.stdout(), deadline)? {
            Some(text) if text == "ready" => Ok(true),
            Some(text) if text.is_empty() => Ok(false),
            Some(text) => bail!("{text}"),
            None => bail!("it has not answered for {} s", START_LIMIT.as_secs()),
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // A command leaves nothing behind that it has not let begin, but for what is suspended: that ends when it goes on.
        if self.processes.dismiss() {
            let _ = first_line(self.processes.stdout(), clock::monotonic() + DISMISS_LIMIT);
        }
    }
}

/// Brings a stack in line with a plan, or starts it, by those that wait for that if they are its own; `before` runs when its supervisor is
/// there, and before it has the plan.
pub(super) fn bring_up<T>(
    paths: &StackPaths,
    up: Up,
    mut ahead: Option<Ahead>,
    before: impl FnOnce() -> Result<T>,
) -> Result<Reached<T>> {
    let (state_dir, profile) = (up.plan.state_dir.clone(), up.plan.profile.clone());
    // A new supervisor takes its milliseconds until it listens: time enough to put the plan into words.
    let request = LazyCell::new(|| Prepared::new(Request::Up(Box::new(up))).context("failed to hand over the plan"));
    let meanwhile = || {
        LazyCell::force(&request);
    };
    let (mut connection, mut fresh) = reach(paths, &state_dir, &profile, &mut ahead, meanwhile)?;
    drop(ahead);
    let before = before()?;
    let deadline = clock::monotonic() + LEAVING_LIMIT;
    let owner = loop {
        let prepared = request.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        match ask(&mut connection, prepared) {
            Ok(owner) => break owner,
            // The stack that ran there is on its way down; ours comes after it, or somebody else's new one, which takes ours in.
            Err(Unanswered::Leaving | Unanswered::Closed) => {
                let mut is_down = connection.wait_closed(PATIENCE);
                if !is_down {
                    ui::tell(&format!(
                        "the stack of profile {profile} is still stopping; waiting until it is down"
                    ));
                    is_down = connection.wait_closed(deadline.saturating_sub(clock::monotonic()));
                }
                if !is_down {
                    bail!("the stack of profile {profile} is still stopping; try again");
                }
                (connection, fresh) = reach(paths, &state_dir, &profile, &mut None, meanwhile)?;
            }
            Err(error) => return Err(error.into()),
        }
    };
    Ok(Reached {
        connection,
        owner,
        fresh,
        before,
    })
}

/// Sends the plan; whether this connection now owns the stack.
fn ask(connection: &mut Connection, up: &Prepared) -> Result<bool, Unanswered> {
    or_last_words(connection.send_prepared(up))?;
    match connection.receive()? {
        Reply::Owner(owner) => Ok(owner),
        // To everybody, also to whom it has not heard yet.
        Reply::Ended { .. } => Err(Unanswered::Leaving),
        other => Err(Unanswered::Refused(format!("unexpected answer: {other:?}"))),
    }
}

/// Ends what a supervisor and its keeper have left that were both killed, and tells of it, unless somebody has started the stack anew.
pub(super) fn clear(paths: &StackPaths, tell: &dyn Fn(&str)) -> Result<()> {
    // Read first: who has written it listens, so that it is not there for one reason only, that it ends.
    let state = State::read(&paths.state);
    if stacks::has_supervisor(paths) {
        return Ok(());
    }
    if let Some(state) = state {
        // A process that is being killed closes its connections before it is gone.
        process::wait_gone(&[state.supervisor], stacks::DEATH_LIMIT);
    }
    // Whoever starts it just now clears, too.
    match Lock::try_take(&paths.starting)? {
        Some(_starting) if stacks::connect(paths)?.is_none() => stacks::clear_stale(paths, tell),
        Some(_) | None => Ok(()),
    }
}

/// Connects to the stack's supervisor, and starts one when there is none; `true` when it was started. `meanwhile` runs while it starts.
fn reach(
    paths: &StackPaths,
    state_dir: &Path,
    profile: &str,
    ahead: &mut Option<Ahead>,
    meanwhile: impl Fn(),
) -> Result<(Connection, bool)> {
    paths.make(state_dir)?;
    let Some(_starting) = Lock::take_within(&paths.starting, LOCK_LIMIT)? else {
        bail!(
            "another command has been starting the stack of profile {profile} for {} s; it may be suspended: \
             end or continue that `dev`, and try again",
            LOCK_LIMIT.as_secs()
        );
    };
    if let Some(connection) = stacks::connect(paths)? {
        return Ok((connection, false));
    }
    stacks::clear_stale(paths, &ui::tell)?;
    // Somebody may have ended them meanwhile.
    let ahead = ahead
        .take()
        .filter(|ahead| ahead.socket == paths.socket && ahead.is_waiting());
    let begin = || {
        let has_begun = ahead.map_or(Ok(false), |ahead| ahead.begin(&meanwhile))?;
        ensure!(
            has_begun || Ahead::of(paths)?.begin(&meanwhile)?,
            "it ended before it said why; see supervisor.log"
        );
        Ok(())
    };
    begin().context("failed to start the supervisor")?;
    match Connection::open(&paths.socket)? {
        Some(connection) => Ok((connection, true)),
        None => bail!(
            "the supervisor ended right after its start; see {}",
            paths.events.display()
        ),
    }
}

/// The first line that comes out of a pipe, or what has come until its end; `None` when there is none by the deadline.
fn first_line(mut pipe: &PipeReader, deadline: Monotonic) -> Result<Option<String>> {
    let mut text = Vec::new();
    loop {
        let left = Timespec::try_from(deadline.saturating_sub(clock::monotonic()))?;
        let mut fds = [PollFd::new(pipe, PollFlags::IN)];
        if retry_on_intr(|| poll(&mut fds, Some(&left)))? == 0 {
            return Ok(None);
        }
        let mut part = [0; 1024];
        let count = pipe.read(&mut part)?;
        text.extend_from_slice(&part[..count]);
        if count == 0 || part[..count].contains(&b'\n') {
            let text = String::from_utf8_lossy(&text);
            return Ok(Some(text.lines().next().unwrap_or_default().trim().to_owned()));
        }
    }
}
