//! `[services.NAME]` as a type, and what stands in it.
//!
//! Every key is optional here, because an override has the same ones; defaults are filled elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Container, CronLine, Located, Place, Signal, Size, Words};

/// `[services.NAME]` or `overrides.NAME` of a profile: each key as written, `None` where absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// Where its name stands.
    pub at: Place,
    /// The program or script; never empty. A service has one, an override may.
    pub script: Option<String>,
    /// Its arguments.
    pub args: Option<Words>,
    /// The program that runs `script`; `"none"` is none.
    pub interpreter: Option<String>,
    /// Arguments between the interpreter and `script`.
    pub interpreter_args: Option<Words>,
    /// Working directory.
    pub cwd: Option<String>,
    /// Variables, by name.
    pub env: BTreeMap<String, EnvValue>,
    /// `.env` files, weakest first.
    pub env_file: Option<Vec<Located<String>>>,
    /// What restarts it when changed.
    pub watch: Option<Watch>,
    /// Quiet time after the last change.
    pub watch_delay: Option<Duration>,
    /// Globs of what is not watched.
    pub ignore_watch: Option<Vec<String>>,
    /// Tasks that run before a start and before a watch restart.
    pub build: Option<Vec<Located<String>>>,
    /// Whether it restarts when it exits.
    pub autorestart: Option<Autorestart>,
    /// Restarts in a row after unstable runs.
    pub max_restarts: Option<u32>,
    /// A run shorter than this is unstable.
    pub min_uptime: Option<Duration>,
    /// Wait before a restart.
    pub restart_delay: Option<Duration>,
    /// First delay of a growing one.
    pub exp_backoff_restart_delay: Option<Duration>,
    /// Exit codes, 0 to 255, that count as a stop.
    pub stop_exit_codes: Option<Vec<i32>>,
    /// The memory of the whole tree past which it restarts; never 0.
    pub max_memory_restart: Option<Size>,
    /// The signal of a graceful stop.
    pub kill_signal: Option<Signal>,
    /// How long a graceful stop may take.
    pub kill_timeout: Option<Duration>,
    /// When it restarts on schedule.
    pub cron_restart: Option<CronLine>,
    /// What it waits for, in written order.
    pub depends_on: Option<Vec<(Located<String>, Dependency)>>,
    /// When it counts as ready.
    pub ready: Option<Ready>,
    /// The ports it listens on.
    pub ports: Option<Vec<Port>>,
    /// How many copies run, 1 to 1000.
    pub instances: Option<u32>,
    /// Whether it gets a terminal.
    pub pty: Option<bool>,
    /// Log file of its stdout.
    pub out_file: Option<String>,
    /// Log file of its stderr.
    pub error_file: Option<String>,
    /// The stamp that begins each log line, strftime; `""` is none.
    pub log_date_format: Option<String>,
    /// Its own log rotation.
    pub rotation: Rotation,
    /// How it runs in a container.
    pub container: Option<Container>,
}

/// `max_size`, `retain` and `compress`, of `[logs]` or of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// A log past this size is rotated; never 0.
    pub max_size: Option<Size>,
    /// So many old files are kept per log.
    pub retain: Option<u32>,
    /// Whether old files are compressed.
    pub compress: Option<bool>,
}

/// What happens to one variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    /// It gets this value, after `${…}` is expanded; that it expands was proven.
    Set(String),
    /// It is taken out of the environment.
    Remove,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Nothing: `false`, or an empty list.
    Off,
    /// The service's working directory: `true`.
    Cwd,
    /// These paths.
    Paths(Vec<String>),
}

/// `autorestart`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autorestart {
    /// `true`: whenever it exits.
    Always,
    /// `false`.
    Never,
    /// `"on-failure"`: unless it exits with 0.
    OnFailure,
}

/// What a dependency must have reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Its program runs.
    Started,
    /// It is ready.
    #[default]
    Ready,
    /// It exited with 0: a task, or a service that is one.
    Completed,
}

/// How a service depends on another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What is waited for.
    pub condition: Condition,
    /// Whether this service restarts whenever the other comes back.
    pub restart: bool,
}

/// `ready`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// How it is asked; `None` leaves that to ports and uptime.
    pub probe: Option<Probe>,
    /// How long it may take; never 0.
    pub timeout: Option<Duration>,
    /// Time between two probes; never 0.
    pub interval: Option<Duration>,
}

/// How a service is asked whether it is ready. The texts may still hold `${…}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// An `http://` URL that answers 2xx or 3xx.
    Http(String),
    /// A `HOST:PORT` that accepts a connection.
    Tcp(String),
    /// A regular expression, proven to compile, that a line of its output matches; `${…}` is not expanded here.
    Log(String),
    /// A program and its arguments that exit with 0; never empty.
    Command(Vec<String>),
    /// `READY=1` on the socket named by `NOTIFY_SOCKET`.
    Notify,
}

/// A port it listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// 1 to 65535.
    Number(u16),
    /// Text with `${…}` that becomes a number once the environment is known.
    Text(Located<String>),
}

impl Service {
    /// This service with an override on top: `env` and rotation are merged key by key, all else is replaced where the
    /// override has it. The place stays that of this one.
    pub fn merged_with(&self, over: &Self) -> Self {
        let mut env = self.env.clone();
        env.extend(over.env.clone());
        macro_rules! over {
            ($($key:ident),+ $(,)?) => {
                Self { at: self.at, env, rotation: self.rotation.merged_with(over.rotation),
                    $($key: over.$key.clone().or_else(|| self.$key.clone()),)+ }
            };
        }
        over!(
            script,
            args,
            interpreter,
            interpreter_args,
            cwd,
            env_file,
            watch,
            watch_delay,
            ignore_watch,
            build,
            autorestart,
            max_restarts,
            min_uptime,
            restart_delay,
            exp_backoff_restart_delay,
            stop_exit_codes,
            max_memory_restart,
            kill_signal,
            kill_timeout,
            cron_restart,
            depends_on,
            ready,
            ports,
            instances,
            pty,
            out_file,
            error_file,
            log_date_format,
            container,
        )
    }
}

impl Rotation {
    /// These settings with others on top, key by key.
    pub fn merged_with(self, over: Self) -> Self {
        Self {
            max_size: over.max_size.or(self.max_size),
            retain: over.retain.or(self.retain),
            compress: over.compress.or(self.compress),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(value: &str) -> EnvValue {
        EnvValue::Set(value.to_owned())
    }

    #[test]
    fn an_override_merges_env_and_rotation_and_replaces_the_rest() {
        let base = Service {
            script: Some("npm".to_owned()),
            max_restarts: Some(3),
            ports: Some(vec![Port::Number(1), Port::Number(2)]),
            env: BTreeMap::from([("A".to_owned(), set("1")), ("B".to_owned(), set("2"))]),
            rotation: Rotation {
                retain: Some(7),
                ..Rotation::default()
            },
            ..Service::default()
        };
        let over = Service {
            at: Place { line: 9, column: 9 },
            max_restarts: Some(5),
            ports: Some(vec![]),
            env: BTreeMap::from([("B".to_owned(), EnvValue::Remove)]),
            rotation: Rotation {
                compress: Some(true),
                ..Rotation::default()
            },
            ..Service::default()
        };
        let expected = Service {
            max_restarts: Some(5),
            ports: Some(vec![]),
            env: BTreeMap::from([("A".to_owned(), set("1")), ("B".to_owned(), EnvValue::Remove)]),
            rotation: Rotation {
                max_size: None,
                retain: Some(7),
                compress: Some(true),
            },
            ..base.clone()
        };
        assert_eq!(base.merged_with(&over), expected);
        assert_eq!(base.merged_with(&Service::default()), base);
    }
}
