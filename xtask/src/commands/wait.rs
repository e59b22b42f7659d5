//! `wait`: returns as soon as the fate of each service is known; 0 when all are ready.

use super::workspace::Workspace;
use super::{select, stacks};
use crate::cli::Wait;
use crate::ipc::client::Unanswered;
use crate::ipc::protocol::{Failure, Reply, Request, Stack};
use anyhow::{Result, bail};

pub(super) fn run(workspace: &Workspace, args: &Wait) -> Result<u8> {
    let mut running = stacks::running_or_error(workspace, args.profile.as_deref())?;
    let statuses: Vec<&Stack> = running.iter().map(|running| &running.status).collect();
    let chosen = select::select(&statuses, &args.services)?;
    let mut asked = Vec::new();
    // All are asked before the first is waited for, so that they wait at the same time.
    for (running, services) in running.iter_mut().zip(chosen).filter(|(_, names)| !names.is_empty()) {
        let timeout = args.timeout;
        running.connection.send(Request::Wait { services, timeout })?;
        asked.push(running);
    }
    let several = asked.len() > 1;
    let mut failed = Vec::new();
    for running in asked {
        let stack = &running.status;
        let failures = match running.connection.receive() {
            Ok(Reply::Done { failures }) => failures,
            Ok(Reply::Ended { .. }) | Err(Unanswered::Leaving | Unanswered::Closed) => {
                bail!("the stack of profile {} was stopped meanwhile", stack.profile)
            }
            Ok(other) => bail!("unexpected answer: {other:?}"),
            Err(error) => return Err(error.into()),
        };
        failed.extend(failures.into_iter().map(|Failure { service, reason }| {
            let service = select::label(stack, &service, several);
            Failure {
                reason: format!("{reason}; `cargo xtask why {service}` tells more"),
                service,
            }
        }));
    }
    stacks::failed(&failed).map_or(Ok(0), Err)
}
