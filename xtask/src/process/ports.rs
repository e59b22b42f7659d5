//! Who listens on which TCP port: asked of the system, never guessed from a bind.
//! UDP has no listeners and is not looked at.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use super::os;

/// A process that listens on a TCP port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// Where it listens; an unspecified address is all interfaces.
    pub address: IpAddr,
    /// The process. Several may share one socket, and several sockets one port (`SO_REUSEPORT`): each is listed.
    pub pid: u32,
}

/// Somebody in the system who holds a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// The port.
    pub port: u16,
    /// Where it listens.
    pub address: IpAddr,
    /// `None` when the system does not show us whose socket it is, as a rule another user's.
    pub pid: Option<u32>,
    /// Id of the user it belongs to, if the system tells.
    pub user: Option<u32>,
    /// Its command line; empty when not known.
    pub command: String,
    /// Its working directory.
    pub cwd: Option<PathBuf>,
}

/// On which ports these processes listen, ordered by port.
///
/// # Errors
/// The system's list of sockets cannot be read.
pub fn listening(members: &[u32]) -> io::Result<Vec<Listener>> {
    let mut listeners = os::listening(members)?;
    listeners.sort_unstable();
    listeners.dedup();
    Ok(listeners)
}

/// Who in the whole system listens on these ports, ordered by port; one entry for each process and address.
///
/// # Errors
/// The system's list of sockets cannot be read.
pub fn holders(ports: &[u16]) -> io::Result<Vec<Holder>> {
    let mut holders = os::holders(ports)?;
    holders.sort_unstable();
    holders.dedup();
    Ok(holders)
}
