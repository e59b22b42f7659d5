//! The tasks that a plan builds, and with what environment.

use super::environment::{Origin, Resolved, Table};
use super::profile::Profile;
use super::resolve::Resolver;
use super::strings::Strings;
use super::{ServicePlan, TaskPlan, below};
use crate::config;

impl Resolver<'_> {
    /// What is built before the start: the profile's tasks, those that services depend on, those that services build; each once.
    pub(super) fn builds(&mut self, profile: &Profile, services: &[ServicePlan]) -> Vec<TaskPlan> {
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

    /// The names of what a service builds.
    pub(super) fn service_builds(&self, service: &config::Service) -> Vec<String> {
        if self.invocation.options.no_build {
            return Vec::new();
        }
        service.build.iter().flatten().map(|task| task.value.clone()).collect()
    }

    /// These tasks, resolved; validation has proven that they exist.
    pub(super) fn tasks(&mut self, names: &[String], profile: &Profile) -> Vec<TaskPlan> {
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

    fn task(&mut self, name: &str, task: &config::Task, profile: &Profile, errors: &mut Vec<String>) -> TaskPlan {
        let tables = vec![Table(Origin::Profile, &profile.env), Table(Origin::Service, &task.env)];
        let resolved = self.own_environment(profile.env_file.iter().collect(), tables, None, errors);
        let Resolved {
            own,
            from_shell,
            replaced,
            ..
        } = resolved;
        let mut strings = Strings {
            shell: &self.invocation.shell,
            own: &own,
            errors,
        };
        let script = strings.text("script", &task.script);
        TaskPlan {
            name: name.to_owned(),
            args: strings.args_of(&script, "args", &task.args.split()),
            script,
            cwd: below(self.workspace, &strings.text("cwd", task.cwd.as_deref().unwrap_or("."))),
            inputs: strings.list("inputs", &task.inputs),
            outputs: strings.list("outputs", &task.outputs),
            env: own,
            from_shell,
            replaced,
        }
    }
}
