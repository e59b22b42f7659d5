//! Tells when a file is removed. It looks at one file alone, and sleeps until the system has news of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::notifier;

/// A watch on a file, for as long as it lives.
pub struct Presence {
    _watcher: RecommendedWatcher,
}

impl Presence {
    /// Calls `gone`, from a thread of its own, when `file` is no longer there; it may do so more than once.
    ///
    /// # Errors
    /// The file is missing, or the system's limits are reached: those of `fs.inotify` on Linux, or that of threads.
    pub fn watch(file: &Path, gone: impl Fn() + Send + 'static) -> io::Result<Self> {
        let path = file.to_owned();
        let open = File::open(file)?;
        // Linux tells of a removal after the file has lost the link and before its name is gone, and while somebody has the file
        // open it tells nothing more: whoever looked at the name alone could find it still there, and never hear of it again.
        let unlinked = move || open.metadata().is_ok_and(|file| file.nlink() == 0);
        let watcher = notifier::watcher(move |_: notify::Result<Event>| {
            if unlinked() || !path.exists() {
                gone();
            }
        });
        let mut watcher = watcher.map_err(io::Error::other)?;
        watcher
            .watch(file, RecursiveMode::NonRecursive)
            .map_err(io::Error::other)?;
        Ok(Self { _watcher: watcher })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_removed_file_is_told_of_also_while_somebody_has_it_open() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("alive");
        // Often: the news may be read before the name has gone.
        for _ in 0..1000 {
            let _open = File::create(&file).unwrap();
            let (told, gone) = mpsc::channel();
            let _presence = Presence::watch(&file, move || told.send(()).unwrap_or_default()).unwrap();
            fs::write(&file, "still here").unwrap();
            fs::remove_file(&file).unwrap();
            gone.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        assert!(Presence::watch(&file, || {}).is_err());
    }
}
