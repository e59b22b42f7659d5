//! One turn of the loop: news become events of the fleet, and the fleet's actions become effects.

use super::message::Message;
use super::{Supervisor, send};
use crate::clock::{self, Now};
use crate::fleet::{ServiceId, Task};
use crate::ipc::server::Arrival;
use crate::lifecycle::{Action, Cause, Event, Monotonic, RunId};
use crate::log::escape::printable;
use crate::plan::ServicePlan;
use crate::process;
use crate::readiness::ProbeReport;
use crate::watch::{WatchReport, WatchSpec, Watcher};
use jiff::SignedDuration;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often memory is looked at while some service has a limit: a limit passed is acted on within five seconds.
const MEMORY_INTERVAL: Duration = Duration::from_secs(2);

impl Supervisor {
    pub(super) fn take(&mut self, message: Message, now: Now) {
        match message {
            Message::Death(death) => self.died(&death, now),
            Message::Arrival(arrival) => self.arrived(arrival, now),
            Message::Probe(run, ProbeReport::Ready) => self.happen_to_run(run, Event::Ready(run), now),
            Message::Probe(run, ProbeReport::NotYet(why)) => self.happen_to_run(run, Event::NotReady(run, why), now),
            Message::SaidReady(run) => self.said_ready(run, now),
            Message::HolderGone(holder) => self.holder_gone(holder, now),
            Message::Drained(run) => self.drained(run),
            Message::Build(id, run, news) => self.build_news(id, run, news, now),
            Message::Watch(report) => self.watch_news(report, now),
            Message::Uprooted => self.uprooted(now),
            Message::KeeperGone => self.leave("the keeper is gone", now),
            Message::Terminated => self.leave("the supervisor was asked to end", now),
        }
    }

    fn watch_news(&mut self, report: WatchReport, now: Now) {
        match report {
            WatchReport::Changed(changed) => {
                if let Some(id) = self.fleet.find(&changed.service) {
                    let files = changed
                        .paths
                        .iter()
                        .map(|path| printable(&path.to_string_lossy()))
                        .collect();
                    self.happen(id, Event::Changed(files), now);
                }
            }
            WatchReport::Failed { service, why } => {
                let why = format!("watching failed: {why}");
                self.note(now.wall, Some(&service), &why);
                self.watch_troubles.insert(service, why);
            }
            WatchReport::Mended { service } => {
                self.note(now.wall, Some(&service), "watching works again");
                self.watch_troubles.remove(&service);
            }
            WatchReport::Overflowed => {
                let text = "watching: so much changed at once that the system lost track; looking at all files again";
                self.note(now.wall, None, text);
            }
            // Nobody waits for it: what is written from `set` on counts.
            WatchReport::Armed { service, .. } => drop(self.watch_troubles.remove(&service)),
        }
    }

    fn arrived(&mut self, arrival: Arrival, now: Now) {
        match arrival {
            Arrival::Connected(client, stream) => self.clients.add(client, stream),
            Arrival::Request(client, request) => self.request(client, request, now),
            Arrival::Refused(client, why) => {
                self.clients.send(client, &crate::ipc::protocol::Reply::Refused(why));
            }
            Arrival::Gone(client) => self.client_gone(client, now),
        }
    }

    /// Lets time pass: deadlines of services, memory limits, schedules.
    pub(super) fn tick(&mut self, now: Now) {
        let tasks = self.fleet.tick(now);
        self.perform(tasks, now);
        self.release_late_notes(now);
        if self.ground.look_at.is_some_and(|at| at <= now.monotonic) {
            self.look_at_ground(now);
        }
        if self.next_memory_look.is_some_and(|at| at <= now.monotonic) {
            self.enforce_memory_limits(now);
        }
        self.look_at_schedules(now);
    }

    /// Lets an event happen to a service and does what follows.
    pub(super) fn happen(&mut self, id: ServiceId, event: Event, now: Now) {
        let tasks = self.fleet.apply(id, event, now);
        self.perform(tasks, now);
    }

    pub(super) fn happen_to_run(&mut self, run: RunId, event: Event, now: Now) {
        if let Some(id) = self.runs.get(&run).and_then(|live| live.service) {
            self.happen(id, event, now);
        }
    }

    /// Carries actions out, in order, together with those that their results lead to.
    pub(super) fn perform(&mut self, tasks: Vec<Task>, now: Now) {
        let mut queue = VecDeque::from(tasks);
        while let Some((id, action)) = queue.pop_front() {
            match action {
                Action::Launch(run) => {
                    // A hundred launches in one turn take a while: each run begins when it really does, and before its first line.
                    let now = clock::now();
                    let event = self.launch(id, run);
                    queue.extend(self.fleet.apply(id, event, now));
                }
                Action::Terminate(run) => self.work.terminate.push(run),
                Action::Clear(run) => self.work.clear.push(run),
                Action::Kill(run) => self.work.kill.push(run),
                Action::Name(run) => self.work.name.push(run),
                Action::Build(changed_at) => {
                    if let Some(event) = self.start_build(id, changed_at) {
                        queue.extend(self.fleet.apply(id, event, now));
                    }
                }
                Action::CancelBuild => self.cancel_build(id),
                Action::Note(text) => self.note_service(id, text, now),
            }
        }
    }

    /// Watches what the present plan says; of what is newly watched, what changed since `build_began` counts. A service that is down is
    /// watched, too: its events are kept for its start.
    pub(super) fn renew_watches(&mut self, build_began: Option<Monotonic>, now: Now) {
        let Some(plan) = &self.plan else { return };
        let logs = plan
            .services
            .iter()
            .flat_map(|service| service.out_file.iter().chain(&service.error_file))
            .filter(|log| !log.starts_with(&plan.state_dir));
        let own: Vec<PathBuf> = [&plan.state_dir].into_iter().chain(logs).cloned().collect();
        let own_of = |service: &ServicePlan| {
            own.iter()
                .cloned()
                .chain(made_by_builds(service, &plan.workspace))
                .collect()
        };
        let specs: Vec<WatchSpec> = plan
            .services
            .iter()
            .filter(|service| !service.watch.is_empty())
            .map(|service| WatchSpec {
                service: service.name.clone(),
                roots: service.watch.clone(),
                ignore: service.ignore_watch.clone(),
                workspace: plan.workspace.clone(),
                own: own_of(service),
            })
            .collect();
        self.watch_troubles
            .retain(|service, _| self.watcher.is_some() && specs.iter().any(|spec| spec.service == *service));
        if self.watcher.is_none() && !specs.is_empty() {
            let sender = self.sender.clone();
            match Watcher::start(move |report| send(&sender, Message::Watch(report))) {
                Ok(watcher) => self.watcher = Some(watcher),
                Err(error) => {
                    let why = format!("watching failed: {error:#}");
                    self.note(now.wall, None, &why);
                    let services = specs.iter().map(|spec| (spec.service.clone(), why.clone()));
                    self.watch_troubles.extend(services);
                }
            }
        }
        if let Some(watcher) = &mut self.watcher {
            let ago = build_began.map(|began| now.monotonic.saturating_sub(began));
            let ago = SignedDuration::try_from(ago.unwrap_or_default()).unwrap_or_default();
            watcher.set(specs, now.wall.saturating_sub(ago).unwrap_or(now.wall));
        }
    }

    /// Begins to look at memory when some service has a limit, and stops when none has.
    pub(super) fn renew_memory_limits(&mut self, now: Now) {
        let limited = self
            .fleet
            .members()
            .any(|(_, member)| member.plan.max_memory_restart.is_some());
        self.next_memory_look = limited.then_some(now.monotonic + MEMORY_INTERVAL);
    }

    fn enforce_memory_limits(&mut self, now: Now) {
        self.next_memory_look = Some(now.monotonic + MEMORY_INTERVAL);
        let limited: Vec<(ServiceId, u64, process::TreeRoot)> = self
            .fleet
            .members()
            .filter_map(|(id, member)| {
                let run = member.service.live_run()?;
                Some((id, member.plan.max_memory_restart?, self.runs.get(&run.id)?.root))
            })
            .collect();
        let Ok(snapshot) = process::snapshot() else { return };
        let roots: Vec<process::TreeRoot> = limited.iter().map(|(_, _, root)| *root).collect();
        let members = snapshot.members(&roots);
        for ((id, limit, _), members) in limited.iter().zip(&members) {
            let used = process::usage(members).memory;
            if used > *limit {
                self.happen(*id, Event::Restart(Cause::Memory { used, limit: *limit }), now);
            }
        }
    }

    /// Brings the whole stack down; the supervisor ends with it.
    pub(super) fn leave(&mut self, why: &str, now: Now) {
        if self.leaving {
            return;
        }
        self.leaving = true;
        self.note(now.wall, None, &format!("stopping the stack: {why}"));
        // At once, beside the end of the services: Linux takes some 16 ms to end a watch, and an exit would wait for it.
        self.watcher = None;
        self.ground.stop_watching();
        self.stop_all(&Event::Stop, now);
    }

    pub(super) fn stop_all(&mut self, event: &Event, now: Now) {
        let ids: Vec<ServiceId> = self.fleet.members().map(|(id, _)| id).collect();
        let tasks = self.fleet.apply_all(&ids, event, now);
        self.perform(tasks, now);
    }
}

/// What the builds of a service say they write: a change of it is no reason to build again. What the user named to be watched is watched
/// all the same.
fn made_by_builds(service: &ServicePlan, workspace: &Path) -> Vec<PathBuf> {
    let outputs = service.builds.iter().flat_map(|task| &task.outputs);
    let outputs = outputs.map(|output| workspace.join(output).components().collect::<PathBuf>());
    outputs
        .filter(|output| !service.watch.iter().any(|root| root.starts_with(output)))
        .collect()
}
