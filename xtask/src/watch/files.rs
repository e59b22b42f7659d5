//! Wakes a reader when something changes in some directories, whether they exist yet or not.
//!
//! It only says that something changed, never what: the reader looks for itself. Between two calls of [`FileWatch::rearm`] it says so
//! once, so that a reader that is slow or stopped piles nothing up. Reading files never wakes anybody.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::ground::explain;
use super::notifier;

/// A watch on directories, for as long as it lives.
pub struct FileWatch {
    watcher: RecommendedWatcher,
    wanted: Vec<PathBuf>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// A change was reported and nobody has asked for the next one yet.
    told: AtomicBool,
    /// A watched directory was removed or moved.
    broken: AtomicBool,
    /// What is watched: the wanted directories, or their nearest ancestors that exist.
    watched: Mutex<Vec<PathBuf>>,
}

impl FileWatch {
    /// Watches `directories` and calls `on_change`, from a thread of its own, when something in them changes. Errors are those of the
    /// system's limits: those of `fs.inotify` on Linux, or that of threads.
    pub fn new(directories: &[PathBuf], on_change: impl Fn() + Send + 'static) -> io::Result<FileWatch> {
        let state = Arc::new(State::default());
        let seen = state.clone();
        let watcher = notifier::watcher(move |event: notify::Result<Event>| {
            if seen.concerns(&event) && !seen.told.swap(true, Ordering::AcqRel) {
                on_change();
            }
        });
        let mut watch = FileWatch {
            watcher: watcher.map_err(error)?,
            wanted: directories.to_vec(),
            state,
        };
        watch.attach()?;
        Ok(watch)
    }

    /// Watches one directory more; whether it is one more, and what is in it is to be looked at again.
    pub fn add(&mut self, directory: PathBuf) -> io::Result<bool> {
        let is_new = !self.wanted.contains(&directory);
        if is_new {
            self.wanted.push(directory);
            self.attach()?;
        }
        Ok(is_new)
    }

    /// Asks for the next change, and takes up directories that have come into being. To be called *before* looking at the files:
    /// what changes after the look is reported, what changed before it is seen.
    pub fn rearm(&mut self) -> io::Result<()> {
        self.state.told.store(false, Ordering::Release);
        if self.state.broken.swap(false, Ordering::AcqRel) {
            for gone in std::mem::take(&mut *self.state.watched()) {
                // The system has dropped it already, or it lies elsewhere now.
                let _ = self.watcher.unwatch(&gone);
            }
        }
        self.attach()
    }

    fn attach(&mut self) -> io::Result<()> {
        for directory in &self.wanted {
            loop {
                let target = nearest(directory);
                if self.state.watched().iter().any(|watched| watched == target) {
                    break;
                }
                match self.watcher.watch(target, RecursiveMode::NonRecursive) {
                    Ok(()) => self.state.watched().push(target.to_owned()),
                    // It went away again: look for the next one up.
                    Err(_) if !target.is_dir() => {}
                    Err(cause) => return Err(error(cause)),
                }
                // Once more: it may have come into being before its parent was watched.
            }
        }
        let mut watched = self.state.watched();
        let needless = |path: &PathBuf| self.wanted.iter().all(|directory| nearest(directory) != path);
        for path in watched.extract_if(.., |path| needless(path)) {
            let _ = self.watcher.unwatch(&path);
        }
        Ok(())
    }
}

impl State {
    fn watched(&self) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there may be something new to read; notes what became of the watched directories themselves.
    fn concerns(&self, event: &notify::Result<Event>) -> bool {
        let Ok(event) = event else { return true };
        match event.kind {
            EventKind::Access(_) => return event.need_rescan(),
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                let watched = self.watched();
                if event.paths.iter().any(|path| watched.contains(path)) {
                    self.broken.store(true, Ordering::Release);
                }
            }
            EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Other => {}
        }
        true
    }
}

/// `directory`, or the nearest of those it lies in that exists.
fn nearest(directory: &Path) -> &Path {
    directory
        .ancestors()
        .find(|path| path.is_dir())
        .unwrap_or(Path::new("/"))
}

fn error(cause: notify::Error) -> io::Error {
    io::Error::other(format!("cannot watch the log directory: {}", explain(&cause)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::mpsc::{self, Receiver};
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(20);

    fn watch(directory: &Path) -> (FileWatch, Receiver<()>) {
        let (wake, woken) = mpsc::channel();
        let watch = FileWatch::new(&[directory.to_owned()], move || wake.send(()).unwrap_or_default()).unwrap();
        (watch, woken)
    }

    /// Returns when all that has happened in the directory was reported. A call to the watcher is answered by the thread that reports:
    /// the second answer comes after everything that lay before it at the first.
    fn reported(watch: &mut FileWatch, directory: &Path) {
        for _ in 0..2 {
            watch.watcher.watch(directory, RecursiveMode::NonRecursive).unwrap();
        }
    }

    #[test]
    fn changes_wake_once_until_rearmed_and_reading_never_does() {
        let place = tempfile::tempdir().unwrap();
        let (mut watch, woken) = watch(place.path());
        let file = place.path().join("web-out.log");
        for text in ["one", "two", "three"] {
            fs::write(&file, text).unwrap();
        }
        woken.recv_timeout(LIMIT).unwrap();
        // A change after the reads comes through the same queue, so it is known to be the first one that was reported.
        fs::write(place.path().join("settled"), "").unwrap();
        let (settled, last) = mpsc::channel();
        let mut second = notify::recommended_watcher(move |event: notify::Result<Event>| {
            settled.send(event.unwrap()).unwrap();
        })
        .unwrap();
        second.watch(place.path(), RecursiveMode::NonRecursive).unwrap();
        reported(&mut watch, place.path());
        watch.rearm().unwrap();
        while woken.try_recv().is_ok() {
            watch.rearm().unwrap();
        }
        fs::read(&file).unwrap();
        assert!(matches!(last.recv_timeout(LIMIT).unwrap().kind, EventKind::Access(_)));
        reported(&mut watch, place.path());
        assert!(woken.try_recv().is_err());
    }

    #[test]
    fn a_directory_that_is_made_later_and_made_again_is_taken_up() {
        let place = tempfile::tempdir().unwrap();
        let logs = place.path().join("dev/logs");
        let (mut watch, woken) = watch(&logs);
        for round in 0..3 {
            fs::create_dir_all(&logs).unwrap();
            while !watch.state.watched().contains(&logs) {
                woken.recv_timeout(LIMIT).unwrap();
                watch.rearm().unwrap();
            }
            fs::write(logs.join("web-out.log"), format!("{round}")).unwrap();
            woken.recv_timeout(LIMIT).unwrap();
            fs::remove_dir_all(place.path().join("dev")).unwrap();
            while watch.state.watched().contains(&logs) {
                watch.rearm().unwrap();
                if watch.state.watched().contains(&logs) {
                    woken.recv_timeout(LIMIT).unwrap();
                }
            }
        }
    }
}
