//! Reaches the supervisor of a stack: the one that runs, or a new one under its keeper. Several commands at once make one.

use super::stacks;
use crate::ipc::client::Connection;
use crate::keeper::own_program;
use crate::paths::{Lock, StackPaths};
use crate::process;
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long a new supervisor may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long another command may take to start the stack: it clears what an earlier one left, and starts the supervisor.
const LOCK_LIMIT: Duration = Duration::from_secs(20);

/// Connects to the stack's supervisor, and starts one when there is none; `true` when it was started.
pub(super) fn reach(paths: &StackPaths, state_dir: &Path, profile: &str) -> Result<(Connection, bool)> {
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
