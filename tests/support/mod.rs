//! What the tests are written in: a `Project` with a `dev.toml` and puppets, commands that run against it, and waiting.

mod processes;
mod program;
mod project;
mod terminal;
mod tidepool;
mod waiting;

pub use processes::{free_port, get, is_alive, is_free, parent_of, request, signal, wait_gone};
pub use project::{Project, pid, restarts};
pub use rustix::process::Signal;
pub use serde_json::{Value, json};
pub use terminal::Terminal;
pub use tidepool::Tidepool;
pub use waiting::{LIMIT, measure, wait_at_most, wait_until};

use std::path::PathBuf;

/// The program under test.
pub fn xtask() -> &'static str {
    env!("CARGO_BIN_EXE_xtask")
}

/// The puppet, which `cargo test` builds as an example beside this test.
pub fn puppet() -> String {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.extend(["examples", "puppet"]);
    assert!(
        path.is_file(),
        "no puppet at {}: build it with `cargo build -p xtask --example puppet`",
        path.display()
    );
    path.to_str().unwrap().to_owned()
}

/// Whether a test that needs `program` can run; where it must, in CI, its absence is a failure.
pub fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|dir| dir.join(program).is_file());
    assert!(
        found || std::env::var_os("CI").is_none(),
        "{program} is not installed, and CI needs it"
    );
    if !found {
        println!("skipped: no {program}");
    }
    found
}
