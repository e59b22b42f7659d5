//! `healthcheck`: how compose asks, from inside of the container, whether a service is ready.

use super::super::Notes;
use super::super::stack::{Address, addresses};
use super::{duration, literal};
use crate::plan::{ContainerPlan, Probe, ServicePlan};
use crate::policy::Readiness;
use serde_json::{Value, json};
use std::time::Duration;

/// A check starts a process in the container, so it is not done more often.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// Whether there is something to check.
pub(super) fn is_probed(service: &ServicePlan, container: Option<&ContainerPlan>) -> bool {
    let own = container.is_some_and(|container| container.healthcheck.is_some());
    own || match service.probe {
        Some(Probe::Http(_) | Probe::Tcp(_) | Probe::Ports | Probe::Command(_)) => true,
        Some(Probe::Log(_) | Probe::Notify) | None => false,
    }
}

/// The check; its failures do not count while the service may take its time.
pub(super) fn healthcheck(
    name: &str,
    service: &ServicePlan,
    container: &ContainerPlan,
    notes: &mut Notes,
) -> Option<Value> {
    let timeout = match service.policy.readiness {
        Readiness::Probe(timeout) => timeout,
        Readiness::Uptime => service.policy.min_uptime,
    };
    let test: Vec<String> = match (&container.healthcheck, &service.probe) {
        (Some(command), _) | (None, Some(Probe::Command(command))) => {
            let words = command.iter().map(|word| literal(word));
            std::iter::once("CMD".to_owned()).chain(words).collect()
        }
        (None, Some(Probe::Http(_) | Probe::Tcp(_) | Probe::Ports)) => {
            let asked: Vec<String> = addresses(service).iter().map(ask).collect();
            let tool = if matches!(service.probe, Some(Probe::Http(_))) {
                "wget"
            } else {
                "nc"
            };
            let instead =
                format!("its image needs `sh` and `{tool}` for the check; else name one with `container.healthcheck`");
            notes.add("a check from outside", name, instead);
            vec!["CMD-SHELL".to_owned(), asked.join(" && ")]
        }
        (None, Some(Probe::Log(_))) => {
            notes.add(
                "`ready.log`",
                name,
                "it is ready as soon as it runs; `container.healthcheck` can name a check",
            );
            return None;
        }
        (None, Some(Probe::Notify)) => {
            notes.add(
                "`ready.notify`",
                name,
                "it is ready as soon as it runs; `container.healthcheck` can name a check",
            );
            return None;
        }
        (None, None) => return None,
    };
    Some(json!({
        "test": test,
        "interval": duration(service.probe_interval.max(LEAST_INTERVAL)),
        "timeout": "5s",
        "retries": 3,
        "start_period": duration(timeout),
    }))
}

/// A shell command, run in the container, that exits with 0 when the address answers.
fn ask(address: &Address) -> String {
    let host = address.host.as_deref().unwrap_or("127.0.0.1");
    if address.path.is_empty() {
        return format!("nc -z -w 2 {host} {}", address.port);
    }
    let url = literal(&format!("http://{host}:{}{}", address.port, address.path));
    format!("wget -q -T 2 -O /dev/null {}", crate::config::quote(&url))
}
