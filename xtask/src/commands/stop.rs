//! `stop`: some services, or whole stacks with their supervisors. Returns 0 only when nothing of theirs is left.

use super::stacks::{self, Look, Running};
use super::workspace::Workspace;
use super::{select, usage};
use crate::cli::Stop;
use crate::clock;
use crate::config::units::format_duration;
use crate::ipc::client::{Connection, Unanswered};
use crate::ipc::protocol::{Failure, Reply, Request};
use crate::paths::StackPaths;
use anyhow::{Context as _, Result, bail};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How long a keeper may take to end after its supervisor.
pub(super) const KEEPER_LIMIT: Duration = Duration::from_secs(10);
/// After so long without the keeper's end it is asked whether another has its place.
const SUCCESSOR_LOOK: Duration = Duration::from_secs(1);

pub(super) fn run(workspace: &Workspace, args: &Stop) -> Result<u8> {
    if !args.services.is_empty() {
        return stop_services(stacks::running(workspace, args.profile.as_deref())?, args);
    }
    let (running, silent) = stacks::answering(workspace, args.profile.as_deref(), Look::Roster)?;
    if let Some(error) = stacks::unanswered(&silent).filter(|_| !args.all) {
        return Err(error);
    }
    if running.len() > 1 && !args.all {
        let names: Vec<&str> = running.iter().map(|running| running.status.profile.as_str()).collect();
        return Err(usage(format!(
            "several stacks are running: {}; say which with -p, or --all",
            names.join(", ")
        )));
    }
    let answers = |profile: &str| running.iter().any(|running| running.status.profile == profile);
    for profile in workspace.known_profiles() {
        if args.profile.as_deref().is_none_or(|wanted| wanted == profile) && !answers(&profile) {
            stacks::clear_stale(&workspace.stack(&profile)?)?;
        }
    }
    if running.is_empty() && silent.is_empty() {
        anstream::eprintln!("no stack is running");
    }
    for stack in running {
        let profile = stack.status.profile.clone();
        stop_stack(stack, args.timeout)?;
        anstream::eprintln!("stopped {profile}");
    }
    stacks::unanswered(&silent).map_or(Ok(0), Err)
}

fn stop_services(running: Vec<Running>, args: &Stop) -> Result<u8> {
    if running.is_empty() {
        return Ok(0);
    }
    select::for_each_chosen(running, &args.services, |running, services| {
        let names = services.join(", ");
        ask_within(&mut running.connection, Request::Stop { services }, args.timeout).context(names)
    })?;
    Ok(0)
}

/// Stops a whole stack and waits until its keeper, the last of its processes, has ended.
pub(super) fn stop_stack(mut stack: Running, timeout: Option<Duration>) -> Result<()> {
    let profile = stack.status.profile.clone();
    let failures = ask_within(&mut stack.connection, Request::Shutdown, timeout)
        .with_context(|| format!("failed to stop {profile}"))?;
    await_end(&stack.paths, &profile)?;
    match stacks::failed(&failures) {
        Some(error) => Err(error.context(format!("something of {profile} is left"))),
        None => Ok(()),
    }
}

/// Waits for the keeper of a supervisor that has said that it ends: nothing is left below it then.
pub(super) fn await_end(paths: &StackPaths, profile: &str) -> Result<()> {
    let deadline = clock::monotonic() + KEEPER_LIMIT;
    while clock::monotonic() < deadline {
        // Who answers is another supervisor, whose keeper was faster than this command to take the place of the one that ended.
        if stacks::wait_until_released(paths, SUCCESSOR_LOOK) || stacks::answers(paths) {
            return Ok(());
        }
    }
    bail!("the keeper of {profile} has not ended; something that it cannot kill may be left");
}

/// Asks, and waits for the answer at most for `timeout`.
fn ask_within(connection: &mut Connection, request: Request, timeout: Option<Duration>) -> Result<Vec<Failure>> {
    let Some(timeout) = timeout else {
        return connection.ask(request);
    };
    connection.send(request)?;
    let mut receiving = connection.second()?;
    let (sender, answers) = channel();
    std::thread::spawn(move || sender.send(receiving.receive()));
    match answers.recv_timeout(timeout) {
        Ok(answer) => match answer? {
            Reply::Done { failures } | Reply::Ended { failures } => Ok(failures),
            other => bail!("unexpected answer: {other:?}"),
        },
        Err(RecvTimeoutError::Timeout) => {
            bail!(
                "not stopped within {}; it goes on stopping, `status` shows it",
                format_duration(timeout)
            )
        }
        Err(RecvTimeoutError::Disconnected) => Err(Unanswered::Closed.into()),
    }
}
