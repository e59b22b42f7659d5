//! All services together: what may start, what must stop first, why something is not up.
//! Pure: events in, actions out; the supervisor carries them out.

mod fate;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use fate::{Fate, Goal};

use crate::clock::Now;
use crate::config::Condition;
use crate::lifecycle::{self, Action, Cause, Event, Monotonic, RunId, Service, State, Turn, Wanted};
use crate::plan::{Dependency, ServicePlan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A service's id in the table: unique in the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceId(pub u32);

/// A service of the fleet.
#[derive(Debug, Clone)]
pub struct Member {
    /// What it was resolved to.
    pub plan: ServicePlan,
    /// What is wanted of it and what it is.
    pub service: Service,
    /// What it will be, once its present run is over.
    incoming: Option<ServicePlan>,
    /// No longer in the plan: goes when it is down.
    leaving: bool,
    /// Which runs of its dependencies its own run was launched beside.
    beside: BTreeMap<String, RunId>,
}

/// What is to be done for a service.
pub type Task = (ServiceId, Action);

/// All services of a stack.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    members: BTreeMap<ServiceId, Member>,
    /// The names of services that have left: what they did last is still told.
    departed: BTreeMap<ServiceId, String>,
    last_run: u32,
}

impl Fleet {
    /// All services, in the order of their ids.
    pub fn members(&self) -> impl Iterator<Item = (ServiceId, &Member)> {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    /// The service of this id.
    pub fn get(&self, id: ServiceId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// The name of a service, also of one that has left.
    pub fn name_of(&self, id: ServiceId) -> Option<&str> {
        let member = self.members.get(&id).map(|member| member.plan.name.as_str());
        member.or_else(|| self.departed.get(&id).map(String::as_str))
    }

    /// The id of the service of this name.
    pub fn find(&self, name: &str) -> Option<ServiceId> {
        self.members
            .iter()
            .find(|(_, member)| member.plan.name == name)
            .map(|(id, _)| *id)
    }

    /// Brings the fleet in line with a plan: what differs restarts, what is new or was down starts, what is gone stops.
    /// `taken` are the ids that other stacks of the workspace use.
    #[must_use]
    pub fn adopt(&mut self, plans: Vec<ServicePlan>, taken: &[u32], now: Now) -> Vec<Task> {
        self.adopt_but(plans, &[], None, taken, now)
    }

    /// The same, but some stay down until the user's start: what is new and in `stopped`, and what a user has stopped since `began`.
    #[must_use]
    pub fn adopt_but(
        &mut self,
        plans: Vec<ServicePlan>,
        stopped: &[String],
        began: Option<Monotonic>,
        taken: &[u32],
        now: Now,
    ) -> Vec<Task> {
        let gone: Vec<ServiceId> = self
            .members
            .iter()
            .filter(|(_, member)| !plans.iter().any(|plan| plan.name == member.plan.name))
            .map(|(id, _)| *id)
            .collect();
        let mut tasks = Vec::new();
        for id in gone {
            if let Some(member) = self.members.get_mut(&id) {
                member.leaving = true;
            }
            tasks.extend(self.step(id, Event::Stop, now));
        }
        for plan in plans {
            let present = self.find(&plan.name).and_then(|id| self.members.get(&id));
            let stays_down = match present {
                Some(member) => is_stopped_since(member, began),
                None => stopped.contains(&plan.name),
            };
            let id = self.enter(plan, taken);
            if !stays_down {
                tasks.extend(self.bring_up(id, now));
            }
        }
        tasks.extend(self.reconcile(now));
        tasks
    }

    /// The services that a user has stopped since a command began: to that command, if it would start them, the stop is the later word.
    pub fn stopped_since(&self, began: Option<Monotonic>) -> Vec<ServiceId> {
        let stopped = self.members().filter(|(_, member)| is_stopped_since(member, began));
        stopped.map(|(id, _)| id).collect()
    }

    /// Replaces the plans of services that are named in `plans` and already here; nothing starts or stops by it.
    pub fn prepare(&mut self, plans: Vec<ServicePlan>) {
        for plan in plans {
            if self.find(&plan.name).is_some() {
                self.enter(plan, &[]);
            }
        }
    }

    /// Takes a plan in: a new member, or the next plan of an old one.
    fn enter(&mut self, plan: ServicePlan, taken: &[u32]) -> ServiceId {
        if let Some(id) = self.find(&plan.name)
            && let Some(member) = self.members.get_mut(&id)
        {
            member.leaving = false;
            member.incoming = (member.plan != plan).then_some(plan);
            return id;
        }
        let free = |id: &u32| !taken.contains(id) && !self.members.contains_key(&ServiceId(*id));
        let id = ServiceId((0..).find(free).unwrap_or(u32::MAX));
        let member = Member {
            plan,
            service: Service::new(),
            incoming: None,
            leaving: false,
            beside: BTreeMap::new(),
        };
        self.members.insert(id, member);
        id
    }

    /// Starts what is down and restarts what differs; what is up and the same stays as it is.
    fn bring_up(&mut self, id: ServiceId, now: Now) -> Vec<Task> {
        let Some(member) = self.members.get(&id) else {
            return Vec::new();
        };
        let differs = member.incoming.is_some();
        let down = member.service.wanted == Wanted::Down
            || matches!(
                member.service.state,
                State::Stopped | State::Errored | State::Blocked { .. }
            );
        match (down, differs) {
            (true, _) => self.step(id, Event::Start, now),
            (false, true) => self.step(id, Event::Restart(Cause::Configuration), now),
            (false, false) => Vec::new(),
        }
    }

    /// Lets an event happen to a service, and then whatever follows from it for all.
    #[must_use]
    pub fn apply(&mut self, id: ServiceId, event: Event, now: Now) -> Vec<Task> {
        let mut tasks = self.step(id, event, now);
        tasks.extend(self.reconcile(now));
        tasks
    }

    /// Lets events happen to several services before anything follows from them.
    #[must_use]
    pub fn apply_all(&mut self, ids: &[ServiceId], event: &Event, now: Now) -> Vec<Task> {
        let mut tasks: Vec<Task> = ids.iter().flat_map(|id| self.step(*id, event.clone(), now)).collect();
        tasks.extend(self.reconcile(now));
        tasks
    }

    /// Lets the deadlines that have passed take effect.
    #[must_use]
    pub fn tick(&mut self, now: Now) -> Vec<Task> {
        let due = |member: &Member| {
            lifecycle::deadline(&member.service, &member.plan.policy).is_some_and(|at| at <= now.monotonic)
        };
        let ids: Vec<ServiceId> = self
            .members
            .iter()
            .filter(|(_, member)| due(member))
            .map(|(id, _)| *id)
            .collect();
        if ids.is_empty() {
            Vec::new()
        } else {
            self.apply_all(&ids, &Event::Tick, now)
        }
    }

    /// When the fleet next needs a tick, if ever.
    pub fn deadline(&self) -> Option<Monotonic> {
        self.members
            .values()
            .filter_map(|member| lifecycle::deadline(&member.service, &member.plan.policy))
            .min()
    }

    /// The services that `ids` depend on, directly or not, and `ids` themselves.
    pub fn with_dependencies(&self, ids: &[ServiceId]) -> Vec<ServiceId> {
        let mut all = ids.to_vec();
        let mut at = 0;
        while let Some(id) = all.get(at).copied() {
            at += 1;
            for dependency in self.members.get(&id).iter().flat_map(|member| &member.plan.depends_on) {
                if let Some(id) = self.find(&dependency.name)
                    && !all.contains(&id)
                {
                    all.push(id);
                }
            }
        }
        all
    }

    /// A run that is no service's: a build's.
    pub fn take_run(&mut self) -> RunId {
        self.last_run += 1;
        RunId(self.last_run)
    }

    /// Whether nothing runs any more and nothing is wanted up.
    pub fn is_down(&self) -> bool {
        self.members
            .values()
            .all(|member| member.service.state == State::Stopped)
    }

    /// Why the service is not as wanted; a launch that waits says for what.
    pub fn reason(&self, id: ServiceId) -> Option<String> {
        self.waiting_for(id).or_else(|| self.members.get(&id)?.service.reason())
    }

    /// What the service's launch waits for, if it does.
    pub fn waiting_for(&self, id: ServiceId) -> Option<String> {
        let member = self.members.get(&id)?;
        (member.service.state == State::Launching(None)).then(|| self.waits_for(member))?
    }

    fn step(&mut self, id: ServiceId, event: Event, now: Now) -> Vec<Task> {
        let Some(member) = self.members.get_mut(&id) else {
            return Vec::new();
        };
        let service = std::mem::take(&mut member.service);
        let (service, actions) = lifecycle::step(service, event, &member.plan.policy, now);
        member.service = service;
        actions.into_iter().map(|action| (id, action)).collect()
    }

    /// Moves every service as far as the others let it, until nothing moves any more.
    /// It ends: each move takes the service out of the state that allowed it.
    fn reconcile(&mut self, now: Now) -> Vec<Task> {
        let mut tasks = Vec::new();
        loop {
            // Each of a hundred launches comes by here: one look over all, and a closer one at those few that can move.
            let movable = |member: &Member| has_left(member) || takes_next_plan(member) || self.due(member).is_some();
            let ids: Vec<ServiceId> = self
                .members
                .iter()
                .filter(|(_, member)| movable(member))
                .map(|(id, _)| *id)
                .collect();
            if ids.is_empty() {
                return tasks;
            }
            let departed = &mut self.departed;
            self.members.retain(|id, member| {
                if has_left(member) {
                    departed.insert(*id, std::mem::take(&mut member.plan.name));
                }
                !has_left(member)
            });
            for id in ids {
                self.renew_plan(id);
                let Some(event) = self.members.get(&id).and_then(|member| self.due(member)) else {
                    continue;
                };
                if let Event::Go(run) = event {
                    self.last_run = run.0;
                    self.remember_dependencies(id);
                }
                tasks.extend(self.step(id, event, now));
            }
        }
    }

    /// Gives a service that does not run its next plan.
    fn renew_plan(&mut self, id: ServiceId) {
        if let Some(member) = self.members.get_mut(&id).filter(|member| takes_next_plan(member))
            && let Some(plan) = member.incoming.take()
        {
            member.plan = plan;
        }
    }

    /// What a service's neighbours allow or ask of it now.
    fn due(&self, member: &Member) -> Option<Event> {
        let service = &member.service;
        match &service.state {
            State::Launching(None)
                if self.waits_for(member).is_none() && !matches!(service.turn, Turn::Building { .. }) =>
            {
                Some(Event::Go(RunId(self.last_run + 1)))
            }
            State::Online(_) if wants_to_end(service) => (!self.is_needed(member)).then_some(Event::Halt),
            State::Online(_) | State::Stopped => {
                self.follows(member).map(|name| Event::Restart(Cause::Dependency(name)))
            }
            State::Launching(_)
            | State::Blocked { .. }
            | State::Ending { .. }
            | State::WaitingRestart { .. }
            | State::Errored => None,
        }
    }

    /// Whether something that depends on it, and is itself about to end, still runs.
    fn is_needed(&self, member: &Member) -> bool {
        self.members.values().any(|other| {
            let depends = other
                .plan
                .depends_on
                .iter()
                .any(|dependency| dependency.name == member.plan.name);
            depends && other.service.is_active() && wants_to_end(&other.service) && !other.service.is_stuck()
        })
    }

    /// The dependency with `restart = true` that is ready, or completed, in another run than the one this service was launched beside.
    fn came_back(&self, member: &Member) -> Option<String> {
        let mut watched = member.plan.depends_on.iter().filter(|dependency| dependency.restart);
        let changed = |dependency: &&Dependency| {
            let other = self.find(&dependency.name).and_then(|id| self.members.get(&id));
            let there = other.filter(|other| {
                let is_ready = dependency.condition == Condition::Completed || other.service.is_ready();
                is_ready && !wants_to_end(&other.service)
            });
            let run = there.and_then(|other| run_for(&other.service, dependency.condition));
            run.is_some_and(|run| member.beside.get(&dependency.name) != Some(&run))
        };
        watched.find(changed).map(|dependency| dependency.name.clone())
    }

    /// What came back for a service that runs, or has ended by itself and rests: it is about to be restarted, and who depends on both
    /// waits for its next run.
    fn follows(&self, member: &Member) -> Option<String> {
        let can_follow = match &member.service.state {
            State::Online(_) => true,
            State::Stopped => member.service.wanted == Wanted::Up,
            State::Launching(_)
            | State::Blocked { .. }
            | State::Ending { .. }
            | State::WaitingRestart { .. }
            | State::Errored => false,
        };
        can_follow.then(|| self.came_back(member))?
    }

    fn remember_dependencies(&mut self, id: ServiceId) {
        let Some(member) = self.members.get(&id) else { return };
        let run_of = |dependency: &Dependency| {
            let other = self.members.get(&self.find(&dependency.name)?)?;
            let run = run_for(&other.service, dependency.condition)?;
            Some((dependency.name.clone(), run))
        };
        let beside = member.plan.depends_on.iter().filter_map(run_of).collect();
        if let Some(member) = self.members.get_mut(&id) {
            member.beside = beside;
        }
    }

    /// What a launch waits for: the first dependency that is not there yet.
    fn waits_for(&self, member: &Member) -> Option<String> {
        let missing = |dependency: &&Dependency| {
            let other = self.find(&dependency.name).and_then(|id| self.members.get(&id));
            other.is_some_and(|other| !is_met(&other.service, dependency.condition) || self.follows(other).is_some())
        };
        let dependency = member.plan.depends_on.iter().find(missing)?;
        let id = self.find(&dependency.name)?;
        let other = self.members.get(&id)?;
        let name = &dependency.name;
        Some(match &other.service.state {
            State::Errored | State::Blocked { .. } => {
                let why = other.service.reason().unwrap_or_default();
                format!("waits for {name} ({}: {why})", other.service.status())
            }
            State::Stopped => match other.service.last_exit().filter(|_| other.service.wanted == Wanted::Up) {
                Some(run) => format!("waits for {name} (stopped: it ended with {})", run.exit),
                None => format!("waits for {name} (stopped)"),
            },
            State::Launching(_) | State::Online(_) | State::Ending { .. } | State::WaitingRestart { .. } => {
                match self.waiting_for(id).or_else(|| other.service.reason()) {
                    Some(why) => format!("waits for {name} ({why})"),
                    None => format!("waits for {name}"),
                }
            }
        })
    }
}

/// Whether it is gone from the plan, and nothing of it runs.
fn has_left(member: &Member) -> bool {
    member.leaving && member.service.state == State::Stopped
}

/// Whether a user has stopped it since a command began; that it went from the plan is no user's stop.
fn is_stopped_since(member: &Member, began: Option<Monotonic>) -> bool {
    !member.leaving && began.is_some_and(|began| member.service.is_stopped_since(began))
}

/// Whether nothing of its old plan runs where there is a next one.
fn takes_next_plan(member: &Member) -> bool {
    member.incoming.is_some() && !member.service.is_active()
}

/// Whether its run is to end: the user wants it down, or a restart is due.
fn wants_to_end(service: &Service) -> bool {
    service.wanted == Wanted::Down || service.restart.is_some()
}

/// The run of a dependency that its dependents have to do with: the one that was completed, or the one that lives.
fn run_for(service: &Service, condition: Condition) -> Option<RunId> {
    match condition {
        Condition::Completed => service.completed,
        Condition::Started | Condition::Ready => service.live_run().map(|run| run.id),
    }
}

/// Whether a dependency has reached what its dependents wait for.
fn is_met(service: &Service, condition: Condition) -> bool {
    match condition {
        Condition::Started => matches!(service.state, State::Online(_)) && !wants_to_end(service),
        Condition::Ready => service.is_ready() && !wants_to_end(service),
        Condition::Completed => service.completed.is_some(),
    }
}
