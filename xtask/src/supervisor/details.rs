//! What `describe` and `why` tell of a service beyond its row in the table.

use super::Supervisor;
use crate::clock::Now;
use crate::fleet::ServiceId;
use crate::ipc::protocol::Details;
use crate::lifecycle::{State, Turn, Wanted};

impl Supervisor {
    pub(super) fn details(&self, services: &[String], now: Now) -> Vec<Details> {
        let ids = self.ids(services).into_iter();
        ids.filter_map(|id| self.details_of(id, now)).collect()
    }

    fn details_of(&self, id: ServiceId, now: Now) -> Option<Details> {
        let member = self.fleet.get(id)?;
        let service = &member.service;
        let restart_in_ms = match service.state {
            State::WaitingRestart { until } => Some(super::status::millis(until.saturating_sub(now.monotonic))),
            State::Stopped
            | State::Launching(_)
            | State::Blocked { .. }
            | State::Online(_)
            | State::Ending { .. }
            | State::Errored => None,
        };
        let changed = match &service.turn {
            Turn::None => None,
            Turn::Settling { files, .. } => Some(format!("{files}; waiting until nothing changes any more")),
            Turn::Building { files, .. } => Some(format!("{files}; building")),
        };
        let depends = |other: &crate::plan::ServicePlan| other.depends_on.iter().any(|on| on.name == member.plan.name);
        Some(Details {
            plan: member.plan.clone(),
            wanted: service.wanted == Wanted::Up,
            began: service.live_run().map(|run| run.at.to_string()),
            began_by: service.began_by.as_ref().map(ToString::to_string),
            restart: service.restart.as_ref().map(ToString::to_string),
            restart_in_ms,
            waits_for: self.fleet.waiting_for(id),
            probe_error: service.probe_error.clone(),
            changed,
            scheduled: self
                .schedules
                .get(&member.plan.name)
                .and_then(|schedule| Some(schedule.due()?.to_string())),
            past: service.past.iter().map(Into::into).collect(),
            needed_by: self
                .fleet
                .members()
                .filter(|(_, other)| depends(&other.plan))
                .map(|(_, other)| other.plan.name.clone())
                .collect(),
        })
    }
}
