//! The directories in which only the coming and going of entries is news: writes to their files are dropped on notify's
//! own thread, before they wake ours. A log that grows in the workspace costs next to nothing so.
//! Errs towards news: a directory is hushed only after a walk has said so, and no more as soon as one asks for it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared between the threads.
#[derive(Clone, Debug, Default)]
pub(super) struct Hush(Arc<Mutex<Places>>);

#[derive(Debug, Default)]
struct Places {
    directories: HashSet<PathBuf>,
    /// Files in them whose writes are news all the same.
    heeded: HashSet<PathBuf>,
}

impl Hush {
    /// Whether a write to `path` is no news.
    pub(super) fn covers(&self, path: &Path) -> bool {
        let places = self.places();
        let in_hushed = || path.parent().is_some_and(|dir| places.directories.contains(dir));
        in_hushed() && !places.heeded.contains(path)
    }

    /// Hushes these directories and no others, but for the files `heeded`.
    pub(super) fn set(&self, directories: HashSet<PathBuf>, heeded: HashSet<PathBuf>) {
        *self.places() = Places { directories, heeded };
    }

    /// From now on all is news in `dir`.
    pub(super) fn lift(&self, dir: &Path) {
        self.places().directories.remove(dir);
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
