//! Hands files to the system's service manager: writes them, removes them, and runs `systemctl` or `launchctl`.

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::Path;
use xshell::{Shell, cmd};

/// Writes a file that everybody may read, and the directories above it.
///
/// # Errors
/// When it cannot be written, for want of rights most often.
pub fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("failed to make {}", parent.display()))?;
    }
    fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

/// Removes a file.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("failed to remove {}", path.display()))
}

/// Runs a service manager's own command: the program and its arguments.
///
/// # Errors
/// When it fails, or is not there.
pub fn run(command: &[String]) -> Result<()> {
    let Some((program, args)) = command.split_first() else {
        return Ok(());
    };
    let sh = Shell::new().context("failed to find the current directory")?;
    let output = cmd!(sh, "{program} {args...}")
        .quiet()
        .ignore_status()
        .output()
        .with_context(|| format!("failed to run {program}"))?;
    // What it tells (links that it made) is for people: stdout is ours.
    for told in [&output.stdout, &output.stderr] {
        crate::ui::tell(String::from_utf8_lossy(told).trim_end());
    }
    ensure!(
        output.status.success(),
        "`{}` ended with {}",
        command.join(" "),
        output.status
    );
    Ok(())
}

/// The name of the user of this number.
///
/// # Errors
/// When there is no such user.
pub fn user_name(uid: u32) -> Result<String> {
    let sh = Shell::new().context("failed to find the current directory")?;
    let uid = uid.to_string();
    cmd!(sh, "id -un {uid}")
        .quiet()
        .read()
        .context("failed to find the name of the user")
}
