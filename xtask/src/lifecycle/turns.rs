//! What watching leads to: changes settle, builds run, the service gets a new run.
//! The part of `step` that is about files; as pure as the rest of it.

use super::step::Step;
use super::{Action, Cause, Files, Monotonic, Next, OwnWrites, State, Turn, Verdict, Wanted};
use std::time::Duration;

/// A burst of changes that does not become quiet leads to a turn after so many times `watch_delay`, but not before so long: a service
/// that writes its log into what it watches would otherwise never be restarted.
const LONGEST_BURST: (u32, Duration) = (10, Duration::from_secs(2));

/// So many builds in a row may be ended by newer changes; the next one comes to its end.
const MOST_CANCELLED: u32 = 3;

impl Step<'_> {
    pub(super) fn changed(&mut self, new: Vec<String>) {
        let now = self.now.monotonic;
        if self.service.wanted == Wanted::Down {
            let (_, files) = self.service.missed.get_or_insert_default();
            files.add(new);
            self.service.missed = self.service.missed.take().map(|(_, files)| (now, files));
            return;
        }
        if self.service.watch_suspended.is_some() {
            return;
        }
        self.service.own_writes.changed(&new, now);
        let (began, mut files) = match std::mem::replace(&mut self.service.turn, Turn::None) {
            Turn::None => (now, Files::default()),
            Turn::Settling { began, files, .. } => (began, files),
            Turn::Building { files, later } if self.service.cancelled_builds >= MOST_CANCELLED => {
                // Perhaps the build's own doing: ended each time, it would never come to its end.
                let mut more = later.map(|(_, more)| more).unwrap_or_default();
                more.add(new);
                let later = Some((now, more));
                self.service.turn = Turn::Building { files, later };
                return;
            }
            Turn::Building { files, .. } => {
                self.service.cancelled_builds += 1;
                self.actions.push(Action::CancelBuild);
                self.note("build cancelled: a newer change");
                (now, files)
            }
        };
        files.add(new);
        self.settle(began, files);
    }

    /// Waits until nothing changes any more; for what never becomes quiet, not for ever.
    pub(super) fn settle(&mut self, began: Monotonic, files: Files) {
        let (changed_at, delay) = (self.now.monotonic, self.policy.watch_delay);
        let longest = (delay * LONGEST_BURST.0).max(LONGEST_BURST.1);
        self.service.turn = Turn::Settling {
            until: (changed_at + delay).min(began + longest),
            began,
            changed_at,
            files,
        };
    }

    /// The changes have been quiet long enough.
    pub(super) fn begin_turn(&mut self, files: Files, began: Monotonic, changed_at: Monotonic) {
        match self.service.own_writes.turn(self.now.monotonic) {
            Verdict::Act => {}
            Verdict::Suspend(file) => return self.suspend_watching(&file),
            Verdict::Hold(span) => {
                self.service.turn = Turn::Settling {
                    until: self.now.monotonic + span,
                    began,
                    changed_at,
                    files,
                };
                return;
            }
        }
        self.service.own_writes.acted(self.now.monotonic);
        if self.policy.builds {
            self.note(format!("building: {files}"));
            self.service.turn = Turn::Building { files, later: None };
            self.actions.push(Action::Build(changed_at));
        } else if !matches!(self.service.state, State::Online(run) if run.since > changed_at) {
            self.renew(files);
        }
    }

    pub(super) fn built(&mut self, result: Result<(), String>) {
        let (files, later) = match std::mem::replace(&mut self.service.turn, Turn::None) {
            Turn::Building { files, later } => (files, later),
            other @ (Turn::None | Turn::Settling { .. }) => {
                self.service.turn = other;
                return;
            }
        };
        self.service.cancelled_builds = 0;
        match result {
            Ok(()) => {
                self.service.build_failure = None;
                self.renew(files);
            }
            Err(tail) => {
                self.note(format!("build failed: {tail}"));
                self.service.build_failure = Some(format!("build failed: {tail}"));
            }
        }
        if let Some((began, files)) = later {
            self.settle(began, files);
        }
    }

    /// It runs on as it is: another restart would only make it write again.
    pub(super) fn suspend_watching(&mut self, file: &str) {
        let why = format!(
            "watching is suspended: {file} changes right after each start, so the service itself or its build seems to write it; \
             add it to `ignore_watch`, or to the `outputs` of the task, and restart the service"
        );
        self.note(why.as_str());
        self.service.watch_suspended = Some(why);
    }

    pub(super) fn resume_watching(&mut self) {
        self.service.watch_suspended = None;
        self.service.own_writes = OwnWrites::default();
    }

    /// A new run with the changed files.
    pub(super) fn renew(&mut self, files: Files) {
        self.service.own_writes.acted(self.now.monotonic);
        let cause = Cause::Changed(files);
        match &mut self.service.state {
            State::Online(_) | State::Launching(Some(_)) => self.service.restart = Some(cause),
            State::Ending { next, .. } => {
                if *next == Next::GiveUp {
                    self.service.unstable = 0;
                }
                *next = Next::Launch(Duration::ZERO);
                self.service.restart = Some(cause);
            }
            State::Stopped | State::Errored | State::WaitingRestart { .. } => {
                self.service.unstable = 0;
                self.relaunch(cause);
            }
            // The run that is about to come has the change anyway.
            State::Launching(None) | State::Blocked { .. } => {}
        }
    }

    pub(super) fn end_turn(&mut self) {
        if matches!(self.service.turn, Turn::Building { .. }) {
            self.actions.push(Action::CancelBuild);
        }
        self.service.cancelled_builds = 0;
        self.service.turn = Turn::None;
    }
}
