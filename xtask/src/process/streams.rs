//! What a program that is launched reads from and writes to: pipes, or a pseudo-terminal for one that is to believe in a person.
//!
//! The terminal is nobody's controlling terminal: that would need code between fork and exec, and a program keeps its colours and
//! writes its lines at once without. It stays in its own process group, so that a stop reaches it as it reaches all others.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::FdFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

/// What a program's three streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// Stdin is `/dev/null`, stdout and stderr are pipes.
    Output,
    /// Three pipes; stdin stays open.
    Pipes,
    /// One terminal of this size.
    Terminal {
        /// Characters in a line.
        columns: u16,
        /// Lines.
        rows: u16,
    },
}

/// The longest line, its end included, that a terminal takes in: what is beyond is lost. As the kernels have it.
pub const LONGEST_TERMINAL_LINE: usize = if cfg!(target_os = "linux") { 4096 } else { 1024 };

/// The program's ends; they must go once it is launched, else its output never ends.
pub(super) struct Theirs {
    /// `None` is `/dev/null`.
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Our ends.
pub(super) struct Ours {
    /// A write to it never waits.
    pub(super) stdin: Option<PipeWriter>,
    pub(super) stdout: PipeReader,
    pub(super) stderr: PipeReader,
}

/// Makes both ends of all three.
pub(super) fn open(stdio: Stdio) -> io::Result<(Theirs, Ours)> {
    match stdio {
        Stdio::Output => pipes(false),
        Stdio::Pipes => pipes(true),
        Stdio::Terminal { columns, rows } => terminal(columns, rows),
    }
}

fn pipes(input: bool) -> io::Result<(Theirs, Ours)> {
    let (stdout, stdout_end) = io::pipe()?;
    let (stderr, stderr_end) = io::pipe()?;
    let (stdin_end, stdin) = if input {
        let (end, stdin) = io::pipe()?;
        // Whoever writes to it must not wait for a program that does not read.
        rustix::fs::fcntl_setfl(&stdin, OFlags::NONBLOCK)?;
        (Some(end.into()), Some(stdin))
    } else {
        (None, None)
    };
    let theirs = Theirs {
        stdin: stdin_end,
        stdout: stdout_end.into(),
        stderr: stderr_end.into(),
    };
    Ok((theirs, Ours { stdin, stdout, stderr }))
}

fn terminal(columns: u16, rows: u16) -> io::Result<(Theirs, Ours)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::io::fcntl_setfd(&master, FdFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let path = ptsname(&master, Vec::new())?;
    // Without NOCTTY it would become our own controlling terminal.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(path.as_c_str(), flags, Mode::empty())?;
    let mut modes = tcgetattr(&slave)?;
    // Lines end as the program ends them, and what is sent to it is no output of its.
    modes.output_modes.remove(OutputModes::OPOST);
    modes.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
    tcsetattr(&slave, OptionalActions::Now, &modes)?;
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&slave, size)?;
    let theirs = Theirs {
        stdin: Some(slave.try_clone()?),
        stdout: slave.try_clone()?,
        stderr: slave,
    };
    // Both outputs come by the one terminal; the second stream ends at once.
    let (nothing, end) = io::pipe()?;
    drop(end);
    let ours = Ours {
        stdin: Some(master.try_clone()?.into()),
        stdout: master.into(),
        stderr: nothing,
    };
    Ok((theirs, ours))
}
