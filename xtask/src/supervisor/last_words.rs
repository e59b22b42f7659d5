//! What is to be said of the end of a run is held back until what the run wrote is in the log: its last words, which most often say
//! why it ended, stand before the news of its end.

use super::Supervisor;
use crate::clock::{self, Now};
use crate::fleet::ServiceId;
use crate::lifecycle::{Monotonic, RunId};
use std::time::Duration;

/// How long leftovers that hold the pipes may delay the news that their leader has ended.
const LIMIT: Duration = Duration::from_millis(100);

/// What waits to be said of a service.
pub(super) struct Held {
    id: ServiceId,
    run: RunId,
    notes: Vec<String>,
    until: Monotonic,
}

impl Supervisor {
    /// The leader of a run has ended, and what it wrote may still be on its way.
    pub(super) fn hold_notes(&mut self, id: ServiceId, run: RunId, now: Now) {
        self.held.push(Held {
            id,
            run,
            notes: Vec::new(),
            until: now.monotonic + LIMIT,
        });
    }

    /// Says something of a service, after what is held back of it.
    pub(super) fn note_service(&mut self, id: ServiceId, text: String, now: Now) {
        if let Some(held) = self.held.iter_mut().rev().find(|held| held.id == id) {
            held.notes.push(text);
            return;
        }
        self.note(now.wall, self.fleet.name_of(id), &text);
    }

    /// All that a run wrote is in the log.
    pub(super) fn release_notes_of(&mut self, run: RunId) {
        self.release_notes(|_, held| held.run == run);
    }

    /// Whoever is told of what has happened finds it in the log.
    pub(super) fn release_all_notes(&mut self) {
        self.release_notes(|_, _| true);
    }

    pub(super) fn release_late_notes(&mut self, now: Now) {
        self.release_notes(|this, held| held.until <= now.monotonic && this.may_be_late(held));
    }

    /// When the next of them have waited long enough.
    pub(super) fn notes_deadline(&self) -> Option<Monotonic> {
        let late = self.held.iter().filter(|held| self.may_be_late(held));
        late.map(|held| held.until).min()
    }

    /// Something of its tree lives and may hold the pipes; else the end of its output is awaited, and comes.
    fn may_be_late(&self, held: &Held) -> bool {
        self.runs.get(&held.run).is_none_or(|live| live.draining.is_none())
    }

    fn release_notes(&mut self, is_due: impl Fn(&Self, &Held) -> bool) {
        let (due, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition::<Vec<_>, _>(|held| is_due(self, held));
        self.held = held;
        if due.is_empty() {
            return;
        }
        // Later than the last line.
        let at = clock::wall();
        self.released = Some(at);
        for Held { id, notes, .. } in due {
            let name = self.fleet.get(id).map(|member| member.plan.name.as_str());
            for text in notes {
                self.note(at, name, &text);
            }
        }
    }
}
