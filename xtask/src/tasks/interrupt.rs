//! What a signal does to a command that runs tasks: it goes on to the task at work, and the command ends with that.

use crate::process::{self, Identity, Signal};
use crate::signal;
use anyhow::Result;
use std::fmt;
use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much later than the end of a task the news may come of the Ctrl-C that ended it.
const NEWS_LIMIT: Duration = Duration::from_millis(250);

/// The signals that a command has got, and what it is at.
#[derive(Clone, Default)]
pub struct Interrupts(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
struct State {
    signals: u32,
    /// The task at work.
    task: Option<Identity>,
    /// Somebody else ends the command.
    is_handed_over: bool,
}

/// A signal cut the command short.
#[derive(Debug)]
pub struct Interrupted;

impl std::error::Error for Interrupted {}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl Interrupts {
    /// Takes every SIGINT, SIGTERM and SIGHUP from now on: one that comes while no task is at work ends the process at once. `notify`
    /// is called for each of them first.
    ///
    /// # Errors
    /// On a second call.
    pub fn listen(notify: impl Fn() + Send + 'static) -> Result<Self> {
        let interrupts = Self::default();
        let own = interrupts.clone();
        signal::on_termination(move || {
            notify();
            own.take();
        })?;
        Ok(interrupts)
    }

    /// From now on a signal between the tasks is left to whoever is notified.
    pub fn hand_over(&self) {
        self.state().is_handed_over = true;
    }

    fn take(&self) {
        let mut state = self.state();
        state.signals += 1;
        self.0.told.notify_all();
        match state.task {
            // Ctrl-C of a terminal reaches it, too, but what is sent to us alone does not.
            Some(task) => {
                let signal = if state.signals == 1 { Signal::TERM } else { Signal::KILL };
                // What cannot be looked at goes on to its end.
                let _ = process::signal_below(task, signal);
            }
            None if state.is_handed_over => {}
            None => signal::exit_interrupted(),
        }
    }

    /// Starts a task and waits for its end.
    ///
    /// # Errors
    /// [`Interrupted`] after a signal, also when the task succeeded all the same; and when it does not start.
    pub(super) fn run(&self, start: impl FnOnce() -> io::Result<Child>) -> Result<ExitStatus> {
        let mut state = self.state();
        if state.signals > 0 {
            return Err(Interrupted.into());
        }
        // Locked: a signal finds no task or all of it.
        let mut child = start()?;
        state.task = process::identity_of(child.id());
        drop(state);
        let ended = child.wait();
        // Locked by whoever tells the task, until all of it is told.
        let mut state = self.state();
        state.task = None;
        let is_success = ended.as_ref().is_ok_and(ExitStatus::success);
        if !is_success {
            let is_untold = |state: &mut State| state.signals == 0;
            state = self
                .0
                .told
                .wait_timeout_while(state, NEWS_LIMIT, is_untold)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if state.signals > 0 {
            return Err(Interrupted.into());
        }
        Ok(ended?)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
