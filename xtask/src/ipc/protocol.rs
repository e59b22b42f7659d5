//! Requests, replies and the status of a stack as values. Versioned; reads and writes nothing itself.

use crate::fleet::Goal;
use crate::lifecycle::{Exit, PastRun, signal_name};
use crate::plan::{Invocation, Plan, ServicePlan};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Raised when an older peer could misunderstand a newer one; fields that are only added do not raise it. `Status`,
/// `Shutdown`, `Leave`, `Kill` and their replies mean the same in every version.
pub const PROTOCOL: u32 = 1;

/// How often a supervisor that still works on a request says so; a client takes five seconds of silence for an error.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long a client waits for a sign of life.
pub const SILENCE: Duration = Duration::from_secs(5);

/// A request with the version of who asks.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// The protocol it speaks.
    pub protocol: u32,
    /// The request.
    pub request: Request,
}

/// What a command asks of a supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// What the stack was started with.
    Invocation,
    /// Bring the stack in line with a plan.
    Up(Box<Up>),
    /// Stop some services; the supervisor stays.
    Stop {
        /// Their names.
        services: Vec<String>,
    },
    /// Stop the whole stack and the supervisor.
    Shutdown,
    /// A followed `dev` is about to end: stop the stack if that one owns it, else say that it does not.
    Leave,
    /// End everything at once.
    Kill,
    /// Start services and what they depend on.
    Start {
        /// Their names.
        services: Vec<String>,
        /// When their builds began, by the machine's monotonic clock: what changed since then is not in them.
        #[serde(default)]
        build_began: Option<Duration>,
    },
    /// Restart services by the present `dev.toml`.
    Restart {
        /// Their names.
        services: Vec<String>,
        /// The plan as it resolves now.
        plan: Box<Plan>,
        /// What it was resolved with.
        invocation: Box<Invocation>,
        /// When their builds began.
        #[serde(default)]
        build_began: Option<Duration>,
    },
    /// Zero the restart counters.
    Reset {
        /// The services' names.
        services: Vec<String>,
    },
    /// Answer when the services are ready.
    Wait {
        /// Their names.
        services: Vec<String>,
        /// The most time it may take.
        timeout: Option<Duration>,
    },
    /// The process table.
    Status,
    /// The same without what must be measured: processor time, memory, ports. Supervisors of older versions refuse it.
    Roster,
    /// Empty the log files.
    Flush {
        /// The services' names.
        services: Vec<String>,
    },
    /// Send a signal to the services' process groups.
    Signal {
        /// Their names.
        services: Vec<String>,
        /// Its number.
        signal: i32,
    },
    /// Write a line to the services' stdin.
    Send {
        /// Their names.
        services: Vec<String>,
        /// The line, without its end.
        text: String,
    },
    /// Everything that is known of services.
    Details {
        /// Their names.
        services: Vec<String>,
    },
}

/// Bring the stack in line with a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Up {
    /// The plan.
    pub plan: Plan,
    /// What it was resolved with.
    pub invocation: Invocation,
    /// Ids that other stacks of the workspace use.
    pub taken_ids: Vec<u32>,
    /// Who owns the stack from now on.
    pub lease: Lease,
    /// When to answer.
    pub goal: Goal,
    /// The most time that may take.
    pub timeout: Option<Duration>,
    /// When the builds began, by the machine's monotonic clock: what changed since then is not in them.
    #[serde(default)]
    pub build_began: Option<Duration>,
}

/// Who owns the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lease {
    /// This connection, if the stack is new: when it ends, the stack stops.
    Hold,
    /// Nobody: the stack stays up.
    Release,
}

/// What a supervisor answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Still at it.
    Working,
    /// Done; what failed is named.
    Done {
        /// The services that did not come where they should.
        failures: Vec<Failure>,
    },
    /// Not done, and why.
    Refused(String),
    /// The supervisor is about to end; ask the next one.
    Leaving,
    /// The process table.
    Status(Box<Stack>),
    /// What the stack was started with.
    Invocation(Box<Invocation>),
    /// Everything that is known of the services.
    Details(Vec<Details>),
    /// Whether this connection owns the stack.
    Owner(bool),
    /// The stack has ended; what could not be ended is named.
    Ended {
        /// The services that left something behind.
        failures: Vec<Failure>,
    },
}

/// A service that did not come where it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its name.
    pub service: String,
    /// Why.
    pub reason: String,
}

/// A running stack, as `status --json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Stack {
    /// The profile.
    pub profile: String,
    /// Its supervisor.
    pub supervisor: SupervisorStatus,
    /// Its services.
    pub services: Vec<ServiceStatus>,
    /// The directory of its logs and state, whose name is the profile's; not part of what `status` prints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
}

/// The supervisor of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct SupervisorStatus {
    /// Its process id.
    pub pid: u32,
    /// How long it has run.
    pub uptime_ms: u64,
    /// Its version.
    pub version: String,
}

/// A service, as `status --json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct ServiceStatus {
    /// Unique in the workspace.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The state's name.
    pub status: String,
    /// Whether it is ready.
    pub ready: bool,
    /// The leader's process id, while it runs.
    pub pid: Option<u32>,
    /// Restarts since the last reset.
    pub restarts: u64,
    /// Unstable runs in a row.
    pub unstable_restarts: u32,
    /// How long the present run has lasted.
    pub uptime_ms: Option<u64>,
    /// CPU use of its whole tree, in percent of one processor.
    pub cpu_percent: Option<f64>,
    /// Resident memory of its whole tree, in bytes.
    pub memory_bytes: Option<u64>,
    /// The ports its tree listens on.
    pub ports: Vec<u16>,
    /// Those of them that can be reached from other machines: its tree listens on all interfaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports_on_all_interfaces: Vec<u16>,
    /// Whether its files are watched.
    pub watching: bool,
    /// Why it is not as wanted.
    pub reason: Option<String>,
    /// How its last run ended.
    pub last_exit: Option<LastExitStatus>,
    /// Where its stdout goes.
    pub out_log: Option<PathBuf>,
    /// Where its stderr goes.
    pub error_log: Option<PathBuf>,
    /// Bytes of its output that the logs could not take since the stack began, or since they were last flushed.
    #[serde(default)]
    pub log_dropped_bytes: u64,
    /// The stamp of its log lines, where it is not the usual one; not part of what `status` prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_date_format: Option<String>,
}

/// The log files of a service, as far as they are known without its supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFiles {
    /// The service's name.
    pub service: String,
    /// Where its stdout goes.
    pub out: Option<PathBuf>,
    /// Where its stderr goes.
    pub err: Option<PathBuf>,
    /// The stamp of its lines, where it is not the usual one.
    pub log_date_format: Option<String>,
}

/// The end of a run: a code or a signal's name, never both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExitStatus {
    /// The exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// When, in RFC 3339.
    pub at: String,
}

/// What is known of a service beyond its row in the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// What it was resolved to.
    pub plan: ServicePlan,
    /// Whether the user wants it up.
    pub wanted: bool,
    /// When the present run was launched, in RFC 3339.
    pub began: Option<String>,
    /// Why the present or last run took the place of an earlier one.
    pub began_by: Option<String>,
    /// Why a restart is due.
    pub restart: Option<String>,
    /// How long until the next run, while it waits between two.
    pub restart_in_ms: Option<u64>,
    /// What its launch waits for.
    pub waits_for: Option<String>,
    /// What the readiness probe said last.
    pub probe_error: Option<String>,
    /// Changed files that have not led to a restart yet.
    pub changed: Option<String>,
    /// When `cron_restart` is due next, in RFC 3339.
    pub scheduled: Option<String>,
    /// The runs that are over, oldest first.
    pub past: Vec<PastRunStatus>,
    /// What depends on it.
    pub needed_by: Vec<String>,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRunStatus {
    /// The leader's process id.
    pub pid: u32,
    /// When it was launched, in RFC 3339.
    pub began: String,
    /// How and when it ended.
    pub exit: LastExitStatus,
    /// How long it ran.
    pub lasted_ms: u64,
    /// Why it was ended; `None` when it ended by itself.
    pub ended_by: Option<String>,
}

impl From<&PastRun> for PastRunStatus {
    fn from(run: &PastRun) -> Self {
        Self {
            pid: run.pid,
            began: run.began.to_string(),
            exit: run.into(),
            lasted_ms: u64::try_from(run.lasted.as_millis()).unwrap_or(u64::MAX),
            ended_by: run.ended_by.clone(),
        }
    }
}

impl From<&PastRun> for LastExitStatus {
    fn from(last: &PastRun) -> Self {
        let (code, signal) = match last.exit {
            Exit::Code(code) => (Some(code), None),
            Exit::Signal(signal) => (None, Some(signal_name(signal))),
        };
        Self {
            code,
            signal,
            at: last.at.to_string(),
        }
    }
}

impl Stack {
    /// A stack that does not run, as far as its files tell.
    pub fn stopped(profile: &str, files: Vec<LogFiles>) -> Self {
        let service = |(id, files): (u32, LogFiles)| ServiceStatus {
            id,
            name: files.service,
            status: "stopped".to_owned(),
            ready: false,
            pid: None,
            restarts: 0,
            unstable_restarts: 0,
            uptime_ms: None,
            cpu_percent: None,
            memory_bytes: None,
            ports: Vec::new(),
            ports_on_all_interfaces: Vec::new(),
            watching: false,
            reason: None,
            last_exit: None,
            out_log: files.out,
            error_log: files.err,
            log_date_format: files.log_date_format,
            log_dropped_bytes: 0,
        };
        let supervisor = SupervisorStatus {
            pid: 0,
            uptime_ms: 0,
            version: String::new(),
        };
        Self {
            profile: profile.to_owned(),
            supervisor,
            services: (0..).zip(files).map(service).collect(),
            dir: None,
        }
    }
}
