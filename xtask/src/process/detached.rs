//! Processes of our own that outlive or guard one another: the keeper that a command starts, the supervisor that the keeper starts.

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter};
use std::path::PathBuf;

/// Starts a program that outlives us, with no terminal of ours but the read end of its stdout. It makes a session of its
/// own first thing.
///
/// # Errors
/// When it cannot be started.
pub fn detach(program: PathBuf, args: &[OsString]) -> io::Result<PipeReader> {
    let (stdout, its_stdout) = io::pipe()?;
    let expression = duct::cmd(program, args)
        .stdin_null()
        .stdout_file(its_stdout)
        .stderr_null()
        // The directory of whoever starts it may be removed while it lives.
        .dir("/")
        .unchecked();
    // The handle is dropped with the child alive: duct lets it run.
    expression.start()?;
    Ok(stdout)
}

/// Whether this process has no child at all, not even a zombie: then a subreaper has no descendant either. Elsewhere than on
/// Linux orphans go to pid 1, and a yes says less.
pub fn is_childless() -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::All, look), Err(rustix::io::Errno::CHILD))
}

/// A child that is waited for, and that sees its stdin end when we do.
#[derive(Debug)]
pub struct Guarded {
    handle: duct::Handle,
    /// Never written to: its end tells the child of ours.
    _lease: PipeWriter,
}

/// Starts a child that reads our end from its stdin, and inherits our stdout.
///
/// # Errors
/// When it cannot be started.
pub fn guard(program: PathBuf, args: &[OsString]) -> io::Result<Guarded> {
    let (its_stdin, lease) = io::pipe()?;
    let handle = duct::cmd(program, args)
        .stdin_file(its_stdin)
        .stderr_null()
        .unchecked()
        .start()?;
    Ok(Guarded { handle, _lease: lease })
}

impl Guarded {
    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.handle.pids().first().copied().unwrap_or_default()
    }

    /// Waits until the child has ended, however it does; in little memory, as it may take days.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn wait(&self) -> io::Result<()> {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        let pid = i32::try_from(self.pid()).ok();
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            super::release_code_pages();
            while matches!(waitid(WaitId::Pid(pid), look), Err(rustix::io::Errno::INTR)) {}
        }
        self.handle.wait().map(|_| ())
    }
}
