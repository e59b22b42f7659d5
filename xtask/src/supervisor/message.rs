//! Everything that can arrive at the loop.

use crate::fleet::ServiceId;
use crate::ipc::server::Arrival;
use crate::lifecycle::RunId;
use crate::process::Death;
use crate::readiness::ProbeReport;
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
    /// Everything that a run wrote to one of its streams is in the log.
    Drained(RunId),
    /// A build's output ended; these were its last lines.
    BuildOutput(ServiceId, RunId, Vec<String>),
    /// Watched files changed, or cannot be watched.
    Watch(WatchReport),
    /// The keeper is gone.
    KeeperGone,
    /// SIGTERM, SIGINT or SIGHUP.
    Terminated,
}
