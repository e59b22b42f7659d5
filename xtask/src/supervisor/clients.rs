//! What commands ask for: requests become events, and whoever waits is answered as soon as the answer is known.

use super::Supervisor;
use crate::clock::Now;
use crate::fleet::{Fate, Goal, Member, ServiceId};
use crate::ipc::protocol::{Failure, HEARTBEAT, Lease, Reply, Request, Up};
use crate::ipc::server::ClientId;
use crate::lifecycle::{Cause, Event, Files, Monotonic, State, Wanted};
use crate::plan::{Invocation, Plan};
use std::time::Duration;

/// A command that waits for its answer.
pub(super) struct Waiter {
    client: ClientId,
    services: Vec<ServiceId>,
    goal: Goal,
    /// Those that will not come where they should, whatever becomes of the others.
    failures: Vec<Failure>,
    /// When it is answered even if the goal is open.
    pub(super) deadline: Option<Monotonic>,
    /// It waits for the end of the whole stack, and is told of it when the supervisor ends.
    whole: bool,
}

impl Supervisor {
    pub(super) fn request(&mut self, client: ClientId, request: Request, now: Now) {
        self.release_all_notes();
        match request {
            Request::Status => {
                let status = self.status(now);
                self.clients.send(client, &Reply::Status(Box::new(status)));
            }
            Request::Roster => {
                let roster = self.roster(now);
                self.clients.send(client, &Reply::Status(Box::new(roster)));
            }
            Request::Shutdown => self.shut_down(client, now),
            // Decided here: the news of a lost ownership may still be on its way to the client.
            Request::Leave if self.lease == Some(client) || self.leaving => self.shut_down(client, now),
            Request::Leave => self.clients.send(client, &Reply::Owner(false)),
            Request::Kill => self.kill_all(client, now),
            Request::Invocation => {
                let mut invocation = self.invocation.clone();
                invocation.options.stopped = self.stopped_by_user();
                self.clients.send(client, &Reply::Invocation(Box::new(invocation)));
            }
            Request::Flush { services } => self.flush(client, &services),
            Request::Reset { services } => self.reset(client, &services, now),
            Request::Signal { services, signal } => self.signal(client, &services, signal, now),
            Request::Send { services, text } => self.send(client, &services, &text),
            Request::Details { services } => {
                let details = self.details(&services, now);
                self.clients.send(client, &Reply::Details(details));
            }
            _ if self.leaving => self.clients.send(client, &Reply::Leaving),
            Request::Up(up) => self.up(client, *up, now),
            Request::Stop { services } => self.stop(client, &services, now),
            Request::Start { services, build_began } => self.start(client, &services, build_began, now),
            Request::Restart {
                services,
                plan,
                invocation,
                build_began,
            } => {
                let missed = self.missed(build_began, now);
                let ids = self.ids(&services);
                let (ids, failures) = self.but_stopped(ids, build_began, now);
                self.apply_plan(&services, *plan, *invocation);
                self.restart(&ids, now);
                self.wait_for(client, ids, failures, Goal::Launched, None, now);
                self.make_up_for(missed, now);
            }
            Request::Wait { services, timeout } => {
                let ids = self.ids(&services);
                self.wait_for(client, ids, Vec::new(), Goal::Ready, timeout, now);
            }
        }
    }

    pub(super) fn client_gone(&mut self, client: ClientId, now: Now) {
        self.clients.remove(client);
        self.waiters.retain(|waiter| waiter.client != client);
        self.served = Some(now.monotonic);
        if self.lease == Some(client) {
            self.lease = None;
            self.leave("the command that owned it ended", now);
        }
    }

    fn up(&mut self, client: ClientId, up: Up, now: Now) {
        match up.lease {
            Lease::Hold if self.plan.is_none() => self.lease = Some(client),
            Lease::Hold => {}
            Lease::Release => {
                if let Some(owner) = self.lease.take() {
                    self.clients.send(owner, &Reply::Owner(false));
                }
            }
        }
        self.clients.send(client, &Reply::Owner(self.lease == Some(client)));
        self.invocation = up.invocation;
        let services = up.plan.services.clone();
        self.plan = Some(up.plan);
        let stopped = std::mem::take(&mut self.invocation.options.stopped);
        let missed = self.missed(up.build_began, now);
        let tasks = self
            .fleet
            .adopt_but(services, &stopped, up.build_began, &up.taken_ids, now);
        self.perform(tasks, now);
        self.renew_watches(up.build_began, now);
        self.make_up_for(missed, now);
        self.renew_memory_limits(now);
        self.renew_schedules(now);
        let stays_down = |member: &Member| member.service.wanted == Wanted::Down && stopped.contains(&member.plan.name);
        let awaited = self.fleet.members().filter(|(_, member)| !stays_down(member));
        let ids = awaited.map(|(id, _)| id).collect();
        let (ids, failures) = self.but_stopped(ids, up.build_began, now);
        self.wait_for(client, ids, failures, up.goal, up.timeout, now);
    }

    /// Leaves those out that a user has stopped since the command began its builds, each a failure of the command: the stop is the later
    /// word.
    fn but_stopped(
        &self,
        ids: Vec<ServiceId>,
        build_began: Option<Monotonic>,
        now: Now,
    ) -> (Vec<ServiceId>, Vec<Failure>) {
        let stopped = self.fleet.stopped_since(build_began);
        let (stopped, others): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| stopped.contains(id));
        let mut failures = Vec::new();
        for member in stopped.into_iter().filter_map(|id| self.fleet.get(id)) {
            let service = member.plan.name.clone();
            self.note(
                now.wall,
                Some(&service),
                "not started: it was stopped while an earlier command built",
            );
            failures.push(Failure {
                service,
                reason: "it was stopped meanwhile".to_owned(),
            });
        }
        (others, failures)
    }

    fn stopped_by_user(&self) -> Vec<String> {
        let down = self
            .fleet
            .members()
            .filter(|(_, member)| member.service.wanted == Wanted::Down);
        down.map(|(_, member)| member.plan.name.clone()).collect()
    }

    /// What changed of services that are down since builds began that make ready for their next start: those have it in part, or not.
    fn missed(&self, build_began: Option<Monotonic>, now: Now) -> Vec<(ServiceId, Files)> {
        let since = build_began.unwrap_or(now.monotonic);
        let missed = |(id, member): (ServiceId, &Member)| {
            let (at, files) = member.service.missed.as_ref()?;
            (*at >= since).then(|| (id, files.clone()))
        };
        self.fleet.members().filter_map(missed).collect()
    }

    /// They were started: what they missed is a change like any other.
    fn make_up_for(&mut self, missed: Vec<(ServiceId, Files)>, now: Now) {
        for (id, files) in missed {
            self.happen(id, Event::Changed(files.into_names()), now);
        }
    }

    fn start(&mut self, client: ClientId, services: &[String], build_began: Option<Monotonic>, now: Now) {
        let named = self.ids(services);
        let down = |id: &ServiceId| {
            self.fleet.get(*id).is_some_and(|member| {
                member.service.wanted == Wanted::Down
                    || matches!(
                        member.service.state,
                        State::Errored | State::Stopped | State::WaitingRestart { .. } | State::Blocked { .. }
                    )
            })
        };
        let (all, failures) = self.but_stopped(self.fleet.with_dependencies(&named), build_began, now);
        let ids: Vec<ServiceId> = all
            .iter()
            .copied()
            .filter(|id| down(id) && (named.contains(id) || !self.has_completed(*id)))
            .collect();
        let missed = self.missed(build_began, now);
        let tasks = self.fleet.apply_all(&ids, &Event::Start, now);
        self.perform(tasks, now);
        self.make_up_for(missed, now);
        let awaited = named.into_iter().filter(|id| all.contains(id)).collect();
        self.wait_for(client, awaited, failures, Goal::Launched, None, now);
    }

    /// A one-shot that has done its work need not do it again for those that depend on it.
    fn has_completed(&self, id: ServiceId) -> bool {
        self.fleet
            .get(id)
            .is_some_and(|member| member.service.completed.is_some())
    }

    /// These services are from now on what the plan says, with their next run.
    fn apply_plan(&mut self, services: &[String], plan: Plan, invocation: Invocation) {
        let named = |name: &String| services.contains(name);
        self.invocation = invocation;
        self.fleet.prepare(
            plan.services
                .iter()
                .filter(|service| named(&service.name))
                .cloned()
                .collect(),
        );
        if let Some(present) = &mut self.plan {
            for service in plan.services {
                if let Some(old) = present
                    .services
                    .iter_mut()
                    .find(|old| old.name == service.name && named(&old.name))
                {
                    *old = service;
                }
            }
        }
    }

    fn restart(&mut self, ids: &[ServiceId], now: Now) {
        let tasks = self.fleet.apply_all(ids, &Event::Restart(Cause::Command), now);
        self.perform(tasks, now);
        self.renew_watches(None, now);
        self.renew_memory_limits(now);
        self.renew_schedules(now);
    }

    fn stop(&mut self, client: ClientId, services: &[String], now: Now) {
        let ids = self.ids(services);
        let tasks = self.fleet.apply_all(&ids, &Event::Stop, now);
        self.perform(tasks, now);
        self.wait_for(client, ids, Vec::new(), Goal::Down, None, now);
    }

    fn reset(&mut self, client: ClientId, services: &[String], now: Now) {
        let ids = self.ids(services);
        let tasks = self.fleet.apply_all(&ids, &Event::Reset, now);
        self.perform(tasks, now);
        self.clients.send(client, &Reply::Done { failures: Vec::new() });
    }

    fn shut_down(&mut self, client: ClientId, now: Now) {
        self.leave("asked by command", now);
        self.wait_for_end(client, now);
    }

    fn kill_all(&mut self, client: ClientId, now: Now) {
        self.leave("asked by command", now);
        self.note(now.wall, None, "killing the stack: asked again by command");
        self.stop_all(&Event::Kill, now);
        self.wait_for_end(client, now);
    }

    fn flush(&mut self, client: ClientId, services: &[String]) {
        let plans: Vec<_> = self
            .ids(services)
            .into_iter()
            .filter_map(|id| self.fleet.get(id).map(|member| member.plan.clone()))
            .collect();
        let mut failures = Vec::new();
        for plan in plans {
            failures.extend(self.logs.flush(&plan).into_iter().map(|error| Failure {
                service: plan.name.clone(),
                reason: error.to_string(),
            }));
        }
        self.clients.send(client, &Reply::Done { failures });
    }

    pub(super) fn ids(&self, services: &[String]) -> Vec<ServiceId> {
        services.iter().filter_map(|name| self.fleet.find(name)).collect()
    }

    fn wait_for(
        &mut self,
        client: ClientId,
        services: Vec<ServiceId>,
        failures: Vec<Failure>,
        goal: Goal,
        timeout: Option<Duration>,
        now: Now,
    ) {
        let deadline = timeout.map(|timeout| now.monotonic + timeout);
        self.add_waiter(
            Waiter {
                client,
                services,
                failures,
                goal,
                deadline,
                whole: false,
            },
            now,
        );
    }

    fn wait_for_end(&mut self, client: ClientId, now: Now) {
        self.waiters.retain(|waiter| waiter.client != client);
        let services = self.fleet.members().map(|(id, _)| id).collect();
        self.add_waiter(
            Waiter {
                client,
                services,
                failures: Vec::new(),
                goal: Goal::Down,
                deadline: None,
                whole: true,
            },
            now,
        );
    }

    fn add_waiter(&mut self, waiter: Waiter, now: Now) {
        self.waiters.push(waiter);
        self.next_heartbeat.get_or_insert(now.monotonic + HEARTBEAT);
    }

    /// Answers everyone whose goal is decided, and gives the others a sign of life.
    pub(super) fn answer_waiters(&mut self, now: Now) {
        for waiter in std::mem::take(&mut self.waiters) {
            match self.answer(&waiter, now) {
                // Whoever waits for the whole stack hears `Ended` from the supervisor's last act, and until then that it lives.
                Some(_) if waiter.whole => self.waiters.push(waiter),
                Some(failures) => {
                    self.release_all_notes();
                    self.clients.send(waiter.client, &Reply::Done { failures });
                }
                None => self.waiters.push(waiter),
            }
        }
        if self.next_heartbeat.is_some_and(|at| at <= now.monotonic) {
            for waiter in &self.waiters {
                self.clients.send(waiter.client, &Reply::Working);
            }
            self.next_heartbeat = Some(now.monotonic + HEARTBEAT);
        }
        if self.waiters.is_empty() {
            self.next_heartbeat = None;
        }
    }

    /// All failures, once every service's fate is decided or the time is up.
    fn answer(&self, waiter: &Waiter, now: Now) -> Option<Vec<Failure>> {
        let late = waiter.deadline.is_some_and(|deadline| deadline <= now.monotonic);
        let mut failures = waiter.failures.clone();
        for id in &waiter.services {
            let reason = match self.fleet.fate(*id, waiter.goal) {
                Fate::Reached => continue,
                Fate::Failed(why) => why,
                Fate::Open if late => match self.fleet.reason(*id).or_else(|| self.probe_error(*id)) {
                    Some(why) => format!("not in time: {why}"),
                    None => "not in time: it runs, and is not ready yet".to_owned(),
                },
                Fate::Open => return None,
            };
            let service = self
                .fleet
                .get(*id)
                .map(|member| member.plan.name.clone())
                .unwrap_or_default();
            failures.push(Failure { service, reason });
        }
        Some(failures)
    }

    fn probe_error(&self, id: ServiceId) -> Option<String> {
        self.fleet.get(id)?.service.probe_error.clone()
    }
}
