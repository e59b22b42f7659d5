//! Guards the tasks of a command: when the command is killed, a process of its own ends what they were at, wherever it has moved.

use crate::keeper::own_program;
use crate::process::{self, Detached, RunTag};
use anyhow::{Context as _, Result};
use std::time::Duration;

/// How long the guard may take to be gone when it is needed no more.
const GONE_LIMIT: Duration = Duration::from_secs(1);

/// The guard of this command, until it is dropped.
pub(super) struct Guard {
    process: Detached,
    nonce: u32,
}

impl Guard {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no room for a process.
    pub(super) fn start() -> Result<Self> {
        let nonce = process::nonce();
        let words = ["guard".into(), format!("{nonce:08x}").into()];
        let process = process::detach(own_program()?, &words).context("failed to start the guard of the tasks")?;
        Ok(Self { process, nonce })
    }

    /// What everything is to be started with that it guards.
    pub(super) fn mark(&self) -> RunTag {
        RunTag {
            nonce: self.nonce,
            run: 0,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // What a task has left behind on purpose, as a compiler's server, lives on.
        self.process.go();
        self.process.wait_gone(GONE_LIMIT);
    }
}

/// The guard itself: waits for the word that all is well, and without one kills everything that carries the mark.
///
/// # Errors
/// When the processes cannot be looked at.
pub fn run(nonce: u32) -> Result<()> {
    process::close_inherited();
    // In a session of its own no terminal's Ctrl-C or hang-up reaches it.
    process::new_session().context("failed to begin a session")?;
    if !process::await_word().context("failed to await the end of the tasks")? {
        process::kill_tagged(nonce).context("failed to end the tasks of a command that was killed")?;
    }
    Ok(())
}
