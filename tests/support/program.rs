//! The program under test as a child: run to its end within a limit, or followed while it runs.
//! Knows nothing of workspaces.

use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::{LIMIT, wait_at_most, wait_until};

/// The most that one command may take; a build on a busy machine is the longest.
const COMMAND_LIMIT: Duration = Duration::from_secs(180);

/// A program to run, found on PATH where it is a bare name.
#[expect(clippy::disallowed_methods, reason = "the tests run the program from outside")]
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// How a command ended.
#[derive(Debug)]
pub struct Run {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Expects exit code 0.
    #[track_caller]
    pub fn ok(self) -> Run {
        self.code(0)
    }

    /// Expects this exit code.
    #[track_caller]
    pub fn code(self, code: i32) -> Run {
        assert_eq!(self.status.code(), Some(code), "exit code; {self}");
        self
    }

    /// Expects all of these on stderr.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Run {
        for text in texts {
            assert!(self.stderr.contains(text), "no {text:?} on stderr; {self}");
        }
        self
    }

    /// Expects all of these on stdout.
    #[track_caller]
    pub fn prints(self, texts: &[&str]) -> Run {
        for text in texts {
            assert!(self.stdout.contains(text), "no {text:?} on stdout; {self}");
        }
        self
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\n--- stdout\n{}--- stderr\n{}",
            self.status, self.stdout, self.stderr
        )
    }
}

/// A command that runs; killed when dropped.
pub struct Running {
    child: Child,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    closed: mpsc::Receiver<()>,
}

impl Running {
    /// Starts a command in a process group of its own, as a shell does.
    pub fn start(command: &mut Command) -> Running {
        use std::os::unix::process::CommandExt as _;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().expect("start the command");
        let (sender, closed) = mpsc::channel();
        let stdout = collect(child.stdout.take(), sender.clone());
        let stderr = collect(child.stderr.take(), sender);
        Running {
            child,
            stdout,
            stderr,
            closed,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Waits until it has written this, to either stream.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let seen = wait_at_most(LIMIT, || {
            (self.stdout().contains(text) || self.stderr().contains(text)).then_some(())
        });
        assert!(
            seen.is_some(),
            "no {text:?} in\n--- stdout\n{}--- stderr\n{}",
            self.stdout(),
            self.stderr()
        );
    }

    /// What a terminal does when the user presses Ctrl-C: SIGINT to the whole foreground group.
    pub fn press_ctrl_c(&self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        let _ = rustix::process::kill_process_group(group, Signal::INT);
    }

    pub fn signal(&self, signal: Signal) {
        super::signal(self.child.id(), signal);
    }

    /// Waits for its end and for the end of its output, which nothing that it left behind may hold open.
    #[track_caller]
    pub fn wait(self) -> Run {
        let (run, in_time) = self.end(COMMAND_LIMIT);
        assert!(
            in_time,
            "the command or its output did not end within {COMMAND_LIMIT:?}; {run}"
        );
        run
    }

    /// Waits at most so long, then kills it; says whether it ended by itself and closed its output.
    pub fn end(mut self, limit: Duration) -> (Run, bool) {
        let closed = self.closed.recv_timeout(limit).is_ok() && self.closed.recv_timeout(limit).is_ok();
        let ended = wait_at_most(limit, || self.child.try_wait().ok().flatten());
        let status = ended.unwrap_or_else(|| {
            let _ = self.child.kill();
            self.child.wait().unwrap_or(ExitStatus::from_raw(-1))
        });
        let run = Run {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
        };
        (run, closed && ended.is_some())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(stream: Option<impl Read + Send + 'static>, closed: mpsc::Sender<()>) -> Arc<Mutex<Vec<u8>>> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&all);
    let mut stream = stream.expect("a piped stream");
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            into.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
        let _ = closed.send(());
    });
    all
}

/// Waits for the end of a child whose output nobody collects.
#[track_caller]
pub fn wait_for_end(child: &mut Child, mut meanwhile: impl FnMut()) -> ExitStatus {
    wait_until("the program has ended", || {
        meanwhile();
        child.try_wait().ok().flatten()
    })
}
