//! A plan as `config` prints it: in the words of `dev.toml`, with every default filled in and secrets masked.

use super::secret::Mask;
use super::{ContainerPlan, Plan, Probe, ServicePlan, TaskPlan, Written, base_name, set_in};
use crate::config::units::format_duration;
use crate::config::{Autorestart, Condition, Config, Container};
use crate::policy::Readiness;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The plan as nested values, with the containers of its services and tasks; `shell` is what it was resolved with.
pub fn of(plan: &Plan, config: &Config, written: &Written, shell: &BTreeMap<String, String>) -> Value {
    let service = |service: &ServicePlan| {
        let written = written.services.get(base_name(config, &service.name));
        let container = written.and_then(|(written, plan)| written.container.as_ref().zip(plan.as_ref()));
        let mask = Mask::of(&plan.workspace, shell, service.values().chain(values_of(container)));
        with_container(of_service(service, &mask), container, &mask)
    };
    let services: Vec<Value> = plan.services.iter().map(service).collect();
    let mut view = json!({ "profile": plan.profile, "workspace": plan.workspace, "state_dir": plan.state_dir });
    if let Value::Object(view) = &mut view {
        if !plan.builds.is_empty() {
            let task = |task: &TaskPlan| {
                let written = written.tasks.get(&task.name);
                let container = written.and_then(|(written, plan)| written.container.as_ref().zip(plan.as_ref()));
                let mask = Mask::of(&plan.workspace, shell, task.values().chain(values_of(container)));
                with_container(of_task(task, &mask), container, &mask)
            };
            let tasks: Vec<Value> = plan.builds.iter().map(task).collect();
            view.insert("tasks".to_owned(), tasks.into());
        }
        view.insert("services".to_owned(), services.into());
    }
    view
}

/// The values that a container adds to those of its service or task.
fn values_of<'a>(container: Option<(&Container, &'a ContainerPlan)>) -> impl Iterator<Item = (&'a String, &'a String)> {
    container.into_iter().flat_map(|(_, plan)| set_in(&plan.env))
}

fn with_container(mut view: Value, container: Option<(&Container, &ContainerPlan)>, mask: &Mask) -> Value {
    if let Some((written, container)) = container {
        set(&mut view, "container", container.view(written, mask));
    }
    view
}

fn of_task(task: &TaskPlan, mask: &Mask) -> Value {
    let mut view = json!({
        "name": task.name,
        "script": mask.text(&task.script),
        "args": mask.words(&task.args),
        "cwd": mask.path(&task.cwd),
    });
    if !task.inputs.is_empty() {
        set(&mut view, "inputs", texts(&task.inputs, mask));
    }
    if !task.outputs.is_empty() {
        set(&mut view, "outputs", texts(&task.outputs, mask));
    }
    set(&mut view, "env", of_env(&task.env, mask));
    view
}

/// A service as nested values, as far as the mask lets them be seen.
pub fn of_service(service: &ServicePlan, mask: &Mask) -> Value {
    let policy = &service.policy;
    let mut view = json!({
        "name": service.name,
        "script": mask.text(&service.script),
        "args": mask.words(&service.args),
        "cwd": mask.path(&service.cwd),
        "autorestart": match policy.autorestart {
            Autorestart::Always => json!(true),
            Autorestart::Never => json!(false),
            Autorestart::OnFailure => json!("on-failure"),
        },
        "max_restarts": policy.max_restarts,
        "min_uptime": duration(policy.min_uptime),
        "restart_delay": duration(policy.restart_delay),
        "stop_exit_codes": policy.stop_exit_codes,
        "kill_signal": policy.kill_signal.name(),
        "kill_timeout": duration(policy.kill_timeout),
        "watch": service.watch.iter().map(|path| mask.path(path)).collect::<Vec<_>>(),
        "watch_delay": duration(policy.watch_delay),
        "ignore_watch": service.ignore_watch,
        "build": service.builds.iter().map(|task| &task.name).collect::<Vec<_>>(),
        "ports": service.ports,
        "pty": service.pty,
        "max_size": service.rotation.max_size,
        "retain": service.rotation.retain,
        "compress": service.rotation.compress,
        "out_file": log_file(service.out_file.as_ref(), mask),
        "error_file": log_file(service.error_file.as_ref(), mask),
    });
    if let Some(interpreter) = &service.interpreter {
        set(&mut view, "interpreter", json!(mask.text(&interpreter.program)));
        set(&mut view, "interpreter_args", json!(mask.words(&interpreter.args)));
    }
    if let Some(delay) = policy.exp_backoff_restart_delay {
        set(&mut view, "exp_backoff_restart_delay", duration(delay));
    }
    if let Some(format) = &service.log_date_format {
        set(&mut view, "log_date_format", json!(format));
    }
    if let Some(limit) = service.max_memory_restart {
        set(&mut view, "max_memory_restart", json!(limit));
    }
    if let Some(line) = &service.cron_restart {
        set(&mut view, "cron_restart", json!(line));
    }
    set(&mut view, "env", of_env(&service.env, mask));
    set(&mut view, "depends_on", depends_on(service));
    set(&mut view, "ready", ready(service, mask));
    view
}

fn depends_on(service: &ServicePlan) -> Value {
    let condition = |condition| match condition {
        Condition::Started => "started",
        Condition::Ready => "ready",
        Condition::Completed => "completed",
    };
    let edges = service.depends_on.iter().map(|dependency| {
        let view = json!({ "condition": condition(dependency.condition), "restart": dependency.restart });
        (dependency.name.clone(), view)
    });
    edges.collect::<Map<String, Value>>().into()
}

fn ready(service: &ServicePlan, mask: &Mask) -> Value {
    let mut view = match &service.probe {
        Some(Probe::Http(url)) => json!({ "http": mask.text(url) }),
        Some(Probe::Tcp(address)) => json!({ "tcp": mask.text(address) }),
        Some(Probe::Log(pattern)) => json!({ "log": pattern }),
        Some(Probe::Command(words)) => json!({ "command": mask.words(words) }),
        Some(Probe::Notify) => json!({ "notify": true }),
        Some(Probe::Ports) | None => json!({}),
    };
    if let Readiness::Probe(timeout) = service.policy.readiness {
        set(&mut view, "timeout", duration(timeout));
        set(&mut view, "interval", duration(service.probe_interval));
    }
    view
}

/// A removed variable is shown as it is written: `false`.
pub(super) fn of_env(env: &BTreeMap<String, Option<String>>, mask: &Mask) -> Value {
    let shown = env.iter().map(|(name, value)| {
        let shown = match value {
            None => json!(false),
            Some(value) => json!(mask.value(name, value)),
        };
        (name.clone(), shown)
    });
    shown.collect::<Map<String, Value>>().into()
}

fn texts(texts: &[String], mask: &Mask) -> Value {
    texts.iter().map(|text| mask.text(text)).collect()
}

/// Where a log goes, or that it is not kept.
pub fn log_file(path: Option<&PathBuf>, mask: &Mask) -> String {
    path.map_or_else(|| "/dev/null".to_owned(), |path| mask.path(path))
}

fn duration(duration: Duration) -> Value {
    json!(format_duration(duration))
}

fn set(view: &mut Value, key: &str, value: Value) {
    if let Value::Object(view) = view {
        view.insert(key.to_owned(), value);
    }
}
