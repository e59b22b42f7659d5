//! `resurrect --foreground`: what a service manager runs. Starts the saved stacks, says when they are up and that their
//! supervisors answer, and stops them in order when told to end. Its end, however it comes, is the end of what it started.

use super::follow;
use super::workspace::{Workspace, invocation};
use super::{resurrect, stacks, stop};
use crate::boot::saved::{Saved, SavedStack};
use crate::clock;
use crate::fleet::Goal;
use crate::ipc::client::{Connection, Unanswered};
use crate::ipc::protocol::{Failure, Lease, Reply, Request};
use crate::paths::StackPaths;
use crate::service_manager::ServiceManager;
use crate::signal::INTERRUPTED;
use crate::tasks::interrupt::{Interrupted, Interrupts};
use anyhow::{Context as _, Result, bail, ensure};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What can wake it.
enum Wake {
    /// SIGTERM, SIGINT or SIGHUP.
    End,
    /// The supervisor of the stack of this index said something.
    Reply(usize, Result<Reply, Unanswered>),
}

/// A stack that it looks after.
struct Held {
    profile: String,
    paths: StackPaths,
    asking: Connection,
    /// How long an orderly stop may take.
    stop_limit: Duration,
    phase: Phase,
    /// The services of it that did not become ready.
    missing: Vec<String>,
    /// Whether its supervisor has answered since it was last asked.
    answered: bool,
    /// Its end is this one's, too. One that a user has stopped, and perhaps started again, is the user's.
    awaited: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not everything of it is ready yet.
    Starting,
    /// Everything is ready, or will not be.
    Up,
    /// It was stopped.
    Down,
}

struct Foreground {
    manager: Option<ServiceManager>,
    held: Vec<Held>,
    wakes: Receiver<Wake>,
    said_ready: bool,
    /// The stacks that could not be started.
    not_started: Vec<String>,
    /// How often it was told to end; the second time kills.
    asked: u32,
    /// What makes its end a failure.
    failed: Vec<String>,
}

pub(super) fn run(workspace: &Workspace, saved: &Saved) -> Result<u8> {
    let (sender, wakes) = channel();
    let ends = sender.clone();
    let interrupts = Interrupts::listen(move || {
        // The loop that listens may be over: then the command is about to end anyway.
        let _ = ends.send(Wake::End);
    })?;
    interrupts.hand_over();
    let mut foreground = Foreground {
        manager: ServiceManager::from_environment()?,
        held: Vec::new(),
        wakes,
        said_ready: false,
        not_started: Vec::new(),
        asked: 0,
        failed: Vec::new(),
    };
    ensure!(
        !saved.stacks.is_empty(),
        "it was saved that no stack runs; run `cargo xtask save` while the stacks are up"
    );
    let mut last_error = None;
    for stack in &saved.stacks {
        // A build may take long: whoever told us to end meanwhile does not want the next stack.
        while let Ok(wake) = foreground.wakes.try_recv() {
            foreground.take(wake);
        }
        if foreground.asked > 0 {
            break;
        }
        foreground.tell(&format!("starting {}", stack.profile));
        if let Err(error) = foreground.hold(workspace, stack, &sender, &interrupts) {
            if error.is::<Interrupted>() {
                break;
            }
            let error = error.context(stack.profile.clone());
            crate::ui::tell(&super::describe(&error));
            foreground.not_started.push(stack.profile.clone());
            last_error = Some(error);
        }
    }
    match last_error {
        // The manager tries again after a while.
        Some(error) if foreground.held.is_empty() => Err(error),
        Some(_) | None => foreground.serve(),
    }
}

impl Foreground {
    /// Starts a stack and owns it, or looks after the one that somebody else has started.
    fn hold(
        &mut self,
        workspace: &Workspace,
        stack: &SavedStack,
        sender: &Sender<Wake>,
        interrupts: &Interrupts,
    ) -> Result<()> {
        let paths = workspace.stack(&stack.profile)?;
        let (connection, stop_limit, phase) = match stacks::connect(&paths)? {
            Some(connection) => {
                let plan = workspace.plan(Some(&stack.profile), &invocation(stack.options()));
                // Without a plan by the present `dev.toml` the manager's own limit counts.
                (
                    connection,
                    plan.map_or(Duration::ZERO, |plan| plan.stop_limit()),
                    Phase::Up,
                )
            }
            None => {
                let (reached, plan) = resurrect::start(workspace, stack, Lease::Hold, Goal::Ready, interrupts)?;
                (reached.connection, plan.stop_limit(), Phase::Starting)
            }
        };
        if phase == Phase::Up {
            connection.wait_without_limit()?;
        }
        let index = self.held.len();
        self.held.push(Held {
            profile: stack.profile.clone(),
            paths,
            asking: connection.second()?,
            stop_limit,
            phase,
            missing: Vec::new(),
            answered: true,
            awaited: false,
        });
        let wake = sender.clone();
        follow::receive_all(connection, move |reply| wake.send(Wake::Reply(index, reply)).is_ok())
    }

    fn serve(mut self) -> Result<u8> {
        let interval = self
            .manager
            .as_ref()
            .and_then(ServiceManager::watchdog)
            .map(|limit| limit / 2);
        let mut next = interval.map(|_| clock::monotonic());
        self.say_ready();
        while !self.is_over() {
            let wake = match next {
                None => Some(self.wakes.recv().context("nothing can arrive any more")?),
                // `self` keeps no sender, but the signals' thread and each connection do: an error is the deadline.
                Some(at) => self.wakes.recv_timeout(at.saturating_sub(clock::monotonic())).ok(),
            };
            match wake {
                Some(wake) => self.take(wake),
                None => {
                    self.ask_for_signs_of_life();
                    next = interval.map(|interval| clock::monotonic() + interval);
                }
            }
        }
        for held in self.held.iter().filter(|held| held.awaited) {
            stop::await_end(&held.paths, &held.profile)?;
        }
        match self.failed.is_empty() {
            false => bail!(self.failed.join("\n")),
            true if self.asked > 1 => Ok(INTERRUPTED),
            true => Ok(0),
        }
    }

    /// Once told to end, or to fail, it ends when every stack is down.
    fn is_over(&self) -> bool {
        self.asked > 0 && self.held.iter().all(|held| held.phase == Phase::Down)
    }

    fn take(&mut self, wake: Wake) {
        match wake {
            Wake::End => self.end(),
            Wake::Reply(index, Ok(reply)) => self.replied(index, reply),
            Wake::Reply(index, Err(error)) => self.lost(index, &error),
        }
    }

    fn replied(&mut self, index: usize, reply: Reply) {
        let Some(held) = self.held.get_mut(index) else { return };
        match reply {
            Reply::Done { failures } => {
                if held.phase == Phase::Starting {
                    held.phase = Phase::Up;
                }
                for Failure { service, reason } in failures {
                    crate::ui::tell(&format!("warning: {}: {service}: {reason}", held.profile));
                    held.missing.push(service);
                }
                self.say_ready();
            }
            Reply::Ended { failures } => {
                held.phase = Phase::Down;
                let text = format!("{} was stopped", held.profile);
                self.failed.extend(
                    failures
                        .iter()
                        .map(|failure| format!("{}: {}", failure.service, failure.reason)),
                );
                self.tell(&text);
                self.say_ready();
                self.say_alive();
            }
            Reply::Status(_) => {
                held.answered = true;
                self.say_alive();
            }
            // Somebody's `dev -d` took the ownership away: the stack is looked after all the same.
            Reply::Owner(_)
            | Reply::Working
            | Reply::Leaving
            | Reply::Refused(_)
            | Reply::Invocation(_)
            | Reply::Details(_) => {}
        }
    }

    /// A supervisor that ends without a word was killed: the manager starts everything anew.
    fn lost(&mut self, index: usize, error: &Unanswered) {
        let Some(held) = self.held.get_mut(index) else { return };
        if held.phase == Phase::Down {
            return;
        }
        held.phase = Phase::Down;
        self.failed
            .push(format!("lost the supervisor of {}: {error}", held.profile));
        if self.asked == 0 {
            self.end();
        }
    }

    /// The first time stops every stack in order, the second time kills.
    fn end(&mut self) {
        self.asked += 1;
        if self.asked == 1
            && let Some(manager) = &self.manager
        {
            let limits = self.held.iter().map(|held| held.stop_limit);
            manager.stopping(limits.max().unwrap_or_default() + stop::KEEPER_LIMIT);
        }
        for held in self.held.iter_mut().filter(|held| held.phase != Phase::Down) {
            let request = if self.asked == 1 {
                Request::Shutdown
            } else {
                Request::Kill
            };
            held.awaited = true;
            // A supervisor that is gone is reported by its connection.
            let _ = held.asking.send(request);
        }
        self.tell("stopping");
    }

    /// A sign of life is worth something only if every supervisor gives one.
    fn ask_for_signs_of_life(&mut self) {
        for held in self.held.iter_mut().filter(|held| held.phase != Phase::Down) {
            held.answered = false;
            // One that cannot be asked does not answer either.
            let _ = held.asking.send(Request::Status);
        }
        self.say_alive();
    }

    fn say_alive(&self) {
        let lives = |held: &Held| held.phase == Phase::Down || held.answered;
        if let Some(manager) = &self.manager
            && self.held.iter().all(lives)
        {
            manager.alive();
        }
    }

    fn say_ready(&mut self) {
        if self.said_ready || self.asked > 0 || self.held.iter().any(|held| held.phase == Phase::Starting) {
            return;
        }
        self.said_ready = true;
        let text = self.summary();
        crate::ui::tell(&text);
        if let Some(manager) = &self.manager {
            manager.ready(&text);
        }
    }

    /// `one, two up; not ready: api of two`.
    fn summary(&self) -> String {
        let up: Vec<&str> = self.held.iter().map(|held| held.profile.as_str()).collect();
        let missing = self
            .held
            .iter()
            .flat_map(|held| held.missing.iter().map(|name| format!("{name} of {}", held.profile)));
        let missing: Vec<String> = missing.collect();
        let parts = [
            ("; not ready: ", missing.join(", ")),
            ("; not started: ", self.not_started.join(", ")),
        ];
        let rest = parts.into_iter().filter(|(_, names)| !names.is_empty());
        format!("{} up", up.join(", ")) + &rest.map(|(what, names)| format!("{what}{names}")).collect::<String>()
    }

    fn tell(&self, text: &str) {
        crate::ui::tell(text);
        if let Some(manager) = &self.manager {
            manager.status(text);
        }
    }
}
