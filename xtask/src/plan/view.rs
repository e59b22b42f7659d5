//! A plan as `config` prints it: in the words of `dev.toml`, with every default filled in and secrets masked.

use super::{ContainerPlan, Plan, Probe, ServicePlan, TaskPlan, Written, base_name};
use crate::config::units::format_duration;
use crate::config::{Autorestart, Condition, Config};
use crate::policy::Readiness;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// What stands in for a value that looks secret.
const MASK: &str = "********";

/// Parts of names whose values look secret.
const SECRET: [&str; 12] = [
    "SECRET",
    "TOKEN",
    "PASSWORD",
    "PASSWD",
    "PRIVATE",
    "CREDENTIAL",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "PASSPHRASE",
    "AUTHORIZATION",
    "JWT",
];

/// Whether the value of a variable of this name is to be masked.
pub fn looks_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    SECRET.iter().any(|part| name.contains(part))
        || ["KEY", "PASS"].contains(&name.as_str())
        || ["_KEY", "_PASS", "_PWD", "_PAT", "_SALT", "_AUTH"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// The value of a variable as it may be shown: masked when its name looks secret, without the password of an address.
pub fn shown_value(name: &str, value: &str) -> String {
    if looks_secret(name) {
        return MASK.to_owned();
    }
    without_password(value)
}

/// `scheme://user:password@host` with the password masked.
fn without_password(value: &str) -> String {
    let password = value.find("://").and_then(|scheme| {
        let rest = &value[scheme + 3..];
        let login = &rest[..rest.find(['/', '?', '#', ' ']).unwrap_or(rest.len())];
        let user = login[..login.rfind('@')?].find(':')?;
        Some((scheme + 3 + user + 1, scheme + 3 + login.rfind('@')?))
    });
    match password {
        Some((from, to)) => format!("{}{MASK}{}", &value[..from], &value[to..]),
        None => value.to_owned(),
    }
}

/// Arguments as they may be shown: `--token=…` and what follows `--token` are masked.
pub fn shown_words(words: &[String]) -> Vec<String> {
    let is_flag = |word: &str| word.starts_with('-');
    let secret = |flag: &str| looks_secret(&flag.trim_start_matches('-').replace('-', "_"));
    let mut shown = Vec::new();
    let mut mask_next = false;
    for word in words {
        let named = word.split_once('=').filter(|(name, _)| secret(name));
        shown.push(match named {
            Some((name, _)) => format!("{name}={MASK}"),
            None if mask_next && !is_flag(word) => MASK.to_owned(),
            None => without_password(word),
        });
        mask_next = is_flag(word) && named.is_none() && secret(word);
    }
    shown
}

/// The same of a service, whose variables may be secret: their values are masked wherever they stand.
fn shown_words_of(words: &[String], env: &BTreeMap<String, Option<String>>) -> Vec<String> {
    let shown = shown_words(words);
    shown.into_iter().map(|word| without_secrets(word, env)).collect()
}

/// A text without the values of secret variables; very short ones stand in too many texts by chance.
fn without_secrets(text: String, env: &BTreeMap<String, Option<String>>) -> String {
    let secrets = env.iter().filter(|(name, _)| looks_secret(name));
    let values = secrets.filter_map(|(_, value)| value.as_deref().filter(|value| value.chars().count() >= 4));
    values.fold(text, |text, value| text.replace(value, MASK))
}

/// The plan as nested values, with the containers of its services and tasks.
pub fn of(plan: &Plan, config: &Config, written: &Written) -> Value {
    let service = |service: &ServicePlan| {
        let container = written.services.get(base_name(config, &service.name));
        with_container(
            of_service(service),
            container.and_then(|(_, container)| container.as_ref()),
        )
    };
    let services: Vec<Value> = plan.services.iter().map(service).collect();
    let mut view = json!({ "profile": plan.profile, "workspace": plan.workspace, "state_dir": plan.state_dir });
    if let Value::Object(view) = &mut view {
        if !plan.builds.is_empty() {
            let task = |task: &TaskPlan| {
                let container = written.tasks.get(&task.name);
                with_container(of_task(task), container.and_then(|(_, container)| container.as_ref()))
            };
            let tasks: Vec<Value> = plan.builds.iter().map(task).collect();
            view.insert("tasks".to_owned(), tasks.into());
        }
        view.insert("services".to_owned(), services.into());
    }
    view
}

fn with_container(mut view: Value, container: Option<&ContainerPlan>) -> Value {
    if let Some(container) = container {
        set(&mut view, "container", container.view());
    }
    view
}

fn of_task(task: &TaskPlan) -> Value {
    let mut view = json!({ "name": task.name, "script": task.script, "args": shown_words_of(&task.args, &task.env), "cwd": task.cwd });
    if !task.inputs.is_empty() {
        set(&mut view, "inputs", json!(task.inputs));
    }
    if !task.outputs.is_empty() {
        set(&mut view, "outputs", json!(task.outputs));
    }
    set(&mut view, "env", of_env(&task.env));
    view
}

/// A service as nested values.
pub fn of_service(service: &ServicePlan) -> Value {
    let policy = &service.policy;
    let mut view = json!({
        "name": service.name,
        "script": service.script,
        "args": shown_words_of(&service.args, &service.env),
        "cwd": service.cwd,
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
        "watch": service.watch,
        "watch_delay": duration(policy.watch_delay),
        "ignore_watch": service.ignore_watch,
        "build": service.builds.iter().map(|task| &task.name).collect::<Vec<_>>(),
        "ports": service.ports,
        "pty": service.pty,
        "max_size": service.rotation.max_size,
        "retain": service.rotation.retain,
        "compress": service.rotation.compress,
        "out_file": service.out_file.as_deref().unwrap_or("/dev/null".as_ref()),
        "error_file": service.error_file.as_deref().unwrap_or("/dev/null".as_ref()),
    });
    if let Some(interpreter) = &service.interpreter {
        set(&mut view, "interpreter", json!(interpreter.program));
        set(
            &mut view,
            "interpreter_args",
            json!(shown_words_of(&interpreter.args, &service.env)),
        );
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
    set(&mut view, "env", of_env(&service.env));
    set(&mut view, "depends_on", depends_on(service));
    set(&mut view, "ready", ready(service));
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

fn ready(service: &ServicePlan) -> Value {
    let mut view = match &service.probe {
        Some(Probe::Http(url)) => {
            json!({ "http": without_secrets(without_password(url), &service.env) })
        }
        Some(Probe::Tcp(address)) => json!({ "tcp": address }),
        Some(Probe::Log(pattern)) => json!({ "log": pattern }),
        Some(Probe::Command(words)) => json!({ "command": shown_words_of(words, &service.env) }),
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
pub(super) fn of_env(env: &BTreeMap<String, Option<String>>) -> Value {
    let shown = env.iter().map(|(name, value)| {
        let shown = match value {
            None => json!(false),
            Some(value) => json!(shown_value(name, value)),
        };
        (name.clone(), shown)
    });
    shown.collect::<Map<String, Value>>().into()
}

fn duration(duration: Duration) -> Value {
    json!(format_duration(duration))
}

fn set(view: &mut Value, key: &str, value: Value) {
    if let Value::Object(view) = view {
        view.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_secret_is_masked_and_nothing_else() {
        for (name, value, shown) in [
            ("API_TOKEN", "abc", MASK),
            ("db_password", "abc", MASK),
            ("SIGNING_KEY", "abc", MASK),
            ("KEYBOARD", "de", "de"),
            ("URL", "postgres://me:pa:ss@db/x?a=@", "postgres://me:********@db/x?a=@"),
            ("URL", "http://me@host:80/a:b@c", "http://me@host:80/a:b@c"),
            ("URL", "see http://localhost:80/", "see http://localhost:80/"),
            ("EMPTY", "", ""),
        ] {
            assert_eq!(shown_value(name, value), shown, "{name}={value}");
        }
    }

    #[test]
    fn secrets_among_arguments_are_masked() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (given, shown) in [
            ("run --api-token=abc -v", "run --api-token=******** -v"),
            ("--password abc --port 80", "--password ******** --port 80"),
            ("--token --verbose x", "--token --verbose x"),
            ("DB_PASS=x y", "DB_PASS=******** y"),
            ("-d amqp://u:p@h", "-d amqp://u:********@h"),
        ] {
            assert_eq!(shown_words(&words(given)), words(shown), "{given}");
        }
    }
}
