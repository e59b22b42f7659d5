//! A profile as engines need it: instances back under one name, containers, tasks, addresses. Knows no engine.

use super::secret::Secrets;
use crate::config::{Config, Service, Task};
use crate::plan::{ContainerPlan, Dependency, Plan, Probe, ServicePlan, TaskPlan, Written, base_name, set_in};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Finds a bare program name on a PATH, from a directory.
pub type Find<'a> = &'a dyn Fn(&str, &Path, Option<&str>) -> Option<PathBuf>;

/// Everything that is exported.
pub struct Stack<'a> {
    /// The resolved profile.
    pub plan: &'a Plan,
    /// Its services, in its order.
    pub services: Vec<Workload<'a>>,
    /// Its tasks, in the order in which they run.
    pub tasks: Vec<Chore<'a>>,
    /// What must not be printed.
    pub secrets: Secrets,
    /// The directory of the output as seen from the workspace's files, such as `..`; empty for the workspace itself.
    pub workspace: PathBuf,
    /// The PATH of the shell.
    pub path: Option<&'a str>,
    /// Finds a bare program name on a PATH, from a directory.
    pub find: Find<'a>,
}

/// A service with all its instances.
pub struct Workload<'a> {
    /// Its name in `dev.toml`.
    pub name: &'a str,
    /// Its instances; never none.
    pub instances: Vec<&'a ServicePlan>,
    /// As `dev.toml` writes it, overrides merged in.
    pub written: &'a Service,
    /// How it runs in a container.
    pub container: Option<&'a ContainerPlan>,
}

/// A task.
pub struct Chore<'a> {
    /// The resolved task.
    pub plan: &'a TaskPlan,
    /// As `dev.toml` writes it.
    pub written: &'a Task,
    /// How it runs in a container.
    pub container: Option<&'a ContainerPlan>,
}

/// What is asked over the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Where; `None` is this machine.
    pub host: Option<String>,
    /// On which port.
    pub port: u16,
    /// Path and query, with HTTP.
    pub path: String,
}

/// Puts plan and text together.
pub fn workloads<'a>(config: &Config, plan: &'a Plan, written: &'a Written) -> Vec<Workload<'a>> {
    let mut all: Vec<Workload<'a>> = Vec::new();
    for service in &plan.services {
        let name = base_name(config, &service.name);
        match all.iter_mut().find(|workload| workload.name == name) {
            Some(workload) => workload.instances.push(service),
            None => all.extend(written.services.get(name).map(|(written, container)| Workload {
                name,
                instances: vec![service],
                written,
                container: container.as_ref(),
            })),
        }
    }
    all
}

/// The tasks of the plan.
pub fn chores<'a>(plan: &'a Plan, written: &'a Written) -> Vec<Chore<'a>> {
    let chore = |plan: &'a TaskPlan| {
        written.tasks.get(&plan.name).map(|(written, container)| Chore {
            plan,
            written,
            container: container.as_ref(),
        })
    };
    plan.builds.iter().filter_map(chore).collect()
}

/// The secrets of a shell, a plan and its containers.
pub fn secrets(shell: &BTreeMap<String, String>, plan: &Plan, written: &Written) -> Secrets {
    let services = plan.services.iter().flat_map(ServicePlan::values);
    let tasks = plan.builds.iter().flat_map(TaskPlan::values);
    let containers = written.services.values().map(|(_, container)| container);
    let containers = containers.chain(written.tasks.values().map(|(_, container)| container));
    let containers = containers.flatten().flat_map(|container| set_in(&container.env));
    Secrets::of(services.chain(tasks).chain(containers).chain(shell))
}

impl<'a> Workload<'a> {
    /// The instance that stands for all.
    pub fn first(&self) -> &'a ServicePlan {
        self.instances[0]
    }
}

impl<'a> Stack<'a> {
    /// The service that something depends on, by the name of an instance.
    pub fn workload_of(&self, instance: &str) -> Option<&Workload<'a>> {
        let has = |workload: &&Workload<'_>| workload.instances.iter().any(|plan| plan.name == instance);
        self.services.iter().find(has)
    }

    /// What an instance depends on, each service once, with the instance's own condition.
    pub fn dependencies<'s>(&'s self, plan: &'s ServicePlan) -> Vec<(&'s Workload<'a>, &'s Dependency)> {
        let mut seen = BTreeSet::new();
        let known = plan
            .depends_on
            .iter()
            .filter_map(|dependency| Some((self.workload_of(&dependency.name)?, dependency)));
        known.filter(|(workload, _)| seen.insert(workload.name)).collect()
    }
}

/// The command line in a container: its own, else that of `dev.toml`; `None` is the image's.
pub fn container_command(service: &ServicePlan, container: &ContainerPlan) -> Option<Vec<String>> {
    match &container.command {
        Some(command) if command.is_empty() => None,
        Some(command) => Some(command.clone()),
        None => Some(command_line(service)),
    }
}

/// The command line as it runs here.
pub fn command_line(service: &ServicePlan) -> Vec<String> {
    let interpreter = service.interpreter.iter();
    let interpreter =
        interpreter.flat_map(|interpreter| std::iter::once(&interpreter.program).chain(&interpreter.args));
    interpreter
        .chain(std::iter::once(&service.script))
        .chain(&service.args)
        .cloned()
        .collect()
}

/// The addresses that tell whether it is ready: of its probe, or all its ports; none for other probes.
pub fn addresses(service: &ServicePlan) -> Vec<Address> {
    match &service.probe {
        Some(Probe::Http(url)) => http_address(url).into_iter().collect(),
        Some(Probe::Tcp(address)) => tcp_address(address).into_iter().collect(),
        Some(Probe::Ports) => service.ports.iter().map(|port| local(*port)).collect(),
        Some(Probe::Log(_) | Probe::Command(_) | Probe::Notify) | None => Vec::new(),
    }
}

fn local(port: u16) -> Address {
    Address {
        host: None,
        port,
        path: String::new(),
    }
}

fn http_address(url: &str) -> Option<Address> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = path.split('#').next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let with_port = match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => authority.to_owned(),
        Some(_) | None => format!("{authority}:{}", if scheme == "https" { 443 } else { 80 }),
    };
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    Some(Address {
        path,
        ..tcp_address(&with_port)?
    })
}

fn tcp_address(address: &str) -> Option<Address> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_local = matches!(host, "localhost" | "127.0.0.1" | "::1" | "0.0.0.0" | "::");
    Some(Address {
        host: (!is_local).then(|| host.to_owned()),
        port: port.parse().ok()?,
        path: String::new(),
    })
}

/// `to` as seen from `from`, both absolute: `../..`; empty when they are the same.
pub fn relative(from: &Path, to: &Path) -> PathBuf {
    let (mut from, mut to) = (from.components().peekable(), to.components().peekable());
    while from.peek().is_some() && from.peek() == to.peek() {
        from.next();
        to.next();
    }
    from.map(|_| "..".as_ref())
        .chain(to.map(std::path::Component::as_os_str))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_addresses_are_taken_apart() {
        let table = [
            ("http://localhost:7163/api/health", None, 7163, "/api/health"),
            (
                "http://localhost:9324/?Action=ListQueues",
                None,
                9324,
                "/?Action=ListQueues",
            ),
            ("http://[::1]/x#y", None, 80, "/x"),
            ("http://db.example?q", Some("db.example"), 80, "/?q"),
            ("https://me:pw@host", Some("host"), 443, "/"),
        ];
        for (url, host, port, path) in table {
            let address = http_address(url).unwrap();
            assert_eq!(
                (address.host.as_deref(), address.port, address.path.as_str()),
                (host, port, path),
                "{url}"
            );
        }
        assert_eq!(tcp_address("db:5432").unwrap().host.as_deref(), Some("db"));
        assert_eq!(tcp_address("[::1]:5").unwrap(), local(5));
        assert_eq!(tcp_address("db"), None);
    }

    #[test]
    fn a_path_is_relative_to_another() {
        for (from, to, expected) in [
            ("/a/b/c", "/a", "../.."),
            ("/a", "/a/b", "b"),
            ("/a", "/a", ""),
            ("/x/y", "/a", "../../a"),
        ] {
            assert_eq!(relative(from.as_ref(), to.as_ref()), Path::new(expected), "{from} {to}");
        }
    }
}
