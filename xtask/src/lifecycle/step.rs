//! `step`: the only function that changes a service's state.
//! Pure: an event, the policy and the time in; the new service and what is to be done out.

use super::{
    Action, Cause, ENDED, Event, Exit, HELD, Monotonic, Next, PAST_RUNS, PastRun, Phase, Ready, Run, RunId, Service,
    State, Turn, Wanted, ready_deadline,
};
use crate::clock::Now;
use crate::config::Autorestart;
use crate::config::units::format_duration;
use crate::policy::{
    BACKOFF_CLEARED_AFTER, BLOCKED_RETRY, KILL_LIMIT, LEFTOVER_GRACE, Policy, Readiness, SCARCITY_DELAY,
};
use std::time::Duration;

/// Leads a service from one state to the next.
pub fn step(service: Service, event: Event, policy: &Policy, now: Now) -> (Service, Vec<Action>) {
    let mut turn = Step {
        service,
        policy,
        now,
        actions: Vec::new(),
    };
    turn.take(event);
    (turn.service, turn.actions)
}

/// One step under way.
pub(super) struct Step<'a> {
    pub(super) service: Service,
    pub(super) policy: &'a Policy,
    pub(super) now: Now,
    pub(super) actions: Vec<Action>,
}

impl Step<'_> {
    fn take(&mut self, event: Event) {
        match event {
            Event::Start => self.start(),
            Event::Stop => self.stop(),
            Event::Kill => self.kill(),
            Event::Restart(cause) => self.restart(cause),
            Event::Reset => self.clear_counters(),
            Event::Go(run) => self.go(run),
            Event::Halt => self.halt(),
            Event::PortsHeld(run, holder) => self.ports_held(run, holder),
            Event::PortsFreed => self.ports_freed(),
            Event::Spawned(run, pid) => self.spawned(run, pid),
            Event::Unlaunchable(run, why) => self.unlaunchable(run, why),
            Event::Scarce(run, why) => self.scarce(run, why),
            Event::Exited(run, exit) => self.exited(run, exit),
            Event::TreeGone(run) => self.tree_gone(run),
            Event::Survivors(run, who) => self.survivors(run, who),
            Event::Ready(run) => self.ready(run),
            Event::NotReady(run, why) => self.not_ready(run, why),
            Event::Changed(files) => self.changed(files),
            Event::Built(result) => self.built(result),
            Event::Tick => self.tick(),
        }
    }

    // What the user wants.

    fn start(&mut self) {
        self.by_user();
        match &mut self.service.state {
            State::Stopped | State::Errored | State::WaitingRestart { .. } | State::Blocked { .. } => self.launch(),
            State::Ending { next, .. } => *next = Next::Launch(Duration::ZERO),
            State::Launching(_) | State::Online(_) => {}
        }
    }

    /// The user wants it up: what was held against it is forgotten.
    fn by_user(&mut self) {
        self.service.wanted = Wanted::Up;
        self.resume_watching();
        self.service.missed = None;
        self.service.build_failure = None;
        self.service.unstable = 0;
        self.service.backoff = None;
    }

    fn stop(&mut self) {
        self.service.wanted = Wanted::Down;
        self.service.stopped_at = Some(self.now.monotonic);
        self.service.restart = None;
        self.service.build_failure = None;
        self.service.completed = None;
        self.resume_watching();
        self.end_turn();
        match &mut self.service.state {
            State::Launching(None) | State::Blocked { .. } | State::WaitingRestart { .. } | State::Errored => {
                self.service.trouble = None;
                self.service.state = State::Stopped;
                self.note("stopped");
            }
            State::Ending { next, .. } => *next = Next::Rest,
            State::Stopped | State::Launching(Some(_)) | State::Online(_) => {}
        }
    }

    fn kill(&mut self) {
        self.stop();
        let (State::Online(run) | State::Ending { run, .. }) = self.service.state else {
            return;
        };
        self.kill_run(run, Next::Rest);
    }

    fn restart(&mut self, cause: Cause) {
        let by_user = matches!(cause, Cause::Command | Cause::Configuration);
        if by_user {
            self.by_user();
        } else if self.service.wanted == Wanted::Down {
            return;
        }
        match &mut self.service.state {
            State::Online(_) | State::Launching(Some(_)) => self.service.restart = Some(cause),
            // Only a user brings back what rests or was given up, also while it still ends.
            State::Ending { next, .. } if by_user || matches!(next, Next::Launch(_)) => {
                *next = Next::Launch(Duration::ZERO);
                self.service.restart = Some(cause);
            }
            State::Ending { .. } => {}
            State::WaitingRestart { .. } => self.launch(),
            // What holds a port may be gone, and the plan may name another one: who asks is told how it is now.
            State::Stopped | State::Errored | State::Blocked { .. } if by_user => self.launch(),
            // What runs by the clock has its rest in between; what was given up gets one more try.
            State::Stopped | State::Errored if cause == Cause::Schedule => self.relaunch(cause),
            // What has configured another and rests has to do so again.
            State::Stopped if matches!(cause, Cause::Dependency(_)) => self.relaunch(cause),
            State::Stopped | State::Errored | State::Launching(None) | State::Blocked { .. } => {}
        }
    }

    fn clear_counters(&mut self) {
        self.service.restarts = 0;
        self.service.unstable = 0;
        self.service.backoff = None;
    }

    // What the fleet allows.

    fn go(&mut self, run: RunId) {
        if self.service.state == State::Launching(None) {
            self.service.state = State::Launching(Some(run));
            self.actions.push(Action::Launch(run));
        }
    }

    fn halt(&mut self) {
        let State::Online(run) = self.service.state else { return };
        let next = match self.service.wanted {
            Wanted::Up => Next::Launch(Duration::ZERO),
            Wanted::Down => Next::Rest,
        };
        self.service.trouble = None;
        self.service.probe_error = None;
        if self.policy.kill_timeout.is_zero() {
            self.kill_run(run, next);
            return;
        }
        let phase = Phase::Asked {
            kill_at: self.now.monotonic + self.policy.kill_timeout,
        };
        self.service.state = State::Ending { run, phase, next };
        self.note(match &self.service.restart {
            Some(cause) => format!("stopping to restart: {cause}"),
            None => "stopping".to_owned(),
        });
        self.actions.push(Action::Terminate(run.id));
    }

    // What became of a launch.

    fn ports_held(&mut self, run: RunId, holder: String) {
        if self.service.state != State::Launching(Some(run)) {
            return;
        }
        if self.service.wanted == Wanted::Down {
            self.service.state = State::Stopped;
            return;
        }
        self.service.state = State::Blocked {
            retry_at: self.now.monotonic + BLOCKED_RETRY,
        };
        if self.service.trouble.as_deref() != Some(holder.as_str()) {
            self.note(format!("blocked: {holder}"));
            self.service.trouble = Some(holder);
        }
    }

    fn ports_freed(&mut self) {
        if let State::Blocked { .. } = self.service.state {
            self.service.state = State::Launching(None);
        }
    }

    fn spawned(&mut self, run: RunId, pid: u32) {
        if self.service.state != State::Launching(Some(run)) {
            return;
        }
        let since = self.now.monotonic;
        self.service.own_writes.acted(since);
        let until = self.ready_by(since);
        let is_late = until <= since && self.policy.readiness != Readiness::Uptime;
        let ready = if is_late {
            Ready::Overdue
        } else {
            Ready::Waiting { until }
        };
        self.service.state = State::Online(Run {
            id: run,
            pid,
            since,
            at: self.now.wall,
            ready,
        });
        self.service.trouble = None;
        self.service.probe_error = None;
        self.service.completed = None;
        self.service.began_by = self.service.restart.take();
        match &self.service.began_by {
            Some(cause) => {
                let text = format!("restarted: {cause} (pid {pid})");
                self.service.restarts += 1;
                self.note(text);
            }
            None => self.note(format!("started (pid {pid})")),
        }
        if is_late {
            self.service.trouble = Some(self.overdue());
        }
    }

    /// When a run that begins now has to be ready. One that follows another that ended by itself before it was ready has no time of its
    /// own: a crash loop would never be late.
    fn ready_by(&mut self, since: Monotonic) -> Monotonic {
        let own = ready_deadline(self.policy, since);
        if self.policy.readiness == Readiness::Uptime {
            return own;
        }
        if !matches!(self.service.restart, Some(Cause::Exit(_))) {
            self.service.ready_by = None;
        }
        *self.service.ready_by.get_or_insert(own)
    }

    fn unlaunchable(&mut self, run: RunId, why: String) {
        if self.service.state != State::Launching(Some(run)) {
            return;
        }
        self.give_up(why);
    }

    fn scarce(&mut self, run: RunId, why: String) {
        if self.service.state != State::Launching(Some(run)) {
            return;
        }
        if self.service.wanted == Wanted::Down {
            self.service.restart = None;
            self.service.state = State::Stopped;
            return;
        }
        // No run has failed, so none is counted: it is tried again until there is room.
        if self.service.trouble.as_deref() != Some(why.as_str()) {
            self.note(format!("not launched: {why}"));
        }
        self.service.trouble = Some(why);
        self.service.state = State::WaitingRestart {
            until: self.now.monotonic + SCARCITY_DELAY,
        };
    }

    // What became of a run.

    fn exited(&mut self, run: RunId, exit: Exit) {
        let Some(live) = self.service.live_run().filter(|live| live.id == run) else {
            return;
        };
        self.remember(live, exit);
        if !matches!(self.service.state, State::Online(_)) {
            return;
        }
        let next = self.after_exit(live, exit);
        self.service.probe_error = None;
        self.service.trouble = (next == Next::GiveUp).then(|| self.too_many(exit));
        let phase = Phase::Asked {
            kill_at: self.now.monotonic + LEFTOVER_GRACE,
        };
        self.service.state = State::Ending { run: live, phase, next };
        let uptime = format_duration(self.now.monotonic.saturating_sub(live.since));
        self.note(format!("{ENDED}{exit} after {uptime}"));
        self.actions.push(Action::Clear(run));
    }

    /// Keeps how a run ended, and who ended it.
    fn remember(&mut self, run: Run, exit: Exit) {
        let ended_by = match &self.service.state {
            State::Ending { phase, .. } => {
                let why = self
                    .service
                    .restart
                    .as_ref()
                    .map_or_else(|| "stopped".to_owned(), ToString::to_string);
                Some(match phase {
                    Phase::Asked { .. } => why,
                    Phase::Killed { .. } | Phase::Stuck => format!("{why}; killed"),
                })
            }
            State::Stopped
            | State::Launching(_)
            | State::Blocked { .. }
            | State::Online(_)
            | State::WaitingRestart { .. }
            | State::Errored => None,
        };
        if self.service.past.len() == PAST_RUNS {
            self.service.past.pop_front();
        }
        self.service.past.push_back(PastRun {
            pid: run.pid,
            began: run.at,
            at: self.now.wall,
            lasted: self.now.monotonic.saturating_sub(run.since),
            exit,
            ended_by,
        });
    }

    /// What follows an exit that nobody here caused.
    fn after_exit(&mut self, run: Run, exit: Exit) -> Next {
        if self.service.wanted == Wanted::Down {
            return Next::Rest;
        }
        if self.service.restart.is_some() {
            return Next::Launch(Duration::ZERO);
        }
        let stop_code = matches!(exit, Exit::Code(code) if self.policy.stop_exit_codes.contains(&code));
        let rests = match self.policy.autorestart {
            Autorestart::Never => true,
            Autorestart::OnFailure => stop_code || exit == Exit::Code(0),
            Autorestart::Always => stop_code,
        };
        if rests {
            let is_success = matches!(exit, Exit::Code(code) if self.policy.is_success(code));
            self.service.completed = is_success.then_some(run.id);
            return Next::Rest;
        }
        if self.now.monotonic.saturating_sub(run.since) < self.policy.min_uptime {
            return self.after_unstable(Cause::Exit(exit));
        }
        self.service.unstable = 0;
        self.next_run(Cause::Exit(exit))
    }

    /// Counts one more unstable run: the next run, or giving up.
    fn after_unstable(&mut self, cause: Cause) -> Next {
        self.service.unstable += 1;
        if self.service.unstable > self.policy.max_restarts {
            Next::GiveUp
        } else {
            self.next_run(cause)
        }
    }

    /// The next run, after the delay that the policy asks for.
    fn next_run(&mut self, cause: Cause) -> Next {
        self.service.restart = Some(cause);
        self.service.backoff = self.policy.next_backoff(self.service.backoff);
        Next::Launch(self.service.backoff.unwrap_or(self.policy.restart_delay))
    }

    fn too_many(&self, exit: Exit) -> String {
        let (runs, limit) = (self.service.unstable, format_duration(self.policy.min_uptime));
        match runs {
            1 => format!("gave up after a run shorter than {limit}; it ended with {exit}"),
            _ => format!("gave up after {runs} runs in a row shorter than {limit}; the last ended with {exit}"),
        }
    }

    fn tree_gone(&mut self, run: RunId) {
        let State::Ending { run: live, next, .. } = self.service.state else {
            return;
        };
        if live.id != run {
            return;
        }
        match next {
            Next::Launch(delay) if self.service.wanted == Wanted::Up => {
                self.service.trouble = None;
                if delay.is_zero() {
                    self.launch();
                } else {
                    self.wait_restart(delay);
                }
            }
            Next::GiveUp => {
                let why = self.service.trouble.take().unwrap_or_default();
                self.give_up(why);
            }
            Next::Rest | Next::Launch(_) => {
                self.service.trouble = None;
                self.service.restart = None;
                self.service.state = State::Stopped;
                self.note("stopped");
            }
        }
    }

    fn survivors(&mut self, run: RunId, who: String) {
        if let State::Ending { run: live, phase, .. } = self.service.state
            && live.id == run
        {
            let trouble = format!("could not be ended: {who}");
            if phase == Phase::Stuck {
                self.note(trouble.as_str());
            }
            self.service.trouble = Some(trouble);
        }
    }

    fn ready(&mut self, run: RunId) {
        let State::Online(live) = &mut self.service.state else {
            return;
        };
        if live.id != run || live.ready == Ready::Yes {
            return;
        }
        live.ready = Ready::Yes;
        self.service.ready_by = None;
        let after = format_duration(self.now.monotonic.saturating_sub(live.since));
        self.service.trouble = None;
        self.service.probe_error = None;
        self.note(format!("ready after {after}"));
    }

    fn not_ready(&mut self, run: RunId, why: String) {
        let State::Online(live) = &self.service.state else {
            return;
        };
        if live.id != run || live.ready == Ready::Yes {
            return;
        }
        let overdue = live.ready == Ready::Overdue;
        // Whose port it is does not become another's by waiting, so it is said at once.
        let held = why.contains(HELD);
        self.service.trouble = held.then(|| why.clone());
        self.service.probe_error = Some(why);
        if overdue {
            self.service.trouble = Some(self.overdue());
        }
    }

    fn overdue(&self) -> String {
        let limit = match self.policy.readiness {
            Readiness::Uptime => self.policy.min_uptime,
            Readiness::Probe(timeout) => timeout,
        };
        let limit_passed_before = |run: Run| self.service.ready_by.is_some_and(|by| by < run.since + limit);
        let why = match &self.service.began_by {
            Some(Cause::Exit(exit)) if self.service.live_run().is_some_and(limit_passed_before) => {
                format!("it keeps ending, last with {exit}")
            }
            _ => self
                .service
                .probe_error
                .clone()
                .unwrap_or_else(|| "no answer yet".to_owned()),
        };
        format!("not ready after {}: {why}", format_duration(limit))
    }

    // What time alone changes.

    fn tick(&mut self) {
        if let Turn::Settling {
            until,
            began,
            changed_at,
            files,
        } = &self.service.turn
            && *until <= self.now.monotonic
        {
            let (files, began, changed_at) = (files.clone(), *began, *changed_at);
            self.service.turn = Turn::None;
            self.begin_turn(files, began, changed_at);
        }
        match self.service.state {
            State::Blocked { retry_at } if retry_at <= self.now.monotonic => {
                self.service.state = State::Launching(None);
            }
            State::WaitingRestart { until } if until <= self.now.monotonic => {
                // Its trouble goes when the launch succeeds: a retry that fails the same way is no news.
                self.service.state = State::Launching(None);
            }
            State::Online(run) => self.tick_online(run),
            State::Ending { run, phase, next } => self.tick_ending(run, phase, next),
            State::Stopped
            | State::Launching(_)
            | State::Blocked { .. }
            | State::WaitingRestart { .. }
            | State::Errored => {}
        }
    }

    fn tick_online(&mut self, run: Run) {
        let uptime = self.now.monotonic.saturating_sub(run.since);
        if uptime >= self.policy.min_uptime {
            self.service.unstable = 0;
        }
        if uptime >= BACKOFF_CLEARED_AFTER {
            self.service.backoff = None;
        }
        let Ready::Waiting { until } = run.ready else { return };
        if until > self.now.monotonic {
            return;
        }
        match self.policy.readiness {
            Readiness::Uptime => self.ready(run.id),
            Readiness::Probe(_) => {
                self.service.state = State::Online(Run {
                    ready: Ready::Overdue,
                    ..run
                });
                let overdue = self.overdue();
                self.note(overdue.as_str());
                self.service.trouble = Some(overdue);
            }
        }
    }

    fn tick_ending(&mut self, run: Run, phase: Phase, next: Next) {
        match phase {
            Phase::Asked { kill_at } if kill_at <= self.now.monotonic => {
                self.note("killed: it did not end in time");
                self.kill_run(run, next);
            }
            Phase::Killed { give_up_at } if give_up_at <= self.now.monotonic => {
                self.service.state = State::Ending {
                    run,
                    phase: Phase::Stuck,
                    next,
                };
                self.service
                    .trouble
                    .get_or_insert_with(|| "survives SIGKILL".to_owned());
                self.actions.push(Action::Name(run.id));
            }
            Phase::Asked { .. } | Phase::Killed { .. } | Phase::Stuck => {}
        }
    }

    // The few ways into a state that more than one event takes.

    pub(super) fn launch(&mut self) {
        self.service.trouble = None;
        self.service.completed = None;
        self.service.state = State::Launching(None);
    }

    /// A launch that counts as a restart.
    pub(super) fn relaunch(&mut self, cause: Cause) {
        self.service.restart = Some(cause);
        self.launch();
    }

    fn wait_restart(&mut self, delay: Duration) {
        self.note(format!("restarting in {}", format_duration(delay)));
        self.service.state = State::WaitingRestart {
            until: self.now.monotonic + delay,
        };
    }

    fn give_up(&mut self, why: String) {
        self.note(format!("errored: {why}"));
        self.service.restart = None;
        self.service.state = if self.service.wanted == Wanted::Down {
            State::Stopped
        } else {
            State::Errored
        };
        self.service.trouble = (self.service.state == State::Errored).then_some(why);
    }

    fn kill_run(&mut self, run: Run, next: Next) {
        let phase = Phase::Killed {
            give_up_at: self.now.monotonic + KILL_LIMIT,
        };
        self.service.state = State::Ending { run, phase, next };
        self.actions.push(Action::Kill(run.id));
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.actions.push(Action::Note(text.into()));
    }
}
