//! The command line as types. Parses; does nothing.

use crate::config::units::parse_duration;
use crate::lifecycle::named_signal;
use crate::log::moment::Moment;
use crate::log::structured::Level;
use clap::{Args, Parser, Subcommand};
use regex::bytes::Regex;
use std::path::PathBuf;
use std::time::Duration;

/// Runs this repository's development stack: builds, starts, supervises, logs and stops it.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", version, max_term_width = 110)]
pub struct Cli {
    /// The file that describes the stack; by default the nearest dev.toml upwards from here, else that of xtask's own workspace
    #[arg(short, long, global = true, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start the stack, or bring a running one in line with dev.toml, and follow its logs
    Dev(Deferred<Dev>),
    /// Stop some services, or the whole stack and its supervisor
    Stop(Deferred<Stop>),
    /// Start services that were stopped or gave up, and what they depend on
    Start(Deferred<Named>),
    /// Restart services by the present dev.toml
    Restart(Deferred<Restart>),
    /// Zero the restart counters
    Reset(Deferred<Some_>),
    /// Show the process table of every running stack
    Status(Deferred<Status>),
    /// Show everything known of a service: options, environment, files
    Describe(Deferred<One>),
    /// Show why a service is not up: last exits and their last lines, what it waits for
    Why(Deferred<One>),
    /// Show the services' logs, merged by time, and follow them
    Logs(Deferred<Logs>),
    /// Show warnings and worse: structured lines by their level, and the stderr of the rest
    Errors(Deferred<Errors>),
    /// Empty the log files and remove the rotated ones
    Flush(Deferred<Some_>),
    /// Return when services are ready; fail naming those that are not, and why
    Wait(Deferred<Wait>),
    /// Send a signal to services' process groups
    Signal(Deferred<Signal>),
    /// Write a line to services' stdin
    Send(Deferred<Send>),
    /// Check dev.toml
    Check,
    /// Print the resolved plan of a profile
    Config(Deferred<Config>),
    /// Run tasks
    Build(Deferred<Build>),
    /// Remember which stacks run
    Save(Deferred<Save>),
    /// Start the saved stacks that are not running
    Resurrect(Deferred<Resurrect>),
    /// Have the saved stacks started at boot, by systemd or launchd
    Startup(Deferred<Startup>),
    /// Hand a profile to an engine for more than one machine
    Export(Deferred<Export>),
    /// Run this project's own checks: format, lints, tests, documents
    Ci,
    /// Measure this build: restarts, starts, stops, memory, the watch, logs
    Bench(Deferred<Bench>),
}

/// The arguments of a verb, which clap is told of only when the verb is the one typed: each command of a script starts sooner.
#[derive(Debug)]
pub struct Deferred<T>(
    /// The arguments themselves.
    pub T,
);

impl<T> std::ops::Deref for Deferred<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Args> Args for Deferred<T> {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.defer(|command| {
            // What the verb says of itself, not what its arguments say of themselves.
            let about = command.get_about().cloned().unwrap_or_default();
            T::augment_args(command).about(about)
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        T::augment_args_for_update(command)
    }
}

impl<T: clap::FromArgMatches> clap::FromArgMatches for Deferred<T> {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// `dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// The profile [default: `default_profile` of dev.toml]
    #[arg(short, long, value_name = "P", conflicts_with = "caddy")]
    pub profile: Option<String>,
    /// The same as --profile caddy
    #[arg(long)]
    pub caddy: bool,
    /// Leave the stack running and return
    #[arg(short, long)]
    pub detach: bool,
    /// Return, or begin to follow, only when everything is ready; fail naming what is not
    #[arg(long)]
    pub wait: bool,
    /// The most time that may take, builds apart: 500ms, 10s, 5m, 1h, or milliseconds
    #[arg(long, value_name = "T", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Only these services; what else they depend on is neither started nor waited for
    #[arg(long, value_name = "S", value_delimiter = ',')]
    pub only: Vec<String>,
    /// All but these services
    #[arg(long, value_name = "S", value_delimiter = ',')]
    pub except: Vec<String>,
    /// Set a variable for every service and task
    #[arg(short = 'e', long = "env", value_name = "K=V", value_parser = parse_pair)]
    pub set: Vec<(String, String)>,
    /// Build nothing
    #[arg(long)]
    pub no_build: bool,
    /// Watch nothing
    #[arg(long)]
    pub no_watch: bool,
    /// First stop what runs, and our own stacks that hold a port this one needs
    #[arg(long)]
    pub replace: bool,
    /// Print machine-readable output
    #[arg(long)]
    pub json: bool,
}

/// `stop`.
#[derive(Debug, Args)]
pub struct Stop {
    /// Services by name, glob or id; none means the whole stack
    #[arg(value_name = "S")]
    pub services: Vec<String>,
    /// The stack
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
    /// Every running stack of the workspace
    #[arg(long, conflicts_with_all = ["profile", "services"])]
    pub all: bool,
    /// The most time it may take; what has not stopped by then is named, and goes on stopping
    #[arg(long, value_name = "T", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// A verb that needs services.
#[derive(Debug, Args)]
pub struct Named {
    /// Services by name, glob or id, or `all`
    #[arg(value_name = "S", required = true)]
    pub services: Vec<String>,
    /// The stack
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
}

/// A verb that takes services, or all.
#[derive(Debug, Args)]
pub struct Some_ {
    /// Services by name, glob or id; none means all
    #[arg(value_name = "S")]
    pub services: Vec<String>,
    /// The stack
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
}

/// A verb that tells of one service; a glob may mean several.
#[derive(Debug, Args)]
pub struct One {
    /// The service by name or id; a glob may mean several
    #[arg(value_name = "S")]
    pub service: String,
    /// Only this stack
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
}

/// `wait`.
#[derive(Debug, Args)]
pub struct Wait {
    /// Services by name, glob or id; none means all
    #[arg(value_name = "S")]
    pub services: Vec<String>,
    /// Only this stack
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
    /// The most time it may take [default: each service's `ready.timeout`]
    #[arg(long, value_name = "T", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// `signal`.
#[derive(Debug, Args)]
pub struct Signal {
    /// The signal by name, with or without SIG, or by number
    #[arg(value_name = "SIG", value_parser = named_signal)]
    pub signal: i32,
    /// Services by name, glob or id, or `all`
    #[arg(value_name = "S", required = true)]
    pub services: Vec<String>,
    /// The stack
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
}

/// `send`.
#[derive(Debug, Args)]
pub struct Send {
    /// The service by name, glob or id
    #[arg(value_name = "S")]
    pub service: String,
    /// The line, without its end
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    pub text: String,
    /// The stack
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
}

/// `restart`.
#[derive(Debug, Args)]
pub struct Restart {
    /// Services by name, glob or id; none means all
    #[arg(value_name = "S")]
    pub services: Vec<String>,
    /// The stack
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
    /// Take this shell's environment in place of the one `dev` was run with
    #[arg(long)]
    pub update_env: bool,
}

/// `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Only this stack
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `logs`.
#[derive(Debug, Clone, Args)]
pub struct Logs {
    /// Services by name, glob or id; none means all
    #[arg(value_name = "S")]
    pub services: Vec<String>,
    /// Only this stack
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
    /// How many lines, counted over all services together [default: 100; with --since, --until, --around or --grep all that match]
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
    /// Return after what is there
    #[arg(long)]
    pub no_follow: bool,
    /// From then on: 5m ago, 10:30 or 10:30:15 (the last time the clock showed it), 2026-11-23 10:30, or 2026-11-23T10:30:15Z
    #[arg(long, value_name = "T", value_parser = Moment::parse)]
    pub since: Option<Moment>,
    /// Up to then, and return; written like --since
    #[arg(long, value_name = "T", value_parser = Moment::parse)]
    pub until: Option<Moment>,
    /// Five seconds before and after the last crash of this service, and return
    #[arg(long, value_name = "S", conflicts_with_all = ["since", "until"])]
    pub around: Option<String>,
    /// Only lines that this regular expression matches; (?i) before it ignores case
    #[arg(long, value_name = "RE")]
    pub grep: Option<Regex>,
    /// Only lines this bad or worse: trace, debug, info, warn, error, fatal; stderr without a level is warn, stdout info
    #[arg(long, value_name = "L", value_parser = parse_level)]
    pub level: Option<Level>,
    /// Only stdout
    #[arg(long, conflicts_with = "err")]
    pub out: bool,
    /// Only stderr
    #[arg(long)]
    pub err: bool,
    /// The services' bytes alone, without names and stamps
    #[arg(long)]
    pub raw: bool,
    /// One JSON object a line: time, service, stream (out, err, event), text (what is no UTF-8 is replaced), fields (or null)
    #[arg(long, conflicts_with = "raw")]
    pub json: bool,
}

/// `errors`.
#[derive(Debug, Args)]
pub struct Errors {
    /// Services by name, glob or id; none means all
    #[arg(value_name = "S")]
    pub services: Vec<String>,
    /// Only this stack
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
    /// How many lines, counted over all services together [default: 100; with --since all]
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
    /// From then on: 5m ago, 10:30 or 10:30:15 (the last time the clock showed it), 2026-11-23 10:30, or 2026-11-23T10:30:15Z
    #[arg(long, value_name = "T", value_parser = Moment::parse)]
    pub since: Option<Moment>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `config`.
#[derive(Debug, Args)]
pub struct Config {
    /// The profile [default: `default_profile` of dev.toml]
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `build`.
#[derive(Debug, Args)]
pub struct Build {
    /// Tasks; none means those of the profile
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,
    /// Run what is fresh, too
    #[arg(long)]
    pub force: bool,
    /// The profile whose environment they get [default: `default_profile` of dev.toml]
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
}

/// `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Groups of measures: restart, start, stop, idle, status, watch, logs; none means all
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// How often each is measured [default: each its own number]
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,
}

/// `save`.
#[derive(Debug, Args)]
pub struct Save {
    /// Save also that nothing runs
    #[arg(long)]
    pub force: bool,
}

/// `resurrect`.
#[derive(Debug, Args)]
pub struct Resurrect {
    /// Stay, and stop the stacks in order when told to end: for a service manager
    #[arg(long)]
    pub foreground: bool,
}

/// `startup`.
#[derive(Debug, Args)]
pub struct Startup {
    /// What to do
    #[arg(value_enum, default_value_t = StartupAction::Print)]
    pub action: StartupAction,
    /// At this user's login, by the user's own service manager; no other rights are needed
    #[arg(long)]
    pub user: bool,
}

/// What `startup` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StartupAction {
    /// Print what would be installed
    Print,
    /// Install it
    Install,
    /// Take it away
    Uninstall,
}

/// `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The engine
    pub engine: Engine,
    /// The profile [default: `default_profile` of dev.toml]
    #[arg(short, long, value_name = "P")]
    pub profile: Option<String>,
    /// Write files there, in place of printing; one that is to be filled in is kept when it is there
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// What `export` writes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// Units for this machine
    Systemd,
    /// compose.yaml
    Compose,
    /// Deployments, Services, Jobs and what they need
    Kubernetes,
}

fn parse_level(text: &str) -> Result<Level, String> {
    Level::from_text(text)
        .ok_or_else(|| "write trace, debug, info, warn, error or fatal, or pino's number for one".to_owned())
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write it as NAME=VALUE".to_owned()),
    }
}
