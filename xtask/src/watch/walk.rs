//! The walks that fill a tree's index and set its watches: the first one, new directories, and again after lost events.
//! Whatever differs from the index only becomes due; `tree` looks and decides whether it changed.

use super::fingerprint::{Kind, LARGEST_HASHED, Print, Stat, link_hash};
use super::ground::Ground;
use super::roots::{Anchor, Root, Standing, resolve};
use super::rules::{Rules, directories_above};
use super::tree::{Directory, Tree};
use crate::clock;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How much is read ahead for hashes in one tree, in bytes: the files written last come first, as those are edited next.
const READ_AHEAD: u64 = 128 << 20;

/// What a file that is not in the index yet means.
#[derive(Clone, Copy)]
enum News {
    /// It was there before, unless written after this moment.
    Since(SystemTime),
    /// It is new.
    All,
}

/// Why a way is followed: what the user named is to be watched, or else to be told of; many a link leads to where nobody may look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The configuration names it.
    Configured,
    /// A link in the sources leads there.
    Link,
}

/// One walk: what it was told, and what it found for later.
struct Walk<'a> {
    ground: &'a mut Ground,
    news: News,
    /// Symbolic links, by real path.
    links: Vec<PathBuf>,
}

impl Tree {
    /// Fills the empty index. Only files written after `since` count as changed.
    pub fn baseline(&mut self, ground: &mut Ground, since: SystemTime) {
        self.since = since;
        self.rebuild(Walk {
            ground,
            news: News::Since(since),
            links: Vec::new(),
        });
    }

    /// Walks again; what differs from the index becomes due.
    pub fn rescan(&mut self, ground: &mut Ground) {
        self.rebuild(Walk {
            ground,
            news: News::All,
            links: Vec::new(),
        });
    }

    /// A directory appeared in a known one: what is in it already counts as new.
    pub(super) fn join(&mut self, path: &Path, ground: &mut Ground) {
        let rules = path
            .parent()
            .and_then(|dir| self.dirs.get(dir))
            .map(|dir| dir.rules.clone())
            .unwrap_or_default();
        let mut walk = Walk {
            ground,
            news: News::All,
            links: Vec::new(),
        };
        self.walk(path, rules, &mut walk);
        self.follow_links(&mut walk);
    }

    fn rebuild(&mut self, mut walk: Walk<'_>) {
        self.stale = false;
        self.trouble = None;
        self.anchors.clear();
        self.hooks.clear();
        let workspace = self.spec.workspace.clone();
        while !workspace.is_dir() {
            self.away = true;
            if self.resolve(&workspace, Way::Configured, walk.ground).is_none() {
                self.trouble = Some(format!(
                    "find the workspace {}: it was renamed or removed; rename it back, or stop the stack and start it where it is \
                     now",
                    workspace.display()
                ));
                // What is watched there moved along with it, and would be told under names that are another's now.
                return walk.ground.retain(|dir| !dir.starts_with(&workspace));
            }
        }
        self.away = false;
        for (dir, directory) in std::mem::take(&mut self.dirs) {
            self.lost
                .extend(directory.files.into_iter().map(|(name, print)| (dir.join(name), print)));
        }
        self.roots.clear();
        self.roots = self
            .spec
            .roots
            .clone()
            .iter()
            .filter_map(|given| self.resolve(given, Way::Configured, walk.ground))
            .collect();
        for root in self.roots.clone() {
            self.enter(&root, &mut walk);
        }
        self.follow_links(&mut walk);
        let now = clock::monotonic();
        for path in self.lost.keys().cloned().collect::<Vec<_>>() {
            self.pend(path, false, now);
        }
    }

    /// Resolves a root, and watches the places where its coming or its change would show.
    fn resolve(&mut self, given: &Path, way: Way, ground: &mut Ground) -> Option<Root> {
        loop {
            let (mut root, mut anchors) = resolve(given, &self.spec.workspace);
            if way == Way::Link && self.leads_nowhere(root.as_ref(), &anchors) {
                root = None;
                anchors.retain(|anchor| given.starts_with(&anchor.hook));
            }
            let mut is_settled = true;
            for Anchor { dir, hook, then } in anchors {
                is_settled &= !self.hook(&dir, hook, Some(then), way, ground);
            }
            // Else again, for something may have come before its watch was set.
            if is_settled {
                return root;
            }
        }
    }

    /// Whether a link leads to where nothing ever counts: our own logs, a device. Others write there all the time, so that
    /// nobody should even listen.
    fn leads_nowhere(&self, root: Option<&Root>, anchors: &[Anchor]) -> bool {
        let end = root
            .map(|root| &root.real)
            .or(anchors.last().map(|anchor| &anchor.hook));
        end.is_some_and(|end| self.filter.is_off_limits(end) || is_device(end))
    }

    /// Sees to it that a change of `hook`, an entry of `dir`, from what it was `then` means a new walk, or any touch of it; whether
    /// `dir` was not watched for such until now.
    fn hook(&mut self, dir: &Path, hook: PathBuf, then: Option<Standing>, way: Way, ground: &mut Ground) -> bool {
        let known = self.hooks.entry(hook).or_insert_with(|| then.clone());
        if *known != then {
            // It changes while we walk.
            *known = None;
        }
        if known.is_none() {
            ground.heed(dir);
        }
        let is_new = self.anchors.insert(dir.to_owned());
        if is_new {
            let watched = ground.watch_directory(dir);
            self.note(dir, watched, way);
        }
        is_new
    }

    fn enter(&mut self, root: &Root, walk: &mut Walk<'_>) {
        if root.is_dir {
            if self.filter.passes(&root.given, true) {
                let watched = walk.ground.watch_root(&root.real);
                self.note(&root.real, watched, Way::Configured);
                let way = match self.spec.roots.contains(&root.given) {
                    true => Way::Configured,
                    false => Way::Link,
                };
                for dir in directories_above(&root.real, &self.spec.workspace) {
                    self.hook(dir, dir.join(".gitignore"), None, way, walk.ground);
                }
                let rules = Rules::above(&root.real, &self.spec.workspace).unwrap_or_default();
                self.walk(&root.real, rules, walk);
            }
        } else if let (Some(dir), Some(name)) = (root.real.parent(), root.real.file_name()) {
            let watched = walk.ground.watch_directory(dir);
            self.note(dir, watched, Way::Configured);
            let mut directory = self.dirs.remove(dir).unwrap_or_default();
            if directory.named.insert(name.to_owned()) && !directory.files.contains_key(name) {
                self.found(&mut directory, name.to_owned(), &root.real, walk);
            }
            self.dirs.insert(dir.to_owned(), directory);
        }
    }

    /// Adds `top` and all below it that passes; `rules` are those of the directory above.
    fn walk(&mut self, top: &Path, rules: Rules, walk: &mut Walk<'_>) {
        let mut queue = VecDeque::from([(top.to_owned(), rules)]);
        while let Some((dir, rules)) = queue.pop_front() {
            let mut directory = self.dirs.remove(&dir).unwrap_or_default();
            if !directory.whole {
                self.add_directory(&dir, &rules, &mut directory, walk, &mut queue);
            }
            self.dirs.insert(dir, directory);
        }
    }

    /// Watches first and reads then, so that nothing slips through between.
    fn add_directory(
        &mut self,
        dir: &Path,
        rules: &Rules,
        directory: &mut Directory,
        walk: &mut Walk<'_>,
        queue: &mut VecDeque<(PathBuf, Rules)>,
    ) {
        directory.whole = true;
        let watched = walk.ground.watch_inner(dir);
        self.note(dir, watched, Way::Configured);
        let entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
        let has_rules = entries.iter().any(|entry| entry.file_name() == ".gitignore");
        directory.rules = if has_rules { rules.enter(dir) } else { rules.clone() };
        let named = self.named(dir);
        for entry in entries {
            let (name, Ok(kind)) = (entry.file_name(), entry.file_type()) else {
                continue;
            };
            let path = dir.join(&name);
            let passes = self.filter.passes(&named.join(&name), kind.is_dir());
            if !passes || directory.rules.drops(&path, kind.is_dir()) || directory.files.contains_key(&name) {
                continue;
            }
            if kind.is_dir() {
                walk.ground.expect_inner(&path);
                queue.push_back((path, directory.rules.clone()));
            } else {
                if kind.is_symlink() {
                    walk.links.push(path.clone());
                }
                self.found(directory, name, &path, walk);
            }
        }
    }

    /// Takes a file, or a symbolic link itself, into the index, or makes it due.
    fn found(&mut self, directory: &mut Directory, name: OsString, path: &Path, walk: &Walk<'_>) {
        let Ok(metadata) = fs::symlink_metadata(path) else {
            return;
        };
        if !metadata.is_file() && !metadata.is_symlink() {
            return;
        }
        let stat = Stat::from(&metadata);
        let now = clock::monotonic();
        if let Some(print) = self.lost.remove(path) {
            if print.stat != stat {
                self.pend(path.to_owned(), false, now);
            }
            directory.files.insert(name, print);
        } else if walk.news.includes(&stat) {
            self.pend(path.to_owned(), false, now);
        } else {
            directory
                .files
                .insert(name, first_print(path, stat, metadata.is_symlink(), now));
        }
    }

    /// Follows links to files anywhere, and to directories inside the workspace that are not watched as it is: each is
    /// one more root, under the link's name.
    fn follow_links(&mut self, walk: &mut Walk<'_>) {
        let configured = self.spec.roots.len();
        while let Some(link) = walk.links.pop() {
            let Some(root) = self.resolve(&link, Way::Link, walk.ground) else {
                continue;
            };
            let root = Root {
                given: self.named(&link),
                ..root
            };
            let known = if root.is_dir {
                let around = self
                    .roots
                    .iter()
                    .take(configured)
                    .any(|other| other.real.starts_with(&root.real));
                let outside = fs::canonicalize(&self.spec.workspace).is_ok_and(|top| !root.real.starts_with(top));
                let ignored = || Rules::above(&root.real, &self.spec.workspace).is_none();
                around || outside || self.is_whole(&root.real) || !self.filter.passes(&root.given, true) || ignored()
            } else {
                root.real.parent().is_none_or(|dir| self.keeps(dir, &root.real, false))
            };
            if !known {
                self.roots.push(root.clone());
                self.enter(&root, walk);
            }
        }
    }

    fn note(&mut self, dir: &Path, watched: Result<(), String>, way: Way) {
        if let Err(why) = watched {
            if way == Way::Configured {
                self.trouble.get_or_insert(why);
            }
            // Perhaps it is removed, or may be looked into from now on.
            self.hooks.insert(dir.to_owned(), None);
        }
    }

    /// Chooses the files to read ahead, when the index was just filled.
    pub fn plan_reading(&mut self) {
        let mut files: Vec<_> = Vec::new();
        for (dir, directory) in &self.dirs {
            let unread = directory.files.iter().filter(|(_, print)| print.hash.is_none());
            files.extend(
                unread
                    .map(|(name, print)| (print.stat, dir.join(name)))
                    .filter(|(stat, _)| stat.len <= LARGEST_HASHED),
            );
        }
        files.sort_by_key(|(stat, _)| std::cmp::Reverse(stat.modified));
        let mut bytes = 0;
        files.retain(|(stat, _)| {
            bytes += stat.len;
            bytes <= READ_AHEAD
        });
        self.unread = files.into_iter().rev().map(|(_, path)| path).collect();
    }
}

impl News {
    fn includes(self, stat: &Stat) -> bool {
        match self {
            Self::All => true,
            // A time in the future says nothing about when the file was written.
            Self::Since(start) => stat
                .modified
                .is_some_and(|modified| modified > start && modified <= SystemTime::from(clock::wall())),
        }
    }
}

fn is_device(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|metadata| metadata.file_type().is_char_device() || metadata.file_type().is_block_device())
}

fn first_print(path: &Path, stat: Stat, is_link: bool, now: Duration) -> Print {
    if is_link {
        Print::baseline(stat, link_hash(path), Kind::Link, now, false)
    } else {
        Print::baseline(stat, None, Kind::File, now, false)
    }
}
