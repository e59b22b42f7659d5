//! A typed developer task runner and process manager: `cargo xtask dev` runs a development stack.
//!
//! From the bottom up; a module imports only what stands above it in this list:
//!
//! - pure: [`config`], [`policy`], [`plan`], [`boot`], [`lifecycle`], [`fleet`], [`shortage`], [`ui`],
//!   [`ipc::protocol`]
//! - edges, one concern each: [`clock`], [`paths`], [`signal`], [`service_manager`], [`process`], [`log`], [`watch`],
//!   [`readiness`], [`ipc`]
//! - what acts: [`supervisor`], [`keeper`], [`tasks`]
//! - what users type: [`commands`], [`cli`]
//!
//! Another workspace can depend on this crate and add typed tasks of its own beside [`run`].

pub mod boot;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod fleet;
pub mod ipc;
pub mod keeper;
pub mod lifecycle;
pub mod log;
pub mod paths;
pub mod plan;
pub mod policy;
pub mod process;
pub mod readiness;
pub mod service_manager;
pub mod shortage;
pub mod signal;
pub mod supervisor;
pub mod tasks;
pub mod ui;
pub mod watch;

use crate::paths::StackPaths;
use clap::Parser as _;
use std::ffi::OsString;
use std::path::Path;

/// What this program is when it has started itself: the keeper of a stack, its supervisor, or the guard of a build. `None` for what
/// users type. Past the command line's parser, whose code would stay in their memory for as long as they live.
pub fn run_internal(args: &[OsString]) -> Option<anyhow::Result<u8>> {
    let (role, state_dir, profile, socket) = match args {
        [role, state_dir, profile, socket] => (role, state_dir, profile, socket),
        [role, nonce] if role == "guard" => {
            let nonce = u32::from_str_radix(nonce.to_str()?, 16).ok()?;
            return Some(tasks::guard::run(nonce).map(|()| 0));
        }
        _ => return None,
    };
    let paths = || {
        Some(StackPaths::with_socket(
            Path::new(state_dir),
            profile.to_str()?,
            socket.into(),
        ))
    };
    let done = match role.to_str()? {
        "keeper" => keeper::run(&paths()?),
        "supervisor" => supervisor::run(paths()?),
        _ => return None,
    };
    Some(done.map(|()| 0))
}

/// Does what the words of a command line say, without the program's name; the exit code on success. Where they are none of this
/// program's, or ask for help, it ends the process itself.
///
/// # Errors
/// As [`run`].
pub fn run_words(words: &[OsString]) -> anyhow::Result<u8> {
    run_internal(words).unwrap_or_else(|| {
        let early = commands::Early::of(words);
        let program = OsString::from("xtask");
        commands::run(cli::Cli::parse_from(std::iter::once(&program).chain(words)), early)
    })
}

/// Does what the command line says; the exit code on success.
///
/// # Errors
/// What failed, on what, why, and what to do. [`commands::exit_code`] picks the exit code.
pub fn run(cli: cli::Cli) -> anyhow::Result<u8> {
    commands::run(cli, None)
}
