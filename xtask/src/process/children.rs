//! The children of this process: spawns them through duct and reaps every one, those it adopted included.
//! It keeps no policy: each death is reported once, to whoever decides.
//!
//! The kernel's table of children belongs to the whole process, so ours does, too: it is one static, and its lock is
//! held while a child is spawned and while one is reaped. Whoever holds it knows that a pid in it is not recycled.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter};
use std::iter;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::io::Errno;
use rustix::process::{Resource, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getrlimit, wait, waitid};

use crate::lifecycle::Exit;
use crate::shortage::not_started;

use super::identity::{Identity, RUN_VARIABLE, RunTag};
use super::launch::{Launch, LaunchError};
use super::os;
use super::streams::{self, Ours};

/// Spawns and reaps. In a process that has one nothing else may spawn and wait: its child would be reaped here.
#[derive(Debug)]
pub struct Children(());

/// A program that was started.
#[derive(Debug)]
pub struct Spawned {
    /// The leader of its own process group.
    pub identity: Identity,
    /// What it writes to stdout, or to its terminal; ends when nobody holds the other end, a terminal with an error (`EIO`).
    pub stdout: PipeReader,
    /// The same for stderr; of a terminal it ends at once.
    pub stderr: PipeReader,
    /// If [`Launch::stdio`] asked for it; a write to it never waits.
    pub stdin: Option<PipeWriter>,
}

/// A child that ended and was reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// Its pid, free for others from now on.
    pub pid: u32,
    /// How it ended.
    pub exit: Exit,
    /// Spawned here, as opposed to an adopted orphan.
    pub leader: bool,
    /// The run that a leader was spawned for: news of an earlier run can be told by it.
    pub run: Option<RunTag>,
}

/// A living child that was not spawned here: what some run left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orphan {
    /// Who it is.
    pub identity: Identity,
    /// Whose it is, if that can be told.
    pub run: Option<RunTag>,
}

/// What is alive of a run whose leader was reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing, for certain, and nothing can come to be.
    Nothing,
    /// Something, for certain; what, a [`snapshot`](super::snapshot) tells.
    Something,
    /// There is a process that hides its mark and may be anybody's: a [`snapshot`](super::snapshot) tells.
    Unknown,
}

impl Children {
    /// Starts the one thread that reaps; it sleeps in the kernel until a child ends. `report` runs on that thread.
    ///
    /// # Errors
    /// `AlreadyExists` on a second call in one process; no thread to be had.
    pub fn start(report: impl Fn(Death) + Send + 'static) -> io::Result<Self> {
        let mut table = lock();
        if table.reaping {
            let text = "cannot start a second reaper: this process has one";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        thread::Builder::new()
            .name("reaper".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || reap_for_ever(report))
            .map_err(not_started)?;
        table.reaping = true;
        Ok(Self(()))
    }

    /// From now on each run has a cgroup, where the system lets this process make some: what hides its other marks is found by it.
    /// Whoever clears up after this process calls [`remove_cgroups`](super::remove_cgroups).
    pub fn keep_cgroups(&self) {
        os::keep_cgroups();
    }

    /// Nothing of a run is left: what was kept for it may go.
    pub fn forget(&self, run: RunTag) {
        os::leave_cgroup(run);
    }

    /// Starts a program in its own process group, marked as part of its run.
    ///
    /// # Errors
    /// See [`LaunchError`]; nothing was started then.
    pub fn spawn(&self, launch: &Launch) -> Result<Spawned, LaunchError> {
        Self::spawn_with(launch, None)
    }

    /// The same; how it ends is also told to `told`.
    pub(super) fn spawn_and_tell(&self, launch: &Launch, told: Sender<Exit>) -> Result<Spawned, LaunchError> {
        Self::spawn_with(launch, Some(told))
    }

    fn spawn_with(launch: &Launch, told: Option<Sender<Exit>>) -> Result<Spawned, LaunchError> {
        let mut table = lock();
        let (handle, ours) = start(launch).map_err(|cause| LaunchError::explain(launch, cause))?;
        let pid = handle.pids().first().copied().unwrap_or_default();
        // Nobody reaps while the lock is held, so that even one that has ended is still there to be looked at.
        let identity = os::look_at_unreaped(pid, &table).map_or(Identity { pid, start: 0 }, |process| process.identity);
        table.leaders.insert(
            pid,
            Leader {
                handle,
                identity,
                run: launch.run,
                told,
            },
        );
        table.spawned += 1;
        drop(table);
        SPAWNED.notify_one();
        os::enter_cgroup(launch.run, identity);
        Ok(Spawned {
            identity,
            stdout: ours.stdout,
            stderr: ours.stderr,
            stdin: ours.stdin,
        })
    }

    /// What runs left behind and this process adopted, for the price of reading one small file. Once a leader is reaped,
    /// its tree is gone exactly when none of these is its run's: the topmost process of whatever is left is a child of
    /// ours. `None` when the system cannot tell (no subreaper): take a [`snapshot`](super::snapshot) then.
    pub fn orphans(&self) -> Option<Vec<Orphan>> {
        orphans(&lock())
    }

    /// What may still be alive of runs whose leaders were reaped, in their order, for the price of [`orphans`](Self::orphans).
    pub fn left_of(&self, runs: &[RunTag]) -> Vec<Left> {
        let table = lock();
        let Some(orphans) = orphans(&table) else {
            return vec![Left::Unknown; runs.len()];
        };
        // A readiness command is spawned here and part of its service's tree.
        let spawned: Vec<RunTag> = table.leaders.values().map(|leader| leader.run).collect();
        drop(table);
        let left = |run: &RunTag| {
            let may_be = |orphan: &Orphan| orphan.run.is_none_or(|tag| tag.nonce != run.nonce);
            if spawned.contains(run) || orphans.iter().any(may_be) {
                Left::Unknown
            } else if orphans.iter().any(|orphan| orphan.run == Some(*run)) {
                Left::Something
            } else {
                Left::Nothing
            }
        };
        runs.iter().map(left).collect()
    }
}

/// `None` also when one cannot be looked at, for want of a descriptor: it is there, as nobody reaps while the lock is held.
fn orphans(table: &MutexGuard<'static, Table>) -> Option<Vec<Orphan>> {
    let children = os::own_children(table)?;
    let mut tags = os::Tags::default();
    let mut orphans = Vec::new();
    for pid in children.into_iter().filter(|pid| !table.leaders.contains_key(pid)) {
        let process = os::look_at_unreaped(pid, table)?;
        if !process.zombie {
            orphans.push(Orphan {
                identity: process.identity,
                run: tags.of(pid),
            });
        }
    }
    Some(orphans)
}

/// Every child that was spawned here and not yet reaped.
pub(super) struct Table {
    leaders: BTreeMap<u32, Leader>,
    /// Grows with every spawn: what the reaper waits for when there is no child.
    spawned: u64,
    reaping: bool,
}

struct Leader {
    /// Kept until the pid is reaped, because duct looks after a handle that is dropped earlier.
    #[expect(dead_code, reason = "held for its destructor alone")]
    handle: duct::Handle,
    identity: Identity,
    run: RunTag,
    /// Who else is told how it ended.
    told: Option<Sender<Exit>>,
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    leaders: BTreeMap::new(),
    spawned: 0,
    reaping: false,
});
static SPAWNED: Condvar = Condvar::new();

/// While it is held nothing is spawned and nothing is reaped.
pub(super) fn lock() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    /// The pids of all.
    pub(super) fn leaders(&self) -> impl Iterator<Item = u32> {
        self.leaders.keys().copied()
    }

    /// Whether the pid still belongs to this process: it runs, or it is a zombie that holds its pid.
    pub(super) fn is_unreaped(&self, identity: Identity) -> bool {
        self.leaders
            .get(&identity.pid)
            .is_some_and(|leader| leader.identity == identity)
    }
}

/// The table's lock must be held: elsewhere than on Linux a pipe is closed-on-exec only a moment after its birth, and
/// the mark is a property of the whole process.
fn start(launch: &Launch) -> io::Result<(duct::Handle, Ours)> {
    let (theirs, ours) = streams::open(launch.stdio)?;
    leave_room(&theirs.stderr)?;
    let mark = (OsString::from(RUN_VARIABLE), OsString::from(launch.run.to_string()));
    let kept = launch.env.iter().filter(|(name, _)| name != RUN_VARIABLE);
    let env: Vec<(OsString, OsString)> = kept.cloned().chain([mark]).collect();
    let expression = duct::cmd(&launch.program, &launch.args)
        .dir(&launch.cwd)
        // Duct would make three tables of hashes of it, and of ours; the standard library's own needs none.
        .full_env(iter::empty::<(OsString, OsString)>())
        .stdout_file(theirs.stdout)
        .stderr_file(theirs.stderr)
        .unchecked()
        .before_spawn(move |command| {
            command.envs(env.iter().map(|(name, value)| (name, value)));
            command.process_group(0);
            Ok(())
        });
    let expression = match theirs.stdin {
        Some(end) => expression.stdin_file(end),
        None => expression.stdin_null(),
    };
    let _marked = os::Mark::set(launch.run);
    let handle = expression.start()?;
    // The expression goes here, and with it our copies of the child's ends: else its output would never end.
    Ok((handle, ours))
}

/// Starts a command; the caller waits for it. It and everything that it starts are known by the mark, see
/// [`Snapshot::tagged`](super::Snapshot::tagged). To be called where no other thread starts anything.
///
/// # Errors
/// When it cannot be started.
pub fn spawn_marked(command: &mut Command, mark: RunTag) -> io::Result<Child> {
    let _marked = os::Mark::set(mark);
    command.env(RUN_VARIABLE, mark.to_string()).spawn()
}

/// Descriptors that a launch leaves free: for the look at the processes, for logs, the state, and commands.
const ROOM: u64 = 16;

/// Refuses when `newest`, the lowest number that was free, is too near to the limit of open files.
fn leave_room(newest: &impl AsRawFd) -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let number = u64::try_from(newest.as_raw_fd()).unwrap_or_default();
    if number.saturating_add(ROOM) >= limit {
        return Err(Errno::MFILE.into());
    }
    Ok(())
}

/// The largest table of descriptors that is asked for in advance; three to five are needed for each service.
const DESCRIPTORS: u64 = 4096;

/// Lets the system make its table of this process's descriptors large at once. Linux doubles it whenever it is full, and where
/// there are threads it waits for all processors before it uses the new one (`synchronize_rcu` in `fs/file.c`): some ten
/// milliseconds each time, in the middle of a start. To be called while there is only one thread.
pub fn reserve_descriptors() {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let highest = i32::try_from(limit.min(DESCRIPTORS)).map_or(0, |count| count - 1);
    // The table stays as large as the highest number that was ever in use. Without it, starts are slower; that is all.
    let _ = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), highest);
}

fn reap_for_ever(report: impl Fn(Death)) {
    loop {
        let seen = lock().spawned;
        // Without reaping: that is done under the lock.
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            // No child means no descendant either, as orphans become children: only a spawn can change that.
            Err(Errno::CHILD) => {
                let table = SPAWNED.wait_while(lock(), |table| table.spawned == seen);
                drop(table.unwrap_or_else(PoisonError::into_inner));
            }
            Ok(_) | Err(_) => {
                while let Some(death) = reap_one() {
                    report(death);
                }
            }
        }
    }
}

/// Reaps whichever child has ended. Duct's own wait is not asked, because it takes a look at each child, and there may
/// be hundreds; its handle finds the child gone when it is dropped, and is content.
fn reap_one() -> Option<Death> {
    let mut table = lock();
    let (pid, status) = wait(WaitOptions::NOHANG).ok()??;
    let pid = pid.as_raw_nonzero().get().unsigned_abs();
    let leader = table.leaders.remove(&pid);
    let run = leader.as_ref().map(|leader| leader.run);
    if let Some(told) = leader.as_ref().and_then(|leader| leader.told.as_ref()) {
        // Who has given up waiting need not know.
        let _ = told.send(Exit::from(status));
    }
    Some(Death {
        pid,
        exit: Exit::from(status),
        leader: leader.is_some(),
        run,
    })
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match status.code() {
            Some(code) => Self::Code(code),
            None => Self::Signal(status.signal().unwrap_or_default()),
        }
    }
}

impl From<WaitStatus> for Exit {
    fn from(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            // Neither can be: stops are not asked for.
            (None, None) => Self::Code(status.as_raw()),
        }
    }
}
