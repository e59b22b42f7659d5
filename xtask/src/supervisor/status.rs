//! The process table: what `status` shows, measured when somebody looks and never otherwise.

use super::Supervisor;
use crate::clock::Now;
use crate::fleet::{Member, ServiceId};
use crate::ipc::protocol::{ServiceStatus, Stack, SupervisorStatus};
use crate::lifecycle::{Monotonic, RunId, Wanted};
use crate::process::{self, Listener, TreeRoot, Usage};
use std::collections::HashMap;
use std::time::Duration;

/// Two looks closer than this show the same figure: clock ticks are 10 ms, and a shorter span would be noise.
const LEAST_SPAN: Duration = Duration::from_millis(500);

/// What a run's tree uses now.
struct Measured {
    usage: Usage,
    ports: Vec<u16>,
    on_all_interfaces: Vec<u16>,
}

/// The last look at each run's processor time.
#[derive(Default)]
pub(super) struct UsageHistory {
    last: HashMap<RunId, Sample>,
}

#[derive(Clone, Copy)]
struct Sample {
    at: Monotonic,
    cpu: Duration,
    percent: f64,
}

impl UsageHistory {
    /// Percent of one processor since the last look, or since the run's start.
    fn percent(&mut self, run: RunId, since: Monotonic, cpu: Duration, now: Monotonic) -> f64 {
        let last = self.last.get(&run).copied().unwrap_or(Sample {
            at: since,
            cpu: Duration::ZERO,
            percent: 0.0,
        });
        let span = now.saturating_sub(last.at);
        if span < LEAST_SPAN && self.last.contains_key(&run) {
            return last.percent;
        }
        let used = cpu.saturating_sub(last.cpu).as_secs_f64();
        let percent = (used / span.as_secs_f64().max(0.01) * 1000.0).round() / 10.0;
        self.last.insert(run, Sample { at: now, cpu, percent });
        percent
    }
}

impl Supervisor {
    pub(super) fn status(&mut self, now: Now) -> Stack {
        let measured = self.measure();
        self.table(&measured, now)
    }

    /// The table without what must be measured.
    pub(super) fn roster(&mut self, now: Now) -> Stack {
        self.table(&HashMap::new(), now)
    }

    fn table(&mut self, measured: &HashMap<RunId, Measured>, now: Now) -> Stack {
        let live: Vec<RunId> = self.runs.keys().copied().collect();
        self.usage.last.retain(|run, _| live.contains(run));
        let ids: Vec<ServiceId> = self.fleet.members().map(|(id, _)| id).collect();
        let services = ids
            .into_iter()
            .filter_map(|id| self.service_status(id, measured, now))
            .collect();
        let plan = self.plan.as_ref();
        Stack {
            profile: plan.map(|plan| plan.profile.clone()).unwrap_or_default(),
            supervisor: SupervisorStatus {
                pid: std::process::id(),
                uptime_ms: millis(now.monotonic.saturating_sub(self.started)),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            services,
            dir: Some(self.paths.dir.clone()),
        }
    }

    /// Usage and listening ports of every run's tree.
    fn measure(&self) -> HashMap<RunId, Measured> {
        let runs: Vec<RunId> = self.runs.keys().copied().collect();
        let roots: Vec<TreeRoot> = self.runs.values().map(|live| live.root).collect();
        let Ok(snapshot) = process::snapshot_below() else {
            return HashMap::new();
        };
        let trees = snapshot.members(&roots);
        let all: Vec<u32> = trees.iter().flatten().map(|process| process.identity.pid).collect();
        let listeners = process::listening(&all).unwrap_or_default();
        let measure = |members: &Vec<&process::Process>| {
            let own = |listener: &&Listener| members.iter().any(|process| process.identity.pid == listener.pid);
            let everywhere = |listener: &&Listener| listener.address.is_unspecified();
            Measured {
                usage: process::usage(members),
                ports: distinct(listeners.iter().filter(own)),
                on_all_interfaces: distinct(listeners.iter().filter(own).filter(everywhere)),
            }
        };
        runs.into_iter().zip(trees.iter().map(measure)).collect()
    }

    fn service_status(
        &mut self,
        id: ServiceId,
        measured: &HashMap<RunId, Measured>,
        now: Now,
    ) -> Option<ServiceStatus> {
        let reason = self.fleet.reason(id);
        let member: &Member = self.fleet.get(id)?;
        let (log_trouble, lost) = self.logs.health(&member.plan);
        let watch_trouble = self.watch_troubles.get(&member.plan.name).cloned();
        let reasons: Vec<String> = reason.into_iter().chain(watch_trouble).chain(log_trouble).collect();
        let service = &member.service;
        let run = service.live_run();
        // Leftovers of a leader that has ended may still be measured.
        let leader = run.filter(|run| self.runs.get(&run.id).is_some_and(|live| !live.leader_gone));
        let used = run.and_then(|run| measured.get(&run.id));
        let cpu_percent = run
            .zip(used)
            .map(|(run, used)| self.usage.percent(run.id, run.since, used.usage.cpu, now.monotonic));
        Some(ServiceStatus {
            id: id.0,
            name: member.plan.name.clone(),
            status: service.status().to_owned(),
            ready: service.is_ready(),
            pid: leader.map(|run| run.pid),
            restarts: service.restarts,
            unstable_restarts: service.unstable,
            uptime_ms: leader.map(|run| millis(now.monotonic.saturating_sub(run.since))),
            cpu_percent,
            memory_bytes: used.map(|used| used.usage.memory),
            ports: used.map(|used| used.ports.clone()).unwrap_or_default(),
            ports_on_all_interfaces: used.map(|used| used.on_all_interfaces.clone()).unwrap_or_default(),
            watching: !member.plan.watch.is_empty()
                && service.wanted == Wanted::Up
                && service.watch_suspended.is_none(),
            reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
            last_exit: service.last_exit().map(Into::into),
            out_log: member.plan.out_file.clone(),
            error_log: member.plan.error_file.clone(),
            log_dropped_bytes: lost.bytes,
            log_date_format: member.plan.log_date_format.clone(),
        })
    }
}

/// The ports of listeners that are ordered by port.
fn distinct<'a>(listeners: impl Iterator<Item = &'a Listener>) -> Vec<u16> {
    let mut ports: Vec<u16> = listeners.map(|listener| listener.port).collect();
    ports.dedup();
    ports
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
