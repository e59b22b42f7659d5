//! Restart, backoff and grace as plain data: what the user asked for, every default filled in.
//! Decides nothing; `lifecycle` reads it.

use crate::config::{Autorestart, Signal};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The growth of `exp_backoff_restart_delay` per restart, as PM2 has it.
pub const BACKOFF_FACTOR: f64 = 1.5;
/// The longest backoff delay, as PM2 has it.
pub const BACKOFF_CAP: Duration = Duration::from_secs(15);
/// A run this long clears the backoff, as PM2 has it.
pub const BACKOFF_CLEARED_AFTER: Duration = Duration::from_secs(30);
/// How long the leftovers of a crashed service have between SIGTERM and SIGKILL.
pub const LEFTOVER_GRACE: Duration = Duration::from_millis(500);
/// How long after SIGKILL a process may still exist before it is called unkillable.
pub const KILL_LIMIT: Duration = Duration::from_secs(3);
/// How often a blocked service looks whether its ports are free. The end of their holder is told where the system does that;
/// that a living process closes a socket is told to nobody who has no privileges, so there is no way around looking.
pub const BLOCKED_RETRY: Duration = Duration::from_secs(1);
/// The delay after a launch that failed for want of resources: a retry at once would fail again.
pub const SCARCITY_DELAY: Duration = Duration::from_millis(500);

/// What a service's owner asked for in `dev.toml`, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Whether an exit leads to a new run.
    pub autorestart: Autorestart,
    /// Restarts in a row after unstable runs; the next unstable exit gives up.
    pub max_restarts: u32,
    /// A run shorter than this is unstable.
    pub min_uptime: Duration,
    /// The wait before a restart.
    pub restart_delay: Duration,
    /// The first delay of a growing backoff; replaces `restart_delay` when set.
    pub exp_backoff_restart_delay: Option<Duration>,
    /// Exit codes that count as a stop.
    pub stop_exit_codes: Vec<i32>,
    /// The signal that asks for a graceful stop.
    pub kill_signal: Signal,
    /// How long the tree has after `kill_signal` before SIGKILL.
    pub kill_timeout: Duration,
    /// Quiet time after the last change of a watched file.
    pub watch_delay: Duration,
    /// How readiness is found.
    pub readiness: Readiness,
    /// Whether tasks are built before a watch restart.
    pub builds: bool,
}

/// How a service becomes ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readiness {
    /// When it has run for `min_uptime`.
    Uptime,
    /// When a probe says so, within this time.
    Probe(Duration),
}

impl Policy {
    /// Whether an exit with this code counts as success: 0, or one of `stop_exit_codes`.
    pub fn is_success(&self, code: i32) -> bool {
        code == 0 || self.stop_exit_codes.contains(&code)
    }

    /// The delay after `previous` in a growing backoff, or the first one.
    pub fn next_backoff(&self, previous: Option<Duration>) -> Option<Duration> {
        let first = self.exp_backoff_restart_delay?;
        Some(
            previous
                .map_or(first, |delay| delay.mul_f64(BACKOFF_FACTOR))
                .min(BACKOFF_CAP),
        )
    }
}
