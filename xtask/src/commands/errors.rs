//! `errors`: `logs --level warn --no-follow`.

use super::logs;
use super::workspace::Workspace;
use crate::cli::{Errors, Logs};
use crate::log::structured::Level;
use anyhow::Result;

pub(super) fn run(workspace: &Workspace, args: Errors) -> Result<u8> {
    let Errors {
        services,
        profile,
        lines,
        since,
        json,
    } = args;
    let logs = Logs {
        services,
        profile,
        lines,
        no_follow: true,
        since,
        until: None,
        around: None,
        grep: None,
        level: Some(Level::Warn),
        out: false,
        err: false,
        raw: false,
        json,
    };
    logs::run(workspace, &logs)
}
