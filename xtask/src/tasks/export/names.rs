//! What an engine calls the parts of a stack: services, tasks, and what restarts a service by its schedule. No two may share a
//! name there, or one would take the place of the other in silence.

use super::stack::{Chore, Stack, Workload};
use super::{Engine, kubernetes};
use anyhow::{Result, bail};
use std::collections::BTreeMap;

/// A name in the engine, and whose it is.
type Named = (String, String);

/// All parts keep apart what the engine calls them.
pub(super) fn names_differ(engine: Engine, stack: &Stack<'_>) -> Result<()> {
    let services = stack.services.iter().flat_map(|service| of_service(engine, service));
    let tasks = stack.tasks.iter().map(|task| of_task(engine, task));
    let schedules = stack.services.iter().flat_map(|service| of_schedule(engine, service));
    let mut seen = BTreeMap::new();
    for (name, who) in services.chain(tasks).chain(schedules) {
        if let Some(other) = seen.insert(name.clone(), who.clone()) {
            bail!(
                "{other} and {who} would both be called {name} in {}; rename one",
                engine.name()
            );
        }
    }
    Ok(())
}

fn called(engine: Engine, name: &str) -> String {
    match engine {
        Engine::Systemd | Engine::Compose => name.to_owned(),
        Engine::Kubernetes => kubernetes::label(name),
    }
}

/// The names of a service, one for each instance where instances stand for themselves.
fn own_names(engine: Engine, service: &Workload<'_>) -> Vec<String> {
    match engine {
        Engine::Systemd | Engine::Compose => service.instances.iter().map(|plan| plan.name.clone()).collect(),
        Engine::Kubernetes => vec![service.name.to_owned()],
    }
}

fn of_service(engine: Engine, service: &Workload<'_>) -> Vec<Named> {
    let named = |name: String| (called(engine, &name), format!("service {}", service.name));
    own_names(engine, service).into_iter().map(named).collect()
}

fn of_task(engine: Engine, task: &Chore<'_>) -> Named {
    let name = &task.plan.name;
    (called(engine, &format!("task-{name}")), format!("task {name}"))
}

/// `cron_restart` is a part of its own: a timer and its unit, or a CronJob, whose pods the labels of a Deployment must not choose.
fn of_schedule(engine: Engine, service: &Workload<'_>) -> Vec<Named> {
    if service.written.cron_restart.is_none() {
        return Vec::new();
    }
    let restarts = |name: String| match engine {
        Engine::Systemd => Some(format!("{name}-restart")),
        Engine::Kubernetes => Some(kubernetes::schedule_name(&name)),
        Engine::Compose => None,
    };
    let named = |name: String| (name, format!("the schedule of {}", service.name));
    own_names(engine, service)
        .into_iter()
        .filter_map(restarts)
        .map(named)
        .collect()
}
