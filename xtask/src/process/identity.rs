//! Who a process is (pid and start time, within one boot) and which run it belongs to.
//! Plain values and the few system calls a process makes about itself; it looks at no other process.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::os;

/// The environment variable that carries the [`RunTag`] of everything a run starts, for other tools and as the portable
/// mark where there is no better one.
pub const RUN_VARIABLE: &str = "XTASK_RUN";

/// Which run of which supervisor a process belongs to. Written `89abcdef/12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunTag {
    /// Chosen at random by each supervisor.
    pub nonce: u32,
    /// Number of the run within the supervisor; below 2^24, or only the environment carries it.
    pub run: u32,
}

/// A number that tells what this process starts from what any other does.
pub fn nonce() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    (hasher.finish() >> 32) as u32
}

impl fmt::Display for RunTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}/{}", self.nonce, self.run)
    }
}

impl FromStr for RunTag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(nonce, run)| {
            Some(Self {
                nonce: u32::from_str_radix(nonce, 16).ok()?,
                run: run.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| format!("cannot read run tag `{text}`: expected NONCE/RUN"))
    }
}

/// A process that cannot be mistaken for another one of the same boot: a recycled pid differs in `start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// When it started. Linux: clock ticks since boot (field 22 of `/proc/PID/stat`); elsewhere: seconds since 1970.
    pub start: u64,
}

/// Names the present boot; empty where the system does not tell. An [`Identity`] written down means nothing in another one.
pub fn boot_id() -> String {
    os::boot_id()
}

/// The process that has this pid now, also when it is a zombie.
pub fn identity_of(pid: u32) -> Option<Identity> {
    os::identity_of(pid)
}

/// The parent of the process that has this pid now.
pub fn parent_of(pid: u32) -> Option<u32> {
    os::parent_of(pid)
}

/// Whether this very process still runs. A zombie does not.
pub fn is_alive(identity: &Identity) -> bool {
    os::is_alive(identity)
}

/// From now on whatever is orphaned below this process becomes its child. Linux alone can do this; elsewhere it
/// succeeds and does nothing.
///
/// # Errors
/// The kernel's refusal.
pub fn become_subreaper() -> io::Result<()> {
    os::become_subreaper()
}

/// Leaves the terminal: a new session and process group of its own.
///
/// # Errors
/// A process that already leads its group cannot (`EPERM`).
pub fn new_session() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_tag_survives_its_text() {
        for tag in [
            RunTag { nonce: 0, run: 0 },
            RunTag {
                nonce: u32::MAX,
                run: u32::MAX,
            },
        ] {
            assert_eq!(tag.to_string().parse(), Ok(tag));
        }
        assert!("12".parse::<RunTag>().is_err());
        assert!("xyz/1".parse::<RunTag>().is_err());
    }

    #[test]
    fn this_process_is_alive_and_a_recycled_pid_is_not_it() {
        let me = identity_of(std::process::id()).unwrap();
        assert!(is_alive(&me));
        assert!(!is_alive(&Identity {
            start: me.start + 1,
            ..me
        }));
        assert_eq!(identity_of(0), None);
        assert!(!boot_id().is_empty());
    }
}
