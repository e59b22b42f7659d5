//! Processes of our own that outlive or guard one another: the keeper that a command starts, the supervisor that the keeper starts.
//!
//! Each begins at the word of whoever started it, so that it can be started ahead: until then nobody sees anything of it, and
//! without a word it ends. The guard of tasks is the other way round: the word lets it end, and without one it has something to do.

use crate::shortage::not_started;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::path::PathBuf;
use std::time::Duration;

/// The first descriptor after stderr.
const FIRST_INHERITED: i32 = 3;

/// What is written to a process that is to begin.
const WORD: [u8; 1] = *b"\n";

/// A program that outlives us, once it has our word.
#[derive(Debug)]
pub struct Detached {
    /// Until it was let begin, or end.
    word: Option<PipeWriter>,
    stdout: PipeReader,
    handle: duct::Handle,
}

/// Starts a program that outlives us, with no terminal of ours but the read end of its stdout. It makes a session of its
/// own first thing, and then awaits our word.
///
/// # Errors
/// When it cannot be started.
pub fn detach(program: PathBuf, args: &[OsString]) -> io::Result<Detached> {
    let (its_stdin, word) = io::pipe()?;
    let (stdout, its_stdout) = io::pipe()?;
    let expression = duct::cmd(program, args)
        .stdin_file(its_stdin)
        .stdout_file(its_stdout)
        .stderr_null()
        // The directory of whoever starts it may be removed while it lives.
        .dir("/")
        .unchecked();
    // The handle may be dropped with the child alive: duct lets it run.
    let handle = expression.start().map_err(not_started)?;
    let word = Some(word);
    Ok(Detached { word, stdout, handle })
}

impl Detached {
    /// Lets it begin. Of one that is gone already, its stdout tells.
    pub fn go(&mut self) {
        if let Some(mut word) = self.word.take() {
            let _ = word.write_all(&WORD);
        }
    }

    /// Lets it end if it was not let begin; then its stdout ends when all that it started is gone.
    pub fn dismiss(&mut self) -> bool {
        self.word.take().is_some()
    }

    /// Waits for the end of it, for so long at most: until somebody has done that, it is a zombie as long as we live.
    pub fn wait_gone(&self, limit: Duration) {
        // A wait that fails leaves no more than the zombie.
        let _ = self.handle.wait_timeout(limit);
    }

    /// What it writes.
    pub fn stdout(&self) -> &PipeReader {
        &self.stdout
    }
}

/// Closes every descriptor but stdin, stdout and stderr: what the shell has opened (a lock, the pipe of `$(…)`) is not held by what
/// outlives the command. To be called first of all.
#[expect(unsafe_code, reason = "descriptors are closed by their numbers")]
pub fn close_inherited() {
    // SAFETY: Nothing in this process owns any of them: it has just begun and opened none itself.
    unsafe { close_fds::close_open_fds(FIRST_INHERITED, &[]) };
}

/// Waits for the word of whoever started this process; `false` when there will be none.
///
/// # Errors
/// When stdin cannot be read.
pub fn await_word() -> io::Result<bool> {
    let count = rustix::io::retry_on_intr(|| rustix::io::read(rustix::stdio::stdin(), &mut [0; WORD.len()]))?;
    Ok(count > 0)
}

/// Says a line to whoever started this process; it may be gone.
pub fn tell_starter(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Says nothing more: whoever started this process reads its stdout until nobody holds it.
///
/// # Errors
/// When the system refuses.
pub fn leave_starter() -> io::Result<()> {
    let null = File::open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(&null)?)
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
    /// Its end tells the child of ours.
    lease: PipeWriter,
}

/// Starts a child that reads our word and then our end from its stdin, and inherits our stdout.
///
/// # Errors
/// When it cannot be started.
pub fn guard(program: PathBuf, args: &[OsString]) -> io::Result<Guarded> {
    let (its_stdin, lease) = io::pipe()?;
    let handle = duct::cmd(program, args)
        .stdin_file(its_stdin)
        .stderr_null()
        .unchecked()
        .start()
        .map_err(not_started)?;
    Ok(Guarded { handle, lease })
}

impl Guarded {
    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.handle.pids().first().copied().unwrap_or_default()
    }

    /// Lets it begin.
    ///
    /// # Errors
    /// When it is gone.
    pub fn go(&mut self) -> io::Result<()> {
        self.lease.write_all(&WORD)
    }

    /// Kills the child and waits for its end.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&self) -> io::Result<()> {
        self.handle.kill()
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
