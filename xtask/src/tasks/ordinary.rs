//! Tests run again as an ordinary user, for whom other things are allowed and other things fail than for root.

use anyhow::{Context as _, Result};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// Nobody, as every Linux knows it: no file but our copies is theirs.
const NOBODY: u32 = 65_534;

/// Runs the tests whose names contain one of `filters` as an ordinary user. Somebody who is one already has run them.
///
/// # Errors
/// When they cannot be built or fail.
pub fn run(sh: &Shell, filters: &[&str]) -> Result<()> {
    if !rustix::process::getuid().is_root() {
        crate::ui::tell("not root: the tests ran as an ordinary user");
        return Ok(());
    }
    let built = built(sh)?;
    let place = Place::make()?;
    // Laid out as cargo does, because the test looks for the others beside itself. The user may be kept out of the originals.
    let test = place.dir.join("debug/deps/integration");
    place.copy(&built.test, &test)?;
    place.copy(&built.program, &place.dir.join("debug/xtask"))?;
    place.copy(&built.puppet, &place.dir.join("debug/examples/puppet"))?;
    let _cwd = sh.push_dir(&place.home);
    let user = NOBODY.to_string();
    cmd!(
        sh,
        "setpriv --reuid {user} --regid {user} --clear-groups {test} {filters...}"
    )
    .env("HOME", &place.home)
    .env("TMPDIR", &place.home)
    .env_remove("XDG_RUNTIME_DIR")
    .run()
    .context("the tests failed as an ordinary user")
}

/// What cargo has built.
struct Built {
    test: PathBuf,
    program: PathBuf,
    puppet: PathBuf,
}

fn built(sh: &Shell) -> Result<Built> {
    let said = cmd!(sh, "cargo test --workspace --locked --no-run --message-format json")
        .ignore_stderr()
        .read()?;
    let artifacts: Vec<serde_json::Value> = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let find = |kind: &str, name: &str| {
        let of_target = artifacts.iter().filter(|artifact| {
            artifact["target"]["name"] == name
                && artifact["target"]["kind"][0] == kind
                && artifact["executable"].is_string()
        });
        // A program is also built as a test of itself.
        let mut meant = of_target.filter(|artifact| artifact["profile"]["test"] == (kind == "test"));
        let path = meant
            .next()
            .and_then(|artifact| artifact["executable"].as_str())
            .map(PathBuf::from);
        path.with_context(|| format!("cargo has built no {kind} {name}"))
    };
    Ok(Built {
        test: find("test", "integration")?,
        program: find("bin", "xtask")?,
        puppet: find("example", "puppet")?,
    })
}

/// A directory that the user may enter, with a home of the user's own; removed when dropped.
struct Place {
    dir: PathBuf,
    home: PathBuf,
}

impl Place {
    fn make() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("xtask-ci-{}", std::process::id()));
        let home = dir.join("home");
        for part in [&home, &dir.join("debug/deps"), &dir.join("debug/examples")] {
            fs::create_dir_all(part).with_context(|| format!("failed to make {}", part.display()))?;
        }
        for part in ["", "debug", "debug/deps", "debug/examples"] {
            fs::set_permissions(dir.join(part), fs::Permissions::from_mode(0o755))?;
        }
        chown(&home, Some(NOBODY), Some(NOBODY)).context("failed to give a directory away")?;
        Ok(Self { dir, home })
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        fs::copy(from, to).with_context(|| format!("failed to copy {}", from.display()))?;
        fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What stays lies in the temporary directory.
        let _ = fs::remove_dir_all(&self.dir);
    }
}
