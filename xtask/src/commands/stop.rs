//! `stop`: some services, or whole stacks with their supervisors. Returns 0 only when nothing of theirs is left.

use super::stacks::{self, Look, Running};
use super::starter;
use super::workspace::Workspace;
use super::{select, usage};
use crate::cli::Stop;
use crate::config::units::format_duration;
use crate::ipc::client::{Connection, Unanswered};
use crate::ipc::protocol::{Failure, Request};
use crate::lifecycle::Monotonic;
use crate::paths::StackPaths;
use crate::shortage::not_started;
use crate::supervisor::State;
use crate::{clock, process};
use anyhow::{Context as _, Result, bail, ensure};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// How long a keeper may take to end after its supervisor.
pub(super) const KEEPER_LIMIT: Duration = Duration::from_secs(10);
/// How long a stack may take to stop whose supervisor cannot say how far it is, without a `--timeout`.
const UNREACHABLE_LIMIT: Duration = Duration::from_secs(3600);
/// After so long without the keeper's end it is asked whether another has its place.
const SUCCESSOR_LOOK: Duration = Duration::from_secs(1);

pub(super) fn run(workspace: &Workspace, args: &Stop) -> Result<u8> {
    if !args.services.is_empty() {
        let running = stacks::running(workspace, args.profile.as_deref())?;
        end_what_is_left(workspace, args, &running)?;
        return stop_services(running, args);
    }
    let (running, mut errors) = stacks::answering(workspace, args.profile.as_deref(), Look::Roster)?;
    if let Some(error) = stacks::unanswered(&errors).filter(|_| !args.all) {
        return Err(error);
    }
    if running.len() > 1 && !args.all {
        let names: Vec<&str> = running.iter().map(|running| running.status.profile.as_str()).collect();
        return Err(usage(format!(
            "several stacks are running: {}; say which with -p, or --all",
            names.join(", ")
        )));
    }
    let stopped = end_what_is_left(workspace, args, &running)?;
    if running.is_empty() && errors.is_empty() && !stopped {
        crate::ui::tell(&stacks::none_runs(args.profile.as_deref()));
    }
    // All are asked before the first is waited for: they stop at the same time, and one that is late holds up no other.
    let asked: Vec<_> = running
        .into_iter()
        .map(|stack| begin_stop(stack, args.timeout))
        .collect();
    for (stack, stopping) in asked {
        let profile = stack.status.profile.clone();
        match await_stop(&stack, stopping) {
            Ok(()) => crate::ui::tell(&format!("stopped {profile}")),
            Err(error) => errors.push(error),
        }
    }
    stacks::unanswered(&errors).map_or(Ok(0), Err)
}

/// Ends what stacks have left whose supervisor and keeper were both killed, and those whose supervisor cannot be reached; whether there
/// was one of these.
fn end_what_is_left(workspace: &Workspace, args: &Stop, running: &[Running]) -> Result<bool> {
    let mut stopped = false;
    let answers = |profile: &str| running.iter().any(|running| running.status.profile == profile);
    for profile in workspace.known_profiles() {
        if args.profile.as_deref().is_some_and(|wanted| wanted != profile) || answers(&profile) {
            continue;
        }
        let paths = workspace.stack(&profile)?;
        // One that was asked is silent or ends; or it has begun since.
        if stacks::has_supervisor(&paths) {
            continue;
        }
        let unreachable = State::read(&paths.state).filter(stacks::lives_on);
        if let Some(state) = &unreachable {
            if stacks::connect(&paths)?.is_some() {
                continue;
            }
            let lost = stacks::lost_socket(state);
            // It cannot be told which of its services are meant.
            ensure!(args.services.is_empty(), "{lost}");
            crate::ui::tell(&format!("warning: {lost}"));
            process::ask_to_end(state.supervisor).context("failed to ask the supervisor to end")?;
            let limit = args.timeout.unwrap_or(UNREACHABLE_LIMIT);
            if !process::wait_gone(&[state.supervisor], limit).is_empty() {
                bail!(
                    "{profile} has not stopped within {}; it goes on stopping",
                    format_duration(limit)
                );
            }
        }
        // Also one that somebody else has just stopped may not be gone yet.
        await_end(&paths, &profile)?;
        starter::clear(&paths, &crate::ui::tell)?;
        if unreachable.is_some() {
            crate::ui::tell(&format!("stopped {profile}"));
            stopped = true;
        }
    }
    Ok(stopped)
}

fn stop_services(running: Vec<Running>, args: &Stop) -> Result<u8> {
    if running.is_empty() {
        crate::ui::tell(&stacks::none_runs(args.profile.as_deref()));
        return Ok(0);
    }
    select::for_each_chosen(running, &args.services, |running, services| {
        let names = services.join(", ");
        Stopping::begin(&mut running.connection, Request::Stop { services }, args.timeout)
            .and_then(Stopping::end)
            .context(names)
    })?;
    Ok(0)
}

/// Stops a whole stack and waits until its keeper, the last of its processes, has ended.
pub(super) fn stop_stack(stack: Running) -> Result<()> {
    let (stack, stopping) = begin_stop(stack, None);
    await_stop(&stack, stopping)
}

/// Asks a whole stack to stop.
fn begin_stop(mut stack: Running, timeout: Option<Duration>) -> (Running, Result<Stopping>) {
    let stopping = Stopping::begin(&mut stack.connection, Request::Shutdown, timeout);
    (stack, stopping)
}

fn await_stop(stack: &Running, stopping: Result<Stopping>) -> Result<()> {
    let profile = &stack.status.profile;
    let answer = stopping.and_then(Stopping::end);
    // Another command had it stopped, or it died: whatever it was, nothing of it may be left.
    let is_gone = |error: &anyhow::Error| matches!(error.downcast_ref(), Some(Unanswered::Closed));
    if answer.as_ref().is_err_and(is_gone) {
        await_end(&stack.paths, profile)?;
        return starter::clear(&stack.paths, &crate::ui::tell);
    }
    let failures = answer.with_context(|| format!("failed to stop {profile}"))?;
    await_end(&stack.paths, profile)?;
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
        if stacks::wait_until_released(paths, SUCCESSOR_LOOK) || stacks::has_supervisor(paths) {
            return Ok(());
        }
    }
    bail!("the keeper of {profile} has not ended; something that it cannot kill may be left");
}

/// A supervisor that was asked to stop something.
enum Stopping {
    /// It may take its time.
    Unlimited(Connection),
    /// It may take so long, which is until then.
    Limited(Receiver<Result<Vec<Failure>>>, Duration, Monotonic),
}

impl Stopping {
    fn begin(connection: &mut Connection, request: Request, timeout: Option<Duration>) -> Result<Self> {
        connection.send(request)?;
        let mut receiving = connection.second()?;
        let Some(timeout) = timeout else {
            return Ok(Self::Unlimited(receiving));
        };
        let (sender, answer) = channel();
        std::thread::Builder::new()
            // Who waits for it may have given up.
            .spawn(move || sender.send(receiving.done()))
            .map_err(not_started)
            .context("failed to start a thread")?;
        Ok(Self::Limited(answer, timeout, clock::monotonic() + timeout))
    }

    /// Waits until it is done; who is left.
    fn end(self) -> Result<Vec<Failure>> {
        let (answer, timeout, deadline) = match self {
            Self::Unlimited(mut receiving) => return receiving.done(),
            Self::Limited(answer, timeout, deadline) => (answer, timeout, deadline),
        };
        match answer.recv_timeout(deadline.saturating_sub(clock::monotonic())) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                bail!(
                    "not stopped within {}; it goes on stopping, `status` shows it",
                    format_duration(timeout)
                )
            }
            Err(RecvTimeoutError::Disconnected) => Err(Unanswered::Closed.into()),
        }
    }
}
