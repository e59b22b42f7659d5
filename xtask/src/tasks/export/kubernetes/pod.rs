//! What is inside of a pod: the container with its variables and readiness, and what waits before it.

use super::super::secret::{Environment, PLACEHOLDER};
use super::super::stack::{Address, Stack, Workload, addresses};
use super::super::{Notes, seconds};
use super::{LONGEST_LABEL, label, label_within, metadata};
use crate::config::{Condition, Network};
use crate::plan::{ContainerPlan, Probe, ServicePlan};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A text of a command line without variables of the cluster's own: there `$(` begins one, and `$$` is `$` wherever it stands. A `$` of
/// another kind stays alone: podman reads these files, too, and knows of neither.
fn literal(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut escaped = String::with_capacity(text.len());
    for (at, letter) in letters.iter().enumerate() {
        let follows = at.checked_sub(1).is_some_and(|before| letters[before] == '$');
        // Behind the end may come a variable of ours.
        let precedes = || letters.get(at + 1).is_none_or(|next| ['$', '('].contains(next));
        if *letter == '$' && (follows || precedes()) {
            escaped.push('$');
        }
        escaped.push(*letter);
    }
    escaped
}

/// A text in which a secret is a variable, `$(NAME)`.
fn text(stack: &Stack<'_>, text: &str, used: &mut BTreeSet<String>) -> String {
    stack.secrets.render(text, &literal, &|name| format!("$({name})"), used)
}

/// A container's name, image, command and variables, whose objects go where they belong.
pub(super) fn container(
    stack: &Stack<'_>,
    name: &str,
    container: &ContainerPlan,
    command: Option<Vec<String>>,
    mut environment: Environment,
    (objects, secrets): (&mut Vec<Value>, &mut Vec<Value>),
) -> Value {
    let used = &mut environment.secret;
    let command = command.map(|words| words.iter().map(|word| text(stack, word, used)).collect::<Vec<_>>());
    let mut sources = Vec::new();
    if !environment.plain.is_empty() {
        sources.push(json!({ "configMapRef": { "name": name } }));
        objects.push(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(stack, name), "data": environment.plain,
        }));
    }
    if !environment.secret.is_empty() {
        sources.push(json!({ "secretRef": { "name": name } }));
        let data: BTreeMap<&String, &str> = environment.secret.iter().map(|name| (name, PLACEHOLDER)).collect();
        secrets.push(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata(stack, name), "type": "Opaque", "stringData": data,
        }));
    }
    json!({
        "name": name,
        "image": container.image,
        "command": command,
        "workingDir": container.cwd,
        "envFrom": (!sources.is_empty()).then_some(sources),
    })
}

/// `512Mi`, or bytes.
pub(super) fn quantity(bytes: u64) -> String {
    match bytes {
        bytes if bytes.is_multiple_of(1 << 20) => format!("{}Mi", bytes >> 20),
        bytes if bytes.is_multiple_of(1 << 10) => format!("{}Ki", bytes >> 10),
        bytes => bytes.to_string(),
    }
}

/// Where a probe asks: on the machine's network it must say so, else it would ask the machine's outer address.
fn host_of(address: &Address, container: &ContainerPlan) -> Option<String> {
    match container.network {
        Network::Own => address.host.clone(),
        Network::Host => Some(address.host.clone().unwrap_or_else(|| "127.0.0.1".to_owned())),
    }
}

pub(super) fn readiness(
    name: &str,
    service: &ServicePlan,
    container: &ContainerPlan,
    notes: &mut Notes,
) -> Option<Value> {
    let addresses = addresses(service);
    let handler = match &service.probe {
        None => return None,
        Some(Probe::Command(words)) => {
            let words: Vec<String> = words.iter().map(|word| literal(word)).collect();
            ("exec", json!({ "command": words }))
        }
        Some(Probe::Http(_)) => {
            let address = addresses.first()?;
            let host = host_of(address, container);
            (
                "httpGet",
                json!({ "host": host, "path": address.path, "port": address.port }),
            )
        }
        Some(Probe::Tcp(_) | Probe::Ports) => {
            let address = addresses.first()?;
            if addresses.len() > 1 {
                let instead = format!("only {} is asked; `ready` can name another way", address.port);
                notes.add("readiness by several `ports`", name, instead);
            }
            (
                "tcpSocket",
                json!({ "host": host_of(address, container), "port": address.port }),
            )
        }
        Some(Probe::Log(_)) => {
            notes.add(
                "`ready.log`",
                name,
                "it is ready as soon as it runs; use `http`, `tcp` or `command`",
            );
            return None;
        }
        Some(Probe::Notify) => {
            notes.add(
                "`ready.notify`",
                name,
                "it is ready as soon as it runs; use `http`, `tcp` or `command`",
            );
            return None;
        }
    };
    let mut probe = json!({});
    if let Value::Object(probe) = &mut probe {
        probe.insert(handler.0.to_owned(), handler.1);
        probe.insert(
            "periodSeconds".to_owned(),
            json!(seconds(service.probe_interval).max(1)),
        );
        probe.insert("timeoutSeconds".to_owned(), json!(5));
    }
    Some(probe)
}

/// One init container for each dependency that must be ready. A Service has no address before something behind it is
/// ready, so that a connection by its name says it all; on the machine's network the dependency itself is asked.
pub(super) fn waits(
    stack: &Stack<'_>,
    service: &Workload<'_>,
    container: &ContainerPlan,
    notes: &mut Notes,
) -> Vec<Value> {
    let mut asked_of = Vec::new();
    for (other, dependency) in stack.dependencies(service.first()) {
        if dependency.restart {
            let instead = format!("it stays up when {} comes back", other.name);
            notes.add("`depends_on.restart`", service.name, instead);
        }
        match dependency.condition {
            Condition::Started => {
                notes.add("`depends_on` until \"started\"", service.name, "all start at once");
                continue;
            }
            Condition::Completed => {
                let instead = format!("nothing waits for the end of {}; make it a task", other.name);
                notes.add("`depends_on` until \"completed\"", service.name, instead);
                continue;
            }
            Condition::Ready => {}
        }
        let host = |container: &ContainerPlan| container.network == Network::Host;
        let asked = if host(container) && other.container.is_some_and(host) {
            addresses(other.first()).first().map(ask)
        } else {
            let port = other.first().ports.first();
            port.map(|port| format!("nc -z -w 2 {} {port}", label(other.name)))
        };
        let Some(asked) = asked else {
            let instead = format!("{} has no port to wait for; it starts beside it", other.name);
            notes.add("`depends_on`", service.name, instead);
            continue;
        };
        asked_of.push((label(&format!("wait-for-{}", other.name)), asked));
    }
    let (wanted, asked): (Vec<String>, Vec<String>) = asked_of.into_iter().unzip();
    let names = distinct(&label(service.name), &wanted);
    let wait = |(name, asked)| {
        let script = format!("until {asked}; do sleep 1; done");
        json!({ "name": name, "image": container.wait_image, "command": ["sh", "-c", script] })
    };
    names.into_iter().zip(asked).map(wait).collect()
}

/// No two containers of a pod may share a name: one that its own container or another before it has gets a number.
fn distinct(own: &str, wanted: &[String]) -> Vec<String> {
    let mut given = vec![own.to_owned()];
    for name in wanted {
        let mut free = name.clone();
        let mut number = 1;
        while given.contains(&free) || number > 1 && wanted.contains(&free) {
            number += 1;
            free = numbered(name, number);
        }
        given.push(free);
    }
    given.split_off(1)
}

/// A label with a number behind it, cut in front of that.
fn numbered(name: &str, number: usize) -> String {
    let number = format!("-{number}");
    label_within(name, LONGEST_LABEL - number.len()) + &number
}

/// A shell command that exits with 0 when the address answers.
fn ask(address: &Address) -> String {
    let host = address.host.as_deref().unwrap_or("127.0.0.1");
    if address.path.is_empty() {
        return format!("nc -z -w 2 {host} {}", address.port);
    }
    let url = format!("http://{host}:{}{}", address.port, address.path);
    format!("wget -q -T 2 -O /dev/null {}", crate::config::quote(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_containers_of_a_pod_share_a_name() {
        let long = format!("wait-for-{}", "x".repeat(54));
        let cut = format!("wait-for-{}-2", "x".repeat(52));
        for (own, wanted, expected) in [
            (
                "web",
                vec!["wait-for-a", "wait-for-b"],
                vec!["wait-for-a", "wait-for-b"],
            ),
            ("wait-for-db", vec!["wait-for-db"], vec!["wait-for-db-2"]),
            ("web", vec![&long, &long], vec![&long, &cut]),
            // A number that another is called by is not given away.
            (
                "wait-for-db",
                vec!["wait-for-db", "wait-for-db-2"],
                vec!["wait-for-db-3", "wait-for-db-2"],
            ),
        ] {
            let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
            let names = distinct(own, &wanted);
            assert_eq!(names, expected, "{own}");
            assert!(names.iter().all(|name| name.len() <= LONGEST_LABEL), "{names:?}");
        }
    }
}
