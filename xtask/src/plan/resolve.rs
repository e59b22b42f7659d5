//! `Config` + profile + names + environment → `Plan`.
//! Pure: files are read through a function that the caller gives.

use super::environment::{self, Own, ReadFile, Sources};
use super::strings::Strings;
use super::{Dependency, Interpreter, Invocation, Plan, Probe, Rotation, ServicePlan, TaskPlan, below};
use crate::config::{self, Autorestart, Config, Located, Problem, Problems, Signal, Watch};
use crate::policy::{Policy, Readiness};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The profile that exists when `dev.toml` names none: all services.
const IMPLICIT_PROFILE: &str = "dev";

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

/// The names of all profiles; the implicit one where none is written.
pub fn profile_names(config: &Config) -> Vec<String> {
    if config.profiles.is_empty() {
        return vec![IMPLICIT_PROFILE.to_owned()];
    }
    config.profiles.keys().cloned().collect()
}

/// Resolves `profile` (or the default one).
///
/// # Errors
/// Everything that is wrong, at once, each with its place where it has one.
pub fn resolve(
    config: &Config,
    file: &Path,
    profile: Option<&str>,
    invocation: &Invocation,
    read: ReadFile<'_>,
) -> Result<Plan, Problems> {
    let name = choose_profile(config, profile)?;
    let mut resolver = Resolver::new(config, file, invocation, read);
    let workspace = resolver.workspace;
    let resolved = resolver.profile(&name);
    let state_dir = below(workspace, config.state_dir.as_deref().unwrap_or(".dev"));
    let logs = state_dir.join(&name).join("logs");
    let listed = resolved.services.clone().unwrap_or_default();
    let names = resolver.select(&listed);
    let mut services = Vec::new();
    let mut instances = BTreeMap::new();
    for name in &names {
        let first = services.len();
        resolver.service(name, &resolved, &logs, &mut services);
        instances.insert(
            name.as_str(),
            services[first..].iter().map(|service| service.name.clone()).collect(),
        );
    }
    resolver.link(&mut services, &listed, &instances);
    let builds = resolver.builds(&resolved, &services);
    resolver.unique_logs(&services);
    if !resolver.problems.is_empty() {
        return Err(Problems(config.file.clone(), resolver.problems));
    }
    Ok(Plan {
        workspace: workspace.to_owned(),
        file: file.to_owned(),
        profile: name,
        state_dir,
        services,
        builds,
    })
}

/// Resolves one task with the environment of `profile`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn resolve_task(
    config: &Config,
    file: &Path,
    profile: &str,
    name: &str,
    invocation: &Invocation,
    read: ReadFile<'_>,
) -> Result<TaskPlan, Problems> {
    let mut resolver = Resolver::new(config, file, invocation, read);
    let profile = resolver.profile(profile);
    let task = resolver.tasks(&[name.to_owned()], &profile).pop();
    match task {
        Some(task) if resolver.problems.is_empty() => Ok(task),
        Some(_) | None => Err(Problems(config.file.clone(), resolver.problems)),
    }
}

fn choose_profile(config: &Config, asked: Option<&str>) -> Result<String, Problems> {
    let names = profile_names(config);
    let default = config.default_profile.as_ref().map(|name| name.value.as_str());
    let name = match asked.or(default) {
        Some(name) => name.to_owned(),
        None if names.len() == 1 => names[0].clone(),
        None if names.iter().any(|name| name == IMPLICIT_PROFILE) => IMPLICIT_PROFILE.to_owned(),
        None => {
            let message = format!(
                "no profile was named; use -p with one of {}, or set `default_profile`",
                names.join(", ")
            );
            return Err(Problems(config.file.clone(), vec![Problem { place: None, message }]));
        }
    };
    if names.contains(&name) {
        return Ok(name);
    }
    let message = format!("no profile `{name}`; there is {}", names.join(", "));
    Err(Problems(config.file.clone(), vec![Problem { place: None, message }]))
}

/// A profile with what it extends merged in.
#[derive(Default)]
struct Profile {
    services: Option<Vec<String>>,
    build: Option<Vec<String>>,
    env: BTreeMap<String, config::EnvValue>,
    env_file: Vec<String>,
    overrides: BTreeMap<String, config::Service>,
}

struct Resolver<'a> {
    config: &'a Config,
    workspace: &'a Path,
    invocation: &'a Invocation,
    read: ReadFile<'a>,
    problems: Vec<Problem>,
    /// Tasks that some service depends on.
    required_tasks: Vec<String>,
}

impl<'a> Resolver<'a> {
    fn new(config: &'a Config, file: &'a Path, invocation: &'a Invocation, read: ReadFile<'a>) -> Self {
        let workspace = file.parent().unwrap_or(Path::new("/"));
        Self {
            config,
            workspace,
            invocation,
            read,
            problems: Vec::new(),
            required_tasks: Vec::new(),
        }
    }

    fn problem(&mut self, place: Option<config::Place>, message: impl Into<String>) {
        self.problems.push(Problem {
            place,
            message: message.into(),
        });
    }

    /// The profile with its ancestors; validation has proven that they exist and end.
    fn profile(&mut self, name: &str) -> Profile {
        let mut merged = Profile::default();
        for (_, profile) in self.config.lineage(name).into_iter().rev() {
            let values = |list: &Vec<Located<String>>| list.iter().map(|name| name.value.clone()).collect();
            merged.services = profile.services.as_ref().map(values).or(merged.services);
            merged.build = profile.build.as_ref().map(values).or(merged.build);
            merged.env.extend(profile.env.clone());
            merged.env_file = profile.env_file.clone().unwrap_or(merged.env_file);
            for (service, over) in &profile.overrides {
                let base = merged.overrides.remove(service).unwrap_or_default();
                merged.overrides.insert(service.clone(), base.merged_with(&over.value));
            }
        }
        if merged.services.is_none() {
            merged.services = Some(self.config.services.keys().cloned().collect());
        }
        merged
    }

    /// Applies `--only` and `--except`.
    fn select(&mut self, listed: &[String]) -> Vec<String> {
        let options = &self.invocation.options;
        for (flag, given) in [("--only", &options.only), ("--except", &options.except)] {
            for name in given.iter().filter(|name| !listed.contains(name)) {
                let message = format!(
                    "{flag} {name}: this profile has no such service; it has {}",
                    listed.join(", ")
                );
                self.problem(None, message);
            }
        }
        let mut seen = BTreeSet::new();
        let chosen =
            |name: &&String| (options.only.is_empty() || options.only.contains(name)) && !options.except.contains(name);
        let names: Vec<String> = listed
            .iter()
            .filter(chosen)
            .filter(|name| seen.insert(*name))
            .cloned()
            .collect();
        if names.is_empty() && self.problems.is_empty() {
            let why = if listed.is_empty() {
                "the profile lists none"
            } else {
                "--only and --except leave none"
            };
            self.problem(None, format!("no service to run: {why}"));
        }
        names
    }

    /// Resolves one service into its instances.
    fn service(&mut self, name: &str, profile: &Profile, logs: &Path, into: &mut Vec<ServicePlan>) {
        let Some(written) = self.config.services.get(name) else {
            return self.problem(None, format!("no service `{name}`"));
        };
        let merged = match profile.overrides.get(name) {
            Some(over) => written.merged_with(over),
            None => written.clone(),
        };
        let count = merged.instances.unwrap_or(1);
        for instance in 0..count {
            let number = (count > 1).then_some(instance);
            let mut errors = Vec::new();
            let plan = self.instance(name, number, &merged, profile, logs, &mut errors);
            for error in errors {
                self.problem(Some(written.at), format!("[services.{name}] {error}"));
            }
            into.push(plan);
        }
    }

    fn instance(
        &mut self,
        base: &str,
        number: Option<u32>,
        service: &config::Service,
        profile: &Profile,
        logs: &Path,
        errors: &mut Vec<String>,
    ) -> ServicePlan {
        let name = number.map_or_else(|| base.to_owned(), |number| format!("{base}-{number}"));
        let files = profile
            .env_file
            .iter()
            .chain(service.env_file.iter().flatten())
            .collect();
        let mut own = self.own_environment(files, vec![&profile.env, &service.env], errors);
        if let Some(number) = number {
            own.insert("XTASK_INSTANCE".to_owned(), Some(number.to_string()));
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
        let file = |text: Option<String>, stream: &str| match text.as_deref() {
            Some("/dev/null") => None,
            Some(path) => Some(below(self.workspace, path)),
            None => Some(logs.join(format!("{name}-{stream}.log"))),
        };
        let out_file = service.out_file.as_deref().map(|path| strings.text("out_file", path));
        let error_file = service
            .error_file
            .as_deref()
            .map(|path| strings.text("error_file", path));
        let script = strings.text("script", service.script.as_deref().unwrap_or_default());
        let args = strings.words("args", service.args.as_ref());
        let interpreter = interpreter(&mut strings, service);
        let builds = self.service_builds(service);
        let watch = self.watched(service, &cwd);
        let dependencies = self.dependencies(service);
        ServicePlan {
            script,
            args,
            interpreter,
            depends_on: dependencies,
            policy: policy(service, probe.is_some(), !builds.is_empty()),
            probe_interval: service
                .ready
                .as_ref()
                .and_then(|ready| ready.interval)
                .unwrap_or(READY_INTERVAL),
            probe,
            ports,
            watch,
            ignore_watch: service.ignore_watch.clone().unwrap_or_default(),
            builds: self.tasks(&builds, profile),
            max_memory_restart: service.max_memory_restart.map(|size| size.0),
            out_file: file(out_file, "out"),
            error_file: file(error_file, "error"),
            rotation: self.rotation(service),
            cwd,
            env: own,
            name,
        }
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

    fn own_environment(
        &self,
        files: Vec<&String>,
        tables: Vec<&BTreeMap<String, config::EnvValue>>,
        errors: &mut Vec<String>,
    ) -> Own {
        let (workspace, shell, set) = (self.workspace, &self.invocation.shell, &self.invocation.options.set);
        environment::own(
            &Sources {
                workspace,
                shell,
                files,
                tables,
                set,
            },
            self.read,
            errors,
        )
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

    fn service_builds(&self, service: &config::Service) -> Vec<String> {
        if self.invocation.options.no_build {
            return Vec::new();
        }
        service.build.iter().flatten().map(|task| task.value.clone()).collect()
    }

    fn tasks(&mut self, names: &[String], profile: &Profile) -> Vec<TaskPlan> {
        let config = self.config;
        names
            .iter()
            .filter_map(|name| config.tasks.get(name).map(|task| (name, task)))
            .map(|(name, task)| {
                let mut errors = Vec::new();
                let plan = self.task(name, task, profile, &mut errors);
                for error in errors {
                    self.problem(Some(task.at), format!("[tasks.{name}] {error}"));
                }
                plan
            })
            .collect()
    }

    fn task(&self, name: &str, task: &config::Task, profile: &Profile, errors: &mut Vec<String>) -> TaskPlan {
        let own = self.own_environment(profile.env_file.iter().collect(), vec![&profile.env, &task.env], errors);
        let mut strings = Strings {
            shell: &self.invocation.shell,
            own: &own,
            errors,
        };
        TaskPlan {
            name: name.to_owned(),
            script: strings.text("script", &task.script),
            args: strings.words("args", Some(&task.args)),
            cwd: below(self.workspace, &strings.text("cwd", task.cwd.as_deref().unwrap_or("."))),
            env: own,
        }
    }

    /// Makes the written `depends_on` name what runs: instances for their service, left-out services not at all.
    fn link(&mut self, services: &mut [ServicePlan], listed: &[String], instances: &BTreeMap<&str, Vec<String>>) {
        for service in services {
            let mut linked = Vec::new();
            for dependency in std::mem::take(&mut service.depends_on) {
                if let Some(names) = instances.get(dependency.name.as_str()) {
                    linked.extend(names.iter().map(|name| Dependency {
                        name: name.clone(),
                        ..dependency.clone()
                    }));
                } else if !listed.contains(&dependency.name) {
                    let message = format!(
                        "[services.{}] depends on `{}`, which this profile does not list; add it to `services` or override `depends_on`",
                        service.name, dependency.name
                    );
                    self.problem(None, message);
                }
            }
            service.depends_on = linked;
        }
    }

    fn builds(&mut self, profile: &Profile, services: &[ServicePlan]) -> Vec<TaskPlan> {
        if self.invocation.options.no_build {
            return Vec::new();
        }
        let required = std::mem::take(&mut self.required_tasks);
        let listed = profile
            .build
            .iter()
            .flatten()
            .chain(&required)
            .cloned()
            .collect::<Vec<_>>();
        let mut builds = Vec::new();
        for build in self
            .tasks(&listed, profile)
            .iter()
            .chain(services.iter().flat_map(|service| &service.builds))
        {
            if !builds.contains(build) {
                builds.push(build.clone());
            }
        }
        builds
    }

    /// Two writers of one file would rotate it under each other.
    fn unique_logs(&mut self, services: &[ServicePlan]) {
        let mut seen = BTreeMap::new();
        for service in services {
            for path in service.out_file.iter().chain(&service.error_file) {
                if let Some(other) = seen.insert(path.clone(), service.name.clone()) {
                    let message = format!(
                        "[services.{}] the log file {} is also the one of {other}; give each its own (`${{XTASK_INSTANCE}}` tells instances apart)",
                        service.name,
                        path.display()
                    );
                    self.problem(None, message);
                }
            }
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
    let args = strings.words("interpreter_args", service.interpreter_args.as_ref());
    Some(Interpreter {
        program: strings.text("interpreter", program),
        args,
    })
}

/// The written probe; without one the ports, where there are any.
fn probe(strings: &mut Strings<'_>, service: &config::Service, ports: &[u16]) -> Option<Probe> {
    let written = service.ready.as_ref().and_then(|ready| ready.probe.as_ref());
    match written {
        Some(config::Probe::Http(url)) => Some(Probe::Http(strings.text("ready.http", url))),
        Some(config::Probe::Tcp(address)) => Some(Probe::Tcp(strings.text("ready.tcp", address))),
        Some(config::Probe::Log(regex)) => Some(Probe::Log(regex.clone())),
        Some(config::Probe::Command(words)) => Some(Probe::Command(strings.list("ready.command", words))),
        Some(config::Probe::Notify) => Some(Probe::Notify),
        None => (!ports.is_empty()).then_some(Probe::Ports),
    }
}
