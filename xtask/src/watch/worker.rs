//! The watching thread: takes news in the order they come, lets the trees judge them, reports. It blocks until there is
//! news, a path is due, or, soon after a start, files are left to be read ahead.

use super::ground::{Ground, News, TouchKind};
use super::tree::Tree;
use super::{Changed, WatchReport, WatchSpec};
use crate::clock;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

/// How many messages are taken before what is due is looked at.
const BATCH: usize = 4096;

/// Files are read ahead in portions of so many files or bytes, with this pause between, so that services start undisturbed
/// and the events which our own reading causes do not pile up.
const PORTION: (usize, u64) = (64, 1 << 20);
const PAUSE: Duration = Duration::from_millis(2);

/// What the thread is told.
#[derive(Debug)]
pub enum Message {
    /// From the system.
    News(News),
    /// Watch this from now on.
    Set {
        /// Everything to watch.
        specs: Vec<WatchSpec>,
        /// What is written after this moment counts.
        since: SystemTime,
    },
    /// The last message.
    End,
}

/// The thread's state.
pub struct Worker {
    ground: Ground,
    trees: Vec<Tree>,
    reading: bool,
    /// The services that are not watched at all, and why.
    refused: BTreeMap<String, String>,
    /// Why watching itself failed, until the next `Set`.
    broken: Option<String>,
    /// What was last told of each service that cannot be watched.
    told: BTreeMap<String, String>,
    report: Box<dyn Fn(WatchReport) + Send>,
}

impl Worker {
    /// Watches nothing yet.
    pub fn new(ground: Ground, report: Box<dyn Fn(WatchReport) + Send>) -> Self {
        Self {
            ground,
            trees: Vec::new(),
            reading: false,
            refused: BTreeMap::new(),
            broken: None,
            told: BTreeMap::new(),
            report,
        }
    }

    /// Works until `Message::End`.
    pub fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let first = match self.wait() {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(limit) => inbox.recv_timeout(limit),
            };
            match first {
                Ok(first) => {
                    for message in std::iter::once(first).chain(inbox.try_iter()).take(BATCH) {
                        match message {
                            Message::News(news) => self.take(news),
                            Message::Set { specs, since } => self.set(specs, since),
                            Message::End => return,
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.reading => self.read_ahead(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.refresh();
            self.settle();
            self.refresh();
        }
    }

    fn wait(&self) -> Option<Duration> {
        let due = self.trees.iter().filter_map(Tree::deadline).min();
        let due = due.map(|due| due.saturating_sub(clock::monotonic()));
        if self.reading {
            Some(due.unwrap_or(PAUSE).min(PAUSE))
        } else {
            due
        }
    }

    fn take(&mut self, news: News) {
        match news {
            News::Touched(touch) => {
                if touch.kind == TouchKind::Gone {
                    self.ground.forget(&touch.path);
                }
                for tree in &mut self.trees {
                    tree.touch(&touch, &mut self.ground);
                }
            }
            News::Lost => {
                (self.report)(WatchReport::Overflowed);
                self.start_over();
            }
            News::Broken(why) => {
                self.broken.get_or_insert(why);
                self.start_over();
            }
        }
    }

    /// Among what was lost may be the end of any watch.
    fn start_over(&mut self) {
        self.ground.retain(|_| false);
        self.trees.iter_mut().for_each(|tree| tree.stale = true);
    }

    fn set(&mut self, specs: Vec<WatchSpec>, since: SystemTime) {
        let mut old = std::mem::take(&mut self.trees);
        let mut known: Vec<Vec<String>> = Vec::new();
        self.refused.clear();
        self.broken = None;
        for spec in specs {
            let service = spec.service.clone();
            let shared = self.trees.iter().position(|tree| tree.serves(&spec));
            let index = match (shared, old.iter().position(|tree| tree.serves(&spec))) {
                (Some(index), _) => index,
                (None, Some(index)) => {
                    let mut tree = old.swap_remove(index);
                    known.push(std::mem::take(&mut tree.services));
                    // Perhaps the limit that was in the way is higher now.
                    tree.stale |= tree.trouble.is_some();
                    self.trees.push(tree);
                    self.trees.len() - 1
                }
                (None, None) => match Tree::new(spec) {
                    Ok(mut tree) => {
                        tree.baseline(&mut self.ground, since);
                        known.push(Vec::new());
                        self.trees.push(tree);
                        self.trees.len() - 1
                    }
                    Err(why) => {
                        self.refused.insert(service, why);
                        continue;
                    }
                },
            };
            self.trees[index].services.push(service);
        }
        self.sweep();
        for (tree, known) in self.trees.iter_mut().zip(known) {
            let (directories, files) = tree.size();
            for service in tree.services.iter().filter(|service| !known.contains(service)).cloned() {
                self.told.remove(&service);
                (self.report)(WatchReport::Armed {
                    service,
                    directories,
                    files,
                });
            }
            if known.is_empty() {
                tree.plan_reading();
            }
        }
        self.reading = true;
    }

    /// Walks where the index does not fit any more, and tells what could not be watched.
    fn refresh(&mut self) {
        let was_away = self.is_away();
        let mut walked = false;
        for tree in self.trees.iter_mut().filter(|tree| tree.stale) {
            tree.rescan(&mut self.ground);
            walked = true;
        }
        if self.is_away() && !was_away {
            // The others have the same workspace: they await it, too, though they had no news of it yet.
            for tree in self.trees.iter_mut().filter(|tree| !tree.away) {
                tree.rescan(&mut self.ground);
            }
        }
        if walked {
            self.sweep();
        }
        self.tell_troubles();
    }

    fn tell_troubles(&mut self) {
        let mut troubles = self.refused.clone();
        for tree in &self.trees {
            if let Some(why) = self.broken.as_ref().or(tree.trouble.as_ref()) {
                troubles.extend(tree.services.iter().map(|service| (service.clone(), why.clone())));
            }
        }
        for (service, why) in troubles
            .iter()
            .filter(|(service, why)| self.told.get(*service) != Some(why))
        {
            let (service, why) = (service.clone(), why.clone());
            (self.report)(WatchReport::Failed { service, why });
        }
        let watched = self.trees.iter().flat_map(|tree| &tree.services);
        for service in watched.filter(|service| self.told.contains_key(*service) && !troubles.contains_key(*service)) {
            let service = service.clone();
            (self.report)(WatchReport::Mended { service });
        }
        self.told = troubles;
    }

    fn is_away(&self) -> bool {
        self.trees.iter().any(|tree| tree.away)
    }

    fn settle(&mut self) {
        let now = clock::monotonic();
        for tree in &mut self.trees {
            let paths: Vec<PathBuf> = tree.settle(now);
            if paths.is_empty() {
                continue;
            }
            for service in tree.services.iter().cloned() {
                (self.report)(WatchReport::Changed(Changed {
                    service,
                    paths: paths.clone(),
                }));
            }
        }
    }

    fn read_ahead(&mut self) {
        let (files, bytes) = PORTION;
        self.reading = self.trees.iter_mut().any(|tree| tree.read_ahead(files, bytes));
    }

    fn sweep(&mut self) {
        let trees = &self.trees;
        self.ground.retain(|dir| trees.iter().any(|tree| tree.wants(dir)));
        let mut hushed: HashSet<PathBuf> = trees.iter().flat_map(Tree::partial).cloned().collect();
        hushed.retain(|dir| !trees.iter().any(|tree| tree.is_whole(dir)));
        self.ground.hush(hushed, trees.iter().flat_map(Tree::heeded).collect());
    }
}
