//! The keeper: the supervisor's parent. It adopts whatever is orphaned below it, and when the supervisor ends, in
//! whatever way, it kills what is left. It decides nothing else and waits for nothing else.

use crate::paths::{Lock, StackPaths, remove_if_there};
use crate::process::{self, Guarded};
use crate::shortage;
use anyhow::{Context as _, Result, bail};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How long what was killed may take to be gone.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// How long the keeper of the stack before may take to be gone.
pub const ALIVE_LIMIT: Duration = Duration::from_secs(9);

/// Guards the supervisor of one stack until it has ended and nothing of it is left; both begin at the word of whoever started us, and
/// until the supervisor has begun, our stdout tells why not.
///
/// # Errors
/// When the supervisor cannot be started.
pub fn run(paths: &StackPaths) -> Result<()> {
    let begun = begin(paths).inspect_err(|error| process::tell_starter(shortage::describe(error)))?;
    let Some((guard, alive)) = begun else { return Ok(()) };
    guard.wait()?;
    while !process::is_childless() {
        let killed = process::kill_descendants().context("failed to end what the supervisor left")?;
        let left = process::wait_gone(&killed.identities(), GONE_LIMIT);
        if killed.signalled.is_empty() || !left.is_empty() {
            break;
        }
    }
    process::remove_cgroups(guard.pid());
    remove_if_there(&paths.socket)?;
    drop(alive);
    Ok(())
}

/// Starts the supervisor and lets it begin when we may; `None` when there is to be none.
fn begin(paths: &StackPaths) -> Result<Option<(Guarded, Lock)>> {
    process::close_inherited();
    // In a session of its own no terminal's Ctrl-C or hang-up reaches it.
    process::new_session().context("failed to begin a session")?;
    process::become_subreaper().context("failed to become the reaper of orphans")?;
    let start =
        || process::guard(own_program()?, &own_words("supervisor", paths)).context("failed to start the supervisor");
    let mut guard = start()?;
    if !process::await_word().context("failed to await the word to begin")? {
        // Stopped or not, it has done nothing yet.
        guard.kill().context("failed to end the supervisor")?;
        return Ok(None);
    }
    let Some(alive) = Lock::take_within(&paths.alive, ALIVE_LIMIT)? else {
        bail!(
            "the keeper of the stack before still holds {}; it may be suspended: continue or end it",
            paths.alive.display()
        );
    };
    if guard.go().is_err() {
        // Somebody has ended it meanwhile; or it has said why it cannot begin, and the next one will, too.
        guard = start()?;
        guard.go().context("failed to let the supervisor begin")?;
    }
    // What more there is to say is the supervisor's.
    process::leave_starter().context("failed to close stdout")?;
    Ok(Some((guard, alive)))
}

/// How this program is called as the keeper or the supervisor of a stack.
pub fn own_words(role: &str, paths: &StackPaths) -> [OsString; 4] {
    let state_dir = paths.dir.parent().unwrap_or(&paths.dir);
    [
        role.into(),
        state_dir.into(),
        paths.profile().into(),
        paths.socket.clone().into(),
    ]
}

/// This program; also when its file was replaced meanwhile.
///
/// # Errors
/// When the system does not tell.
pub fn own_program() -> Result<PathBuf> {
    let path = std::env::current_exe().context("failed to find this program's own file")?;
    let replaced = cfg!(target_os = "linux") && !path.exists();
    Ok(if replaced {
        PathBuf::from("/proc/self/exe")
    } else {
        path
    })
}
