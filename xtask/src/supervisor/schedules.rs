//! `cron_restart`: restarts services at the times of their schedules, by the time zone of this machine.

use super::Supervisor;
use crate::clock::{self, Now};
use crate::fleet::ServiceId;
use crate::lifecycle::{Cause, Event, Monotonic, Schedule};

impl Supervisor {
    /// Goes by the cron lines of the present plan; one that is the same goes on as it was.
    pub(super) fn renew_schedules(&mut self, now: Now) {
        let services = self.plan.iter().flat_map(|plan| &plan.services);
        let lines: Vec<_> = services
            .filter_map(|service| Some((service.name.clone(), service.cron_restart.clone()?)))
            .collect();
        self.schedules.retain(|name, schedule| {
            lines
                .iter()
                .any(|(known, line)| known == name && line == schedule.line())
        });
        for (name, line) in lines {
            self.schedules
                .entry(name)
                .or_insert_with(|| Schedule::new(line, now, &clock::zone()));
        }
    }

    /// Restarts whatever is due. A service that the user has stopped stays so.
    pub(super) fn look_at_schedules(&mut self, now: Now) {
        if self.schedule_deadline().is_none_or(|at| at > now.monotonic) {
            return;
        }
        let zone = clock::zone();
        let due: Vec<ServiceId> = self
            .schedules
            .iter_mut()
            .filter(|(_, schedule)| schedule.look_at() <= now.monotonic)
            .filter_map(|(name, schedule)| {
                if schedule.look(now, &zone) {
                    self.fleet.find(name)
                } else {
                    None
                }
            })
            .collect();
        for id in due {
            self.happen(id, Event::Restart(Cause::Schedule), now);
        }
    }

    pub(super) fn schedule_deadline(&self) -> Option<Monotonic> {
        self.schedules.values().map(Schedule::look_at).min()
    }
}
