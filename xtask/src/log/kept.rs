//! The rotated files of one log, as its writer keeps them: moves the file aside, lets the oldest go, has the others compressed.
//!
//! It never touches the file that is written to but for its name.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;
use std::thread::{self, JoinHandle};

use jiff::Timestamp;

use super::archive::Listings;
use super::{archive, compress, rotation};

/// Bytes of the stack of the thread that removes files.
const STACK: usize = 64 * 1024;

/// The rotated files that are kept, oldest first.
#[derive(Default)]
pub(super) struct Kept {
    rotated: VecDeque<Timestamp>,
    /// What lets the oldest go beside the writing, as that takes the system a while.
    removal: Option<JoinHandle<()>>,
}

impl Kept {
    /// Learns what earlier writers of `log` rotated, removes what is too much or was left half done, and has compressed what they did
    /// not get to.
    pub(super) fn take_up(log: &Path, retain: u32, compress: bool, listings: &mut Listings) -> Kept {
        let mut kept = Kept {
            rotated: archive::listed_rotations(log, listings).unwrap_or_default().into(),
            removal: None,
        };
        for unfinished in archive::unfinished(log, listings) {
            // One that cannot be removed is in nobody's way.
            let _ = fs::remove_file(unfinished);
        }
        kept.drop_surplus(log, retain);
        if compress {
            let plain = kept.rotated.iter().map(|stamp| archive::plain_path(log, *stamp));
            plain.filter(|plain| plain.exists()).for_each(compress::queue);
        }
        kept
    }

    /// Moves `log` aside at `at`.
    pub(super) fn rotate(&mut self, log: &Path, at: Timestamp, retain: u32, compress: bool) -> io::Result<()> {
        let stamp = rotation::next_stamp(at, self.rotated.back().copied());
        let aside = archive::plain_path(log, stamp);
        fs::rename(archive::real(log), &aside)?;
        self.rotated.push_back(stamp);
        self.drop_surplus(log, retain);
        if compress && retain > 0 {
            compress::queue(aside);
        }
        Ok(())
    }

    /// Waits until those that are too many are gone; `false` when they were.
    pub(super) fn settle(&mut self) -> bool {
        self.removal.take().map(JoinHandle::join).is_some()
    }

    /// Removes all of them.
    pub(super) fn remove(&mut self, log: &Path) {
        self.settle();
        self.rotated.clear();
        archive::remove_rotated(log);
    }

    fn drop_surplus(&mut self, log: &Path, retain: u32) {
        let surplus = self.rotated.drain(..rotation::surplus(self.rotated.len(), retain));
        let surplus: Vec<Timestamp> = surplus.collect();
        if surplus.is_empty() {
            return;
        }
        self.settle();
        let remove = {
            let log = log.to_owned();
            move || surplus.iter().for_each(|stamp| archive::remove(&log, *stamp))
        };
        let thread = thread::Builder::new().name("log-remove".into()).stack_size(STACK);
        match thread.spawn(remove.clone()) {
            Ok(removal) => self.removal = Some(removal),
            Err(_) => remove(),
        }
    }
}
