//! What is promised of a stack, checked after every step against what the simulated users asked for and what the simulated
//! processes did. The fleet's own opinion is not asked where it could be wrong.

use super::world::World;
use crate::config::{Autorestart, Condition};
use crate::fleet::{Member, ServiceId};
use crate::lifecycle::{Event, Exit, Phase, RunId, State, Turn, Wanted};
use crate::plan::Dependency;
use crate::policy::KILL_LIMIT;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a process may stay that not even SIGKILL ends.
pub(super) const FROZEN: Duration = Duration::from_secs(20);

/// What is known of a service from outside.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Since when the user wants it down.
    down_since: Option<Duration>,
    /// When a user stopped it last.
    stopped_at: Option<Duration>,
    /// Its counter when last looked at.
    restarts: u64,
    /// How often it was launched since the counter was last reset.
    launches: u64,
    /// Runs in a row that ended by themselves before `min_uptime`, at most: whatever a user does begins anew.
    unstable: u32,
    /// Which runs of what it depends on lived when it was launched last.
    beside: Vec<RunId>,
}

/// What is known of all services.
pub(super) type Ledger = BTreeMap<ServiceId, Known>;

impl World {
    /// A user asked for something.
    pub(super) fn asked(&mut self, service: ServiceId, event: &Event) {
        let now = self.now;
        let known = self.ledger.entry(service).or_default();
        known.unstable = 0;
        match event {
            Event::Stop | Event::Kill => {
                known.down_since.get_or_insert(now);
                known.stopped_at = Some(now);
            }
            Event::Start | Event::Restart(_) => known.down_since = None,
            Event::Reset => (known.restarts, known.launches) = (0, 0),
            _ => {}
        }
    }

    /// Whether a user's stop after that moment is the last word on it.
    pub(super) fn is_stopped_since(&self, service: ServiceId, moment: Duration) -> bool {
        self.ledger
            .get(&service)
            .is_some_and(|known| known.down_since.is_some() && known.stopped_at.is_some_and(|at| at > moment))
    }

    /// A run is about to start.
    pub(super) fn check_launch(&mut self, service: ServiceId) {
        if self.trees.values().any(|tree| tree.service == service) {
            self.fail("a run starts while something of an earlier one lives");
        }
        let Some(member) = self.fleet.get(service) else {
            self.fail("a service that is not there is launched")
        };
        let limit = member.plan.policy.max_restarts;
        self.check_dependencies(member);
        let beside = member
            .plan
            .depends_on
            .iter()
            .filter_map(|dependency| self.run_of(dependency));
        let beside = beside.collect();
        let known = self.ledger.entry(service).or_default();
        known.beside = beside;
        known.launches += 1;
        let (down, unstable) = (known.down_since.is_some(), known.unstable);
        if down {
            self.fail("a service is launched that the user wants down");
        }
        if unstable > limit {
            self.fail(&format!(
                "{service:?} is launched once more ({unstable}) than max_restarts allows ({limit})"
            ));
        }
    }

    fn run_of(&self, dependency: &Dependency) -> Option<RunId> {
        let service = &self.fleet.get(self.fleet.find(&dependency.name)?)?.service;
        match dependency.condition {
            Condition::Completed => service.completed,
            Condition::Started | Condition::Ready => service.live_run().map(|run| run.id),
        }
    }

    /// What has configured another, and rests, has done so for the run that is up.
    fn check_followers(&self) {
        let rests = |member: &Member| member.service.state == State::Stopped && member.service.wanted == Wanted::Up;
        for (id, member) in self.fleet.members().filter(|(_, member)| rests(member)) {
            let beside = self
                .ledger
                .get(&id)
                .map(|known| known.beside.as_slice())
                .unwrap_or_default();
            let missed = |dependency: &&Dependency| {
                let other = self.fleet.find(&dependency.name).and_then(|id| self.fleet.get(id));
                let stays =
                    other.is_some_and(|other| other.service.wanted == Wanted::Up && other.service.restart.is_none());
                let is_ready = other.is_some_and(|other| other.service.is_ready());
                let is_there = stays && (is_ready || dependency.condition == Condition::Completed);
                let run = self.run_of(dependency).filter(|_| is_there);
                dependency.restart && run.is_some_and(|run| !beside.contains(&run))
            };
            if member.plan.depends_on.iter().any(|dependency| missed(&dependency)) {
                self.fail("a service rests although what it configured has come back");
            }
        }
    }

    fn check_dependencies(&self, member: &Member) {
        for dependency in &member.plan.depends_on {
            let other = self.fleet.find(&dependency.name).and_then(|id| self.fleet.get(id));
            let met = other.is_none_or(|other| match dependency.condition {
                Condition::Started => matches!(other.service.state, State::Online(_)),
                Condition::Ready => other.service.is_ready(),
                Condition::Completed => other.service.completed.is_some(),
            });
            if !met {
                self.fail("a service is launched before what it depends on");
            }
        }
    }

    /// A run ended by itself.
    pub(super) fn ended(&mut self, service: ServiceId, run: RunId, exit: Exit) {
        let Some(member) = self.fleet.get(service) else { return };
        let State::Online(live) = member.service.state else {
            return;
        };
        let policy = &member.plan.policy;
        let is_stop = matches!(exit, Exit::Code(code) if policy.stop_exit_codes.contains(&code));
        let is_retried = match policy.autorestart {
            Autorestart::Always => !is_stop,
            Autorestart::OnFailure => !is_stop && exit != Exit::Code(0),
            Autorestart::Never => false,
        };
        let quiet = member.service.restart.is_none() && member.service.turn == Turn::None;
        let counts = live.id == run && member.service.wanted == Wanted::Up && is_retried && quiet;
        let short = self.now.saturating_sub(live.since) < member.plan.policy.min_uptime;
        let known = self.ledger.entry(service).or_default();
        known.unstable = match (counts, short) {
            (true, true) => known.unstable + 1,
            (true, false) => 0,
            (false, _) => known.unstable,
        };
    }

    /// What is stopped together stops dependents first.
    pub(super) fn check_stop_order(&self, service: ServiceId) {
        let Some(member) = self.fleet.get(service) else { return };
        let first = |other: &Member| {
            let depends = other
                .plan
                .depends_on
                .iter()
                .any(|dependency| dependency.name == member.plan.name);
            depends && matches!(other.service.state, State::Online(_)) && other.service.wanted == Wanted::Down
        };
        if member.service.wanted == Wanted::Down && self.fleet.members().any(|(_, other)| first(other)) {
            self.fail("a service is stopped before what depends on it");
        }
    }

    /// How long the whole stack may take to go down: one service after the other.
    pub(super) fn longest_stop(&self) -> Duration {
        let members = self.fleet.members();
        members
            .map(|(_, member)| member.plan.policy.kill_timeout + KILL_LIMIT)
            .sum::<Duration>()
            + FROZEN
    }

    /// After every step.
    pub(super) fn check(&mut self) {
        if self.fleet.deadline().is_some_and(|at| at < self.now) {
            self.fail("a deadline has passed unhandled");
        }
        let nothing = Known::default();
        for (id, member) in self.fleet.members() {
            let known = self.ledger.get(&id).unwrap_or(&nothing);
            if member.service.restarts < known.restarts {
                self.fail("a counter went back");
            }
            if member.service.restarts > known.launches {
                self.fail("a restart is counted that did not happen");
            }
            let mut living = self.trees.values().filter(|tree| tree.service == id);
            let first = living.next();
            if living.next().is_some() || first.is_none() == member.service.live_run().is_some() {
                self.fail("the fleet and the world differ on what lives");
            }
            let stuck = matches!(
                member.service.state,
                State::Ending {
                    phase: Phase::Stuck,
                    ..
                }
            );
            if stuck && !first.is_some_and(|tree| tree.frozen) {
                self.fail("something survives SIGKILL");
            }
            let up = member.service.state != State::Stopped;
            if up
                && known
                    .down_since
                    .is_some_and(|since| self.now > since + FROZEN && self.now > since + self.longest_stop())
            {
                self.fail("wanted down did not lead to down in time");
            }
        }
        if self.trees.values().any(|tree| self.fleet.get(tree.service).is_none()) {
            self.fail("a service is gone while something of it lives");
        }
        self.check_followers();
        self.remember();
    }

    /// Takes down what the next look is compared with.
    fn remember(&mut self) {
        for (id, member) in self.fleet.members() {
            let known = self.ledger.entry(id).or_default();
            known.restarts = member.service.restarts;
            if let State::Online(run) = member.service.state
                && self.now >= run.since + member.plan.policy.min_uptime
            {
                known.unstable = 0;
            }
        }
        self.forget_gone();
    }

    pub(super) fn forget_gone(&mut self) {
        self.ledger.retain(|id, _| self.fleet.get(*id).is_some());
    }
}
