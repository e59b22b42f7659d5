//! The ground the stack stands on: its state directory and its workspace. A state directory that is removed is made anew; a
//! stack whose workspace is removed stops, because nobody could reach it any more.

use super::message::Message;
use super::{Supervisor, send};
use crate::clock::Now;
use crate::lifecycle::Monotonic;
use crate::paths::Lock;
use crate::watch::presence::Presence;
use std::time::Duration;

/// How long after its state directory has gone the supervisor looks at what is left: whoever removes a whole workspace is at
/// it for a while, and a directory that comes back meanwhile would be in the way.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of the ground.
#[derive(Default)]
pub(super) struct Ground {
    /// Told when the lock file goes, which nobody but the supervisor and its keeper has an interest in.
    presence: Option<Presence>,
    /// The lock, where it had to be made anew: the keeper holds the file that was removed.
    alive: Option<Lock>,
    /// When to look.
    pub(super) look_at: Option<Monotonic>,
}

impl Ground {
    pub(super) fn stop_watching(&mut self) {
        self.presence = None;
    }
}

impl Supervisor {
    /// Watches the lock file. Where the system cannot, a removed workspace is not noticed; nothing else depends on it.
    pub(super) fn watch_ground(&mut self) {
        let sender = self.sender.clone();
        let presence = Presence::watch(&self.paths.alive, move || send(&sender, Message::Uprooted));
        self.ground.presence = presence.ok();
    }

    pub(super) fn uprooted(&mut self, now: Now) {
        if self.ground.look_at.is_none() && !self.leaving {
            self.ground.look_at = Some(now.monotonic + PATIENCE);
        }
    }

    /// The state directory has gone: with the workspace, or alone?
    pub(super) fn look_at_ground(&mut self, now: Now) {
        self.ground.look_at = None;
        let Some(plan) = &self.plan else { return };
        if !plan.file.exists() && !self.paths.alive.exists() {
            let file = plan.file.display().to_string();
            self.leave(&format!("its workspace was removed: there is no {file}"), now);
            return;
        }
        let state_dir = plan.state_dir.clone();
        let made = self
            .paths
            .make(&state_dir)
            .and_then(|()| Lock::try_take(&self.paths.alive));
        match made {
            Ok(lock) => {
                self.ground.alive = lock.or(self.ground.alive.take());
                self.watch_ground();
                // The next turn writes the state anew.
                self.written_state = None;
                self.note(now.wall, None, "the state directory was removed and is made anew");
            }
            Err(error) => self.note(
                now.wall,
                None,
                &format!("error: failed to make the state directory anew: {error:#}"),
            ),
        }
    }
}
