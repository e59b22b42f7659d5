//! The resolved plan of one profile: every default filled in, every name checked, nothing left to look up.
//! Plain data and pure functions; the client resolves it, the supervisor carries it out.

mod container;
mod environment;
mod profile;
mod recovered;
mod resolve;
pub mod secret;
mod service;
mod strings;
mod tasks;
#[cfg(test)]
mod tests;
pub mod view;

pub use container::{BuildPlan, ContainerPlan, Written, base_name, written};
pub use environment::{Origin, Origins, ReadFile, Replaced};
pub use recovered::and_more;
pub use resolve::{no_such_profile, or_implicit, profile_names, resolve, resolve_task};
pub use strings::script_place;

use crate::config::{Condition, CronLine};
use crate::policy::{KILL_LIMIT, Policy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the user said when the stack was started; kept by the supervisor, so that `restart` can resolve the plan anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// The shell's environment, without what cargo added.
    pub shell: BTreeMap<String, String>,
    /// The options of `dev`.
    pub options: Options,
}

/// The options of `dev` that shape the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Only these services; empty means all.
    pub only: Vec<String>,
    /// All but these services.
    pub except: Vec<String>,
    /// `-e K=V`.
    pub set: Vec<(String, String)>,
    /// Services that are not started: the user had stopped them when the stack was saved. In what a supervisor tells,
    /// those that are stopped now.
    #[serde(default)]
    pub stopped: Vec<String>,
    /// Nothing is watched.
    pub no_watch: bool,
    /// Nothing is built.
    pub no_build: bool,
}

/// One profile, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The directory that holds `dev.toml`.
    pub workspace: PathBuf,
    /// Where `dev.toml` is.
    pub file: PathBuf,
    /// The profile's name.
    pub profile: String,
    /// Where logs and state are kept.
    pub state_dir: PathBuf,
    /// The services, in the order of the profile.
    pub services: Vec<ServicePlan>,
    /// What is built before the start, in order.
    pub builds: Vec<TaskPlan>,
}

/// One service (one instance of it), resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// Its name; `NAME-0` for an instance.
    pub name: String,
    /// The program, as written.
    pub script: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// The program that runs `script`, with its arguments.
    pub interpreter: Option<Interpreter>,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// Variables that differ from the shell's: set, or removed where `None`.
    pub env: BTreeMap<String, Option<String>>,
    /// Where each of them comes from.
    #[serde(default)]
    pub origins: Origins,
    /// What may stand in its texts, is none of its variables, and must not be shown.
    #[serde(default)]
    pub replaced: Replaced,
    /// Restart, backoff and grace.
    pub policy: Policy,
    /// What must be there first.
    pub depends_on: Vec<Dependency>,
    /// When it counts as ready.
    pub probe: Option<Probe>,
    /// The wait between two probes.
    pub probe_interval: Duration,
    /// The ports it listens on.
    pub ports: Vec<u16>,
    /// The watched files and directories, absolute.
    pub watch: Vec<PathBuf>,
    /// Globs on top of the ones that are always ignored.
    pub ignore_watch: Vec<String>,
    /// What is built before a start and before a watch restart.
    pub builds: Vec<TaskPlan>,
    /// The most memory of the whole tree, in bytes, before it is restarted.
    pub max_memory_restart: Option<u64>,
    /// Whether it gets a terminal.
    #[serde(default)]
    pub pty: bool,
    /// When it is restarted on schedule.
    #[serde(default)]
    pub cron_restart: Option<CronLine>,
    /// Where stdout goes; `None` keeps nothing.
    pub out_file: Option<PathBuf>,
    /// Where stderr goes; `None` keeps nothing.
    pub error_file: Option<PathBuf>,
    /// When and how its logs are rotated.
    pub rotation: Rotation,
    /// The stamp that begins each line of its logs, proven to be readable; none is the usual one.
    pub log_date_format: Option<String>,
}

/// `interpreter` and `interpreter_args`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// The program.
    pub program: String,
    /// Its arguments, before the script.
    pub args: Vec<String>,
}

/// Another service that must be there first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Its name.
    pub name: String,
    /// What it must have reached.
    pub condition: Condition,
    /// Whether this service restarts whenever that one comes back.
    pub restart: bool,
}

/// How readiness is probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Probe {
    /// GET answers 2xx or 3xx.
    Http(String),
    /// A connection is accepted.
    Tcp(String),
    /// A line of its output matches.
    Log(String),
    /// A command exits with 0.
    Command(Vec<String>),
    /// It says `READY=1` on `NOTIFY_SOCKET`.
    Notify,
    /// Its own tree listens on all its ports.
    Ports,
}

impl Probe {
    /// The port of this machine that is asked at, if it is one.
    pub fn local_port(&self) -> Option<u16> {
        let authority = match self {
            Self::Http(url) => url.split_once("://")?.1.split(['/', '?', '#']).next()?,
            Self::Tcp(address) => address.as_str(),
            Self::Log(_) | Self::Command(_) | Self::Notify | Self::Ports => return None,
        };
        let (host, port) = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'))?;
        let is_local = matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "::1" | "0.0.0.0" | "[::]");
        is_local.then(|| port.parse().ok()).flatten()
    }
}

/// When and how logs are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Past this many bytes.
    pub max_size: u64,
    /// How many old files are kept per log.
    pub retain: u32,
    /// Whether the old ones are compressed.
    pub compress: bool,
}

/// One task, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskPlan {
    /// Its name.
    pub name: String,
    /// The program, as written.
    pub script: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// Variables that differ from the shell's.
    pub env: BTreeMap<String, Option<String>>,
    /// Variables that an `env_file` would set, were they not the shell's.
    #[serde(default)]
    pub from_shell: Vec<String>,
    /// What may stand in its texts, is none of its variables, and must not be shown.
    #[serde(default)]
    pub replaced: Replaced,
    /// What it reads: files, directories or globs, relative to the workspace.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// What it writes, likewise.
    #[serde(default)]
    pub outputs: Vec<String>,
}

impl Plan {
    /// The longest an orderly stop may take: a service ends after those that depend on it, each in its own time.
    pub fn stop_limit(&self) -> Duration {
        let mut limits = BTreeMap::new();
        self.services
            .iter()
            .map(|service| self.stop_limit_of(service, &mut limits))
            .max()
            .unwrap_or_default()
    }

    /// The same from `service` to its last dependency; a plan has no cycles.
    fn stop_limit_of<'a>(&'a self, service: &'a ServicePlan, known: &mut BTreeMap<&'a str, Duration>) -> Duration {
        if let Some(limit) = known.get(service.name.as_str()) {
            return *limit;
        }
        let names = service.depends_on.iter().map(|dependency| &dependency.name);
        let after = names
            .filter_map(|name| self.services.iter().find(|other| other.name == *name))
            .map(|other| self.stop_limit_of(other, known))
            .max()
            .unwrap_or_default();
        let limit = service.policy.kill_timeout + KILL_LIMIT + after;
        known.insert(&service.name, limit);
        limit
    }
}

impl ServicePlan {
    /// The values that its texts may hold, and those about it: of its variables, those replaced included, and of what it builds.
    pub fn values(&self) -> impl Iterator<Item = (&String, &String)> {
        let builds = self.builds.iter().flat_map(TaskPlan::values);
        set_in(&self.env).chain(&self.replaced.0).chain(builds)
    }
}

impl TaskPlan {
    /// The values that its texts may hold: of its variables, those replaced included.
    pub fn values(&self) -> impl Iterator<Item = (&String, &String)> {
        set_in(&self.env).chain(&self.replaced.0)
    }
}

/// The variables that are set, without those that are removed.
pub fn set_in(own: &BTreeMap<String, Option<String>>) -> impl Iterator<Item = (&String, &String)> {
    own.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)))
}

/// The shell's environment with a service's or task's own changes.
pub fn environment(
    shell: &BTreeMap<String, String>,
    own: &BTreeMap<String, Option<String>>,
) -> BTreeMap<String, String> {
    let mut all = shell.clone();
    for (name, value) in own {
        match value {
            Some(value) => all.insert(name.clone(), value.clone()),
            None => all.remove(name),
        };
    }
    all
}

/// `path` below `base`, unless it is absolute; without `.` components, so that it reads well.
pub(crate) fn below(base: &Path, path: &str) -> PathBuf {
    base.join(path).components().collect()
}
