//! The one owner of notify: which directories the system watches for us, and its events in our own words.
//! On Linux every kept directory has a watch of its own, so that an ignored one costs nothing; elsewhere each root has
//! one recursive watch. Does not know which paths count.

use super::arm::Armer;
use super::hush::Hush;
use super::notifier;
use crate::clock;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{ErrorKind, Event, RecursiveMode};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whether the system watches directories one by one, and not whole trees.
const ONE_BY_ONE: bool = cfg!(target_os = "linux");

/// What the system tells.
#[derive(Debug)]
pub enum News {
    /// Something happened to a path.
    Touched(Touch),
    /// Events were lost: look at everything again.
    Lost,
    /// Watching itself failed, and why.
    Broken(String),
}

/// Something happened to a path.
#[derive(Debug)]
pub struct Touch {
    /// As notify names it: below a directory given to `Ground`.
    pub path: PathBuf,
    /// What.
    pub kind: TouchKind,
    /// When the event arrived, on the monotonic clock.
    pub at: Duration,
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TouchKind {
    /// A writer closed it, or it was renamed to here: complete.
    Written,
    /// It was removed, or renamed to somewhere else.
    Gone,
    /// Anything else but a read: perhaps one of several steps.
    Other,
}

/// The directories that are watched.
#[derive(Debug)]
pub struct Ground {
    armer: Armer,
    watched: BTreeMap<PathBuf, RecursiveMode>,
    /// Asked for and not known to be done.
    asked: HashMap<PathBuf, RecursiveMode>,
    /// Those that could not be watched, until somebody wants to know.
    refused: HashMap<PathBuf, notify::Error>,
    hush: Hush,
}

impl Ground {
    /// Watches nothing yet; `sink` gets the news on notify's own thread.
    ///
    /// # Errors
    /// When the system gives no watcher or no thread; the text says which limit to raise.
    pub fn new(sink: impl Fn(News) + Send + 'static) -> anyhow::Result<Self> {
        let hush = Hush::default();
        let hushed = hush.clone();
        let handler = move |event: notify::Result<Event>| match event {
            Ok(event) => translate(event, &hushed, &sink),
            Err(error) => sink(News::Broken(explain(&error))),
        };
        let notify = notifier::watcher(handler).map_err(|error| anyhow::anyhow!(explain(&error)))?;
        Ok(Self {
            armer: Armer::start(notify)?,
            watched: BTreeMap::new(),
            asked: HashMap::new(),
            refused: HashMap::new(),
            hush,
        })
    }

    /// Watches what is directly in `dir`.
    ///
    /// # Errors
    /// When the system refuses; a directory that is gone meanwhile is none.
    pub fn watch_directory(&mut self, dir: &Path) -> Result<(), String> {
        self.heed(dir);
        self.watch(dir, RecursiveMode::NonRecursive)
    }

    /// Watches all below `root`, where the system does so at once.
    ///
    /// # Errors
    /// As `watch_directory`.
    pub fn watch_root(&mut self, root: &Path) -> Result<(), String> {
        if ONE_BY_ONE {
            Ok(())
        } else {
            self.watch(root, RecursiveMode::Recursive)
        }
    }

    /// Watches what is directly in `dir`, a directory below a root.
    ///
    /// # Errors
    /// As `watch_directory`.
    pub fn watch_inner(&mut self, dir: &Path) -> Result<(), String> {
        self.heed(dir);
        if ONE_BY_ONE { self.watch_directory(dir) } else { Ok(()) }
    }

    /// Of these directories, as long as nobody asks for one again, only what comes and goes is told, and writes to `heeded` files.
    pub fn hush(&self, directories: HashSet<PathBuf>, heeded: HashSet<PathBuf>) {
        self.hush.set(directories, heeded);
    }

    /// From now on writes in `dir` are told, too.
    pub fn heed(&self, dir: &Path) {
        self.hush.lift(dir);
    }

    /// A walk will soon call `watch_inner` with `dir`: begins, without waiting.
    pub fn expect_inner(&mut self, dir: &Path) {
        if ONE_BY_ONE {
            self.ask(dir, RecursiveMode::NonRecursive);
        }
    }

    /// Drops the watches of a directory that was removed or renamed, and of all below it.
    pub fn forget(&mut self, dir: &Path) {
        if self.watched.contains_key(dir) {
            self.retain(|path| !path.starts_with(dir));
        }
    }

    /// Drops the watches that nobody wants any more.
    pub fn retain(&mut self, wanted: impl Fn(&Path) -> bool) {
        while !self.asked.is_empty() && self.take_done() {}
        self.refused.clear();
        for path in self.watched.keys().filter(|path| !wanted(path)) {
            self.armer.unwatch(path.clone());
        }
        self.watched.retain(|path, _| wanted(path));
    }

    fn watch(&mut self, dir: &Path, mode: RecursiveMode) -> Result<(), String> {
        self.ask(dir, mode);
        while self.asked.contains_key(dir) && self.take_done() {}
        match self.refused.remove(dir) {
            None => Ok(()),
            Some(error) if is_gone(&error) => Ok(()),
            Some(error) => Err(format!("watch {}: {}", dir.display(), explain(&error))),
        }
    }

    fn ask(&mut self, dir: &Path, mode: RecursiveMode) {
        let enough = |known: &RecursiveMode| *known == mode || *known == RecursiveMode::Recursive;
        if self.watched.get(dir).or(self.asked.get(dir)).is_some_and(enough) {
            return;
        }
        if self.watched.remove(dir).is_some() {
            self.armer.unwatch(dir.to_owned());
        }
        self.asked.insert(dir.to_owned(), mode);
        self.armer.watch(dir.to_owned(), mode);
    }

    /// Waits until one more of the asked watches is set or refused; false when that never comes.
    fn take_done(&mut self) -> bool {
        let Some((dir, result)) = self.armer.next_done() else {
            return false;
        };
        let mode = self.asked.remove(&dir).unwrap_or(RecursiveMode::NonRecursive);
        match result {
            Ok(()) => drop(self.watched.insert(dir, mode)),
            Err(error) => drop(self.refused.insert(dir, error)),
        }
        true
    }
}

/// A read is no news, and dropped here, before it wakes our thread.
fn translate(event: Event, hush: &Hush, sink: &impl Fn(News)) {
    if event.need_rescan() {
        sink(News::Lost);
    }
    let kind = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => TouchKind::Written,
        EventKind::Access(_) => return,
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => TouchKind::Written,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => TouchKind::Gone,
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => TouchKind::Other,
    };
    let is_write = matches!(
        event.kind,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_))
    );
    let at = clock::monotonic();
    for path in event.paths {
        if is_write && hush.covers(&path) {
            continue;
        }
        sink(News::Touched(Touch { path, kind, at }));
    }
}

fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        ErrorKind::Generic(_) | ErrorKind::WatchNotFound | ErrorKind::InvalidConfig(_) | ErrorKind::MaxFilesWatch => {
            false
        }
    }
}

/// What stands in the way of a watch, and what to do about it.
pub(super) fn explain(error: &notify::Error) -> String {
    /// Too many open files; for inotify: too many instances of this user.
    const EMFILE: i32 = 24;
    match &error.kind {
        ErrorKind::MaxFilesWatch => limit("max_user_watches", 1 << 20),
        ErrorKind::Io(error) if ONE_BY_ONE && error.raw_os_error() == Some(EMFILE) => limit("max_user_instances", 1024),
        ErrorKind::Io(error) => error.to_string(),
        ErrorKind::PathNotFound => "no such directory".to_owned(),
        ErrorKind::Generic(text) => text.clone(),
        ErrorKind::WatchNotFound | ErrorKind::InvalidConfig(_) => error.to_string(),
    }
}

fn limit(name: &str, better: u32) -> String {
    let now = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}"));
    let now = now.map(|text| format!(" of {}", text.trim())).unwrap_or_default();
    format!(
        "the limit{now} set by fs.inotify.{name} is reached; raise it (`sudo sysctl fs.inotify.{name}={better}`) or watch \
         less at a time"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reached_limit_names_the_setting_to_raise() {
        let text = explain(&notify::Error::new(ErrorKind::MaxFilesWatch));
        assert!(text.contains("sysctl fs.inotify.max_user_watches="), "{text}");
        if ONE_BY_ONE {
            let text = explain(&notify::Error::io(std::io::Error::from_raw_os_error(24)));
            assert!(text.contains("sysctl fs.inotify.max_user_instances="), "{text}");
        }
    }
}
