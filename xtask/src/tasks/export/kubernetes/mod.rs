//! Kubernetes: a service is a Deployment, its ports a Service, its variables a ConfigMap and a Secret, a task a Job.

mod pod;
mod schedule;

use super::keys::{Fate, Key};
use super::stack::{Chore, Stack, Workload, container_command};
use super::variables::leave_out;
use super::{Document, Engine, Notes, head, require_containers, seconds, yaml};
use crate::config::{Autorestart, Network, Signal};
use crate::plan::{ContainerPlan, ServicePlan};
use crate::policy::Readiness;
use anyhow::Result;
use pod::{container, quantity, readiness, waits};
use schedule::schedule;
use serde_json::{Value, json};

const OWN_BACKOFF: &str = "it restarts for ever, after 10 s and then ever later, up to 5 minutes";
const ROLL_OUT: &str = "roll out a new image instead";
const OWN_LOGS: &str = "the cluster keeps what it writes: see `kubectl logs`";

/// The most characters of a label.
const LONGEST_LABEL: usize = 63;
/// The most characters of a CronJob's name: its Jobs get eleven more.
const LONGEST_CRON_JOB: usize = 52;

/// What becomes of each key.
pub(super) fn fate(key: Key) -> Fate {
    match key {
        Key::Script
        | Key::Args
        | Key::Interpreter
        | Key::InterpreterArgs
        | Key::Cwd
        | Key::Env
        | Key::EnvFile
        | Key::Build
        | Key::Autorestart
        | Key::MaxMemoryRestart
        | Key::KillSignal
        | Key::KillTimeout
        | Key::CronRestart
        | Key::DependsOn
        | Key::Ready
        | Key::Ports
        | Key::Instances
        | Key::Pty
        | Key::Container => Fate::Exported,
        Key::Watch | Key::WatchDelay | Key::IgnoreWatch => Fate::Listed(ROLL_OUT),
        Key::MaxRestarts | Key::MinUptime | Key::RestartDelay | Key::ExpBackoffRestartDelay => {
            Fate::Listed(OWN_BACKOFF)
        }
        Key::StopExitCodes => Fate::Listed("it restarts after any exit"),
        Key::OutFile | Key::ErrorFile | Key::LogDateFormat | Key::MaxSize | Key::Retain | Key::Compress => {
            Fate::Listed(OWN_LOGS)
        }
    }
}

/// All objects in one file, the Secrets in another.
pub(super) fn documents(stack: &Stack<'_>, notes: &mut Notes) -> Result<Vec<Document>> {
    require_containers(stack)?;
    let mut objects = Vec::new();
    let mut secrets = Vec::new();
    for chore in &stack.tasks {
        match chore.container {
            Some(container) => job(stack, chore, container, notes, &mut objects, &mut secrets),
            None => notes.add(
                "a task without `container`",
                &chore.plan.name,
                "what it makes belongs into the images",
            ),
        }
    }
    for service in &stack.services {
        if let Some(container) = service.container {
            deployment(stack, service, container, notes, &mut objects, &mut secrets);
        }
    }
    let profile = label(&stack.plan.profile);
    let use_it = |file: &str| {
        head(
            stack,
            Engine::Kubernetes,
            &format!("Start it with `kubectl apply -f {file}`."),
        )
    };
    let file = |name: String, objects: &[Value], to_fill_in| {
        let text: Vec<String> = objects.iter().map(yaml::document).collect();
        Document {
            text: use_it(&name) + &text.join("---\n"),
            name,
            to_fill_in,
        }
    };
    let mut documents = Vec::new();
    if !secrets.is_empty() {
        documents.push(file(format!("{profile}-secrets.yaml"), &secrets, true));
    }
    documents.push(file(format!("{profile}.yaml"), &objects, false));
    Ok(documents)
}

/// Names become labels of DNS, which know no case, `_` or `.`.
pub(super) fn label(name: &str) -> String {
    label_within(name, LONGEST_LABEL)
}

/// What the schedule of a service is called: a label that leaves the cluster room for the stamp of each Job.
pub(super) fn schedule_name(service: &str) -> String {
    label_within(&format!("restart-{service}"), LONGEST_CRON_JOB)
}

/// A label of so many characters at most.
fn label_within(name: &str, longest: usize) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).collect();
    let begun = if name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name
    } else {
        format!("x{name}")
    };
    begun
        .chars()
        .take(longest)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}

fn labels(stack: &Stack<'_>, name: &str) -> Value {
    json!({ "app.kubernetes.io/name": name, "app.kubernetes.io/part-of": label(&stack.plan.profile) })
}

fn metadata(stack: &Stack<'_>, name: &str) -> Value {
    json!({ "name": name, "labels": labels(stack, name) })
}

fn job(
    stack: &Stack<'_>,
    chore: &Chore<'_>,
    plan: &ContainerPlan,
    notes: &mut Notes,
    objects: &mut Vec<Value>,
    secrets: &mut Vec<Value>,
) {
    let task = chore.plan;
    let name = label(&format!("task-{}", task.name));
    let own = std::iter::once(&task.script).chain(&task.args).cloned().collect();
    let command = match &plan.command {
        Some(command) => (!command.is_empty()).then(|| command.clone()),
        None => Some(own),
    };
    let mut environment = stack.secrets.environment(&task.env, Some(&plan.env));
    leave_out(Engine::Kubernetes, &mut environment, &task.name, notes);
    let container = container(stack, &name, plan, command, environment, (objects, secrets));
    objects.push(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata(stack, &name),
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": { "labels": labels(stack, &name) },
                "spec": {
                    "restartPolicy": "Never",
                    "hostNetwork": host_network(plan),
                    "dnsPolicy": dns_policy(plan),
                    "containers": [container],
                },
            },
        },
    }));
    let wait =
        format!("everything starts beside it: apply it first, then `kubectl wait --for=condition=complete job/{name}`");
    notes.add("the order of tasks, and of tasks before services", &task.name, wait);
    if !chore.written.inputs.is_empty() || !chore.written.outputs.is_empty() {
        notes.add("`inputs` and `outputs`", &task.name, "a Job runs whenever it is made");
    }
    if plan.cwd.is_none() && chore.written.cwd.is_some() {
        notes.add(
            "`cwd`",
            &task.name,
            "it is that of its image; `container.cwd` names another",
        );
    }
}

fn host_network(container: &ContainerPlan) -> Option<bool> {
    (container.network == Network::Host).then_some(true)
}

/// On the machine's network a pod would not know the cluster's names.
fn dns_policy(container: &ContainerPlan) -> Option<&'static str> {
    (container.network == Network::Host).then_some("ClusterFirstWithHostNet")
}

fn deployment(
    stack: &Stack<'_>,
    service: &Workload<'_>,
    plan: &ContainerPlan,
    notes: &mut Notes,
    objects: &mut Vec<Value>,
    secrets: &mut Vec<Value>,
) {
    let (name, first) = (label(service.name), service.first());
    let host = host_network(plan);
    differences(service, plan, notes);
    let mut environment = stack.secrets.environment(&first.env, Some(&plan.env));
    leave_out(Engine::Kubernetes, &mut environment, service.name, notes);
    if service.instances.len() > 1 {
        environment.plain.remove("XTASK_INSTANCE");
    }
    let command = container_command(first, plan);
    let mut main = container(stack, &name, plan, command, environment, (objects, secrets));
    let probe = readiness(service.name, first, plan, notes);
    let ports: Vec<Value> = first
        .ports
        .iter()
        .map(|port| json!({ "containerPort": port }))
        .collect();
    if let Value::Object(main) = &mut main {
        // Ports of the machine need no mention, and podman refuses it.
        let ports = (host.is_none() && !ports.is_empty()).then_some(ports);
        main.insert("ports".to_owned(), json!(ports));
        main.insert("readinessProbe".to_owned(), json!(probe));
        let memory = first
            .max_memory_restart
            .map(|bytes| json!({ "limits": { "memory": quantity(bytes) } }));
        main.insert("resources".to_owned(), json!(memory));
        main.insert("tty".to_owned(), json!(service.written.pty.filter(|pty| *pty)));
    }
    let waits = waits(stack, service, plan, notes);
    // Two of them cannot share a machine's port, so the old one goes first.
    let strategy = host.map(|_| json!({ "type": "Recreate" }));
    let deadline = match first.policy.readiness {
        Readiness::Probe(timeout) if probe.is_some() => Some(seconds(timeout).max(1)),
        Readiness::Probe(_) | Readiness::Uptime => None,
    };
    objects.push(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(stack, &name),
        "spec": {
            "replicas": service.instances.len(),
            "progressDeadlineSeconds": deadline,
            "strategy": strategy,
            "selector": { "matchLabels": labels(stack, &name) },
            "template": {
                "metadata": { "labels": labels(stack, &name) },
                "spec": {
                    "hostNetwork": host,
                    "dnsPolicy": dns_policy(plan),
                    "terminationGracePeriodSeconds": seconds(first.policy.kill_timeout),
                    "initContainers": (!waits.is_empty()).then_some(waits),
                    "containers": [main],
                },
            },
        },
    }));
    if !first.ports.is_empty() {
        let port = |port: &u16| json!({ "name": format!("port-{port}"), "port": port, "targetPort": port });
        objects.push(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata(stack, &name),
            "spec": {
                "selector": labels(stack, &name),
                "ports": first.ports.iter().map(port).collect::<Vec<_>>(),
            },
        }));
    }
    schedule(stack, service, &name, notes, objects);
}

/// Says which values of exported keys a Deployment cannot take.
fn differences(service: &Workload<'_>, container: &ContainerPlan, notes: &mut Notes) {
    let (name, first) = (service.name, service.first());
    let signal = first.policy.kill_signal;
    if signal != Signal::Term {
        let instead =
            format!("it is stopped by the signal of its image: write `STOPSIGNAL {signal}` into its Dockerfile");
        notes.add(format!("`kill_signal` {signal}"), name, instead);
    }
    match first.policy.autorestart {
        Autorestart::Always => {}
        Autorestart::Never | Autorestart::OnFailure => {
            notes.add("`autorestart`", name, "a Deployment restarts after any exit");
        }
    }
    if container.cwd.is_none() && service.written.cwd.is_some() {
        notes.add("`cwd`", name, "it is that of its image; `container.cwd` names another");
    }
    if service.instances.len() > 1 {
        notes.add("XTASK_INSTANCE", name, "replicas are alike and have no number");
        let alike =
            |plan: &&ServicePlan| plan.args == first.args && plan.ports == first.ports && plan.probe == first.probe;
        if !service.instances.iter().all(alike) {
            let instead = format!("all replicas are like {}", first.name);
            notes.add("instances that differ in arguments or ports", name, instead);
        }
    }
}
