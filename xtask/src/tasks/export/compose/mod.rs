//! compose: one `compose.yaml`, and a file of variables for each service that has secrets. Each instance is a service of
//! its own there, because instances may differ.

mod health;

use super::keys::{Fate, Key};
use super::secret::{Environment, PLACEHOLDER};
use super::stack::{Chore, Stack, Workload, container_command};
use super::variables::leave_out;
use super::{Document, Engine, Notes, head, require_containers, seconds, yaml};
use crate::config::{Autorestart, Condition, Network, Watch};
use crate::plan::{BuildPlan, ContainerPlan, Dependency, ServicePlan};
use anyhow::Result;
use health::{healthcheck, is_probed};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// The file.
const FILE: &str = "compose.yaml";

const NO_DELAY: &str = "it restarts at once, and for ever";
const OWN_LOGS: &str = "the engine keeps what it writes, as its log driver is set up";

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
        | Key::Watch
        | Key::IgnoreWatch
        | Key::Build
        | Key::Autorestart
        | Key::MaxRestarts
        | Key::MaxMemoryRestart
        | Key::KillSignal
        | Key::KillTimeout
        | Key::DependsOn
        | Key::Ready
        | Key::Ports
        | Key::Instances
        | Key::Pty
        | Key::Container => Fate::Exported,
        Key::WatchDelay => Fate::Listed("`compose watch` has its own delay"),
        Key::MinUptime | Key::RestartDelay | Key::ExpBackoffRestartDelay => Fate::Listed(NO_DELAY),
        Key::StopExitCodes => Fate::Listed("it restarts after these, too"),
        Key::CronRestart => Fate::Listed("let the machine's cron run `compose restart`"),
        Key::OutFile | Key::ErrorFile | Key::LogDateFormat | Key::MaxSize | Key::Retain | Key::Compress => {
            Fate::Listed(OWN_LOGS)
        }
    }
}

/// `compose.yaml`, and the variables to fill in.
pub(super) fn documents(stack: &Stack<'_>, notes: &mut Notes) -> Result<Vec<Document>> {
    require_containers(stack)?;
    let mut services = Map::new();
    let mut documents = Vec::new();
    for chore in &stack.tasks {
        match chore.container {
            Some(container) => {
                let name = task_name(chore);
                services.insert(name, task(stack, chore, container, notes, &mut documents));
            }
            None => notes.add(
                "a task without `container`",
                &chore.plan.name,
                "what it makes belongs into the images",
            ),
        }
    }
    for workload in &stack.services {
        let Some(container) = workload.container else { continue };
        differences(workload, container, notes);
        for instance in &workload.instances {
            let service = service(stack, workload, instance, container, notes, &mut documents);
            services.insert(instance.name.clone(), service);
        }
    }
    let profile = &stack.plan.profile;
    let use_it = format!("Start it with `podman-compose --profile {profile} up -d`, or `docker compose`.");
    let text = yaml::document(&json!({ "name": project(profile), "services": services }));
    let text = head(stack, Engine::Compose, &use_it) + &text;
    let name = FILE.to_owned();
    documents.push(Document {
        name,
        text,
        to_fill_in: false,
    });
    Ok(documents)
}

/// A project's name knows neither upper case nor `.`.
fn project(profile: &str) -> String {
    profile
        .to_ascii_lowercase()
        .replace('.', "-")
        .trim_start_matches('_')
        .to_owned()
}

/// A service and a task may share a name in `dev.toml`.
fn task_name(chore: &Chore<'_>) -> String {
    format!("task-{}", chore.plan.name)
}

/// A text without variables of compose's own.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// A text in which a secret is a variable of whoever starts the project.
fn text(stack: &Stack<'_>, text: &str, used: &mut BTreeSet<String>) -> String {
    stack
        .secrets
        .render(text, &literal, &|name| format!("${{{name}}}"), used)
}

/// What services and tasks share.
fn container(
    stack: &Stack<'_>,
    name: &str,
    container: &ContainerPlan,
    command: Option<Vec<String>>,
    mut environment: Environment,
    notes: &mut Notes,
    documents: &mut Vec<Document>,
) -> Map<String, Value> {
    let mut used = BTreeSet::new();
    let command = command.map(|words| {
        words
            .iter()
            .map(|word| text(stack, word, &mut used))
            .collect::<Vec<_>>()
    });
    for secret in used {
        notes.add(
            format!("the value of {secret} in `args`"),
            name,
            "compose takes it from the shell that starts it",
        );
    }
    leave_out(Engine::Compose, &mut environment, name, notes);
    let Environment { plain, secret } = environment;
    let plain: Map<String, Value> = plain
        .into_iter()
        .map(|(name, value)| (name, json!(literal(&value))))
        .collect();
    let env_file = (!secret.is_empty()).then(|| {
        let file = format!("{name}.secret.env");
        let lines: Vec<String> = secret.iter().map(|name| format!("{name}={PLACEHOLDER}\n")).collect();
        documents.push(Document {
            name: file.clone(),
            text: lines.concat(),
            to_fill_in: true,
        });
        [file]
    });
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    put("image", json!(literal(&container.image)));
    put("build", json!(container.build.as_ref().map(|plan| build(stack, plan))));
    put("profiles", json!([stack.plan.profile]));
    put("entrypoint", json!(command));
    put("working_dir", json!(container.cwd.as_deref().map(literal)));
    put("environment", json!((!plain.is_empty()).then_some(plain)));
    put("env_file", json!(env_file));
    put(
        "network_mode",
        json!((container.network == Network::Host).then_some("host")),
    );
    map
}

fn build(stack: &Stack<'_>, build: &BuildPlan) -> Value {
    json!({
        "context": literal(&from_here(stack, Path::new(&build.context))),
        "dockerfile": build.dockerfile.as_deref().map(literal),
        "target": build.target.as_deref().map(literal),
    })
}

/// A path of the workspace as seen from where the file is; never empty.
fn from_here(stack: &Stack<'_>, path: &Path) -> String {
    let path = path.strip_prefix(&stack.plan.workspace).unwrap_or(path);
    let path: std::path::PathBuf = stack.workspace.join(path).components().collect();
    let text = path.display().to_string();
    match text.as_str() {
        "" => ".".to_owned(),
        text if text.starts_with(['/', '.']) => text.to_owned(),
        text => format!("./{text}"),
    }
}

fn task(
    stack: &Stack<'_>,
    chore: &Chore<'_>,
    plan: &ContainerPlan,
    notes: &mut Notes,
    documents: &mut Vec<Document>,
) -> Value {
    let task = chore.plan;
    let command = match &plan.command {
        Some(command) => (!command.is_empty()).then(|| command.clone()),
        None => Some(std::iter::once(&task.script).chain(&task.args).cloned().collect()),
    };
    if !chore.written.inputs.is_empty() || !chore.written.outputs.is_empty() {
        notes.add("`inputs` and `outputs`", &task.name, "it runs at every start");
    }
    if plan.cwd.is_none() && chore.written.cwd.is_some() {
        notes.add(
            "`cwd`",
            &task.name,
            "it is that of its image; `container.cwd` names another",
        );
    }
    let environment = stack.secrets.environment(&task.env, Some(&plan.env));
    let mut map = container(stack, &task_name(chore), plan, command, environment, notes, documents);
    map.insert("restart".to_owned(), json!("no"));
    // One after the other, as they are listed.
    let before = stack.tasks.iter().take_while(|other| other.plan.name != task.name);
    if let Some(before) = before.filter(|other| other.container.is_some()).last() {
        let condition = json!({ "condition": "service_completed_successfully" });
        map.insert("depends_on".to_owned(), json!({ task_name(before): condition }));
    }
    map.into()
}

fn service(
    stack: &Stack<'_>,
    workload: &Workload<'_>,
    plan: &ServicePlan,
    its: &ContainerPlan,
    notes: &mut Notes,
    documents: &mut Vec<Document>,
) -> Value {
    let policy = &plan.policy;
    let environment = stack.secrets.environment(&plan.env, Some(&its.env));
    let command = container_command(plan, its);
    let mut map = container(stack, &plan.name, its, command, environment, notes, documents);
    let ports = published(workload, plan, its, notes);
    let mut put = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    put("ports", json!((!ports.is_empty()).then_some(ports)));
    put("depends_on", depends_on(stack, workload, plan, notes));
    put("healthcheck", json!(healthcheck(workload.name, plan, its, notes)));
    put("restart", json!(restart(stack, plan)));
    put("stop_signal", json!(policy.kill_signal.name()));
    // Whole seconds: not every implementation reads others here.
    put("stop_grace_period", json!(format!("{}s", seconds(policy.kill_timeout))));
    put("mem_limit", json!(plan.max_memory_restart.map(memory)));
    put("tty", json!(workload.written.pty.filter(|pty| *pty)));
    put("develop", json!(its.build.as_ref().and_then(|_| develop(stack, plan))));
    map.into()
}

/// The ports that the machine has, too. One that several instances share is none of them: the second could not start.
fn published(workload: &Workload<'_>, plan: &ServicePlan, its: &ContainerPlan, notes: &mut Notes) -> Vec<String> {
    if its.network == Network::Host {
        return Vec::new();
    }
    let others = || workload.instances.iter().filter(|other| other.name != plan.name);
    let is_shared = |port: &u16| others().any(|other| other.ports.contains(port));
    let (shared, own): (Vec<u16>, Vec<u16>) = plan.ports.iter().partition(|port| is_shared(port));
    if !shared.is_empty() {
        let shared: Vec<String> = shared.iter().map(u16::to_string).collect();
        let instead = format!(
            "not published on the machine: {}; other services reach each instance by its name, such as {}",
            shared.join(", "),
            workload.first().name
        );
        notes.add("`ports` that instances share", workload.name, instead);
    }
    own.iter().map(|port| format!("{port}:{port}")).collect()
}

/// Says which values of exported keys compose cannot take.
fn differences(workload: &Workload<'_>, container: &ContainerPlan, notes: &mut Notes) {
    let (name, first) = (workload.name, workload.first());
    if container.cwd.is_none() && workload.written.cwd.is_some() {
        notes.add("`cwd`", name, "it is that of its image; `container.cwd` names another");
    }
    if workload.written.max_restarts.is_some() && first.policy.autorestart != Autorestart::OnFailure {
        notes.add(
            "`max_restarts`",
            name,
            "it counts with `autorestart = \"on-failure\"` alone",
        );
    }
    let watched = matches!(workload.written.watch, Some(Watch::Cwd | Watch::Paths(_)));
    if watched && container.build.is_none() {
        notes.add("`watch`", name, "`compose watch` needs `container.build`");
    }
}

fn restart(stack: &Stack<'_>, service: &ServicePlan) -> String {
    let all = stack.plan.services.iter().flat_map(|other| &other.depends_on);
    let is_completed = |other: &Dependency| other.name == service.name && other.condition == Condition::Completed;
    match service.policy.autorestart {
        // Others wait for its end.
        Autorestart::Always if all.into_iter().any(is_completed) => on_failure(service.policy.max_restarts),
        Autorestart::Always => "unless-stopped".to_owned(),
        Autorestart::Never => "no".to_owned(),
        Autorestart::OnFailure => on_failure(service.policy.max_restarts),
    }
}

/// `on-failure:0` is without a limit there.
fn on_failure(max_restarts: u32) -> String {
    match max_restarts {
        0 => "no".to_owned(),
        most => format!("on-failure:{most}"),
    }
}

/// `1.5s` as compose reads it: whole units only.
fn duration(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

fn memory(bytes: u64) -> String {
    match bytes {
        bytes if bytes.is_multiple_of(1 << 20) => format!("{}m", bytes >> 20),
        bytes if bytes.is_multiple_of(1 << 10) => format!("{}k", bytes >> 10),
        bytes => format!("{bytes}b"),
    }
}

/// The services it depends on, and every task: those run before a stack starts.
fn depends_on(stack: &Stack<'_>, workload: &Workload<'_>, plan: &ServicePlan, notes: &mut Notes) -> Value {
    let mut all = Map::new();
    for chore in stack.tasks.iter().filter(|chore| chore.container.is_some()) {
        all.insert(
            task_name(chore),
            json!({ "condition": "service_completed_successfully" }),
        );
    }
    for dependency in &plan.depends_on {
        let other = stack.workload_of(&dependency.name);
        let probed = other.is_some_and(|other| is_probed(other.first(), other.container));
        let condition = match dependency.condition {
            Condition::Ready if probed => "service_healthy",
            Condition::Ready => {
                let instead = format!(
                    "{} has nothing to check; it is waited for until it runs",
                    dependency.name
                );
                notes.add("`depends_on` until \"ready\"", workload.name, instead);
                "service_started"
            }
            Condition::Started => "service_started",
            Condition::Completed => "service_completed_successfully",
        };
        let restart = dependency.restart.then_some(true);
        all.insert(
            dependency.name.clone(),
            json!({ "condition": condition, "restart": restart }),
        );
    }
    json!((!all.is_empty()).then_some(all))
}

/// `watch`: a change builds the image and replaces the container.
fn develop(stack: &Stack<'_>, plan: &ServicePlan) -> Option<Value> {
    let ignored = (!plan.ignore_watch.is_empty()).then_some(&plan.ignore_watch);
    let rule = |path: &std::path::PathBuf| json!({ "action": "rebuild", "path": literal(&from_here(stack, path)), "ignore": ignored });
    let rules: Vec<Value> = plan.watch.iter().map(rule).collect();
    (!rules.is_empty()).then(|| json!({ "watch": rules }))
}
