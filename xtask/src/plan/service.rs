//! One service → its instances, every default filled in.

use super::environment::{Origin, Table};
use super::profile::Profile;
use super::resolve::Resolver;
use super::strings::{Strings, script_place};
use super::{Dependency, Interpreter, Probe, Rotation, ServicePlan, below};
use crate::config::{self, Autorestart, Signal, Watch};
use crate::policy::{Policy, Readiness};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

const MIN_UPTIME: Duration = Duration::from_secs(1);
const WATCH_DELAY: Duration = Duration::from_millis(200);
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const READY_INTERVAL: Duration = Duration::from_millis(200);
const MAX_RESTARTS: u32 = 16;
const ROTATION: Rotation = Rotation {
    max_size: 10 << 20,
    retain: 7,
    compress: true,
};

/// What is written for a service in one profile.
struct Written<'a> {
    /// Its name in `dev.toml`.
    name: &'a str,
    /// With the profile's overrides on top.
    merged: config::Service,
    /// Its variables, weakest first, by where they are written.
    env: Vec<Table<'a>>,
    /// Where the profile keeps its logs.
    logs: &'a Path,
}

impl Resolver<'_> {
    /// Resolves one service into its instances.
    pub(super) fn service(&mut self, name: &str, profile: &Profile, logs: &Path, into: &mut Vec<ServicePlan>) {
        let Some(service) = self.config.services.get(name) else {
            return self.problem(None, format!("no service `{name}`"));
        };
        let over = profile.overrides.get(name);
        let written = Written {
            name,
            merged: over.map_or_else(|| service.clone(), |over| service.merged_with(over)),
            env: [
                Table(Origin::Profile, &profile.env),
                Table(Origin::Service, &service.env),
            ]
            .into_iter()
            .chain(over.map(|over| Table(Origin::Override, &over.env)))
            .collect(),
            logs,
        };
        let count = written.merged.instances.unwrap_or(1);
        for instance in 0..count {
            let number = (count > 1).then_some(instance);
            let mut errors = Vec::new();
            let plan = self.instance(&written, number, profile, &mut errors);
            for error in errors {
                self.problem(Some(service.at), format!("[services.{name}] {error}"));
            }
            into.push(plan);
        }
    }

    fn instance(
        &mut self,
        written: &Written<'_>,
        number: Option<u32>,
        profile: &Profile,
        errors: &mut Vec<String>,
    ) -> ServicePlan {
        let service = &written.merged;
        let name = number.map_or_else(
            || written.name.to_owned(),
            |number| format!("{}-{number}", written.name),
        );
        let files = profile.env_file.iter().chain(service.env_file.iter().flatten());
        let resolved = self.own_environment(files.collect(), written.env.clone(), number, errors);
        let (mut own, mut origins, replaced) = (resolved.own, resolved.origins, resolved.replaced);
        if let Some(number) = number {
            own.insert("XTASK_INSTANCE".to_owned(), Some(number.to_string()));
            origins.0.insert("XTASK_INSTANCE".to_owned(), Origin::Instance);
        }
        let mut strings = Strings {
            shell: &self.invocation.shell,
            own: &own,
            errors,
        };
        let cwd = below(
            self.workspace,
            &strings.text("cwd", service.cwd.as_deref().unwrap_or(".")),
        );
        let ports: Vec<u16> = service
            .ports
            .iter()
            .flatten()
            .filter_map(|port| strings.port(port))
            .collect();
        let probe = probe(&mut strings, service, &ports);
        let [out_file, error_file] = self.log_files(&mut strings, written, &name);
        let interpreter = interpreter(&mut strings, service);
        let (script, args) = command(&mut strings, service, interpreter.as_ref());
        let builds = self.service_builds(service);
        let interval = service.ready.as_ref().and_then(|ready| ready.interval);
        ServicePlan {
            script,
            args,
            interpreter,
            depends_on: self.dependencies(service),
            policy: policy(service, probe.is_some(), !builds.is_empty()),
            probe_interval: interval.unwrap_or(READY_INTERVAL),
            probe,
            ports,
            watch: self.watched(service, &cwd),
            ignore_watch: service.ignore_watch.clone().unwrap_or_default(),
            builds: self.tasks(&builds, profile),
            max_memory_restart: service.max_memory_restart.map(|size| size.0),
            pty: service.pty.unwrap_or_default(),
            cron_restart: service.cron_restart.clone(),
            out_file,
            error_file,
            rotation: self.rotation(service),
            log_date_format: service.log_date_format.clone(),
            cwd,
            env: own,
            origins,
            replaced,
            name,
        }
    }

    /// Where stdout and stderr go; `/dev/null` is nowhere. A terminal carries both as one, to where stdout goes.
    fn log_files(&self, strings: &mut Strings<'_>, written: &Written<'_>, name: &str) -> [Option<PathBuf>; 2] {
        let service = &written.merged;
        let pty = service.pty.unwrap_or_default();
        if pty && service.error_file.is_some() {
            let why = "error_file: with `pty` both outputs come by one terminal and go to `out_file`; remove one of the two keys";
            strings.errors.push(why.to_owned());
        }
        let streams = [
            ("out_file", &service.out_file, "out"),
            ("error_file", &service.error_file, "error"),
        ];
        streams.map(
            |(key, path, stream)| match path.as_deref().map(|path| strings.text(key, path)).as_deref() {
                Some("/dev/null") => None,
                Some(path) => Some(without_steps_up(&below(self.workspace, path))),
                None if pty && stream == "error" => None,
                None => Some(written.logs.join(format!("{name}-{stream}.log"))),
            },
        )
    }

    /// The services that it depends on; a task that it depends on is built before the start.
    fn dependencies(&mut self, service: &config::Service) -> Vec<Dependency> {
        let mut services = Vec::new();
        for (name, dependency) in service.depends_on.iter().flatten() {
            if self.config.services.contains_key(&name.value) {
                let (condition, restart) = (dependency.condition, dependency.restart);
                services.push(Dependency {
                    name: name.value.clone(),
                    condition,
                    restart,
                });
            } else if !self.required_tasks.contains(&name.value) {
                self.required_tasks.push(name.value.clone());
            }
        }
        services
    }

    fn rotation(&self, service: &config::Service) -> Rotation {
        let (own, all) = (&service.rotation, &self.config.logs);
        Rotation {
            max_size: own.max_size.or(all.max_size).map_or(ROTATION.max_size, |size| size.0),
            retain: own.retain.or(all.retain).unwrap_or(ROTATION.retain),
            compress: own.compress.or(all.compress).unwrap_or(ROTATION.compress),
        }
    }

    fn watched(&self, service: &config::Service, cwd: &Path) -> Vec<PathBuf> {
        if self.invocation.options.no_watch {
            return Vec::new();
        }
        match &service.watch {
            None | Some(Watch::Off) => Vec::new(),
            Some(Watch::Cwd) => vec![cwd.to_owned()],
            Some(Watch::Paths(paths)) => paths.iter().map(|path| below(self.workspace, path)).collect(),
        }
    }
}

fn policy(service: &config::Service, probed: bool, builds: bool) -> Policy {
    let timeout = service
        .ready
        .as_ref()
        .and_then(|ready| ready.timeout)
        .unwrap_or(READY_TIMEOUT);
    Policy {
        autorestart: service.autorestart.unwrap_or(Autorestart::Always),
        max_restarts: service.max_restarts.unwrap_or(MAX_RESTARTS),
        min_uptime: service.min_uptime.unwrap_or(MIN_UPTIME),
        restart_delay: service.restart_delay.unwrap_or_default(),
        exp_backoff_restart_delay: service.exp_backoff_restart_delay.filter(|delay| !delay.is_zero()),
        stop_exit_codes: service.stop_exit_codes.clone().unwrap_or_default(),
        kill_signal: service.kill_signal.unwrap_or(Signal::Int),
        kill_timeout: service.kill_timeout.unwrap_or(KILL_TIMEOUT),
        watch_delay: service.watch_delay.unwrap_or(WATCH_DELAY),
        readiness: if probed {
            Readiness::Probe(timeout)
        } else {
            Readiness::Uptime
        },
        builds,
    }
}

fn interpreter(strings: &mut Strings<'_>, service: &config::Service) -> Option<Interpreter> {
    let program = service
        .interpreter
        .as_deref()
        .filter(|program| *program != "none" && !program.is_empty())?;
    let program = strings.text("interpreter", program);
    let words = service.interpreter_args.as_ref().map(config::Words::split);
    let args = strings.args_of(&program, "interpreter_args", &words.unwrap_or_default());
    Some(Interpreter { program, args })
}

/// The same path without `..`: one file must not seem to be two.
fn without_steps_up(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

/// The script and its arguments.
fn command(
    strings: &mut Strings<'_>,
    service: &config::Service,
    interpreter: Option<&Interpreter>,
) -> (String, Vec<String>) {
    let script = service.script.as_deref().unwrap_or_default();
    let words = service.args.as_ref().map(config::Words::split).unwrap_or_default();
    match interpreter {
        None => {
            let script = strings.text("script", script);
            let args = strings.args_of(&script, "args", &words);
            (script, args)
        }
        // `bash -c` as the interpreter: the script is no file but the text of one.
        Some(Interpreter { program, args }) if script_place(program, args) == Some(args.len()) => {
            (script.to_owned(), strings.list("args", &words))
        }
        Some(_) => (strings.text("script", script), strings.list("args", &words)),
    }
}

/// The written probe; without one the ports, where there are any.
fn probe(strings: &mut Strings<'_>, service: &config::Service, ports: &[u16]) -> Option<Probe> {
    let written = service.ready.as_ref().and_then(|ready| ready.probe.as_ref());
    match written {
        Some(config::Probe::Http(url)) => {
            let url = strings.text("ready.http", url);
            if let Err(why) = config::check_url(&url) {
                strings.errors.push(format!("ready.http: {why}"));
            }
            Some(Probe::Http(url))
        }
        Some(config::Probe::Tcp(address)) => Some(Probe::Tcp(strings.text("ready.tcp", address))),
        Some(config::Probe::Log(regex)) => Some(Probe::Log(regex.clone())),
        Some(config::Probe::Command(words)) => {
            let (program, args) = words.split_first()?;
            let program = strings.text("ready.command", program);
            let args = strings.args_of(&program, "ready.command", args);
            Some(Probe::Command(std::iter::once(program).chain(args).collect()))
        }
        Some(config::Probe::Notify) => Some(Probe::Notify),
        None => (!ports.is_empty()).then_some(Probe::Ports),
    }
}
