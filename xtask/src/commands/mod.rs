//! One file per verb: what users type becomes requests, and answers become text.

mod build;
mod check;
mod config;
mod describe;
mod dev;
mod errors;
mod export;
mod flush;
mod follow;
mod foreground;
mod known;
mod logs;
mod printer;
mod replace;
mod reset;
mod restart;
mod resurrect;
mod save;
mod select;
mod send;
mod signal;
mod stacks;
mod start;
mod starter;
mod startup;
mod status;
mod stop;
mod teller;
mod wait;
mod why;
mod workspace;

use crate::cli::{Cli, Deferred, Verb, When};
use crate::signal::INTERRUPTED;
use crate::tasks::interrupt::Interrupted;
use anyhow::Result;
use starter::Ahead;
use std::ffi::OsString;
use std::fmt;
use workspace::Workspace;

/// An error with an exit code of its own; all others exit with 1.
#[derive(Debug)]
struct Coded {
    code: u8,
    message: String,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Coded {}

/// The command was not said clearly enough: exit code 2.
fn usage(message: impl Into<String>) -> anyhow::Error {
    Coded {
        code: 2,
        message: message.into(),
    }
    .into()
}

/// The exit code of an error.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Coded>().map_or(1, |coded| coded.code)
}

/// The text of an error, as it is printed on stderr.
pub fn describe(error: &anyhow::Error) -> String {
    let text = crate::shortage::describe(error);
    // Several problems at once are several lines, each an error of its own.
    text.lines()
        .map(|line| format!("error: {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What `dev` begins with.
pub(crate) struct Early {
    workspace: Workspace,
    /// Those who will run the stack.
    ahead: Option<Ahead>,
}

impl Early {
    /// Begins with the plainest ways to say `dev` before the parser has looked at the words: while it does, those processes come to be.
    pub(crate) fn of(words: &[OsString]) -> Option<Result<Self>> {
        const PLAIN: [&str; 3] = ["-d", "--detach", "--wait"];
        let (verb, options) = words.split_first()?;
        let is_plain = verb == "dev" && options.iter().all(|option| PLAIN.iter().any(|plain| option == plain));
        is_plain.then(|| Ok(Self::begin(Workspace::find(None)?, None)))
    }

    fn begin(workspace: Workspace, profile: Option<&str>) -> Self {
        let ahead = Ahead::start(workspace.stack(profile.unwrap_or_else(|| workspace.likely_profile())));
        Self { workspace, ahead }
    }
}

/// Does what the command line says.
pub(crate) fn run(cli: Cli, early: Option<Result<Early>>) -> Result<u8> {
    match verb(cli, early) {
        Err(error) if error.is::<crate::ui::NobodyReads>() => Ok(0),
        Err(error) if error.is::<Interrupted>() => Ok(INTERRUPTED),
        done => done,
    }
}

fn verb(cli: Cli, early: Option<Result<Early>>) -> Result<u8> {
    match cli.color {
        When::Auto => anstream::ColorChoice::Auto,
        When::Always => anstream::ColorChoice::Always,
        When::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    let workspace = || Workspace::find(cli.file.as_deref());
    match cli.verb {
        Verb::Dev(Deferred(args)) => {
            let early = early.unwrap_or_else(|| Ok(Early::begin(workspace()?, dev::profile(&args))));
            let Early { workspace, ahead } = early?;
            dev::run(&workspace, args, ahead)
        }
        Verb::Stop(args) => stop::run(&workspace()?, &args),
        Verb::Start(args) => start::run(&workspace()?, &args),
        Verb::Restart(args) => restart::run(&workspace()?, &args),
        Verb::Reset(args) => reset::run(&workspace()?, &args),
        Verb::Status(args) => status::run(&workspace()?, &args),
        Verb::Logs(args) => logs::run(&workspace()?, &args),
        Verb::Errors(Deferred(args)) => errors::run(&workspace()?, args),
        Verb::Flush(args) => flush::run(&workspace()?, &args),
        Verb::Describe(args) => describe::run(&workspace()?, &args),
        Verb::Why(args) => why::run(&workspace()?, &args),
        Verb::Wait(args) => wait::run(&workspace()?, &args),
        Verb::Signal(args) => signal::run(&workspace()?, &args),
        Verb::Send(args) => send::run(&workspace()?, &args),
        Verb::Check => check::run(&workspace()?),
        Verb::Config(args) => config::run(&workspace()?, &args),
        Verb::Build(args) => build::run(&workspace()?, &args),
        Verb::Save(args) => save::run(&workspace()?, &args),
        Verb::Resurrect(args) => resurrect::run(&workspace()?, &args),
        Verb::Startup(args) => startup::run(&workspace()?, &args),
        Verb::Export(args) => export::run(&workspace()?, &args),
        Verb::Ci => crate::tasks::ci::run().map(|()| 0),
        Verb::Bench(args) => crate::tasks::bench::run(&args.names, args.rounds).map(|()| 0),
    }
}
