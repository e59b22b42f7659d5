//! What tells one content of a file from another: length, time and inode, which are cheap, and a hash of the bytes.
//! Reads single files; does not know which files are watched or when to look.

use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Files past this many bytes are told apart by length, time and inode alone: sources are smaller.
pub const LARGEST_HASHED: u64 = 4 << 20;

/// How long after a file was read without an event an event of an earlier write may still arrive.
const EVENT_LATENCY: Duration = Duration::from_millis(50);

/// What the file system says of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// In bytes.
    pub len: u64,
    /// The last write; None where the file system keeps no such time.
    pub modified: Option<SystemTime>,
    inode: u64,
}

impl From<&Metadata> for Stat {
    fn from(metadata: &Metadata) -> Self {
        Self {
            len: metadata.len(),
            modified: metadata.modified().ok(),
            inode: metadata.ino(),
        }
    }
}

/// The content of a file as last seen.
#[derive(Clone, Copy, Debug)]
pub struct Print {
    /// As of the last look.
    pub stat: Stat,
    /// Of the bytes, or of a symbolic link's text; None when not read yet, too large or unreadable.
    pub hash: Option<u64>,
    /// Of what.
    pub kind: Kind,
    /// An event before this moment may belong to a write that this print already contains but nobody was told of.
    doubtful_until: Duration,
}

impl Print {
    /// The state that is nobody's news, as found at `now`; `settled` when it is known to be older than the watch.
    pub fn baseline(stat: Stat, hash: Option<u64>, kind: Kind, now: Duration, settled: bool) -> Self {
        let doubtful_until = if settled { Duration::ZERO } else { now + EVENT_LATENCY };
        Self {
            stat,
            hash,
            kind,
            doubtful_until,
        }
    }

    /// Looks at a file, or at a symbolic link itself, after an event told of it. None when there is neither.
    pub fn look(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        let stat = Stat::from(&metadata);
        let (hash, kind) = if metadata.is_symlink() {
            (link_hash(path), Kind::Link)
        } else if metadata.is_file() {
            (file_hash(path, stat.len), Kind::File)
        } else {
            return None;
        };
        Some(Self {
            stat,
            hash,
            kind,
            doubtful_until: Duration::ZERO,
        })
    }

    /// Whether it is of a file without content, as a truncated one is for a moment.
    pub fn is_empty(&self) -> bool {
        self.kind == Kind::File && (self.stat.len == 0 || self.hash == Some(hash(&[])))
    }

    /// Whether `new` is another content, when the first event that led to it arrived at `touched`.
    pub fn differs(&self, new: &Self, touched: Duration) -> bool {
        if touched < self.doubtful_until {
            return true;
        }
        match (self.hash, new.hash) {
            (Some(old), Some(new)) => old != new,
            (None, _) | (_, None) => self.stat != new.stat,
        }
    }
}

/// Whether a file was last touched clearly before `moment`, in a way that no program can pretend: by its change time.
pub fn settled_before(path: &Path, moment: SystemTime) -> bool {
    /// File times come from a clock that stands still between two of the system's ticks.
    const TICK: Duration = Duration::from_millis(20);
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return false;
    };
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(metadata.ctime()), u64::try_from(metadata.ctime_nsec())) else {
        return false;
    };
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(nanos);
    changed + TICK < moment
}

/// What a print was taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
}

/// The hash of a regular file's bytes; None past `LARGEST_HASHED` or when it cannot be read.
pub fn file_hash(path: &Path, len: u64) -> Option<u64> {
    if len > LARGEST_HASHED {
        return None;
    }
    fs::read(path).ok().map(|bytes| hash(&bytes))
}

/// The hash of a symbolic link's text.
pub fn link_hash(path: &Path) -> Option<u64> {
    fs::read_link(path).ok().map(|text| hash(text.as_os_str().as_bytes()))
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(9);

    fn print(len: u64, hash: Option<u64>) -> Print {
        Print {
            stat: Stat {
                len,
                modified: None,
                inode: 1,
            },
            hash,
            kind: Kind::File,
            doubtful_until: Duration::ZERO,
        }
    }

    #[test]
    fn the_hash_decides_where_both_are_known() {
        assert!(!print(1, Some(7)).differs(&print(2, Some(7)), LATER));
        assert!(print(1, Some(7)).differs(&print(1, Some(8)), LATER));
    }

    #[test]
    fn without_a_hash_length_time_and_inode_decide() {
        assert!(!print(1, None).differs(&print(1, Some(8)), LATER));
        assert!(print(1, None).differs(&print(2, Some(8)), LATER));
        assert!(print(1, Some(8)).differs(&print(2, None), LATER));
    }

    #[test]
    fn an_event_right_after_a_silent_look_counts() {
        let look = |settled| {
            Print::baseline(
                print(1, None).stat,
                Some(7),
                Kind::File,
                Duration::from_secs(1),
                settled,
            )
        };
        assert!(look(false).differs(&print(1, Some(7)), Duration::from_millis(1049)));
        assert!(!look(false).differs(&print(1, Some(7)), Duration::from_millis(1050)));
        // Unless the file is known to be older than the watch: then the event is of a later write.
        assert!(!look(true).differs(&print(1, Some(7)), Duration::from_millis(1049)));
        assert!(look(true).differs(&print(1, Some(8)), Duration::from_millis(1049)));
    }

    #[test]
    fn a_file_is_settled_when_nothing_touched_it_since() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "bytes").unwrap();
        let changed = fs::metadata(&file).unwrap().modified().unwrap();
        assert!(settled_before(&file, changed + Duration::from_millis(21)));
        assert!(!settled_before(&file, changed + Duration::from_millis(19)));
        // An old time of the content says nothing: somebody may have copied it here just now.
        fs::File::open(&file)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
        assert!(!settled_before(&file, changed));
        assert!(!settled_before(
            &temp.path().join("none"),
            changed + Duration::from_secs(9)
        ));
    }

    #[test]
    fn a_look_reads_files_and_links_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let (file, link) = (temp.path().join("file"), temp.path().join("link"));
        fs::write(&file, "bytes").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        let print = Print::look(&file).unwrap();
        assert_eq!(
            (print.stat.len, print.hash, print.kind),
            (5, Some(hash(b"bytes")), Kind::File)
        );
        let print = Print::look(&link).unwrap();
        assert_eq!((print.hash, print.kind), (Some(hash(b"file")), Kind::Link));
        assert!(Print::look(temp.path()).is_none() && Print::look(&temp.path().join("none")).is_none());
        assert_eq!(file_hash(&file, LARGEST_HASHED + 1), None);
    }
}
