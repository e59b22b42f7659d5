//! The ends of runs: signals to whole trees, deaths, and the question whether anything is left.
//! Everything that one turn asks for is done with one look at the process table.

use super::Supervisor;
use super::launch::{Draining, LiveRun};
use crate::clock::Now;
use crate::config;
use crate::lifecycle::{Event, Monotonic, RunId, Service, State};
use crate::log::Pump;
use crate::process::{self, Death, Left, Process, RunTag, Survivor, TreeRoot};
use std::time::Duration;

/// How long the next run waits for the output of one whose processes are all gone, on a disk that takes its time or while a
/// stranger writes into the pipe: shorter than what is unkillable takes.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// How often to look meanwhile whether all that it wrote is in the log.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// How long after a look at the processes that failed the next one is taken.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What is to be done to trees at the end of the turn.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) terminate: Vec<RunId>,
    pub(super) clear: Vec<RunId>,
    pub(super) kill: Vec<RunId>,
    /// What is left of these is to be named.
    pub(super) name: Vec<RunId>,
    /// Something died: a tree may be gone.
    pub(super) look: bool,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.terminate.is_empty() && self.clear.is_empty() && self.kill.is_empty() && self.name.is_empty() && !self.look
    }

    /// Adds what another asks for.
    fn add(&mut self, other: Self) {
        self.terminate.extend(other.terminate);
        self.clear.extend(other.clear);
        self.kill.extend(other.kill);
        self.name.extend(other.name);
        self.look |= other.look;
    }
}

impl Supervisor {
    pub(super) fn died(&mut self, death: &Death, now: Now) {
        self.work.look = true;
        let Some(tag) = death.run.filter(|_| death.leader) else {
            return;
        };
        let run = RunId(tag.run);
        let Some(live) = self.runs.get_mut(&run).filter(|live| live.root.leader.pid == death.pid) else {
            return;
        };
        live.leader_gone = true;
        live.end_probe();
        match live.service {
            Some(id) => {
                if live.is_writing() {
                    self.hold_notes(id, run, now);
                }
                self.happen(id, Event::Exited(run, death.exit), now);
            }
            None => self.build_ended(run, death.exit),
        }
    }

    pub(super) fn drained(&mut self, run: RunId) {
        if let Some(live) = self.runs.get_mut(&run) {
            live.streams = live.streams.saturating_sub(1);
            self.work.look |= live.leader_gone;
            if live.streams == 0 {
                self.release_notes_of(run);
            }
        }
    }

    /// When to look whether a run whose processes are gone is over even though its output has not ended.
    pub(super) fn drain_deadline(&self) -> Option<Monotonic> {
        let draining = self.runs.values().filter_map(|live| live.draining);
        draining.map(|draining| draining.look_again).min()
    }

    /// Does the turn's work on trees, until it leads to no more. A look at the processes that fails, for want of a
    /// descriptor as a rule, proves nothing: the work stays, and is tried again after a moment.
    pub(super) fn settle_trees(&mut self, now: Now) {
        if self.drain_deadline().is_some_and(|at| at <= now.monotonic) {
            self.work.look = true;
        }
        while !self.work.is_empty() {
            let work = std::mem::take(&mut self.work);
            let done = self
                .kill_runs(&work.kill, now)
                .and_then(|()| self.ask_runs(&work, now))
                .and_then(|()| self.name_survivors(&work.name, now));
            if let Err(error) = done {
                if self.blind_until.is_none() {
                    let text = format!("error: failed to look at the processes, trying again: {error}");
                    self.note(now.wall, None, &text);
                }
                self.blind_until = Some(now.monotonic + LOOK_AGAIN);
                self.work.add(work);
                return;
            }
        }
        self.blind_until = None;
    }

    fn kill_runs(&mut self, runs: &[RunId], now: Now) -> std::io::Result<()> {
        let roots: Vec<(RunId, TreeRoot)> = runs
            .iter()
            .filter_map(|run| Some((*run, self.runs.get(run)?.root)))
            .collect();
        for (run, root) in roots {
            let killed = process::kill_tree(&[root])?;
            if let Some(who) = describe(&killed.survivors) {
                self.happen_to_run(run, Event::Survivors(run, who), now);
            }
        }
        Ok(())
    }

    /// Names what is left of runs that SIGKILL has not ended.
    fn name_survivors(&mut self, runs: &[RunId], now: Now) -> std::io::Result<()> {
        if runs.is_empty() {
            return Ok(());
        }
        let snapshot = process::snapshot()?;
        for run in runs {
            let Some(root) = self.runs.get(run).map(|live| live.root) else {
                continue;
            };
            let left: Vec<String> = snapshot
                .members(&[root])
                .iter()
                .flatten()
                .map(|process| survivor(process))
                .collect();
            if !left.is_empty() {
                self.happen_to_run(*run, Event::Survivors(*run, left.join(", ")), now);
            }
        }
        Ok(())
    }

    /// Sends the graceful signals, and finds which runs are gone.
    fn ask_runs(&mut self, work: &Work, now: Now) -> std::io::Result<()> {
        let ended = self.runs.iter().filter(|(_, live)| live.leader_gone);
        let ended: Vec<RunId> = ended
            .map(|(run, _)| *run)
            .filter(|run| !work.terminate.contains(run))
            .collect();
        let unclear = self.find_gone_at_once(ended, now);
        if unclear.is_empty() && work.terminate.is_empty() {
            return Ok(());
        }
        let is_ending = |run: &RunId| unclear.contains(run) || work.terminate.contains(run);
        // All roots, not only those that end: what is known to be another run's need not be looked at twice.
        let runs: Vec<(RunId, TreeRoot, bool)> = self
            .runs
            .iter()
            .map(|(run, live)| (*run, live.root, is_ending(run)))
            .collect();
        let roots: Vec<TreeRoot> = runs.iter().map(|(_, root, _)| *root).collect();
        let snapshot = process::snapshot()?;
        let trees = snapshot.members(&roots);
        for ((run, root, _), members) in runs.into_iter().zip(trees).filter(|((_, _, ending), _)| *ending) {
            if work.terminate.contains(&run) {
                self.terminate(run, root, &members);
            } else {
                self.find_gone(run, root, &members, now);
            }
        }
        Ok(())
    }

    /// Ends the runs of which nothing is left, as far as that can be told without a look at the whole system; returns those that
    /// need it.
    fn find_gone_at_once(&mut self, ended: Vec<RunId>, now: Now) -> Vec<RunId> {
        // A tree that was found empty once stays so: of some only the output is awaited.
        let is_empty = |run: &RunId| self.runs.get(run).is_some_and(|live| live.draining.is_some());
        let (empty, open): (Vec<RunId>, Vec<RunId>) = ended.into_iter().partition(is_empty);
        for run in empty {
            self.end_empty(run, now);
        }
        if open.is_empty() {
            return open;
        }
        let tags: Vec<RunTag> = open.iter().map(|run| self.tag(*run)).collect();
        let left = self.children.left_of(&tags);
        let mut unclear = Vec::new();
        for (run, left) in open.into_iter().zip(left) {
            let asked = self.runs.get(&run).is_some_and(|live| live.asked);
            match left {
                Left::Nothing => self.end_empty(run, now),
                // Its end will be told.
                Left::Something if asked => {}
                Left::Something | Left::Unknown => unclear.push(run),
            }
        }
        unclear
    }

    fn terminate(&mut self, run: RunId, root: TreeRoot, members: &[&Process]) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        live.asked = true;
        live.end_probe();
        let member = live.service.and_then(|id| self.fleet.get(id));
        let signal = member.map_or(config::Signal::Term, |member| member.plan.policy.kill_signal);
        // What refuses a graceful signal is named when SIGKILL is refused, too.
        process::signal_tree(members, root.leader, process::signal_of(signal));
    }

    /// A leader is gone: so is the run when nothing of it lives; the leftovers of a crash are asked to end, once.
    fn find_gone(&mut self, run: RunId, root: TreeRoot, members: &[&Process], now: Now) {
        let Some(live) = self.runs.get_mut(&run).filter(|live| live.leader_gone) else {
            return;
        };
        if !members.is_empty() {
            if !live.asked {
                live.asked = true;
                process::signal_tree(members, root.leader, process::Signal::TERM);
            }
            return;
        }
        self.end_empty(run, now);
    }

    /// Nothing of a run lives: it is over once its output is in the log.
    fn end_empty(&mut self, run: RunId, now: Now) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        if live.is_draining(now.monotonic) {
            return;
        }
        let service = live.service;
        self.runs.remove(&run);
        self.children.forget(self.tag(run));
        self.release_notes_of(run);
        match service {
            Some(id) => self.happen(id, Event::TreeGone(run), now),
            None => self.build_gone(run, now),
        }
    }

    /// Whether nothing of the stack runs any more, or what does cannot be ended.
    pub(super) fn is_at_rest(&self) -> bool {
        let rests = |service: &Service| service.state == State::Stopped || service.is_stuck();
        self.fleet.members().all(|(_, member)| rests(&member.service)) && self.builds.is_empty()
    }

    /// The services that left something behind which could not be ended.
    pub(super) fn unkillable(&self) -> Vec<crate::ipc::protocol::Failure> {
        self.fleet
            .members()
            .filter(|(_, member)| member.service.state != State::Stopped)
            .map(|(id, member)| crate::ipc::protocol::Failure {
                service: member.plan.name.clone(),
                reason: self
                    .fleet
                    .reason(id)
                    .unwrap_or_else(|| member.service.status().to_owned()),
            })
            .collect()
    }
}

impl LiveRun {
    /// Whether some of what the run wrote may still be on its way into the log.
    fn is_writing(&self) -> bool {
        self.streams > 0 && !self.pumps.iter().all(Pump::is_idle)
    }

    /// Nothing of the run lives: whether some of what it wrote is still on its way into the log. A pipe that is empty and yet open is
    /// held by a stranger, for whom nobody waits.
    fn is_draining(&mut self, now: Monotonic) -> bool {
        let since = self.draining.map_or(now, |draining| draining.since);
        self.draining = Some(Draining {
            since,
            look_again: now + DRAIN_LOOK,
        });
        now < since + DRAIN_LIMIT && self.is_writing()
    }
}

/// A process that lives on after SIGKILL, in words.
fn survivor(process: &Process) -> String {
    let state = if process.uninterruptible {
        "is in an uninterruptible call"
    } else {
        "survives SIGKILL"
    };
    format!("pid {} ({}) {state}", process.identity.pid, process.name)
}

fn describe(survivors: &[Survivor]) -> Option<String> {
    if survivors.is_empty() {
        return None;
    }
    Some(survivors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}
