//! The one owner of notify: which directories the system watches for us, and its events in our own words.
//! On Linux every kept directory has a watch of its own, so that an ignored one costs nothing; elsewhere each root has
//! one recursive watch. Does not know which paths count.

use crate::clock;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::BTreeSet;
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
    notify: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
}

impl Ground {
    /// Watches nothing yet; `sink` gets the news on notify's own thread.
    ///
    /// # Errors
    /// When the system gives no watcher; the text says which limit to raise.
    pub fn new(sink: impl Fn(News) + Send + 'static) -> anyhow::Result<Self> {
        let handler = move |event: notify::Result<Event>| match event {
            Ok(event) => translate(event, &sink),
            Err(error) => sink(News::Broken(explain(&error))),
        };
        let notify = notify::recommended_watcher(handler).map_err(|error| anyhow::anyhow!(explain(&error)))?;
        Ok(Self {
            notify,
            watched: BTreeSet::new(),
        })
    }

    /// Watches what is directly in `dir`.
    ///
    /// # Errors
    /// When the system refuses; a directory that is gone meanwhile is none.
    pub fn watch_directory(&mut self, dir: &Path) -> Result<(), String> {
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
        if ONE_BY_ONE { self.watch_directory(dir) } else { Ok(()) }
    }

    /// Drops the watches of a directory that was removed or renamed, and of all below it.
    pub fn forget(&mut self, dir: &Path) {
        if self.watched.contains(dir) {
            self.retain(|path| !path.starts_with(dir));
        }
    }

    /// Drops the watches that nobody wants any more.
    pub fn retain(&mut self, wanted: impl Fn(&Path) -> bool) {
        let notify = &mut self.notify;
        self.watched.retain(|path| {
            let keep = wanted(path);
            if !keep {
                // Of a removed directory the system has already dropped the watch.
                let _ = notify.unwatch(path);
            }
            keep
        });
    }

    fn watch(&mut self, dir: &Path, mode: RecursiveMode) -> Result<(), String> {
        if self.watched.contains(dir) {
            return Ok(());
        }
        match self.notify.watch(dir, mode) {
            Ok(()) => {
                self.watched.insert(dir.to_owned());
                Ok(())
            }
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(format!("watch {}: {}", dir.display(), explain(&error))),
        }
    }
}

/// A read is no news, and dropped here, before it wakes our thread.
fn translate(event: Event, sink: &impl Fn(News)) {
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
    let at = clock::monotonic();
    for path in event.paths {
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

fn explain(error: &notify::Error) -> String {
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
         less"
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
