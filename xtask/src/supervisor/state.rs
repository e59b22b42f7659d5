//! `state.json`: who runs, so that the next command can clear what even a double `kill -9` left behind.
//! Names processes by pid, start and boot: a recycled pid is never mistaken for one of ours.

use super::Supervisor;
use crate::clock;
use crate::paths;
use crate::process::{self, Identity, boot_id};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Says who wrote it. Fields are only ever added; `boot`, `nonce`, `supervisor` and `socket` mean the same in every version, so
/// that any can clear up after any other.
pub const STATE_VERSION: u32 = 1;

/// What is written down of a running stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// `STATE_VERSION` of who wrote it.
    pub version: u32,
    /// The boot that the pids belong to.
    pub boot: String,
    /// The mark of all its processes.
    pub nonce: u32,
    /// The supervisor.
    pub supervisor: Identity,
    /// Where it listens.
    pub socket: PathBuf,
    /// The profile.
    #[serde(default)]
    pub profile: String,
    /// The directory of its `dev.toml`.
    #[serde(default)]
    pub workspace: PathBuf,
    /// Device and inode of the directory that it was written in.
    #[serde(default)]
    pub home: Option<(u64, u64)>,
    /// The leaders that run.
    #[serde(default)]
    pub services: Vec<Leader>,
}

/// A service that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: u32,
    /// The first process of its tree.
    pub leader: Identity,
}

impl State {
    /// Reads a state file; `None` when there is none that is whole, or the one of another directory: a copied workspace has the
    /// state of the first, whose stack is none of its business. One that was renamed keeps its own.
    pub fn read(path: &Path) -> Option<Self> {
        let state: Self = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        // Older versions do not say.
        let is_at_home = state.home.is_none_or(|home| home_of(path) == Some(home));
        is_at_home.then_some(state)
    }

    /// Whether its supervisor still lives.
    pub fn is_current(&self) -> bool {
        self.boot == boot_id() && process::is_alive(&self.supervisor)
    }
}

/// Device and inode of the directory that a file lies in.
fn home_of(file: &Path) -> Option<(u64, u64)> {
    let directory = std::fs::metadata(file.parent()?).ok()?;
    Some((directory.dev(), directory.ino()))
}

impl Supervisor {
    /// Writes the state when it differs from what is written.
    pub(super) fn write_state(&mut self) {
        let services = self
            .fleet
            .members()
            .filter_map(|(id, member)| {
                let run = member.service.live_run()?;
                let leader = self.runs.get(&run.id)?.root.leader;
                Some(Leader {
                    name: member.plan.name.clone(),
                    id: id.0,
                    leader,
                })
            })
            .collect();
        let mut state = State {
            version: STATE_VERSION,
            boot: self.boot.clone(),
            nonce: self.nonce,
            supervisor: self.own,
            socket: self.paths.socket.clone(),
            profile: self.paths.profile(),
            workspace: self
                .plan
                .as_ref()
                .map(|plan| plan.workspace.clone())
                .unwrap_or_default(),
            home: self.written_state.as_ref().and_then(|state| state.home),
            services,
        };
        if self.written_state.as_ref() == Some(&state) {
            return;
        }
        // Looked up only for what is written: a directory that was renamed or removed is no news of ours.
        state.home = home_of(&self.paths.state).or(state.home);
        let failed = self.write(&state).err().map(|error| format!("error: {error:#}"));
        // Once is enough: it is tried again with every change.
        if let Some(why) = failed.as_ref().filter(|why| self.unwritten.as_ref() != Some(why)) {
            self.note(clock::wall(), None, why);
        }
        self.written_state = failed.is_none().then_some(state);
        self.unwritten = failed;
    }

    fn write(&self, state: &State) -> Result<()> {
        let text = serde_json::to_vec(state).context("failed to encode the state")?;
        paths::write_atomically(&self.paths.state, &text)
    }
}
