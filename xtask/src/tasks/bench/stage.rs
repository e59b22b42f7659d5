//! Where a measure takes place: a temporary workspace, the real binary run in it, and the stamps of what it starts.
//! Dropped, it stops whatever runs there and removes the workspace.

use super::Bench;
use crate::clock;
use crate::process::{self, Identity};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use xshell::cmd;

/// How long any one thing may take before the benchmark gives up.
const LIMIT: Duration = Duration::from_secs(20);

/// How often a wait looks whether the benchmark was interrupted.
const LOOK: Duration = Duration::from_millis(200);

/// A moment, in milliseconds since 1970: the clock that `stamp` reads, too.
pub type Moment = f64;

/// A workspace with a stack of its own.
pub struct Stage<'a> {
    bench: &'a Bench,
    dir: PathBuf,
    socket: UnixDatagram,
}

/// What a process said as its first act.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// Its pid.
    pub pid: u32,
    /// When its `main` began.
    pub at: Moment,
}

impl<'a> Stage<'a> {
    /// An empty workspace.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(bench: &'a Bench) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("xtask-bench-{}", std::process::id()));
        let make = || -> std::io::Result<UnixDatagram> {
            remove(&dir)?;
            fs::create_dir_all(dir.join("run"))?;
            UnixDatagram::bind(dir.join("stamps"))
        };
        let socket = make().with_context(|| format!("failed to make the workspace {}", dir.display()))?;
        Ok(Self { bench, dir, socket })
    }

    /// The workspace.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes `dev.toml`: services of one table each, `STAMP` in it the program with its argument, `SOCKET` the argument.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn services(&self, count: usize, keys: &str) -> Result<()> {
        let stamp = self.bench.stamp.display().to_string();
        let socket = self.dir.join("stamps").display().to_string();
        let keys = keys.replace("STAMP", &stamp).replace("SOCKET", &socket);
        let text: String = (0..count)
            .map(|number| format!("[services.s{number}]\n{keys}\n"))
            .collect();
        fs::write(self.dir.join("dev.toml"), text).context("failed to write dev.toml")
    }

    /// The plainest service: it stamps and stays.
    ///
    /// # Errors
    /// See [`Stage::services`].
    pub fn plain_services(&self, count: usize, more_keys: &str) -> Result<()> {
        self.services(count, &format!("script = 'STAMP'\nargs = ['SOCKET']\n{more_keys}"))
    }

    /// `xtask ARGS` with a plain environment; it says nothing.
    ///
    /// # Errors
    /// When the workspace is gone.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        let mut command = self.program(&self.bench.program)?;
        command.args(args);
        Ok(command)
    }

    /// A program in the workspace, with a plain environment; it says nothing.
    ///
    /// # Errors
    /// When the workspace is gone.
    pub fn program(&self, program: &Path) -> Result<Command> {
        let shell = xshell::Shell::new()?;
        let mut command = Command::from(cmd!(shell, "{program}"));
        command.env_clear().current_dir(&self.dir);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("XDG_RUNTIME_DIR", self.dir.join("run"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }

    /// Runs `xtask ARGS` to its end; how long it took, in milliseconds.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn run(&self, args: &[&str]) -> Result<f64> {
        self.bench.check_interrupted()?;
        let mut command = self.command(args)?;
        let begun = now();
        let output = command.stderr(Stdio::piped()).output();
        let took = now() - begun;
        let output = output.with_context(|| format!("failed to run xtask {}", args.join(" ")))?;
        ensure!(
            output.status.success(),
            "xtask {} ended with {}: {}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(took)
    }

    /// What `xtask ARGS` prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn read(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args)?.stdout(Stdio::piped()).output()?;
        ensure!(
            output.status.success(),
            "xtask {} ended with {}",
            args.join(" "),
            output.status
        );
        String::from_utf8(output.stdout).context("not UTF-8")
    }

    /// Starts the stack and leaves it running.
    ///
    /// # Errors
    /// When a service could not be launched.
    pub fn up(&self) -> Result<()> {
        self.run(&["dev", "-d"]).map(drop)
    }

    /// The same, and waits until everything is ready.
    ///
    /// # Errors
    /// When a service is not.
    pub fn up_and_ready(&self) -> Result<()> {
        self.run(&["dev", "-d", "--wait"]).map(drop)
    }

    /// Stops the stack; how long that took, in milliseconds.
    ///
    /// # Errors
    /// When something is left.
    pub fn down(&self) -> Result<f64> {
        self.run(&["stop"])
    }

    /// Our own processes of the running stack: the supervisor and its keeper.
    ///
    /// # Errors
    /// When no stack runs.
    pub fn own_processes(&self) -> Result<Vec<u32>> {
        let status: serde_json::Value = serde_json::from_str(&self.read(&["status", "--json"])?)?;
        let supervisor = status["stacks"][0]["supervisor"]["pid"].as_u64();
        let supervisor = u32::try_from(supervisor.context("no stack is running")?)?;
        let keeper = process::parent_of(supervisor).context("the supervisor has no keeper")?;
        Ok(vec![supervisor, keeper])
    }

    /// Starts one stamp directly, as the plainest supervisor would.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self) -> Result<Child> {
        let mut command = self.program(&self.bench.stamp)?;
        command.arg(self.dir.join("stamps"));
        command.spawn().context("failed to start stamp")
    }

    /// The program that starts so many stamps.
    ///
    /// # Errors
    /// When the workspace is gone.
    pub fn spawner(&self, count: usize) -> Result<Command> {
        let mut command = self.program(&self.bench.stamp)?;
        command.arg(self.dir.join("stamps")).args(["spawn", &count.to_string()]);
        Ok(command)
    }

    /// Waits for the next stamp.
    ///
    /// # Errors
    /// When none comes within 20 seconds.
    pub fn stamp(&self) -> Result<Stamp> {
        match self.stamp_within(LIMIT)? {
            Some(stamp) => Ok(stamp),
            None => bail!("no process began within {} s", LIMIT.as_secs()),
        }
    }

    /// Waits for so many stamps, in the order of their arrival.
    ///
    /// # Errors
    /// See [`Stage::stamp`].
    pub fn stamps(&self, count: usize) -> Result<Vec<Stamp>> {
        (0..count).map(|_| self.stamp()).collect()
    }

    /// Lets a while pass in which nothing starts.
    ///
    /// # Errors
    /// When something does.
    pub fn quiet(&self, span: Duration) -> Result<()> {
        match self.stamp_within(span)? {
            Some(stamp) => bail!("process {} began unasked", stamp.pid),
            None => Ok(()),
        }
    }

    fn stamp_within(&self, limit: Duration) -> Result<Option<Stamp>> {
        let deadline = clock::monotonic() + limit;
        let mut buffer = [0; 64];
        loop {
            self.bench.check_interrupted()?;
            let left = deadline.saturating_sub(clock::monotonic());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left.min(LOOK)))?;
            match self.socket.recv(&mut buffer) {
                Ok(length) => return parse(&buffer[..length]).map(Some),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error).context("failed to wait for a stamp"),
            }
        }
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if let Ok(mut stop) = self.command(&["stop", "--all"]) {
            // There may be nothing to stop any more.
            let _ = stop.status();
        }
        // A directory that stays is in the way of nobody.
        let _ = remove(&self.dir);
    }
}

/// The time, for differences to stamps.
pub fn now() -> Moment {
    millis(clock::wall().as_nanosecond())
}

/// Who these processes are, so that their end can be told from a recycled pid.
pub fn identities(stamps: &[Stamp]) -> Vec<Identity> {
    stamps
        .iter()
        .filter_map(|stamp| process::identity_of(stamp.pid))
        .collect()
}

/// Sends a signal to a process that stamped itself.
///
/// # Errors
/// When it is gone.
pub fn signal(pid: u32, signal: process::Signal) -> Result<()> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .context("no pid")?;
    rustix::process::kill_process(pid, signal).context("failed to signal a service")
}

fn millis(nanos: i128) -> Moment {
    nanos as f64 / 1e6
}

fn parse(stamp: &[u8]) -> Result<Stamp> {
    let text = std::str::from_utf8(stamp)?;
    let (pid, nanos) = text.split_once(' ').context("not a stamp")?;
    Ok(Stamp {
        pid: pid.parse()?,
        at: millis(nanos.parse()?),
    })
}

fn remove(dir: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
