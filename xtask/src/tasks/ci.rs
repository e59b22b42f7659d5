//! The project's own checks, each step named and timed. `.ci/run` installs what they need and calls this.

use crate::clock;
use anyhow::{Context as _, Result};
use std::path::Path;
use xshell::{Shell, cmd};

type Step = fn(&Shell) -> xshell::Result<()>;

/// Runs all checks; the first that fails ends it.
///
/// # Errors
/// Which step failed.
pub fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("failed to find the project's root")?;
    let sh = Shell::new().context("failed to find the current directory")?;
    sh.change_dir(root);
    let steps: [(&str, Step); 5] = [
        ("format", |sh| cmd!(sh, "cargo fmt --all --check").run()),
        ("lints", |sh| {
            cmd!(sh, "cargo clippy --workspace --all-targets --locked -- -D warnings").run()
        }),
        ("build", |sh| cmd!(sh, "cargo build --workspace --locked").run()),
        ("tests", |sh| cmd!(sh, "cargo test --workspace --locked").run()),
        ("documents", |sh| {
            cmd!(sh, "cargo doc --workspace --no-deps --locked")
                .env("RUSTDOCFLAGS", "-D warnings")
                .run()
        }),
    ];
    for (name, step) in steps {
        anstream::eprintln!("== {name}");
        let begun = clock::monotonic();
        step(&sh).with_context(|| format!("step {name} failed"))?;
        anstream::eprintln!("== {name}: {:.1} s", (clock::monotonic() - begun).as_secs_f64());
    }
    Ok(())
}
