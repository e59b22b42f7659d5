//! Reads the log files of a stack and prints them, on a thread of its own, until it is told that nothing more will come. Decides
//! nothing: who follows is told the end.

use super::follow::{LAST_LINES_LIMIT, Wake, next};
use super::workspace::Workspace;
use crate::log::grace::Grace;
use crate::log::reader::{Follow, Line, LineStream, Selection};
use crate::paths::STATE_FILE;
use crate::shortage::not_started;
use crate::ui::style::Style;
use crate::watch::files::FileWatch;
use crate::{clock, ui};
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::SystemTime;

/// What can wake the one who prints.
enum Order {
    /// Log files changed.
    Print,
    /// Nothing more will come: print what is there, and end.
    End,
}

/// Reads what is new in the logs and prints it.
pub(super) struct Follower {
    follow: Follow,
    style: Style,
    grace: Grace,
    /// Whose last line was shown before it was finished.
    begun: Vec<(Arc<str>, LineStream)>,
    watch: FileWatch,
    /// What to follow, asked anew: services and stacks may join.
    again: Box<dyn Fn() -> Result<Selection> + Send>,
    stacks: Stacks,
    orders: (Sender<Order>, Receiver<Order>),
}

/// The thread of a [`Follower`].
pub(super) struct Printer(Sender<Order>);

impl Printer {
    /// Has the rest printed, and waits for that, but only for a while where the user has asked for the end, or asks now.
    pub(super) fn finish(self, wakes: &Receiver<Wake>, is_interrupted: bool) {
        // Where nobody prints any more there is nothing to wait for: the end of it has arrived, or is about to.
        let _ = self.0.send(Order::End);
        let limit = is_interrupted.then(|| clock::monotonic() + LAST_LINES_LIMIT);
        while let Ok(Some(wake)) = next(wakes, limit) {
            match wake {
                Wake::Printed(_) | Wake::Interrupted => return,
                Wake::Reply(_) => {}
            }
        }
    }
}

impl Follower {
    /// Follows from where a reader has stopped.
    pub(super) fn new(
        mut follow: Follow,
        style: Style,
        again: Box<dyn Fn() -> Result<Selection> + Send>,
        mut stacks: Stacks,
    ) -> Result<Self> {
        let (order, orders) = channel();
        let wake = order.clone();
        // From here on: what came between the selection and this look is found by the first print.
        stacks.forget();
        let mut directories = follow.directories();
        directories.extend(stacks.directories());
        let watch = FileWatch::new(&directories, move || {
            let _ = wake.send(Order::Print);
        })?;
        Ok(Self {
            follow,
            style,
            grace: Grace::default(),
            begun: Vec::new(),
            watch,
            again,
            stacks,
            orders: (order, orders),
        })
    }

    /// Prints on a thread of its own, first what was read before: however slow a terminal is, and however fast a service writes, its
    /// owner hears of everything else at once. `printed` is told the end: that of [`Printer::finish`], or that it cannot print.
    pub(super) fn start(
        self,
        earlier: Vec<Line>,
        printed: impl FnOnce(Result<()>) + Send + 'static,
    ) -> Result<Printer> {
        let printer = Printer(self.orders.0.clone());
        std::thread::Builder::new()
            .name("printer".to_owned())
            .spawn(move || printed(self.run(&earlier)))
            .map_err(not_started)
            .context("failed to start the thread that prints")?;
        Ok(printer)
    }

    fn run(mut self, earlier: &[Line]) -> Result<()> {
        self.show(earlier)?;
        loop {
            self.print()?;
            if let Order::End = self.wait() {
                return self.print_rest();
            }
        }
    }

    /// Prints lines that were read before.
    fn show(&self, lines: &[Line]) -> Result<()> {
        ui::print_bytes(&self.style.render(lines))
    }

    /// Prints what is new, but for the youngest lines, before which older ones may still come: [`Follower::wait`] ends in time for them.
    fn print(&mut self) -> Result<()> {
        self.watch.rearm().context("failed to watch the logs")?;
        self.join_new();
        let now = clock::now();
        let limit = if self.follow.is_single() {
            None
        } else {
            self.grace.limit(now)
        };
        let mut stays = self.print_until(limit)?;
        if self.watch_changed() {
            stays = self.print_until(limit)?;
        }
        if !self.style.shows_unfinished() || self.follow.is_filtered() {
            self.grace.left(stays, &[], now);
            return Ok(());
        }
        let is_quiet = |log, size| self.grace.shows_unfinished(log, size, now);
        let lines = self.follow.take_unfinished(is_quiet);
        let lines = lines.context("failed to read the logs")?;
        if !lines.is_empty() {
            self.show(&lines)?;
        }
        self.begun
            .extend(lines.into_iter().map(|line| (line.service, line.stream)));
        self.grace.left(stays, &self.follow.unfinished(), now);
        Ok(())
    }

    /// Prints all that is there.
    fn print_rest(&mut self) -> Result<()> {
        self.join_new();
        self.print_until(None)?;
        let unfinished = self.follow.take_unfinished(|_, _| true);
        self.show(&unfinished.context("failed to read the logs")?)
    }

    /// Watches where logs lie now that did not lie there before; whether there are any, in which something may have come already.
    fn watch_changed(&mut self) -> bool {
        let mut is_any = false;
        for dir in self.follow.changed_directories() {
            // One that cannot be watched is looked at when another changes.
            is_any |= self.watch.add(dir).unwrap_or(false);
        }
        is_any
    }

    /// Waits until there may be something to print.
    fn wait(&self) -> Order {
        let orders = &self.orders.1;
        // It holds a sender itself: the channel cannot close.
        match self.grace.deadline() {
            None => orders.recv().unwrap_or(Order::End),
            Some(deadline) => {
                let order = orders.recv_timeout(deadline.saturating_sub(clock::monotonic()));
                order.unwrap_or(Order::Print)
            }
        }
    }

    fn print_until(&mut self, limit: Option<Timestamp>) -> Result<Option<Timestamp>> {
        loop {
            let (mut lines, stays) = self.follow.read_until(limit).context("failed to read the logs")?;
            if lines.is_empty() {
                return Ok(stays);
            }
            if !self.begun.is_empty() {
                lines.retain(|line| self.adds_something(line));
            }
            self.show(&lines)?;
        }
    }

    /// Whether a line is more than the end of one that was shown before it was finished.
    fn adds_something(&mut self, line: &Line) -> bool {
        let is_its = |(service, stream): &(Arc<str>, LineStream)| *service == line.service && *stream == line.stream;
        let Some(begun) = self.begun.iter().position(is_its) else {
            return true;
        };
        self.begun.swap_remove(begun);
        !line.text.is_empty() || self.style.is_raw()
    }

    /// A stack that came, or that launched something, may have new services: follows them, too.
    fn join_new(&mut self) {
        if !self.stacks.have_changed() {
            return;
        }
        for dir in self.stacks.directories() {
            // One that cannot be watched is looked at when another changes.
            let _ = self.watch.add(dir);
        }
        // A stack that cannot be asked just now has nobody who joins.
        let Ok(selection) = (self.again)() else { return };
        self.follow.join(&selection);
        self.style.widen(ui::name_width(&selection));
        for dir in self.follow.directories() {
            let _ = self.watch.add(dir);
        }
    }
}

/// The stacks that may run in a workspace, by their files.
pub(super) struct Stacks {
    state_dir: PathBuf,
    /// The one that counts; none: all do.
    profile: Option<String>,
    /// What each stack last wrote of what it runs.
    states: BTreeMap<PathBuf, Option<(SystemTime, u64)>>,
}

impl Stacks {
    pub(super) fn new(workspace: &Workspace, profile: Option<&str>) -> Self {
        Self {
            state_dir: workspace.state_dir.clone(),
            profile: profile.map(str::to_owned),
            states: BTreeMap::new(),
        }
    }

    fn forget(&mut self) {
        self.states.clear();
    }

    /// Whether a stack has come, or one has launched or ended something, since the last look. The first look finds everything new.
    fn have_changed(&mut self) -> bool {
        let state = |dir: &PathBuf| {
            let meta = std::fs::metadata(dir.join(STATE_FILE)).ok()?;
            Some((meta.modified().ok()?, meta.ino()))
        };
        let states = self.dirs().into_iter().map(|dir| {
            let state = state(&dir);
            (dir, state)
        });
        let states = states.collect();
        let have_changed = states != self.states;
        self.states = states;
        have_changed
    }

    /// Where something happens when that changes.
    fn directories(&self) -> Vec<PathBuf> {
        let mut directories = self.dirs();
        directories.push(self.state_dir.clone());
        directories
    }

    fn dirs(&self) -> Vec<PathBuf> {
        if let Some(profile) = &self.profile {
            return vec![self.state_dir.join(profile)];
        }
        let entries = std::fs::read_dir(&self.state_dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }
}
