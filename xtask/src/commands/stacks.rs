//! The running stacks of a workspace: finding their supervisors, asking for their status.

use super::workspace::Workspace;
use crate::ipc::client::{Connection, Unanswered, or_last_words};
use crate::ipc::protocol::{Failure, Reply, Request, SILENCE, Stack};
use crate::lifecycle::Monotonic;
use crate::paths::{Lock, StackPaths, remove_if_there};
use crate::plan::no_such_profile;
use crate::supervisor::State;
use crate::{clock, process};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

/// How long what was left behind may take to be gone.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// How long a supervisor that has closed its connections may take to be gone.
pub(super) const DEATH_LIMIT: Duration = Duration::from_secs(5);

/// How long a supervisor may take to be gone that has removed its socket.
const ENDING_LIMIT: Duration = Duration::from_secs(1);

/// A running stack.
pub(super) struct Running {
    pub(super) paths: StackPaths,
    pub(super) status: Stack,
    pub(super) connection: Connection,
}

/// Connects to the supervisor of a stack, if one runs.
pub(super) fn connect(paths: &StackPaths) -> Result<Option<Connection>> {
    if let Some(connection) = Connection::open(&paths.socket)? {
        return Ok(Some(connection));
    }
    // It may have been started with another XDG_RUNTIME_DIR or TMPDIR: it has written down where it listens.
    match State::read(&paths.state) {
        Some(state) if state.socket != paths.socket && is_ours(&state.socket) => Connection::open(&state.socket),
        Some(_) | None => Ok(None),
    }
}

/// What `state.json` names is trusted only when it lies in a directory of the user's alone.
fn is_ours(socket: &Path) -> bool {
    let meta = socket.parent().and_then(|dir| std::fs::symlink_metadata(dir).ok());
    meta.is_some_and(|meta| {
        meta.is_dir() && meta.uid() == rustix::process::getuid().as_raw() && meta.mode() & 0o077 == 0
    })
}

/// All running stacks, or the one of `profile`, in the order of their profiles' names.
///
/// # Errors
/// When one of them does not answer, or there is no such profile.
pub(super) fn running(workspace: &Workspace, profile: Option<&str>) -> Result<Vec<Running>> {
    all_answer(answering(workspace, profile, Look::Roster)?)
}

/// The same with the measured columns of the table.
pub(super) fn measured(workspace: &Workspace, profile: Option<&str>) -> Result<Vec<Running>> {
    all_answer(answering(workspace, profile, Look::Measured)?)
}

fn all_answer((running, silent): Answering) -> Result<Vec<Running>> {
    silent.into_iter().next().map_or(Ok(running), Err)
}

/// How much of the table is asked for.
#[derive(Clone, Copy)]
pub(super) enum Look {
    /// What the supervisor knows anyway.
    Roster,
    /// And what it must measure: processor time, memory, ports.
    Measured,
}

impl Look {
    fn request(self) -> Request {
        match self {
            Self::Roster => Request::Roster,
            Self::Measured => Request::Status,
        }
    }
}

/// The stacks that answer, and why the others do not.
pub(super) type Answering = (Vec<Running>, Vec<anyhow::Error>);

/// For a verb that can do its work on the stacks that answer. All are asked before the first answer is waited for: the five seconds of
/// several that are silent pass together, and those that have run here answer while `dev.toml` is read for the names of others.
pub(super) fn answering(workspace: &Workspace, profile: Option<&str>, look: Look) -> Result<Answering> {
    let known = workspace.known_profiles();
    let is_asked = |name: &&String| profile.is_none_or(|profile| profile == *name);
    let mut asked = BTreeMap::new();
    for name in known.iter().filter(is_asked) {
        asked.insert(name.clone(), Asked::begin(workspace.stack(name)?, look));
    }
    for name in named(workspace.possible_profiles(&known), profile)? {
        if let Entry::Vacant(entry) = asked.entry(name) {
            let paths = workspace.stack(entry.key())?;
            entry.insert(Asked::begin(paths, look));
        }
    }
    let (mut all, mut silent) = (Vec::new(), Vec::new());
    for asked in asked.into_values() {
        match asked.and_then(|asked| asked.map_or(Ok(None), Asked::end)) {
            Ok(running) => all.extend(running),
            Err(error) => silent.push(error),
        }
    }
    Ok((all, silent))
}

/// Looks whether there is such a profile here, now or formerly.
///
/// # Errors
/// When there is none.
pub(super) fn check_profile(workspace: &Workspace, profile: Option<&str>) -> Result<()> {
    named(workspace.possible_profiles(&workspace.known_profiles()), profile).map(drop)
}

/// The one of these profiles that is asked for, or all.
fn named(mut names: Vec<String>, profile: Option<&str>) -> Result<Vec<String>> {
    if let Some(profile) = profile {
        ensure!(
            names.iter().any(|name| name == profile),
            "{}",
            no_such_profile(profile, &names)
        );
        names.retain(|name| name == profile);
    }
    Ok(names)
}

/// A supervisor that has been asked for its status.
struct Asked {
    paths: StackPaths,
    connection: Connection,
    look: Look,
    at: Monotonic,
    sent: Result<(), Unanswered>,
}

impl Asked {
    /// Asks the supervisor of the stack that has these files, if it runs.
    fn begin(paths: StackPaths, look: Look) -> Result<Option<Self>> {
        let Some(mut connection) = connect(&paths)? else {
            return Ok(None);
        };
        let sent = or_last_words(connection.send(look.request()));
        Ok(Some(Self {
            paths,
            connection,
            look,
            at: clock::monotonic(),
            sent,
        }))
    }

    /// Waits for the answer.
    fn answer(&mut self) -> Result<Reply, Unanswered> {
        let left = (self.at + SILENCE).saturating_sub(clock::monotonic());
        std::mem::replace(&mut self.sent, Ok(())).and_then(|()| self.connection.receive_first(left))
    }

    /// Waits for the status; `None` from one that ends just now: it runs no more.
    fn end(mut self) -> Result<Option<Running>> {
        let answer = self.answer();
        let status = status_in(answer, &mut self.connection, self.look).with_context(|| asked(&self.paths))?;
        Ok(status.map(|status| Running {
            paths: self.paths,
            status,
            connection: self.connection,
        }))
    }
}

/// Whether this stack has a supervisor that is not about to end, also one that has no plan yet, or that is silent. One that is being killed
/// may accept a connection until it is gone, but it closes it.
pub(super) fn has_supervisor(paths: &StackPaths) -> bool {
    let Ok(Some(mut asked)) = Asked::begin(paths.clone(), Look::Roster) else {
        return false;
    };
    !matches!(
        asked.answer(),
        Ok(Reply::Ended { .. }) | Err(Unanswered::Closed | Unanswered::Leaving)
    )
}

/// What did not answer, as one error; `None` when everything did.
pub(super) fn unanswered(silent: &[anyhow::Error]) -> Option<anyhow::Error> {
    let lines: Vec<String> = silent.iter().map(|error| format!("{error:#}")).collect();
    (!lines.is_empty()).then(|| anyhow::anyhow!(lines.join("\n")))
}

/// The same, for a verb that needs one.
pub(super) fn running_or_error(workspace: &Workspace, profile: Option<&str>) -> Result<Vec<Running>> {
    some(running(workspace, profile)?, profile)
}

/// An error where nothing runs.
pub(super) fn some(running: Vec<Running>, profile: Option<&str>) -> Result<Vec<Running>> {
    ensure!(!running.is_empty(), "{}", none_runs_yet(profile));
    Ok(running)
}

/// That nothing runs of what was asked for: perhaps another profile does.
pub(super) fn none_runs(profile: Option<&str>) -> String {
    match profile {
        Some(profile) => format!("the stack of profile {profile} is not running"),
        None => "no stack is running".to_owned(),
    }
}

/// The same, and what to do about it.
pub(super) fn none_runs_yet(profile: Option<&str>) -> String {
    let start = match profile {
        Some(profile) => format!("`cargo xtask dev -p {profile}` starts it"),
        None => "`cargo xtask dev` starts one".to_owned(),
    };
    format!("{}; {start}", none_runs(profile))
}

/// All running stacks of this user, whatever their workspace, as far as they answer.
///
/// # Errors
/// When the stack of `own` does not answer.
pub(super) fn running_anywhere(own: &StackPaths) -> Result<Vec<Running>> {
    let sockets = own
        .socket
        .parent()
        .and_then(|dir| std::fs::read_dir(dir).ok())
        .into_iter()
        .flatten()
        .flatten();
    let mut all = Vec::new();
    for socket in sockets
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "sock"))
    {
        // One that is stale or does not answer holds no port that could be asked of it.
        let Ok(Some(mut connection)) = Connection::open(&socket) else {
            continue;
        };
        let status = if socket == own.socket {
            status_of(own, &mut connection, Look::Measured)?
        } else {
            status(&mut connection, Look::Measured).ok().flatten()
        };
        let Some(status) = status else { continue };
        let Some((state_dir, profile)) = status
            .dir
            .as_deref()
            .and_then(|dir| Some((dir.parent()?, dir.file_name()?)))
        else {
            continue;
        };
        if let Ok(paths) = StackPaths::new(state_dir, &profile.to_string_lossy()) {
            all.push(Running {
                paths,
                status,
                connection,
            });
        }
    }
    Ok(all)
}

/// The status of the stack that has these files; an error names the supervisor.
fn status_of(paths: &StackPaths, connection: &mut Connection, look: Look) -> Result<Option<Stack>> {
    status(connection, look).with_context(|| asked(paths))
}

/// What failed when a supervisor did not answer.
pub(super) fn asked(paths: &StackPaths) -> String {
    let pid = State::read(&paths.state).map_or_else(String::new, |state| format!(" (pid {})", state.supervisor.pid));
    format!("failed to ask the supervisor of profile {}{pid}", paths.profile())
}

/// The status of a stack; `None` when it ended meanwhile or has no plan yet.
fn status(connection: &mut Connection, look: Look) -> Result<Option<Stack>> {
    let answer = or_last_words(connection.send(look.request())).and_then(|()| connection.receive());
    status_in(answer, connection, look)
}

/// The status that an answer holds.
fn status_in(answer: Result<Reply, Unanswered>, connection: &mut Connection, look: Look) -> Result<Option<Stack>> {
    match answer {
        // Of an older version, perhaps: this much all know.
        Err(refused @ Unanswered::Refused(_)) if matches!(look, Look::Roster) => {
            match connection
                .send(Look::Measured.request())
                .and_then(|()| connection.receive())
            {
                // No, it had no room for us: it lives on.
                Err(Unanswered::Closed) => Err(refused.into()),
                answer => status_in(answer, connection, Look::Measured),
            }
        }
        Ok(Reply::Status(stack)) if stack.profile.is_empty() => Ok(None),
        Ok(Reply::Status(stack)) => Ok(Some(*stack)),
        // It ends just now.
        Ok(Reply::Ended { .. }) | Err(Unanswered::Closed) => Ok(None),
        Ok(other) => Err(unexpected(&other)),
        Err(error) => Err(error.into()),
    }
}

/// That the socket of a supervisor is gone, and what to do about it.
pub(super) fn lost_socket(state: &State) -> String {
    let State {
        profile, supervisor, ..
    } = state;
    format!(
        "the stack of profile {profile} runs (supervisor {}), but its socket {} was removed; `cargo xtask stop -p {profile}` stops it",
        supervisor.pid,
        state.socket.display(),
    )
}

/// An answer to another question than was asked.
pub(super) fn unexpected(reply: &Reply) -> anyhow::Error {
    match reply {
        Reply::Ended { .. } => anyhow::anyhow!("the stack was stopped meanwhile"),
        other => anyhow::anyhow!("unexpected answer: {other:?}"),
    }
}

/// Whether the supervisor lives, also after the time that one may take that is being killed: it closes its connections before it is gone.
pub(super) fn lives_on(state: &State) -> bool {
    state.is_current() && !process::wait_gone(&[state.supervisor], DEATH_LIMIT).is_empty()
}

/// What may still be there of a stack that does not answer, and what to do about it.
pub(super) fn remains(paths: &StackPaths) -> Result<Option<String>> {
    let Some(state) = State::read(&paths.state).filter(|state| state.boot == process::boot_id()) else {
        return Ok(None);
    };
    if connect(paths)?.is_some() {
        return Ok(None);
    }
    if state.is_current() {
        // One that is about to end has removed its socket itself; else somebody did who cleans up temporary files, or a logout.
        let is_ending = process::wait_gone(&[state.supervisor], ENDING_LIMIT).is_empty();
        return Ok((!is_ending).then(|| lost_socket(&state)));
    }
    Ok(Some(format!(
        "the supervisor of profile {} was killed; `cargo xtask stop -p {}` ends what it may have left",
        state.profile, state.profile
    )))
}

/// Ends what a supervisor and a keeper that were both killed left behind, and tells how much that was. The caller found no supervisor
/// that answers, and holds the start lock.
pub(super) fn clear_stale(paths: &StackPaths, tell: &dyn Fn(&str)) -> Result<()> {
    let Some(state) = State::read(&paths.state) else {
        // None, or torn: its processes, if any, cannot be told from others.
        return Ok(());
    };
    if lives_on(&state) {
        bail!(lost_socket(&state));
    }
    // A keeper that still lives does this itself; when it has, nothing is found here.
    if !wait_until_released(paths, GONE_LIMIT) {
        bail!(
            "the keeper of profile {} still ends what its supervisor left; try again",
            state.profile
        );
    }
    if state.boot == process::boot_id() {
        let killed = process::kill_tagged(state.nonce).context("failed to end what an earlier supervisor left")?;
        if !killed.signalled.is_empty() {
            let count = match killed.signalled.len() {
                1 => "1 process".to_owned(),
                count => format!("{count} processes"),
            };
            tell(&format!(
                "ended {count} that an earlier stack of profile {} left",
                state.profile
            ));
        }
        let left = process::wait_gone(&killed.identities(), GONE_LIMIT);
        if let Some(survivor) = left.first() {
            bail!("process {} of an earlier stack survives SIGKILL", survivor.pid);
        }
        process::remove_cgroups(state.supervisor.pid);
    }
    remove_if_there(&paths.socket)?;
    let is_socket = std::fs::symlink_metadata(&state.socket).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && is_ours(&state.socket) {
        remove_if_there(&state.socket)?;
    }
    remove_if_there(&paths.state)
}

/// Waits until the keeper has ended: nothing of the stack is left then. `false` when it takes longer than `limit`.
pub(super) fn wait_until_released(paths: &StackPaths, limit: Duration) -> bool {
    match Lock::take_within(&paths.alive, limit) {
        Ok(lock) => lock.is_some(),
        // The directory was removed, and the lock with it: nothing is left to wait for.
        Err(_) => !paths.dir.exists(),
    }
}

/// What failed as an error; `None` when nothing did.
pub(super) fn failed(failures: &[Failure]) -> Option<anyhow::Error> {
    if failures.is_empty() {
        return None;
    }
    let lines: Vec<String> = failures
        .iter()
        .map(|failure| format!("{}: {}", failure.service, failure.reason))
        .collect();
    Some(anyhow::anyhow!(lines.join("\n")))
}
