//! Services of running stacks with everything that their supervisors know of them: what `describe` and `why` tell.

use super::select;
use super::stacks::{self, Running};
use crate::ipc::protocol::{Details, Reply, Request, ServiceStatus, Stack};
use anyhow::Result;

/// A service and the stack it is in.
pub(super) struct Known<'a> {
    pub(super) running: &'a mut Running,
    /// Its name; with its stack's before it where several stacks have one.
    pub(super) label: String,
    pub(super) row: ServiceStatus,
    pub(super) details: Details,
}

/// Lets `tell` have every service that `pattern` means, one after the other.
pub(super) fn for_each(
    running: &mut [Running],
    pattern: &str,
    mut tell: impl FnMut(Known<'_>) -> Result<()>,
) -> Result<()> {
    let statuses: Vec<&Stack> = running.iter().map(|running| &running.status).collect();
    let chosen = select::select(&statuses, &[pattern.to_owned()])?;
    let several = chosen.iter().filter(|names| !names.is_empty()).count() > 1;
    for (running, services) in running.iter_mut().zip(chosen).filter(|(_, names)| !names.is_empty()) {
        for details in details(running, services)? {
            let name = &details.plan.name;
            let row = running.status.services.iter().find(|row| row.name == *name);
            // One that came in between the two looks is not told of.
            let Some(row) = row.cloned() else { continue };
            let label = select::label(&running.status, name, several);
            tell(Known {
                running,
                label,
                row,
                details,
            })?;
        }
    }
    Ok(())
}

pub(super) fn details(running: &mut Running, services: Vec<String>) -> Result<Vec<Details>> {
    running.connection.send(Request::Details { services })?;
    match running.connection.receive()? {
        Reply::Details(details) => Ok(details),
        other => Err(stacks::unexpected(&other)),
    }
}
