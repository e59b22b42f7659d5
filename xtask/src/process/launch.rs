//! What to launch, and why a launch failed in words a user can act on.
//! It starts nothing; it looks at the file system only to explain a failure.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::identity::RunTag;
use super::program::is_executable;
use super::streams::Stdio;

/// One program to run, complete: nothing is taken from the launching process.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Absolute path, see [`resolve_program`](super::resolve_program).
    pub program: PathBuf,
    /// Arguments after the program's name.
    pub args: Vec<OsString>,
    /// Working directory.
    pub cwd: PathBuf,
    /// The whole environment; only [`RUN_VARIABLE`](super::RUN_VARIABLE) is added.
    pub env: Vec<(OsString, OsString)>,
    /// What it reads from and writes to.
    pub stdio: Stdio,
    /// The run that everything it starts will be known by.
    pub run: RunTag,
}

/// Why a program did not start.
#[derive(Debug)]
pub enum LaunchError {
    /// There is no such program.
    NotFound {
        /// As the user wrote it.
        program: String,
        /// The PATH, or the one path, that was looked at.
        searched: String,
    },
    /// The file is there, but is a directory or may not be executed.
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// The working directory is missing or is no directory.
    NoDirectory {
        /// The directory.
        cwd: PathBuf,
    },
    /// The script's `#!` line names a program that is missing.
    NoInterpreter {
        /// The script.
        path: PathBuf,
        /// As the `#!` line has it.
        interpreter: String,
    },
    /// Anything else the system said.
    Failed {
        /// The program.
        program: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
}

impl LaunchError {
    /// Whether trying again without a change by the user is pointless. A shortage (processes, memory, descriptors) or a
    /// program file that is still being written passes.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::NotFound { .. }
            | Self::NotExecutable { .. }
            | Self::NoDirectory { .. }
            | Self::NoInterpreter { .. } => true,
            Self::Failed { cause, .. } => match Errno::from_io_error(cause) {
                Some(errno) => PERMANENT.contains(&errno),
                // A NUL byte in an argument or in the environment: refused before the system was asked.
                None => cause.kind() == io::ErrorKind::InvalidInput,
            },
        }
    }

    /// Explains the system's answer to a spawn, which names neither the file nor the directory it means.
    pub(super) fn explain(launch: &Launch, cause: io::Error) -> Self {
        let program = &launch.program;
        let errno = Errno::from_io_error(&cause);
        if matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS)) {
            if !launch.cwd.is_dir() {
                return Self::NoDirectory {
                    cwd: launch.cwd.clone(),
                };
            }
            if !program.exists() {
                let path = program.display().to_string();
                return Self::NotFound {
                    program: path.clone(),
                    searched: path,
                };
            }
            if !is_executable(program) {
                return Self::NotExecutable { path: program.clone() };
            }
            if let Some(interpreter) = interpreter_of(program)
                && !is_executable(&launch.cwd.join(&interpreter))
            {
                return Self::NoInterpreter {
                    path: program.clone(),
                    interpreter,
                };
            }
        }
        Self::Failed {
            program: program.clone(),
            cause,
        }
    }
}

/// Answers that stay the same until somebody changes a file or `dev.toml`.
const PERMANENT: [Errno; 9] = [
    Errno::NOENT,
    Errno::NOTDIR,
    Errno::ACCESS,
    Errno::PERM,
    Errno::NOEXEC,
    Errno::TOOBIG,
    Errno::LOOP,
    Errno::NAMETOOLONG,
    Errno::INVAL,
];

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { program, .. } if !program.contains('/') => {
                write!(
                    f,
                    "program `{program}` not found: it is not installed or not on PATH; install it or set `script` to its path"
                )
            }
            Self::NotFound { program, searched } if program == searched => {
                write!(
                    f,
                    "cannot launch `{program}`: there is no such file; build it or correct `script`"
                )
            }
            Self::NotFound { program, searched } => {
                write!(
                    f,
                    "cannot launch `{program}`: there is no {searched}; build it or correct `script`"
                )
            }
            Self::NotExecutable { path } if path.is_dir() => {
                write!(
                    f,
                    "cannot launch {}: it is a directory; set `script` to a program in it",
                    path.display()
                )
            }
            Self::NotExecutable { path } => {
                let path = path.display();
                write!(
                    f,
                    "cannot launch {path}: it is not executable; run `chmod +x {path}` or set `interpreter`"
                )
            }
            Self::NoDirectory { cwd } => {
                write!(
                    f,
                    "cannot enter {}: there is no such directory; create it or correct `cwd`",
                    cwd.display()
                )
            }
            Self::NoInterpreter { path, interpreter } => write!(
                f,
                "cannot launch {}: its `#!` line names {interpreter:?}, which is not installed; install it, correct the line or set `interpreter`",
                path.display()
            ),
            Self::Failed { program, cause } => {
                let path = program.display();
                match Errno::from_io_error(cause) {
                    Some(Errno::NOEXEC) => write!(
                        f,
                        "cannot launch {path}: it has no `#!` line and is no program of this machine; add one or set `interpreter`"
                    ),
                    Some(Errno::AGAIN) => write!(
                        f,
                        "cannot launch {path}: the limit of processes is reached ({cause}); end some or raise `ulimit -u`"
                    ),
                    Some(Errno::MFILE | Errno::NFILE) => write!(
                        f,
                        "cannot launch {path}: the limit of open files is reached ({cause}); raise `ulimit -n`"
                    ),
                    Some(Errno::TOOBIG) => write!(
                        f,
                        "cannot launch {path}: its arguments and environment are too long ({cause}); shorten `args` or `env`"
                    ),
                    _ => write!(f, "cannot launch {path}: {cause}"),
                }
            }
        }
    }
}

impl std::error::Error for LaunchError {}

/// The program that the `#!` line of a script names.
fn interpreter_of(path: &Path) -> Option<String> {
    let mut head = [0; 256]; // the kernel reads no more of it either
    let length = File::open(path).ok()?.read(&mut head).ok()?;
    let line = head[..length]
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let line = String::from_utf8_lossy(line);
    // A `\r` of a file written on Windows is part of the name for the kernel, so it is shown.
    line.trim_matches([' ', '\t'])
        .split([' ', '\t'])
        .next()
        .map(str::to_owned)
}
