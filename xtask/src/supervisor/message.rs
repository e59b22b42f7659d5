//! Everything that can arrive at the loop.

use crate::fleet::ServiceId;
use crate::ipc::server::Arrival;
use crate::lifecycle::RunId;
use crate::paths::Lock;
use crate::process::{Death, Identity};
use crate::readiness::ProbeReport;
use crate::tasks::fresh::Look;
use crate::watch::WatchReport;

/// News for the loop.
#[derive(Debug)]
pub(super) enum Message {
    /// A child or an adopted orphan ended.
    Death(Death),
    /// Something came over the socket.
    Arrival(Arrival),
    /// A readiness probe reports.
    Probe(RunId, ProbeReport),
    /// A run said that it is ready: by a line of its output, or on its notification socket.
    SaidReady(RunId),
    /// Somebody who held a port that we want has ended.
    HolderGone(Identity),
    /// Everything that a run wrote to one of its streams is in the log.
    Drained(RunId),
    /// News of a build's task.
    Build(ServiceId, RunId, BuildNews),
    /// Watched files changed, or cannot be watched.
    Watch(WatchReport),
    /// The keeper is gone.
    KeeperGone,
    /// The stack's files were removed.
    Uprooted,
    /// SIGTERM, SIGINT or SIGHUP.
    Terminated,
}

/// What becomes of a build's task.
#[derive(Debug)]
pub(super) enum BuildNews {
    /// Whether it has anything to do.
    Looked(Look, Option<Lock>),
    /// Its output ended; these were its last lines.
    Output(Vec<String>),
    /// Its success is written down, or why not.
    Recorded(anyhow::Result<()>),
}
