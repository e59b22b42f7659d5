//! Which processes belong to a run, wherever they moved: parents, group, session and the inherited mark.
//! It only looks; `kill` acts on what it finds.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use super::identity::{Identity, RunTag};
use super::os;

/// One process as it was when looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Who it is.
    pub identity: Identity,
    /// Pid of its parent.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Its session; 0 where the system does not tell.
    pub session: u32,
    /// Dead, its parent has not looked yet.
    pub zombie: bool,
    /// In a system call that not even SIGKILL interrupts.
    pub uninterruptible: bool,
    /// Processor time so far; on Linux with that of the children it waited for.
    pub cpu: Duration,
    /// The same without children.
    pub own_cpu: Duration,
    /// Resident memory in bytes, shared pages included.
    pub memory: u64,
    /// Name of the program, on Linux at most 15 bytes.
    pub name: String,
}

/// All processes of the system at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Ordered by pid.
    processes: Vec<Process>,
    /// Who looks: never a member of anything.
    me: u32,
    /// Whether orphans below this process become its children, so that members can only be its descendants.
    adopts: bool,
}

/// Where the tree of a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeRoot {
    /// The process that was spawned; it may be gone.
    pub leader: Identity,
    /// The mark of everything it started.
    pub run: RunTag,
}

/// What a tree uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time of all that live. It shrinks when a member goes that nobody waited for.
    pub cpu: Duration,
    /// Sum of resident memory in bytes: pages that several share are counted for each, because an exact figure (PSS) takes
    /// the kernel about a hundred times longer.
    pub memory: u64,
}

/// Looks at every process of the system once.
///
/// # Errors
/// The system's list of processes cannot be read (no descriptor left, `/proc` not mounted, no `ps`).
pub fn snapshot() -> io::Result<Snapshot> {
    let mut processes = os::processes()?;
    processes.sort_unstable_by_key(|process| process.identity.pid);
    Ok(Snapshot {
        processes,
        me: std::process::id(),
        adopts: os::is_subreaper(),
    })
}

/// Looks at the processes below this one only, where the system can tell them: for what is shown, which may miss one that is being
/// born. Costs by the size of the trees and not by what else runs on the machine.
///
/// # Errors
/// See [`snapshot`].
pub fn snapshot_below() -> io::Result<Snapshot> {
    let Some(mut processes) = os::descendants()? else {
        return snapshot();
    };
    processes.sort_unstable_by_key(|process| process.identity.pid);
    Ok(Snapshot {
        processes,
        me: std::process::id(),
        adopts: true,
    })
}

/// The words that a process was started with, as far as the system tells; empty when it is gone.
pub fn arguments(pid: u32) -> Vec<String> {
    os::arguments(pid)
}

/// What these processes use together.
pub fn usage(members: &[&Process]) -> Usage {
    members.iter().fold(Usage::default(), |sum, process| Usage {
        cpu: sum.cpu + process.cpu,
        memory: sum.memory + process.memory,
    })
}

impl Snapshot {
    /// A process, its parent, its parent's parent, as far up as the system tells.
    pub fn lineage(&self, pid: u32) -> Vec<&Process> {
        let mut lineage: Vec<&Process> = Vec::new();
        let mut next = pid;
        while let Ok(at) = self
            .processes
            .binary_search_by_key(&next, |process| process.identity.pid)
            && lineage.len() < self.processes.len()
        {
            next = self.processes[at].parent;
            lineage.push(&self.processes[at]);
        }
        lineage
    }

    /// The living processes of each run, in the order of `roots`: its leader, their descendants, the leader's group and
    /// session, and whatever carries the run's mark with its descendants. What carries the mark of another run of the
    /// same supervisor belongs to that one alone.
    pub fn members(&self, roots: &[TreeRoot]) -> Vec<Vec<&Process>> {
        let mut tags = os::Tags::default();
        self.members_by(roots, |pid| tags.of(pid))
    }

    /// Everything alive below a process, itself not included.
    pub fn descendants_of(&self, pid: u32) -> Vec<&Process> {
        let mut below = vec![None; self.processes.len()];
        self.settle(&mut below, |process, parent| {
            parent.copied().unwrap_or(false) || process.parent == pid
        });
        self.living(|index| below[index] == Some(true)).collect()
    }

    /// Everything alive that any run of this supervisor started, by its mark, for when supervisor and keeper are gone
    /// and their children are init's.
    pub fn tagged(&self, nonce: u32) -> Vec<&Process> {
        let mut tags = os::Tags::default();
        let mut ours = vec![None; self.processes.len()];
        self.settle(&mut ours, |process, parent| {
            parent.copied().unwrap_or(false) || tags.of(process.identity.pid).is_some_and(|tag| tag.nonce == nonce)
        });
        self.living(|index| ours[index] == Some(true)).collect()
    }

    fn members_by(&self, roots: &[TreeRoot], mut tag_of: impl FnMut(u32) -> Option<RunTag>) -> Vec<Vec<&Process>> {
        let rules = Rules::new(self, roots);
        let mut places = vec![None; self.processes.len()];
        self.settle(&mut places, |process, parent| rules.place(process, parent, &mut tag_of));
        let mut members = vec![Vec::new(); roots.len()];
        for (process, place) in self.processes.iter().zip(&places) {
            if let Some(Place {
                owner: Owner::Root(root),
                ..
            }) = place
                && !process.zombie
                && process.identity.pid != self.me
            {
                members[*root].push(process);
            }
        }
        members
    }

    /// Answers a question about every process whose answer may depend on its parent's: parents first. Not recursive,
    /// because chains can be as long as the system has pids.
    fn settle<T>(&self, answers: &mut [Option<T>], mut answer: impl FnMut(&Process, Option<&T>) -> T) {
        let mut path = Vec::new();
        for start in 0..self.processes.len() {
            let mut next = Some(start);
            // The length ends a circle, which only pids recycled within one tick could make.
            while let Some(index) = next.filter(|index| answers[*index].is_none() && path.len() < answers.len()) {
                path.push(index);
                next = self.parent_of(index);
            }
            while let Some(index) = path.pop() {
                let parent = self.parent_of(index).and_then(|parent| answers[parent].as_ref());
                let settled = answer(&self.processes[index], parent);
                answers[index] = Some(settled);
            }
        }
    }

    /// A parent is older than its child; a younger one is a recycled pid.
    fn parent_of(&self, index: usize) -> Option<usize> {
        let child = &self.processes[index];
        self.position(child.parent)
            .filter(|parent| self.processes[*parent].identity.start <= child.identity.start)
    }

    fn position(&self, pid: u32) -> Option<usize> {
        self.processes
            .binary_search_by_key(&pid, |process| process.identity.pid)
            .ok()
    }

    fn living(&self, chosen: impl Fn(usize) -> bool) -> impl Iterator<Item = &Process> {
        let chosen = self
            .processes
            .iter()
            .enumerate()
            .filter(move |(index, _)| chosen(*index));
        chosen
            .map(|(_, process)| process)
            .filter(|process| !process.zombie && process.identity.pid != self.me)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Member of the root of this number.
    Root(usize),
    /// Member of another run.
    Other,
    Nobody,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    owner: Owner,
    /// Descends from the process that looks.
    below_me: bool,
}

/// What decides whose a process is.
struct Rules<'a> {
    roots: &'a [TreeRoot],
    by_pid: HashMap<u32, usize>,
    by_run: HashMap<RunTag, usize>,
    /// Whether each leader still holds its pid, so that its group and session cannot be somebody else's.
    present: Vec<bool>,
    oldest: u64,
    me: u32,
    adopts: bool,
}

impl<'a> Rules<'a> {
    fn new(snapshot: &Snapshot, roots: &'a [TreeRoot]) -> Self {
        let is_present = |root: &TreeRoot| {
            snapshot
                .position(root.leader.pid)
                .is_some_and(|index| snapshot.processes[index].identity == root.leader)
        };
        Self {
            roots,
            by_pid: roots
                .iter()
                .enumerate()
                .map(|(index, root)| (root.leader.pid, index))
                .collect(),
            by_run: roots
                .iter()
                .enumerate()
                .map(|(index, root)| (root.run, index))
                .collect(),
            present: roots.iter().map(is_present).collect(),
            oldest: roots.iter().map(|root| root.leader.start).min().unwrap_or(u64::MAX),
            me: snapshot.me,
            adopts: snapshot.adopts,
        }
    }

    fn place(&self, process: &Process, parent: Option<&Place>, tag_of: impl FnMut(u32) -> Option<RunTag>) -> Place {
        let below_me = process.parent == self.me || parent.is_some_and(|parent| parent.below_me);
        let inherited = parent.map_or(Owner::Nobody, |parent| parent.owner);
        let owner = if inherited == Owner::Nobody {
            self.owner(process, below_me, tag_of)
        } else {
            inherited
        };
        Place { owner, below_me }
    }

    fn owner(&self, process: &Process, below_me: bool, mut tag_of: impl FnMut(u32) -> Option<RunTag>) -> Owner {
        if process.identity.pid == self.me {
            return Owner::Nobody;
        }
        let numbers = [process.identity.pid, process.group, process.session];
        let gathered = numbers.iter().find_map(|number| self.by_pid.get(number)).copied();
        if let Some(root) = gathered.filter(|root| self.present[*root]) {
            return Owner::Root(root);
        }
        // A mark is looked at only where it can tell something: it is what costs.
        if process.zombie || process.identity.start < self.oldest || (self.adopts && !below_me) {
            return Owner::Nobody;
        }
        match tag_of(process.identity.pid) {
            Some(tag) if self.by_run.contains_key(&tag) => {
                self.by_run.get(&tag).map_or(Owner::Other, |root| Owner::Root(*root))
            }
            Some(tag) if self.roots.iter().any(|root| root.run.nonce == tag.nonce) => Owner::Other,
            // No mark of ours, its leader is gone: the number of its group alone says little, unless it is below us.
            Some(_) | None => gathered.filter(|_| below_me).map_or(Owner::Nobody, Owner::Root),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: u32 = 10;
    const RUN: RunTag = RunTag { nonce: 1, run: 1 };
    const OTHER: RunTag = RunTag { nonce: 1, run: 2 };
    const ROOT: TreeRoot = TreeRoot {
        leader: Identity { pid: 20, start: 200 },
        run: RUN,
    };

    /// Pid, parent, group; it started at ten times its pid.
    fn process(pid: u32, parent: u32, group: u32) -> Process {
        Process {
            identity: Identity {
                pid,
                start: u64::from(pid) * 10,
            },
            parent,
            group,
            session: 1,
            zombie: false,
            uninterruptible: false,
            cpu: Duration::from_secs(1),
            own_cpu: Duration::from_secs(1),
            memory: 100,
            name: String::new(),
        }
    }

    fn look(processes: &[(u32, u32, u32)], adopts: bool) -> Snapshot {
        let processes = processes
            .iter()
            .map(|(pid, parent, group)| process(*pid, *parent, *group))
            .collect();
        Snapshot {
            processes,
            me: ME,
            adopts,
        }
    }

    fn members(snapshot: &Snapshot, tags: &[(u32, RunTag)]) -> Vec<u32> {
        let tag_of = |pid| tags.iter().find(|(tagged, _)| *tagged == pid).map(|(_, tag)| *tag);
        snapshot
            .members_by(&[ROOT], tag_of)
            .remove(0)
            .iter()
            .map(|process| process.identity.pid)
            .collect()
    }

    #[test]
    fn descendants_and_the_group_belong_to_a_living_leader_and_no_mark_is_read_for_them() {
        let snapshot = look(
            &[
                (1, 0, 1),
                (10, 1, 10),
                (20, 10, 20),
                (21, 20, 21),
                (22, 21, 22),
                (23, 1, 20),
            ],
            true,
        );
        let unread = snapshot.members_by(&[ROOT], |pid| panic!("reads the mark of {pid}"));
        let pids: Vec<u32> = unread[0].iter().map(|process| process.identity.pid).collect();
        assert_eq!(pids, [20, 21, 22, 23]);
        assert_eq!(
            usage(&unread[0]),
            Usage {
                cpu: Duration::from_secs(4),
                memory: 400
            }
        );
    }

    #[test]
    fn an_orphan_belongs_to_the_run_whose_mark_it_carries_with_all_below_it() {
        let snapshot = look(
            &[
                (1, 0, 1),
                (10, 1, 10),
                (30, 10, 30),
                (31, 30, 31),
                (40, 10, 40),
                (41, 40, 20),
            ],
            true,
        );
        assert_eq!(members(&snapshot, &[(30, RUN), (40, OTHER)]), [30, 31]);
    }

    #[test]
    fn the_number_of_a_dead_leaders_group_counts_only_below_us() {
        // 30 is ours without a mark; 50 got the number of the group anew.
        let processes = [(1, 0, 1), (10, 1, 10), (30, 10, 20), (50, 1, 20)];
        assert_eq!(members(&look(&processes, true), &[]), [30]);
        assert_eq!(members(&look(&processes, false), &[]), [30]);
        assert_eq!(members(&look(&processes, false), &[(50, RUN)]), [30, 50]);
    }

    #[test]
    fn a_recycled_pid_of_the_leader_is_not_the_leader() {
        let mut snapshot = look(&[(1, 0, 1), (20, 1, 20), (21, 20, 20)], false);
        snapshot.processes[1].identity.start = 201;
        assert_eq!(members(&snapshot, &[]), [] as [u32; 0]);
    }

    #[test]
    fn who_looks_and_what_is_older_or_dead_is_no_member() {
        let mut snapshot = look(
            &[(1, 0, 1), (10, 1, 10), (15, 10, 15), (20, 10, 20), (30, 10, 30)],
            false,
        );
        snapshot.processes[4].zombie = true;
        assert_eq!(members(&snapshot, &[(10, RUN), (15, RUN), (30, RUN)]), [20]);
    }

    #[test]
    fn a_circle_of_recycled_pids_and_a_chain_of_all_pids_end() {
        let mut snapshot = look(&[(1, 0, 1), (30, 31, 1), (31, 30, 1)], false);
        snapshot.processes[2].identity.start = 300;
        assert_eq!(members(&snapshot, &[]), [] as [u32; 0]);
        let chain: Vec<_> = (20..50_000).map(|pid| (pid, pid - 1, 1)).collect();
        assert_eq!(members(&look(&chain, true), &[]).len(), chain.len());
        assert_eq!(look(&chain, true).descendants_of(49_000).len(), 999);
    }
}
