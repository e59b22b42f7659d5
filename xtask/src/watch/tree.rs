//! What is known of the files that one set of roots covers, and which of them changed since.
//! An event only makes a path due; what counts is what lies on the disk then, compared with what was there before. The
//! walks that fill the index are `walk`.

use super::WatchSpec;
use super::filter::Filter;
use super::fingerprint::{Kind, LARGEST_HASHED, Print, Stat, file_hash, settled_before};
use super::ground::{Ground, Touch, TouchKind};
use super::roots::{Root, Standing};
use super::rules::Rules;
use crate::clock;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a path that was touched may take until its writer is done: a save that truncates first, or removes and
/// renames, is judged by its end. A writer that closes the file is done at once.
const SETTLE: Duration = Duration::from_millis(50);

/// The index of what the services with the same roots and globs watch.
#[derive(Debug)]
pub struct Tree {
    /// Who is told.
    pub services: Vec<String>,
    /// What to watch; its `service` is the first of them.
    pub(super) spec: WatchSpec,
    pub(super) filter: Filter,
    /// Those that exist, in real paths; first the configured ones, then those that links lead to.
    pub(super) roots: Vec<Root>,
    /// The directories whose entries count.
    pub(super) dirs: BTreeMap<PathBuf, Directory>,
    /// Directories watched only to see a root, a link or rules come or change.
    pub(super) anchors: BTreeSet<PathBuf>,
    /// Entries of `anchors` whose change means a new walk, and what they were in the last one; None where any touch does.
    pub(super) hooks: BTreeMap<PathBuf, Option<Standing>>,
    /// Files whose directory left the index; they are looked at when due.
    pub(super) lost: BTreeMap<PathBuf, Print>,
    pub(super) pending: BTreeMap<PathBuf, Pending>,
    /// Files whose hash is not known yet, the most recently written last.
    pub(super) unread: Vec<PathBuf>,
    /// The roots, links or rules are not what the index was made of.
    pub stale: bool,
    /// The workspace is not where it was. Perhaps somebody renamed it, and it lives on: that is no change of its sources, so
    /// nothing is judged until it is back.
    pub away: bool,
    /// When the watch was asked for.
    pub(super) since: SystemTime,
    /// The first thing that could not be watched, in the last walk or since.
    pub trouble: Option<String>,
}

/// A directory of the index.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// All entries count that the filter and the rules let pass; else only the `named`.
    pub(super) whole: bool,
    /// Files that are roots by themselves, whatever the filter and the rules say.
    pub(super) named: BTreeSet<OsString>,
    pub(super) rules: Rules,
    pub(super) files: HashMap<OsString, Print>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    first: Duration,
    due: Duration,
    /// Since when looks have found it without content.
    emptied: Option<Duration>,
}

impl Tree {
    /// An empty index; `baseline` fills it.
    ///
    /// # Errors
    /// When a glob of the spec cannot be read.
    pub fn new(spec: WatchSpec) -> Result<Self, String> {
        let filter = Filter::new(&spec)?;
        Ok(Self {
            services: Vec::new(),
            spec,
            filter,
            roots: Vec::new(),
            dirs: BTreeMap::new(),
            anchors: BTreeSet::new(),
            hooks: BTreeMap::new(),
            lost: BTreeMap::new(),
            pending: BTreeMap::new(),
            unread: Vec::new(),
            stale: false,
            away: false,
            since: SystemTime::UNIX_EPOCH,
            trouble: None,
        })
    }

    /// Whether it serves this spec, apart from the service's name: instances of a service share one index.
    pub fn serves(&self, spec: &WatchSpec) -> bool {
        let WatchSpec {
            service: _,
            roots,
            ignore,
            workspace,
            own,
        } = spec;
        let mine = &self.spec;
        (roots, ignore, workspace, own) == (&mine.roots, &mine.ignore, &mine.workspace, &mine.own)
    }

    /// How many directories and files it holds.
    pub fn size(&self) -> (usize, usize) {
        (self.dirs.len(), self.dirs.values().map(|dir| dir.files.len()).sum())
    }

    /// Whether it needs the watch on `dir`.
    pub fn wants(&self, dir: &Path) -> bool {
        self.dirs.contains_key(dir) || self.anchors.contains(dir)
    }

    /// The directories of which only some entries are of interest.
    pub fn partial(&self) -> impl Iterator<Item = &PathBuf> {
        let partial = self.dirs.iter().filter(|(_, directory)| !directory.whole);
        self.anchors.iter().chain(partial.map(|(dir, _)| dir))
    }

    /// Whether all entries of `dir` are of interest.
    pub fn is_whole(&self, dir: &Path) -> bool {
        self.dirs.get(dir).is_some_and(|directory| directory.whole)
    }

    /// The files in partial directories whose content is of interest.
    pub fn heeded(&self) -> impl Iterator<Item = PathBuf> {
        let named = |(dir, directory): (&PathBuf, &Directory)| {
            let names = directory.named.iter();
            names.map(|name| dir.join(name)).collect::<Vec<_>>()
        };
        let rules = self.hooks.iter().filter(|(_, then)| then.is_none());
        let rules = rules.map(|(hook, _)| hook.clone());
        rules.chain(self.dirs.iter().flat_map(named))
    }

    /// When `settle` has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        if self.away {
            return None;
        }
        self.pending.values().map(|pending| pending.due).min()
    }

    /// Takes note of an event.
    pub fn touch(&mut self, touch: &Touch, ground: &mut Ground) {
        let path = touch.path.as_path();
        let gone = touch.kind == TouchKind::Gone;
        if gone && !self.spec.workspace.is_dir() {
            self.stale = true;
            return;
        }
        if self.unsettles(touch) {
            self.stale = true;
        }
        let is_dir = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
        if self.dirs.contains_key(path) && (gone || !is_dir) {
            self.leave(path, touch.at);
        }
        let Some((dir, entry)) = self.known_directory(path) else {
            return;
        };
        if entry != path {
            // Deep inside a new directory: where whole trees are watched, its own event may come later or never.
            if self.keeps(&dir, &entry, true) && entry.is_dir() {
                self.join(&entry, ground);
            }
        } else if self.keeps(&dir, path, is_dir) {
            if is_dir {
                self.join(path, ground);
            }
            // A directory may stand where a file was.
            if !is_dir || self.print_mut(path).is_some() {
                self.pend(path.to_owned(), touch.kind == TouchKind::Written, touch.at);
            }
        }
    }

    /// Looks at what is due at `now`, and returns what changed, as reports show it.
    pub fn settle(&mut self, now: Duration) -> Vec<PathBuf> {
        if self.away {
            return Vec::new();
        }
        let mut due = Vec::new();
        self.pending.retain(|path, pending| {
            let is_due = pending.due <= now;
            if is_due {
                due.push((path.clone(), *pending));
            }
            !is_due
        });
        let changed = due.into_iter().filter(|(path, pending)| self.look(path, *pending, now));
        // Two lines, because `shown` borrows what `look` changes.
        let changed: Vec<_> = changed.map(|(path, _)| path).collect();
        let mut shown: Vec<_> = changed.iter().map(|path| self.shown(path)).collect();
        shown.sort();
        shown.dedup();
        shown
    }

    /// Reads some files whose hash is not known yet, at most `files` of them or `bytes`; false when none is left.
    pub fn read_ahead(&mut self, mut files: usize, mut bytes: u64) -> bool {
        let since = self.since;
        while files > 0 && bytes > 0 {
            let Some(path) = self.unread.pop() else { return false };
            if self.pending.contains_key(&path) {
                continue;
            }
            let Some(print) = self.print_mut(&path) else { continue };
            // A file that changed meanwhile has an event on its way, which must find the hash unknown.
            let unchanged = fs::symlink_metadata(&path).is_ok_and(|metadata| Stat::from(&metadata) == print.stat);
            if print.hash.is_none() && unchanged && print.stat.len <= LARGEST_HASHED {
                files -= 1;
                bytes = bytes.saturating_sub(print.stat.len);
                let hash = file_hash(&path, print.stat.len);
                // After the read: what was written during it makes the file unsettled.
                let settled = settled_before(&path, since);
                *print = Print::baseline(print.stat, hash, Kind::File, clock::monotonic(), settled);
            }
        }
        !self.unread.is_empty()
    }

    /// Makes a path due, at once if its writer is done.
    pub(super) fn pend(&mut self, path: PathBuf, written: bool, at: Duration) {
        let pending = self.pending.entry(path).or_insert(Pending {
            first: at,
            due: at,
            emptied: None,
        });
        pending.due = if written { at } else { pending.first + SETTLE };
        if written {
            // It had content since it was found empty: the next truncation is of another save.
            pending.emptied = None;
        }
    }

    /// A real path as the configuration would name it.
    pub(super) fn named(&self, path: &Path) -> PathBuf {
        let roots = self.roots.iter().filter(|root| path.starts_with(&root.real));
        let Some(root) = roots.max_by_key(|root| root.real.as_os_str().len()) else {
            return path.to_owned();
        };
        match path.strip_prefix(&root.real) {
            Ok(rest) if rest.as_os_str().is_empty() => root.given.clone(),
            Ok(rest) => root.given.join(rest),
            Err(_) => path.to_owned(),
        }
    }

    /// Whether the entry `path` of the directory `dir` counts.
    pub(super) fn keeps(&self, dir: &Path, path: &Path, is_dir: bool) -> bool {
        let Some(directory) = self.dirs.get(dir) else {
            return false;
        };
        let by_name = path.file_name().is_some_and(|name| directory.named.contains(name));
        let passes = || self.filter.passes(&self.named(path), is_dir) && !directory.rules.drops(path, is_dir);
        by_name || directory.whole && passes()
    }

    /// Whether a way leads elsewhere now. One that ends at a file still does, when that goes or comes: it is known by its name.
    fn unsettles(&self, touch: &Touch) -> bool {
        let path = touch.path.as_path();
        let by_hook = self.hooks.get(path).is_some_and(|then| match then {
            None => true,
            // What looks the same may be another.
            Some(Standing::Directory(_)) if touch.kind != TouchKind::Other => true,
            Some(Standing::File) => !matches!(Standing::at(path), Standing::File | Standing::Nothing),
            Some(then) => Standing::at(path) != *then,
        });
        by_hook || touch.kind == TouchKind::Gone && self.anchors.contains(path)
    }

    fn shown(&self, path: &Path) -> PathBuf {
        let named = self.named(path);
        named
            .strip_prefix(&self.spec.workspace)
            .map_or_else(|_| named.clone(), Path::to_owned)
    }

    /// The nearest directory of the index above `path`, and its entry that leads there.
    fn known_directory(&self, path: &Path) -> Option<(PathBuf, PathBuf)> {
        let steps = path.ancestors().zip(path.ancestors().skip(1));
        let mut known = steps.filter(|(_, dir)| self.dirs.contains_key(*dir));
        known.next().map(|(entry, dir)| (dir.to_owned(), entry.to_owned()))
    }

    /// A directory is gone, with all below it. Its files are looked at later: it may come back with the same.
    fn leave(&mut self, path: &Path, at: Duration) {
        let below: Vec<_> = self.dirs.range(path.to_owned()..).map(|(dir, _)| dir.clone()).collect();
        for dir in below.into_iter().take_while(|dir| dir.starts_with(path)) {
            for (name, print) in self
                .dirs
                .remove(&dir)
                .map(|directory| directory.files)
                .unwrap_or_default()
            {
                let file = dir.join(name);
                self.pend(file.clone(), false, at);
                self.lost.insert(file, print);
            }
        }
        if self.roots.iter().any(|root| root.real.starts_with(path)) {
            self.stale = true;
        }
    }

    /// Compares what is at `path` with what was there, and takes note of it.
    fn look(&mut self, path: &Path, pending: Pending, now: Duration) -> bool {
        let known = path
            .parent()
            .zip(path.file_name())
            .filter(|(dir, _)| self.dirs.contains_key(*dir));
        let kept = known.filter(|(dir, _)| self.keeps(dir, path, false));
        let lost = self.lost.remove(path);
        let old = lost.or_else(|| known.and_then(|(dir, name)| self.dirs.get_mut(dir)?.files.remove(name)));
        let new = kept.and_then(|_| Print::look(path));
        // After the look: what was seen before the workspace went holds.
        if !self.spec.workspace.is_dir() {
            (self.away, self.stale) = (true, true);
            self.pending.insert(path.to_owned(), pending);
            if let Some(print) = old {
                self.keep(path, print);
            }
            return false;
        }
        let emptied = pending.emptied.unwrap_or(now);
        if let (Some(print), Some(new)) = (old, &new)
            && now < emptied + SETTLE
            && new.is_empty()
            && !print.is_empty()
        {
            // Perhaps the next save has just truncated it.
            let again = Pending {
                due: emptied + SETTLE,
                emptied: Some(emptied),
                ..pending
            };
            self.pending.insert(path.to_owned(), again);
            self.keep(path, print);
            return false;
        }
        let changed = match (&old, &new) {
            (None, None) => false,
            // A file that is still there became ignored.
            (Some(_), None) => !fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_dir()),
            (None, Some(_)) => true,
            (Some(old), Some(new)) => old.differs(new, pending.first),
        };
        let is_link = [&old, &new].into_iter().flatten().any(|print| print.kind == Kind::Link);
        if is_link && (changed || new.is_none()) || changed && path.file_name() == Some(OsStr::new(".gitignore")) {
            self.stale = true;
        }
        if let Some(new) = new {
            self.keep(path, new);
        }
        changed
    }

    /// Takes a print into the index, or among those whose directory has left it.
    fn keep(&mut self, path: &Path, print: Print) {
        let directory = path.parent().and_then(|dir| self.dirs.get_mut(dir));
        match (directory, path.file_name()) {
            (Some(directory), Some(name)) => drop(directory.files.insert(name.to_owned(), print)),
            (None, _) | (_, None) => drop(self.lost.insert(path.to_owned(), print)),
        }
    }

    fn print_mut(&mut self, path: &Path) -> Option<&mut Print> {
        self.dirs.get_mut(path.parent()?)?.files.get_mut(path.file_name()?)
    }
}
