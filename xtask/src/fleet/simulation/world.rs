//! The simulated world: virtual time, processes that crash, hang, fork and ignore signals, users who type at random, news
//! that come late or twice. What it must keep is in `promises`.

use super::dice::Dice;
use super::plans::{changed_plans, random_plans};
use super::promises::{FROZEN, Ledger};
use crate::clock::Now;
use crate::config::Condition;
use crate::fleet::{Fleet, Member, ServiceId, Task};
use crate::lifecycle::{Action, Cause, Event, Exit, RunId, State, Wanted};
use crate::plan::ServicePlan;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The processes of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) service: ServiceId,
    pub(super) leader: bool,
    pub(super) leftovers: bool,
    /// Ignores everything but SIGKILL.
    pub(super) stubborn: bool,
    /// Does not die of SIGKILL either, for a while.
    pub(super) frozen: bool,
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) dice: Dice,
    pub(super) now: Duration,
    pub(super) fleet: Fleet,
    pub(super) trees: BTreeMap<RunId, Tree>,
    /// News on their way, by arrival; the number keeps the order of those that arrive together.
    pub(super) news: BTreeMap<(Duration, u64), (ServiceId, Event)>,
    pub(super) sent: u64,
    pub(super) builds: BTreeMap<ServiceId, bool>,
    pub(super) ledger: Ledger,
    /// What the fleet was given first.
    plans: Vec<ServicePlan>,
    /// What it was given last.
    given: Vec<ServicePlan>,
    /// From now on every program is well.
    pub(super) healthy: bool,
    pub(super) steps: usize,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut world = Self {
            seed,
            dice: Dice(seed),
            now: Duration::from_secs(1000),
            fleet: Fleet::default(),
            trees: BTreeMap::new(),
            news: BTreeMap::new(),
            sent: 0,
            builds: BTreeMap::new(),
            ledger: Ledger::new(),
            plans: Vec::new(),
            given: Vec::new(),
            healthy: false,
            steps: 0,
        };
        let plans = random_plans(&mut world.dice);
        world.plans.clone_from(&plans);
        world.given.clone_from(&plans);
        let now = world.clock();
        let tasks = world.fleet.adopt(plans, &[], now);
        world.perform(tasks);
        world
    }

    /// The time of day is set back and forward as somebody likes: nothing may depend on it.
    fn clock(&mut self) -> Now {
        let seconds = i64::try_from(self.dice.roll(100_000)).unwrap_or_default();
        Now {
            monotonic: self.now,
            wall: jiff::Timestamp::from_second(seconds).unwrap_or_default(),
        }
    }

    pub(super) fn fail(&self, what: &str) -> ! {
        panic!(
            "{what} (seed {}, step {}, {:?})\n{:#?}",
            self.seed, self.steps, self.now, self.fleet.members
        )
    }

    pub(super) fn send(&mut self, after: Duration, service: ServiceId, event: Event) {
        self.sent += 1;
        self.news.insert((self.now + after, self.sent), (service, event));
    }

    pub(super) fn happen(&mut self, service: ServiceId, event: Event) {
        let now = self.clock();
        let tasks = self.fleet.apply(service, event, now);
        self.perform(tasks);
    }

    /// What the supervisor would do, done to simulated processes.
    pub(super) fn perform(&mut self, tasks: Vec<Task>) {
        let mut queue = VecDeque::from(tasks);
        while let Some((service, action)) = queue.pop_front() {
            match action {
                Action::Launch(run) => {
                    let event = self.launch(service, run);
                    let now = self.clock();
                    queue.extend(self.fleet.apply(service, event, now));
                }
                Action::Terminate(run) => self.terminate(service, run),
                Action::Clear(run) => self.clear(run),
                Action::Kill(run) => self.kill(run),
                Action::Build(_) => {
                    self.builds.insert(service, true);
                    let result = if self.healthy || self.dice.roll(3) > 0 {
                        Ok(())
                    } else {
                        Err("no".to_owned())
                    };
                    let takes = self.dice.millis(3000);
                    self.send(takes, service, Event::Built(result));
                }
                Action::CancelBuild => {
                    self.news
                        .retain(|_, (of, event)| *of != service || !matches!(event, Event::Built(_)));
                    self.builds.remove(&service);
                }
                Action::Name(_) | Action::Note(_) => {}
            }
        }
    }

    pub(super) fn launch(&mut self, service: ServiceId, run: RunId) -> Event {
        self.check_launch(service);
        if !self.healthy {
            match self.dice.roll(20) {
                0 => return Event::PortsHeld(run, "held".to_owned()),
                1 => return Event::Scarce(run, "none left".to_owned()),
                2 if self.dice.one_in(10) => return Event::Unlaunchable(run, "missing".to_owned()),
                _ => {}
            }
        }
        let ill = !self.healthy;
        let leftovers = ill && self.dice.one_in(3);
        let stubborn = ill && self.dice.one_in(4);
        let frozen = ill && self.dice.one_in(40);
        self.trees.insert(
            run,
            Tree {
                service,
                leader: true,
                leftovers,
                stubborn,
                frozen,
            },
        );
        if self.healthy || self.dice.roll(5) > 0 {
            let after = if self.healthy {
                Duration::from_millis(10)
            } else {
                self.dice.millis(6000)
            };
            self.send(after, service, Event::Ready(run));
        }
        if ill && self.dice.one_in(2) {
            let exit = match self.dice.roll(4) {
                0 => Exit::Code(0),
                1 => Exit::Signal(9),
                _ => Exit::Code(1),
            };
            let life = self.dice.millis(4000);
            self.send(life, service, Event::Exited(run, exit));
        }
        Event::Spawned(run, run.0)
    }

    pub(super) fn terminate(&mut self, service: ServiceId, run: RunId) {
        self.check_stop_order(service);
        let Some(tree) = self.trees.get_mut(&run) else { return };
        if !tree.stubborn {
            tree.leftovers = false;
            let takes = self.dice.millis(3000);
            self.send(takes, service, Event::Exited(run, Exit::Signal(2)));
        }
    }

    pub(super) fn clear(&mut self, run: RunId) {
        let Some(tree) = self.trees.get(&run).copied() else {
            return;
        };
        if !tree.leftovers {
            self.send(Duration::ZERO, tree.service, Event::TreeGone(run));
        } else if !tree.stubborn {
            let takes = self.dice.millis(400);
            self.send(takes, tree.service, Event::TreeGone(run));
        }
    }

    pub(super) fn kill(&mut self, run: RunId) {
        let Some(tree) = self.trees.get_mut(&run) else { return };
        tree.leftovers = false;
        tree.stubborn = false;
        let tree = *tree;
        let takes = if tree.frozen {
            self.dice.millis(u64::try_from(FROZEN.as_millis()).unwrap_or_default())
        } else {
            self.dice.millis(20)
        };
        if tree.leader {
            self.send(takes, tree.service, Event::Exited(run, Exit::Signal(9)));
        } else {
            self.send(takes, tree.service, Event::TreeGone(run));
        }
    }

    /// News arrive; what they say of the processes becomes true with them.
    pub(super) fn arrive(&mut self, service: ServiceId, event: Event) {
        match &event {
            Event::Exited(run, exit) => {
                self.ended(service, *run, *exit);
                let Some(tree) = self.trees.get_mut(run) else { return };
                if !std::mem::take(&mut tree.leader) {
                    return;
                }
                let asked = self
                    .fleet
                    .get(service)
                    .is_some_and(|member| matches!(member.service.state, State::Ending { .. }));
                if asked && !tree.leftovers {
                    self.send(Duration::ZERO, service, Event::TreeGone(*run));
                }
            }
            Event::TreeGone(run) if self.trees.remove(run).is_none() => return,
            Event::Built(_) => {
                self.builds.remove(&service);
                self.asked(service, &event);
            }
            _ => {}
        }
        self.happen(service, event.clone());
        // Late news of a run that is over, and news that come twice, must change nothing.
        if self.dice.one_in(10) {
            let before = self.fleet.get(service).map(|member| member.service.clone());
            if let Event::TreeGone(run) = event {
                for stale in [
                    Event::TreeGone(run),
                    Event::Ready(run),
                    Event::Exited(run, Exit::Code(0)),
                ] {
                    self.happen(service, stale);
                }
                if before != self.fleet.get(service).map(|member| member.service.clone()) {
                    self.fail("news of an earlier run changed something");
                }
            }
        }
    }

    /// Somebody types something, or saves a file.
    fn user(&mut self) {
        let ids: Vec<ServiceId> = self.fleet.members().map(|(id, _)| id).collect();
        if self.dice.one_in(30) {
            return self.adopt();
        }
        let one = ids[usize::try_from(self.dice.roll(ids.len() as u64)).unwrap_or(0)];
        let event = match self.dice.roll(9) {
            0 | 1 => Event::Start,
            2 => Event::Stop,
            3 => Event::Restart(Cause::Command),
            4 | 5 => Event::Changed(vec!["src/main.rs".to_owned()]),
            6 => Event::Reset,
            7 => return self.happen(one, Event::Restart(Cause::Memory { used: 2, limit: 1 })),
            _ => Event::Kill,
        };
        let chosen = if self.dice.one_in(6) { ids } else { vec![one] };
        chosen.iter().for_each(|id| self.asked(*id, &event));
        let now = self.clock();
        let tasks = self.fleet.apply_all(&chosen, &event, now);
        self.perform(tasks);
    }

    /// Another `dev`, with the same plan or another one.
    fn adopt(&mut self) {
        // The ids of those that are gone may be given anew.
        self.forget_gone();
        let present = self.plans.clone();
        let plans = if self.dice.one_in(2) {
            present
        } else {
            changed_plans(&mut self.dice, &present)
        };
        // It has built for a while, and a user may have stopped something meanwhile.
        let began = self.now.saturating_sub(self.dice.millis(5000));
        let now = self.clock();
        let tasks = self.fleet.adopt_but(plans.clone(), &[], Some(began), &[], now);
        let before = std::mem::replace(&mut self.given, plans.clone());
        let members: Vec<_> = self
            .fleet
            .members()
            .map(|(id, member)| (id, member.plan.name.clone()))
            .collect();
        for (id, name) in members {
            let is_in = |plans: &[ServicePlan]| plans.iter().any(|plan| plan.name == name);
            if is_in(&before) && is_in(&plans) && self.is_stopped_since(id, began) {
                continue;
            }
            self.asked(id, if is_in(&plans) { &Event::Start } else { &Event::Stop });
        }
        self.perform(tasks);
    }

    /// The next thing that happens: news, a deadline, or a user in between.
    pub(super) fn step(&mut self, users: bool) -> bool {
        self.steps += 1;
        if users && self.dice.one_in(4) {
            self.now += self.dice.millis(300);
            self.user();
        }
        let news = self.news.keys().next().map(|(at, _)| *at);
        let deadline = self.fleet.deadline();
        let Some(next) = news.into_iter().chain(deadline).min() else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some(entry) = self.news.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (service, event) = entry.remove();
            self.arrive(service, event);
        }
        let now = self.clock();
        let tasks = self.fleet.tick(now);
        self.perform(tasks);
        self.check();
        true
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end && self.step(false) {}
    }

    /// Where users leave it alone and programs are well from now on, nothing hangs between two states for ever.
    pub(super) fn let_settle(&mut self) {
        self.healthy = true;
        self.run_for(self.longest_stop() + Duration::from_secs(60));
        let hangs = |id: ServiceId, state: &State| match state {
            State::Stopped | State::Errored | State::Online(_) => false,
            State::Launching(None) => self.fleet.waiting_for(id).is_none(),
            State::Launching(Some(_)) | State::Blocked { .. } | State::WaitingRestart { .. } | State::Ending { .. } => {
                true
            }
        };
        if self
            .fleet
            .members()
            .any(|(id, member)| hangs(id, &member.service.state))
        {
            self.fail("something hangs although nothing is wrong any more");
        }
        for (_, member) in self.fleet.members() {
            let service = &member.service;
            let given = self.given.iter().find(|plan| plan.name == member.plan.name);
            if given.is_some_and(|given| *given != member.plan) {
                self.fail("a service rests with an earlier plan than it was given");
            }
            if service.state == State::Stopped && member.leaving {
                self.fail("a service that has left is still there");
            }
            let by_itself = service.past.back().is_some_and(|run| run.ended_by.is_none());
            if service.state == State::Stopped && service.wanted == Wanted::Up && !by_itself {
                self.fail("a service that is wanted rests although it did not end by itself");
            }
        }
    }

    /// Wanted down leads to down; wanted up, with programs that are well, leads to up.
    pub(super) fn bring_to_rest(&mut self) {
        let ids: Vec<ServiceId> = self.fleet.members().map(|(id, _)| id).collect();
        let now = self.clock();
        let tasks = self.fleet.apply_all(&ids, &Event::Stop, now);
        self.perform(tasks);
        ids.iter().for_each(|id| self.asked(*id, &Event::Stop));
        let longest = self.longest_stop();
        self.run_for(longest);
        if !self.fleet.is_down() || !self.trees.is_empty() {
            self.fail("wanted down did not lead to down in time");
        }
        self.healthy = true;
        let ids: Vec<ServiceId> = self.fleet.members().map(|(id, _)| id).collect();
        ids.iter().for_each(|id| self.asked(*id, &Event::Start));
        let now = self.clock();
        let tasks = self.fleet.apply_all(&ids, &Event::Start, now);
        self.perform(tasks);
        self.run_for(Duration::from_secs(60));
        // Who waits for one that is to complete waits for ever where that one is well and stays.
        let waits = |member: &Member| {
            member
                .plan
                .depends_on
                .iter()
                .any(|dependency| dependency.condition == Condition::Completed)
        };
        let hopeless = |name: &str, world: &World| world.waits_in_vain(name, &waits);
        if !self
            .fleet
            .members()
            .all(|(_, member)| member.service.is_ready() || hopeless(&member.plan.name, self))
        {
            self.fail("wanted up did not lead to up in time");
        }
    }

    /// Whether it waits, itself or by what it depends on, for something to complete.
    fn waits_in_vain(&self, name: &str, waits: &impl Fn(&Member) -> bool) -> bool {
        let member = self.fleet.find(name).and_then(|id| self.fleet.get(id));
        member.is_some_and(|member| {
            let mut below = member.plan.depends_on.iter();
            waits(member) || below.any(|dependency| self.waits_in_vain(&dependency.name, waits))
        })
    }
}
