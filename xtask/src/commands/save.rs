//! `save`: remembers which stacks run, and `saved.json` itself: written whole, with the one before it as a backup.

use super::restart::started_with;
use super::stacks;
use super::workspace::Workspace;
use crate::boot::saved::{Saved, SavedStack};
use crate::cli::Save;
use crate::paths::{make_state_dir, write_durably};
use crate::ui;
use anyhow::{Context as _, Result, bail, ensure};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub(super) fn run(workspace: &Workspace, args: &Save) -> Result<u8> {
    let mut stacks = Vec::new();
    for mut running in stacks::running(workspace, None)? {
        let profile = &running.status.profile;
        let options = started_with(&mut running.connection)?.options;
        for (name, _) in &options.set {
            ui::tell(&format!(
                "warning: {profile}: -e {name} is not saved; put it in dev.toml or in an env_file"
            ));
        }
        stacks.push(SavedStack::new(profile, &options));
    }
    ensure!(
        !stacks.is_empty() || args.force,
        "no stack is running, so there is nothing to save; start one with `cargo xtask dev -d`, or save that none runs with --force"
    );
    let names: Vec<&str> = stacks.iter().map(|stack| stack.profile.as_str()).collect();
    let said = match names.is_empty() {
        true => "saved that no stack runs".to_owned(),
        false => format!("saved {}", names.join(", ")),
    };
    write(&workspace.state_dir, &Saved::new(stacks))?;
    ui::print(&format!("{said}\n"))?;
    Ok(0)
}

/// Where the list is.
pub(super) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("saved.json")
}

fn backup(state_dir: &Path) -> PathBuf {
    state_dir.join("saved.json.bak")
}

fn write(state_dir: &Path, saved: &Saved) -> Result<()> {
    make_state_dir(state_dir)?;
    // A torn file is no backup: the one that is there is better.
    if let Ok(Some(old)) = read_one(&path(state_dir)) {
        write_durably(&backup(state_dir), old.text().as_bytes())?;
    }
    write_durably(&path(state_dir), saved.text().as_bytes())
}

/// What was saved; when the file is torn, its backup, and that is said.
pub(super) fn read(state_dir: &Path) -> Result<Saved> {
    let (path, backup) = (path(state_dir), backup(state_dir));
    let why = match read_one(&path) {
        Ok(Some(saved)) => return Ok(saved),
        Ok(None) => "it is missing".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    match read_one(&backup) {
        Ok(Some(saved)) => {
            ui::tell(&format!(
                "warning: {} cannot be used: {why}; using its backup {}",
                path.display(),
                backup.display()
            ));
            Ok(saved)
        }
        Ok(None) if !path.exists() => bail!("nothing was saved; run `cargo xtask save` while the stacks are up"),
        Ok(None) => bail!(
            "failed to read {}: {why}, and it has no backup; run `cargo xtask save` while the stacks are up",
            path.display()
        ),
        Err(error) => bail!(
            "failed to read {}: {why}, nor its backup {}: {error:#}; run `cargo xtask save` while the stacks are up",
            path.display(),
            backup.display()
        ),
    }
}

fn read_one(path: &Path) -> Result<Option<Saved>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Saved::parse(&text).map(Some).map_err(anyhow::Error::msg),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
    }
}
