//! How a unit counts as started only when its service is ready.

use super::super::Notes;
use super::super::stack::{Address, Stack, Workload, addresses};
use super::is_awaited;
use crate::boot::unit_text::{line, quoted, time};
use crate::config::Condition;
use crate::plan::{Probe, ServicePlan};
use crate::policy::Readiness;

/// A unit has started when its `ExecStartPost` has ended, so that those after it wait until it is ready.
pub(super) fn readiness(
    stack: &Stack<'_>,
    workload: &Workload<'_>,
    plan: &ServicePlan,
    notes: &mut Notes,
    text: &mut String,
) {
    let every = format!("{:.1}", plan.probe_interval.as_secs_f64().max(0.1));
    let asked = match &plan.probe {
        Some(Probe::Http(_) | Probe::Tcp(_) | Probe::Ports) => {
            let asked: Vec<String> = addresses(plan).iter().map(ask).collect();
            asked.join(" && ")
        }
        Some(Probe::Command(words)) => words
            .iter()
            .map(|word| crate::config::quote(word))
            .collect::<Vec<_>>()
            .join(" "),
        Some(Probe::Notify) => String::new(),
        Some(Probe::Log(_)) => {
            notes.add(
                "`ready.log`",
                workload.name,
                "it is ready as soon as it runs; use another way",
            );
            String::new()
        }
        None => {
            if is_awaited(stack, plan, Condition::Ready) {
                line(
                    text,
                    "ExecStartPost",
                    &format!("/bin/sleep {}", plan.policy.min_uptime.as_secs_f64()),
                );
            }
            return;
        }
    };
    if let Readiness::Probe(timeout) = plan.policy.readiness {
        line(text, "TimeoutStartSec", &time(timeout));
        notes.add(
            "a service that is not ready in time and stays up",
            workload.name,
            "systemd ends it after `ready.timeout`, and starts it anew if it restarts",
        );
    }
    if !asked.is_empty() {
        let script = format!("until {asked}; do sleep {every}; done").replace('$', "$$");
        line(text, "ExecStartPost", &format!("/bin/bash -c {}", quoted(&script)));
    }
}

/// A shell command that exits with 0 when the address answers.
fn ask(address: &Address) -> String {
    let host = address.host.as_deref().unwrap_or("localhost");
    if address.path.is_empty() {
        return format!("(: </dev/tcp/{host}/{}) 2>/dev/null", address.port);
    }
    let url = format!("http://{host}:{}{}", address.port, address.path);
    format!("curl -gfso /dev/null -m 2 {}", crate::config::quote(&url))
}
