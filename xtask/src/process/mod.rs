//! Processes of the system: launch, reap, find a run's whole tree, signal it, measure it, see its ports.
//! The only owner of duct. It decides nothing: what to start, when to stop and how long to wait is told to it.
//!
//! Everything particular to an operating system stands behind one seam: `os` is `linux` (`/proc`, pidfds, resource
//! limits) or `portable` (`ps`, `lsof`). The portable side is compiled and its parsers are tested on Linux; it was
//! never run on a Mac.

mod children;
mod detached;
mod environment;
mod footprint;
mod identity;
mod kill;
mod launch;
mod ports;
mod program;
mod quiet;
mod streams;
mod tree;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod portable;

#[cfg(target_os = "linux")]
use linux as os;
#[cfg(not(target_os = "linux"))]
use portable as os;

#[cfg(all(test, target_os = "linux"))]
mod tests;

pub use crate::lifecycle::Exit;
pub use children::{Children, Death, Left, Orphan, Spawned, reserve_descriptors, spawn_marked};
pub use detached::{
    Detached, Guarded, await_word, close_inherited, detach, guard, is_childless, leave_starter, tell_starter,
};
pub use environment::scrub_cargo;
pub use footprint::{Footprint, footprint, release_code_pages};
pub use identity::{
    Identity, RUN_VARIABLE, RunTag, become_subreaper, boot_id, identity_of, is_alive, new_session, nonce, parent_of,
};
pub use kill::{
    Killed, Survivor, ask_to_end, kill_descendants, kill_tagged, kill_tree, on_end, remove_cgroups, signal_below,
    signal_group, signal_of, signal_tree, wait_gone,
};
pub use launch::{Launch, LaunchError};
pub use ports::{Holder, Listener, holders, listening};
pub use program::resolve_program;
pub use rustix::process::Signal;
pub use streams::{LONGEST_TERMINAL_LINE, Stdio};
pub use tree::{Process, Snapshot, TreeRoot, Usage, arguments, snapshot, snapshot_below, usage};
