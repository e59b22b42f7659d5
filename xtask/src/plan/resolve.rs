//! `Config` + profile + names + environment → `Plan`.
//! Pure: files are read through a function that the caller gives. The order of the whole; `profile`, `service` and `tasks` resolve the parts.

use super::environment::{self, ReadFile, Resolved, Sources, Table};
use super::profile::Profile;
use super::{Dependency, Invocation, Plan, ServicePlan, TaskPlan, base_name, below};
use crate::config::{self, Autorestart, Condition, Config, IMPLICIT_PROFILE, Located, Problem, Problems};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The names of all profiles; the implicit one where none is written.
pub fn profile_names(config: &Config) -> Vec<String> {
    or_implicit(config.profiles.keys().cloned().collect())
}

/// These names of profiles; the implicit one in place of none.
pub fn or_implicit(names: Vec<String>) -> Vec<String> {
    if names.is_empty() {
        return vec![IMPLICIT_PROFILE.to_owned()];
    }
    names
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
    let mut resolver = Resolver::new(config, file, &name, invocation, read);
    let workspace = resolver.workspace;
    let resolved = Profile::merged(config, &name);
    let state_dir = below(workspace, config.state_dir.as_deref().unwrap_or(".dev"));
    let logs = state_dir.join(&name).join("logs");
    let listed = resolved.services.clone().unwrap_or_default();
    let chosen = resolver.select(&listed);
    let mut services = Vec::new();
    let mut instances = BTreeMap::new();
    for name in &chosen {
        let first = services.len();
        resolver.service(name, &resolved, &logs, &mut services);
        instances.insert(
            name.as_str(),
            services[first..].iter().map(|service| service.name.clone()).collect(),
        );
    }
    resolver.link(&mut services, &listed, &instances);
    resolver.let_complete(&mut services, &resolved);
    let builds = resolver.builds(&resolved, &services);
    resolver.unique_logs(&services);
    resolver.foreign_logs(&services, file, &[&state_dir, &state_dir.join(&name)]);
    resolver.unique_ports(&services);
    if !resolver.problems.is_empty() {
        resolver.problems.sort_by_key(|problem| problem.place);
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
    let mut resolver = Resolver::new(config, file, profile, invocation, read);
    let profile = Profile::merged(config, profile);
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
    let message = no_such_profile(&name, &names);
    Err(Problems(config.file.clone(), vec![Problem { place: None, message }]))
}

/// That none of these profiles has the name.
pub fn no_such_profile(name: &str, names: &[String]) -> String {
    let nearest = config::did_you_mean(name, names.iter().map(String::as_str));
    format!("no profile `{name}`; there is {}{nearest}", names.join(", "))
}

/// Whether a word of `--only` or `--except` means the service of this name.
fn means(word: &str, name: &str) -> bool {
    config::NamePattern::new(word).is_some_and(|pattern| pattern.matches(name))
}

/// One resolution under way: what it works on, and what it has found wrong.
pub(super) struct Resolver<'a> {
    pub(super) config: &'a Config,
    pub(super) workspace: &'a Path,
    profile: &'a str,
    pub(super) invocation: &'a Invocation,
    read: ReadFile<'a>,
    problems: Vec<Problem>,
    /// Tasks that some service depends on.
    pub(super) required_tasks: Vec<String>,
}

impl<'a> Resolver<'a> {
    fn new(
        config: &'a Config,
        file: &'a Path,
        profile: &'a str,
        invocation: &'a Invocation,
        read: ReadFile<'a>,
    ) -> Self {
        let workspace = file.parent().unwrap_or(Path::new("/"));
        Self {
            config,
            workspace,
            profile,
            invocation,
            read,
            problems: Vec::new(),
            required_tasks: Vec::new(),
        }
    }

    /// Notes a problem, once: what is wrong in one place is so for each instance.
    pub(super) fn problem(&mut self, place: Option<config::Place>, message: impl Into<String>) {
        let problem = Problem {
            place,
            message: message.into(),
        };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Where a service, or one of its copies, is written.
    fn place_of(&self, service: &str) -> Option<config::Place> {
        let written = self.config.services.get(base_name(self.config, service));
        written.map(|service| service.at)
    }

    /// Applies `--only` and `--except`.
    fn select(&mut self, listed: &[String]) -> Vec<String> {
        let options = &self.invocation.options;
        for (flag, given) in [("--only", &options.only), ("--except", &options.except)] {
            for word in given.iter().filter(|word| !listed.iter().any(|name| means(word, name))) {
                let message = match listed.iter().find(|name| config::is_instance_of(word, name)) {
                    Some(name) => {
                        format!("{flag} {word}: it is an instance of `{name}`; name the service, with all of them")
                    }
                    None => {
                        let nearest = config::did_you_mean(word, listed.iter().map(String::as_str));
                        let (profile, all) = (self.profile, listed.join(", "));
                        format!("{flag} {word}: profile `{profile}` has no such service; it has {all}{nearest}")
                    }
                };
                self.problem(None, message);
            }
        }
        let mut seen = BTreeSet::new();
        let is_in = |given: &[String], name: &str| given.iter().any(|word| means(word, name));
        let chosen =
            |name: &&String| (options.only.is_empty() || is_in(&options.only, name)) && !is_in(&options.except, name);
        let names: Vec<String> = listed
            .iter()
            .filter(chosen)
            .filter(|name| seen.insert(*name))
            .cloned()
            .collect();
        // A file of tasks alone has nothing wrong with it; who wants to start something says so.
        let has_services = !(listed.is_empty() && self.config.services.is_empty());
        if names.is_empty() && self.problems.is_empty() && has_services {
            let why = if listed.is_empty() {
                format!("profile `{}` lists none", self.profile)
            } else {
                "--only and --except leave none".to_owned()
            };
            self.problem(None, format!("no service to run: {why}"));
        }
        names
    }

    /// The variables that differ from the shell's, and where each comes from.
    pub(super) fn own_environment(
        &mut self,
        files: Vec<&Located<String>>,
        tables: Vec<Table<'_>>,
        instance: Option<u32>,
        errors: &mut Vec<String>,
    ) -> Resolved {
        let (workspace, shell, set) = (self.workspace, &self.invocation.shell, &self.invocation.options.set);
        let sources = Sources {
            workspace,
            shell,
            files,
            tables,
            set,
            instance,
        };
        let mut resolved = environment::own(&sources, self.read, errors);
        for problem in std::mem::take(&mut resolved.problems) {
            self.problem(problem.place, problem.message);
        }
        resolved
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
                        "[services.{}] depends on `{}`, which profile `{}` does not list; add it to `services` or override `depends_on`",
                        service.name, dependency.name, self.profile
                    );
                    self.problem(self.place_of(&service.name), message);
                }
            }
            service.depends_on = linked;
        }
    }

    /// What somebody awaits the completion of is not started again after it has ended well, unless it is told to be: then nobody would
    /// ever see its completion.
    fn let_complete(&mut self, services: &mut [ServicePlan], profile: &Profile) {
        let awaits = |service: &ServicePlan| {
            let completed = |dependency: &&Dependency| dependency.condition == Condition::Completed;
            let awaited = service.depends_on.iter().filter(completed);
            let pairs = awaited.map(|dependency| (dependency.name.clone(), service.name.clone()));
            pairs.collect::<Vec<_>>()
        };
        let awaited: BTreeMap<String, String> = services.iter().flat_map(awaits).collect();
        for service in services {
            let Some(by) = awaited.get(&service.name) else { continue };
            let policy = &mut service.policy;
            if policy.autorestart != Autorestart::Always || !policy.stop_exit_codes.is_empty() {
                continue;
            }
            let base = base_name(self.config, &service.name);
            let over = profile.overrides.get(base).and_then(|over| over.autorestart);
            let written = over.or_else(|| self.config.services.get(base)?.autorestart);
            if written.is_none() {
                policy.autorestart = Autorestart::OnFailure;
                continue;
            }
            let message = format!(
                "[services.{base}] `{by}` waits until it is completed, which never is with `autorestart = true`; \
                 set it to false or \"on-failure\""
            );
            self.problem(self.place_of(base), message);
        }
    }

    /// Two services of one stack cannot listen on one port.
    fn unique_ports(&mut self, services: &[ServicePlan]) {
        let mut owners: BTreeMap<u16, &str> = BTreeMap::new();
        for service in services {
            for port in &service.ports {
                // Copies of one service share a port where each has an address of its own: elsewhere than here.
                let name = base_name(self.config, &service.name);
                let owner = owners.entry(*port).or_insert(name);
                if *owner != name {
                    self.problem(
                        self.place_of(name),
                        format!("`{owner}` and `{name}` both declare port {port}; change one"),
                    );
                }
            }
        }
    }

    /// No log is `dev.toml`, or lies beside our own files: state, events.
    fn foreign_logs(&mut self, services: &[ServicePlan], config: &Path, own: &[&Path]) {
        for service in services {
            for path in service.out_file.iter().chain(&service.error_file) {
                let is_own = path == config || path.parent().is_some_and(|dir| own.contains(&dir));
                if is_own {
                    let message = format!(
                        "[services.{}] {} cannot be a log file: it is one of our own, or lies beside them; choose another",
                        service.name,
                        path.display()
                    );
                    self.problem(self.place_of(&service.name), message);
                }
            }
        }
    }

    /// Two writers of one file would rotate it under each other.
    fn unique_logs(&mut self, services: &[ServicePlan]) {
        let mut seen = BTreeMap::new();
        for service in services {
            for path in service.out_file.iter().chain(&service.error_file) {
                // A service's own two outputs may share one.
                let other = seen.insert(path.clone(), service.name.clone());
                if let Some(other) = other.filter(|other| *other != service.name) {
                    let message = format!(
                        "[services.{}] the log file {} is also the one of {other}; give each its own (`${{XTASK_INSTANCE}}` tells instances apart)",
                        service.name,
                        path.display()
                    );
                    self.problem(self.place_of(&service.name), message);
                }
            }
        }
    }
}
