//! `Project`: a temporary workspace with a `dev.toml`, its commands, and the end of everything that runs there.
//! On a failed test it prints what the commands and the supervisor said; when dropped it leaves no process behind.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::processes;
use super::program::{self, Run, Running};
use super::{Signal, puppet, wait_at_most, wait_until, xtask};

/// A workspace with a stack of its own.
pub struct Project {
    dir: TempDir,
    /// The workspace: the directory of `dev.toml`.
    root: PathBuf,
    runtime: Option<PathBuf>,
    env: Vec<(String, String)>,
    head: String,
    names: Vec<String>,
    tables: String,
    transcript: RefCell<String>,
}

impl Project {
    /// An empty workspace.
    pub fn new() -> Project {
        Project::below("ws")
    }

    /// An empty workspace at this path below a temporary directory.
    pub fn below(path: &str) -> Project {
        let dir = tempfile::Builder::new().prefix("xt").tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join(path);
        fs::create_dir_all(&root).unwrap();
        Project::with(dir, root)
    }

    /// The workspace of an existing directory.
    pub fn of(root: &Path) -> Project {
        Project::with(
            tempfile::Builder::new().prefix("xt").tempdir().unwrap(),
            root.to_owned(),
        )
    }

    fn with(dir: TempDir, root: PathBuf) -> Project {
        let base = dir.path().canonicalize().unwrap();
        for name in ["run", "home"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        std::os::unix::fs::symlink(puppet(), base.join("puppet")).unwrap();
        let runtime = Some(base.join("run"));
        let (env, head, names, tables) = Default::default();
        Project {
            dir,
            root,
            runtime,
            env,
            head,
            names,
            tables,
            transcript: RefCell::default(),
        }
    }

    /// Adds a service that a puppet plays: its words, then more keys.
    pub fn service(mut self, name: &str, words: &str, keys: &str) -> Project {
        self.names.push(name.to_owned());
        let script = self.puppet();
        writeln!(
            self.tables,
            "[services.{name}]\nscript = {script:?}\nargs = {words:?}\n{keys}\n"
        )
        .unwrap();
        self.write_config();
        self
    }

    /// Adds to `dev.toml` what comes before the tables.
    pub fn head(mut self, keys: &str) -> Project {
        writeln!(self.head, "{keys}").unwrap();
        self.write_config();
        self
    }

    /// Adds tables to `dev.toml`; without profiles there, `dev` is all services.
    pub fn toml(mut self, tables: &str) -> Project {
        writeln!(self.tables, "{}", tables.replace("PUPPET", &self.puppet())).unwrap();
        self.write_config();
        self
    }

    /// Adds a file to the workspace.
    pub fn file(self, path: &str, text: &str) -> Project {
        self.write(path, text);
        self
    }

    /// Sets a variable of the shell that runs the commands.
    pub fn env(mut self, name: &str, value: &str) -> Project {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets the commands run cargo, which must find its toolchain and what it has downloaded.
    pub fn with_cargo(mut self) -> Project {
        for (name, fallback) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let home = std::env::home_dir().unwrap().join(fallback);
            let value = std::env::var_os(name).map_or(home, PathBuf::from);
            self = self.env(name, value.to_str().unwrap());
        }
        match std::env::var("RUSTUP_TOOLCHAIN") {
            Ok(toolchain) if !toolchain.is_empty() => self.env("RUSTUP_TOOLCHAIN", &toolchain),
            Ok(_) | Err(_) => self,
        }
    }

    /// Runs the commands without `XDG_RUNTIME_DIR`.
    pub fn without_runtime_dir(mut self) -> Project {
        self.runtime = None;
        self
    }

    /// Shares the runtime directory of another project, as two worktrees of one user do.
    pub fn beside(mut self, other: &Project) -> Project {
        self.runtime.clone_from(&other.runtime);
        self
    }

    fn write_config(&self) {
        let profile = match self.tables.contains("[profiles.") {
            true => String::new(),
            false => format!("[profiles.dev]\nservices = {:?}\n", self.names),
        };
        self.write("dev.toml", &format!("{}\n{}{profile}", self.head, self.tables));
    }

    /// The puppet, by a path that only this project uses.
    pub fn puppet(&self) -> String {
        self.dir
            .path()
            .canonicalize()
            .unwrap()
            .join("puppet")
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// Replaces a part of `dev.toml`, as an editor does.
    #[track_caller]
    pub fn edit(&self, from: &str, to: &str) {
        let text = self.read("dev.toml");
        assert!(text.contains(from), "no {from:?} in dev.toml");
        self.write("dev.toml", &text.replace(from, to));
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }

    /// The text of a file; empty where it is missing.
    pub fn read(&self, path: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(path)).unwrap_or_default()).into_owned()
    }

    /// How many lines a file has: how often a puppet with `count` has run.
    pub fn lines(&self, path: &str) -> usize {
        self.read(path).lines().count()
    }

    /// The pid that a puppet with `pid` has written.
    #[track_caller]
    pub fn pid_in(&self, path: &str) -> u32 {
        wait_until(&format!("{path} has a pid"), || self.read(path).trim().parse().ok())
    }

    /// What the supervisor of the profile `dev` did.
    pub fn events(&self) -> String {
        self.read(".dev/dev/supervisor.log")
    }

    /// A command in the workspace, with the environment of a plain shell.
    pub fn prepare(&self, program: &str) -> Command {
        let mut command = program::command(program);
        command.current_dir(&self.root).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", self.dir.path().join("home"))
            .env("LANG", "C.UTF-8")
            .env("XTASK_TEST", self.dir.path());
        command.envs(self.runtime.as_ref().map(|dir| ("XDG_RUNTIME_DIR", dir)));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts `xtask ARGS`.
    pub fn start(&self, args: &[&str]) -> Running {
        self.start_with(&[], args)
    }

    /// Starts `xtask ARGS` with more variables.
    pub fn start_with(&self, env: &[(&str, &str)], args: &[&str]) -> Running {
        Running::start(self.prepare(xtask()).args(args).envs(env.iter().copied()))
    }

    /// Runs `xtask ARGS` to its end.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Run {
        self.run_with(&[], args)
    }

    /// Runs `xtask ARGS` to its end with more variables.
    #[track_caller]
    pub fn run_with(&self, env: &[(&str, &str)], args: &[&str]) -> Run {
        let run = self.start_with(env, args).wait();
        if !args.contains(&"--json") || run.status.code() != Some(0) {
            writeln!(self.transcript.borrow_mut(), "$ xtask {}\n{run}", args.join(" ")).unwrap();
        }
        run
    }

    /// Starts the stack and waits until it is ready.
    #[track_caller]
    pub fn up(&self) -> &Project {
        self.run(&["dev", "-d", "--wait"]).ok();
        self
    }

    /// What names the project in a process: its directories, and the environment that the commands pass on.
    pub(super) fn places(&self) -> [PathBuf; 3] {
        [
            self.dir.path().to_owned(),
            self.dir.path().canonicalize().unwrap(),
            self.root.clone(),
        ]
    }

    fn print_story(&self) {
        eprintln!(
            "--- dev.toml\n{}--- commands\n{}",
            self.read("dev.toml"),
            self.transcript.borrow()
        );
        let stacks = fs::read_dir(self.path(".dev")).into_iter().flatten().flatten();
        for file in stacks
            .map(|stack| stack.path().join("supervisor.log"))
            .filter(|file| file.is_file())
        {
            eprintln!(
                "--- {}\n{}",
                file.display(),
                fs::read_to_string(&file).unwrap_or_default()
            );
        }
        eprintln!("--- alive\n{:#?}", self.processes());
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_story();
        }
        if !self.processes().is_empty() {
            let stop = self.start(&["stop", "--all", "--timeout", "2s"]);
            let _ = stop.end(Duration::from_secs(10));
        }
        let _ = wait_at_most(Duration::from_secs(10), || {
            let left = self.processes();
            left.iter()
                .for_each(|process| processes::signal(process.pid, Signal::KILL));
            left.is_empty().then_some(())
        });
    }
}
