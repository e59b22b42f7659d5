//! Reaches the supervisor of a stack: the one that runs, or a new one under its keeper. Several commands at once make one.
//! And hands it the plan.

use super::stacks;
use crate::ipc::client::{Connection, Unanswered};
use crate::ipc::protocol::{Reply, Request, Up};
use crate::keeper::own_program;
use crate::paths::{Lock, StackPaths};
use crate::supervisor::State;
use crate::{clock, process};
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long a new supervisor may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long another command may take to start the stack: it clears what an earlier one left, and starts the supervisor.
const LOCK_LIMIT: Duration = Duration::from_secs(20);

/// How long the end of a stack that is on its way down is awaited before a new one starts.
const LEAVING_LIMIT: Duration = Duration::from_secs(120);

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

/// Brings a stack in line with a plan, or starts it; `before` runs when its supervisor is there, and before it has the plan.
pub(super) fn bring_up<T>(paths: &StackPaths, up: &Up, before: impl FnOnce() -> Result<T>) -> Result<Reached<T>> {
    let plan = &up.plan;
    let (mut connection, mut fresh) = reach(paths, &plan.state_dir, &plan.profile)?;
    let before = before()?;
    let deadline = clock::monotonic() + LEAVING_LIMIT;
    let owner = loop {
        match ask(&mut connection, up) {
            Ok(owner) => break owner,
            // The stack that ran there is on its way down; ours comes after it, or somebody else's new one, which takes ours in.
            Err(Unanswered::Leaving | Unanswered::Closed) => {
                let left = deadline.saturating_sub(clock::monotonic());
                if !connection.wait_closed(left) {
                    bail!("the stack of profile {} is still stopping; try again", plan.profile);
                }
                (connection, fresh) = reach(paths, &plan.state_dir, &plan.profile)?;
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
fn ask(connection: &mut Connection, up: &Up) -> Result<bool, Unanswered> {
    connection.send(Request::Up(Box::new(up.clone())))?;
    match connection.receive()? {
        Reply::Owner(owner) => Ok(owner),
        other => Err(Unanswered::Refused(format!("unexpected answer: {other:?}"))),
    }
}

/// Ends what a supervisor and its keeper have left that were both killed, unless somebody has started the stack anew.
pub(super) fn clear(paths: &StackPaths) -> Result<()> {
    if let Some(state) = State::read(&paths.state) {
        // A process that is being killed closes its connections before it is gone.
        process::wait_gone(&[state.supervisor], stacks::DEATH_LIMIT);
    }
    // Whoever starts it just now clears, too.
    match Lock::try_take(&paths.starting)? {
        Some(_starting) if stacks::connect(paths)?.is_none() => stacks::clear_stale(paths),
        Some(_) | None => Ok(()),
    }
}

/// Connects to the stack's supervisor, and starts one when there is none; `true` when it was started.
fn reach(paths: &StackPaths, state_dir: &Path, profile: &str) -> Result<(Connection, bool)> {
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
    stacks::clear_stale(paths)?;
    start_keeper(state_dir, profile).context("failed to start the supervisor")?;
    match Connection::open(&paths.socket)? {
        Some(connection) => Ok((connection, true)),
        None => bail!(
            "the supervisor ended right after its start; see {}",
            paths.events.display()
        ),
    }
}

/// Starts the keeper, which starts the supervisor, and waits for its word that it listens.
fn start_keeper(state_dir: &Path, profile: &str) -> Result<()> {
    let args = ["keeper".into(), state_dir.as_os_str().to_owned(), profile.into()];
    let stdout = process::detach(own_program()?, &args)?;
    let (sender, said) = channel();
    // The pipe has no time limit of its own.
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = BufReader::new(stdout).read_line(&mut text);
        let _ = sender.send(text);
    });
    match said.recv_timeout(START_LIMIT) {
        Ok(text) if text.trim() == "ready" => Ok(()),
        Ok(text) if text.is_empty() => bail!("it ended before it said why; see supervisor.log"),
        Ok(text) => bail!("{}", text.trim()),
        Err(_) => bail!("it has not answered for {} s", START_LIMIT.as_secs()),
    }
}
