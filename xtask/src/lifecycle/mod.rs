//! One service's life: what is wanted, what is, and the one pure function that leads from the one to the other.
//! Knows no process, no clock and no other service; `fleet` brings the services together.

mod change;
mod exit;
mod own_writes;
mod schedule;
mod step;
#[cfg(test)]
mod tests;
mod turns;

pub use change::{Files, Turn};
use exit::ENDED;
pub use exit::{Exit, PastRun, is_crash, named_signal, signal_name};
pub use own_writes::{OwnWrites, Verdict};
pub use schedule::Schedule;
pub use step::step;

use crate::config::units::format_size;
use crate::policy::{BACKOFF_CLEARED_AFTER, Policy, Readiness};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Monotonic time since an arbitrary origin; deadlines are in it.
pub type Monotonic = Duration;

/// One run of a service: unique within a supervisor. News of an earlier run changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub u32);

/// Whether the user wants the service up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Up, until the user's stop.
    Up,
    /// Down, until the user's start: no retry, watch or schedule changes it.
    Down,
}

/// What the service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing runs: stopped by the user, or it ended by itself and is not restarted.
    Stopped,
    /// Up is wanted, nothing runs yet. `Some`: the launch of this run is under way.
    Launching(Option<RunId>),
    /// A declared port is held by somebody else.
    Blocked {
        /// When to look again.
        retry_at: Monotonic,
    },
    /// Its program runs.
    Online(Run),
    /// The run is over or about to be; until nothing of its tree is left there is no next one.
    Ending {
        /// The run that ends.
        run: Run,
        /// How far the end has come.
        phase: Phase,
        /// What follows when nothing is left.
        next: Next,
    },
    /// Between two runs.
    WaitingRestart {
        /// When the next run is due.
        until: Monotonic,
    },
    /// Given up.
    Errored,
}

/// A run of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Which run.
    pub id: RunId,
    /// The leader's process id.
    pub pid: u32,
    /// When it was launched.
    pub since: Monotonic,
    /// The same as people read it.
    pub at: jiff::Timestamp,
    /// Whether it is ready.
    pub ready: Ready,
}

/// Whether a run is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// Not yet; at `until` this is a failure, or, for a service without a probe, readiness.
    Waiting {
        /// The deadline.
        until: Monotonic,
    },
    /// Ready.
    Yes,
    /// Its time has passed; it may still become ready.
    Overdue,
}

/// How far the end of a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The tree was asked to end; what is left at `kill_at` is killed.
    Asked {
        /// The deadline.
        kill_at: Monotonic,
    },
    /// SIGKILL was sent; at `give_up_at` what still exists is called unkillable.
    Killed {
        /// The deadline.
        give_up_at: Monotonic,
    },
    /// Something survives SIGKILL.
    Stuck,
}

/// What follows when nothing of a run is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the user wants it down, or it ended by itself and is not restarted.
    Rest,
    /// The next run, after a delay that may be zero.
    Launch(Duration),
    /// Nothing: too many unstable runs.
    GiveUp,
}

/// Why a service is restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It ended by itself.
    Exit(Exit),
    /// Watched files changed.
    Changed(Files),
    /// This service, which it depends on, came back.
    Dependency(String),
    /// Its tree's memory passed the limit; both in bytes.
    Memory {
        /// What it was.
        used: u64,
        /// What it may be.
        limit: u64,
    },
    /// Its `cron_restart` was due.
    Schedule,
    /// Its `dev.toml` entry changed.
    Configuration,
    /// The user asked.
    Command,
}

/// Everything that is known and wanted of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What the user wants.
    pub wanted: Wanted,
    /// When a user stopped it last.
    pub stopped_at: Option<Monotonic>,
    /// What is.
    pub state: State,
    /// What watching has seen and not yet acted on.
    pub turn: Turn,
    /// The last change of watched files while it was down: a build for its next start may have begun before.
    pub missed: Option<(Monotonic, Files)>,
    /// How many builds in a row a newer change has ended.
    pub cancelled_builds: u32,
    /// Set while a restart is due: the next run counts as one.
    pub restart: Option<Cause>,
    /// Restarts since the last reset.
    pub restarts: u64,
    /// Unstable runs in a row.
    pub unstable: u32,
    /// When it has to have been ready at last, however often it ends by itself meanwhile; until it is ready.
    pub ready_by: Option<Monotonic>,
    /// The delay used last, while a backoff grows.
    pub backoff: Option<Duration>,
    /// Why the present or last run took the place of an earlier one.
    pub began_by: Option<Cause>,
    /// The last runs that are over, at most [`PAST_RUNS`], oldest first.
    pub past: VecDeque<PastRun>,
    /// The last run, where it ended by itself, successfully, and is not restarted.
    pub completed: Option<RunId>,
    /// Why the state is not as wanted.
    pub trouble: Option<String>,
    /// What the readiness probe said last.
    pub probe_error: Option<String>,
    /// The last lines of a watch build that failed.
    pub build_failure: Option<String>,
    /// Whether it seems to write into what it watches.
    pub own_writes: OwnWrites,
    /// Why changes of its files are not acted upon until the user starts or restarts it.
    pub watch_suspended: Option<String>,
}

/// What a probe's reason says of a port that is somebody else's.
pub const HELD: &str = "held by ";

/// How many runs that are over are remembered of each service.
pub const PAST_RUNS: usize = 10;

/// What can happen to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The user wants it up.
    Start,
    /// The user wants it down.
    Stop,
    /// The user wants it down at once, without a graceful stop.
    Kill,
    /// A new run is wanted in place of the present one.
    Restart(Cause),
    /// The user wants the counters at zero.
    Reset,
    /// The fleet: its dependencies are met; launch this run.
    Go(RunId),
    /// The fleet: nothing that depends on it is in the way; end the run.
    Halt,
    /// Not launched: a declared port is held; the text names the holder.
    PortsHeld(RunId, String),
    /// The holder of a port that blocks it is gone.
    PortsFreed,
    /// Launched, with the leader's process id.
    Spawned(RunId, u32),
    /// Not launched, and a retry cannot help: why.
    Unlaunchable(RunId, String),
    /// Not launched for want of resources: why.
    Scarce(RunId, String),
    /// The leader ended.
    Exited(RunId, Exit),
    /// Nothing of the run's tree is left.
    TreeGone(RunId),
    /// These processes of the run could not be ended.
    Survivors(RunId, String),
    /// The probe succeeded.
    Ready(RunId),
    /// The probe failed: why.
    NotReady(RunId, String),
    /// Watched files changed.
    Changed(Vec<String>),
    /// The build of the present turn ended: well, or with these last lines.
    Built(Result<(), String>),
    /// A deadline may have passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Launch the run, unless its ports are held.
    Launch(RunId),
    /// Send the kill signal to the run's whole tree.
    Terminate(RunId),
    /// The leader is gone: end what it left behind, or find that nothing is.
    Clear(RunId),
    /// SIGKILL the run's whole tree.
    Kill(RunId),
    /// SIGKILL has not ended the run: say which processes are left.
    Name(RunId),
    /// Start the service's builds, which are to see what was changed up to this moment.
    Build(Monotonic),
    /// Cancel the running build.
    CancelBuild,
    /// Write this to the supervisor's log.
    Note(String),
}

impl Service {
    /// A service that is down and wanted down.
    pub fn new() -> Self {
        Self {
            wanted: Wanted::Down,
            stopped_at: None,
            state: State::Stopped,
            turn: Turn::None,
            missed: None,
            cancelled_builds: 0,
            restart: None,
            restarts: 0,
            unstable: 0,
            ready_by: None,
            backoff: None,
            began_by: None,
            past: VecDeque::new(),
            completed: None,
            trouble: None,
            probe_error: None,
            build_failure: None,
            own_writes: OwnWrites::default(),
            watch_suspended: None,
        }
    }

    /// The run whose processes may live.
    pub fn live_run(&self) -> Option<Run> {
        match &self.state {
            State::Online(run) | State::Ending { run, .. } => Some(*run),
            State::Stopped
            | State::Launching(_)
            | State::Blocked { .. }
            | State::WaitingRestart { .. }
            | State::Errored => None,
        }
    }

    /// The last run that is over.
    pub fn last_exit(&self) -> Option<&PastRun> {
        self.past.back()
    }

    /// Whether something of it runs or is being launched.
    pub fn is_active(&self) -> bool {
        self.live_run().is_some() || matches!(self.state, State::Launching(Some(_)))
    }

    /// Whether something of it survives SIGKILL: nobody can wait for its end.
    pub fn is_stuck(&self) -> bool {
        matches!(
            self.state,
            State::Ending {
                phase: Phase::Stuck,
                ..
            }
        )
    }

    /// Whether its program runs and is ready.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Online(Run { ready: Ready::Yes, .. }))
    }

    /// Whether a user's stop after that moment is the last word on it.
    pub fn is_stopped_since(&self, moment: Monotonic) -> bool {
        self.wanted == Wanted::Down && self.stopped_at.is_some_and(|at| at > moment)
    }

    /// The state's name, as `status` shows it.
    pub fn status(&self) -> &'static str {
        match &self.state {
            State::Stopped => "stopped",
            State::Launching(_) => "launching",
            State::Blocked { .. } => "blocked",
            State::Online(_) if matches!(self.turn, Turn::Building { .. }) => "building",
            State::Online(_) => "online",
            State::Ending { .. } => "stopping",
            State::WaitingRestart { .. } => "waiting restart",
            State::Errored => "errored",
        }
    }

    /// Why it is not as wanted, as far as the service itself knows.
    pub fn reason(&self) -> Option<String> {
        let building = matches!(self.state, State::Launching(_)) && matches!(self.turn, Turn::Building { .. });
        let between = self.restart.as_ref().filter(|_| {
            // A launch that failed between two runs is the trouble itself.
            self.trouble.is_none() && matches!(self.state, State::WaitingRestart { .. })
        });
        let between = between.map(|cause| format!("restarting: {cause}"));
        let parts: Vec<&str> = [
            self.trouble.as_deref(),
            between.as_deref(),
            building.then_some("builds"),
            self.build_failure.as_deref(),
            self.watch_suspended.as_deref(),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl Default for Service {
    fn default() -> Self {
        Self::new()
    }
}

/// When the service next needs a `Tick`, if ever.
pub fn deadline(service: &Service, policy: &Policy) -> Option<Monotonic> {
    let of_state = match &service.state {
        State::Blocked { retry_at } => Some(*retry_at),
        State::Online(run) => of_run(service, run, policy),
        State::Ending {
            phase: Phase::Asked { kill_at },
            ..
        } => Some(*kill_at),
        State::Ending {
            phase: Phase::Killed { give_up_at },
            ..
        } => Some(*give_up_at),
        State::WaitingRestart { until } => Some(*until),
        State::Ending {
            phase: Phase::Stuck, ..
        }
        | State::Stopped
        | State::Launching(_)
        | State::Errored => None,
    };
    let of_turn = match &service.turn {
        Turn::Settling { until, .. } => Some(*until),
        Turn::None | Turn::Building { .. } => None,
    };
    of_state.into_iter().chain(of_turn).min()
}

/// The next thing that time alone changes about an online run.
fn of_run(service: &Service, run: &Run, policy: &Policy) -> Option<Monotonic> {
    let ready = match run.ready {
        Ready::Waiting { until } => Some(until),
        Ready::Yes | Ready::Overdue => None,
    };
    let stable = (service.unstable > 0).then(|| run.since + policy.min_uptime);
    let backoff = service.backoff.is_some().then(|| run.since + BACKOFF_CLEARED_AFTER);
    ready.into_iter().chain(stable).chain(backoff).min()
}

/// The deadline at which a run launched at `since` is ready or overdue.
fn ready_deadline(policy: &Policy, since: Monotonic) -> Monotonic {
    since
        + match policy.readiness {
            Readiness::Uptime => policy.min_uptime,
            Readiness::Probe(timeout) => timeout,
        }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(exit) => write!(f, "it ended with {exit}"),
            Self::Changed(files) => write!(f, "{files}"),
            Self::Dependency(name) => write!(f, "{name} came back"),
            Self::Schedule => write!(f, "its schedule was due"),
            Self::Memory { used, limit } => {
                let (used, limit) = (format_size(*used), format_size(*limit));
                write!(
                    f,
                    "its memory passed the limit: {used}, `max_memory_restart` is {limit}"
                )
            }
            Self::Configuration => write!(f, "its configuration changed"),
            Self::Command => write!(f, "asked by command"),
        }
    }
}
