//! What one process costs: memory, wake-ups, processor time. For the benchmark; `tree` has what a table needs.

use std::io;
use std::ops::AddAssign;
use std::time::Duration;

use super::os;

/// The cost of a process so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footprint {
    /// Proportional set size in bytes: a page that several processes share counts for each in part.
    pub memory: u64,
    /// How often its threads went to sleep by themselves, and so were woken.
    pub switches: u64,
    /// Processor time of its threads.
    pub cpu: Duration,
}

impl AddAssign for Footprint {
    fn add_assign(&mut self, other: Self) {
        self.memory += other.memory;
        self.switches += other.switches;
        self.cpu += other.cpu;
    }
}

/// Gives the memory of our own code back, where the system allows it: for one that is about to rest. What it needs again comes back
/// from the system's cache of files.
pub fn release_code_pages() {
    os::release_code_pages();
}

/// The cost of a process of ours.
///
/// # Errors
/// It is gone or another user's; `Unsupported` where the system does not tell (elsewhere than on Linux).
pub fn footprint(pid: u32) -> io::Result<Footprint> {
    os::footprint(pid)
}
