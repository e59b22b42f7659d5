//! Every key of a service, and which of them a service writes. An engine says of each what becomes of it, without a `_`:
//! who adds a key to `dev.toml` is asked here, and then by each engine, before anything compiles.

use crate::config::{Rotation, Service};

macro_rules! keys {
    ($($variant:ident = $name:literal,)+) => {
        /// A key of `[services.NAME]`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Key { $(#[doc = $name] $variant,)+ }

        impl Key {
            /// Every key.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As it is written.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

keys! {
    Script = "script",
    Args = "args",
    Interpreter = "interpreter",
    InterpreterArgs = "interpreter_args",
    Cwd = "cwd",
    Env = "env",
    EnvFile = "env_file",
    Watch = "watch",
    WatchDelay = "watch_delay",
    IgnoreWatch = "ignore_watch",
    Build = "build",
    Autorestart = "autorestart",
    MaxRestarts = "max_restarts",
    MinUptime = "min_uptime",
    RestartDelay = "restart_delay",
    ExpBackoffRestartDelay = "exp_backoff_restart_delay",
    StopExitCodes = "stop_exit_codes",
    MaxMemoryRestart = "max_memory_restart",
    KillSignal = "kill_signal",
    KillTimeout = "kill_timeout",
    CronRestart = "cron_restart",
    DependsOn = "depends_on",
    Ready = "ready",
    Ports = "ports",
    Instances = "instances",
    Pty = "pty",
    OutFile = "out_file",
    ErrorFile = "error_file",
    LogDateFormat = "log_date_format",
    MaxSize = "max_size",
    Retain = "retain",
    Compress = "compress",
    Container = "container",
}

/// What becomes of a key in an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is in the output; where a value of it has no counterpart, the place that writes the rest says so.
    Exported,
    /// Its effect is there without it.
    Needless,
    /// It has no counterpart; the text says what there is instead.
    Listed(&'static str),
}

/// The keys that a service writes.
pub fn written(service: &Service) -> Vec<Key> {
    let Service {
        at: _,
        script,
        args,
        interpreter,
        interpreter_args,
        cwd,
        env,
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
        rotation: Rotation {
            max_size,
            retain,
            compress,
        },
        container,
    } = service;
    let watching = watch.as_ref().is_some_and(|watch| *watch != crate::config::Watch::Off);
    let all = [
        (Key::Script, script.is_some()),
        (Key::Args, args.is_some()),
        (Key::Interpreter, interpreter.is_some()),
        (Key::InterpreterArgs, interpreter_args.is_some()),
        (Key::Cwd, cwd.is_some()),
        (Key::Env, !env.is_empty()),
        (Key::EnvFile, env_file.is_some()),
        (Key::Watch, watching),
        (Key::WatchDelay, watching && watch_delay.is_some()),
        (Key::IgnoreWatch, watching && ignore_watch.is_some()),
        (Key::Build, build.is_some()),
        (Key::Autorestart, autorestart.is_some()),
        (Key::MaxRestarts, max_restarts.is_some()),
        (Key::MinUptime, min_uptime.is_some()),
        (Key::RestartDelay, restart_delay.is_some()),
        (Key::ExpBackoffRestartDelay, exp_backoff_restart_delay.is_some()),
        (Key::StopExitCodes, stop_exit_codes.is_some()),
        (Key::MaxMemoryRestart, max_memory_restart.is_some()),
        (Key::KillSignal, kill_signal.is_some()),
        (Key::KillTimeout, kill_timeout.is_some()),
        (Key::CronRestart, cron_restart.is_some()),
        (Key::DependsOn, depends_on.is_some()),
        (Key::Ready, ready.is_some()),
        (Key::Ports, ports.is_some()),
        (Key::Instances, instances.is_some()),
        (Key::Pty, pty.is_some()),
        (Key::OutFile, out_file.is_some()),
        (Key::ErrorFile, error_file.is_some()),
        (Key::LogDateFormat, log_date_format.is_some()),
        (Key::MaxSize, max_size.is_some()),
        (Key::Retain, retain.is_some()),
        (Key::Compress, compress.is_some()),
        (Key::Container, container.is_some()),
    ];
    all.into_iter().filter_map(|(key, is)| is.then_some(key)).collect()
}

/// The keys of `[logs]` that are written.
pub fn written_logs(logs: &Rotation) -> Vec<Key> {
    let Rotation {
        max_size,
        retain,
        compress,
    } = logs;
    let all = [
        (Key::MaxSize, max_size.is_some()),
        (Key::Retain, retain.is_some()),
        (Key::Compress, compress.is_some()),
    ];
    all.into_iter().filter_map(|(key, is)| is.then_some(key)).collect()
}
