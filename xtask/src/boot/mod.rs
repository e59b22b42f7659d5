//! What outlives a reboot: the list of saved stacks, and the text that makes the system's service manager start them.
//! Pure: values in, text out; who writes the files and asks the manager stands elsewhere.

pub mod launchd;
pub mod saved;
pub mod systemd;
pub mod unit_text;

use crate::config::quote;
use std::path::PathBuf;
use std::time::Duration;

/// What the service manager needs to know of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// This program, absolute.
    pub program: PathBuf,
    /// `dev.toml`, absolute.
    pub file: PathBuf,
    /// The directory that holds it.
    pub workspace: PathBuf,
    /// What tells this workspace from others of its name: a hash of its path.
    pub hash: u64,
    /// What `save` writes.
    pub saved: PathBuf,
    /// Where services find their programs: the `PATH` of the shell that asked.
    pub search: String,
    /// The longest an orderly stop of the saved stacks may take.
    pub stop_limit: Duration,
    /// Whose manager starts it.
    pub owner: Owner,
}

/// Whose service manager starts the stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The system's, at boot; the stacks run as this user.
    System {
        /// The user's number: who owns `dev.toml`.
        uid: u32,
    },
    /// The user's own, at login, or at boot where the user lingers.
    User,
}

impl Boot {
    /// The service's name: readable, and different for every workspace.
    pub fn name(&self) -> String {
        let dir = self.workspace.file_name().unwrap_or_default().to_string_lossy();
        let readable: String = dir
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        format!("xtask-{}-{:016x}", readable.trim_matches('-'), self.hash)
    }

    /// The command that the manager runs, for a shell.
    pub fn shell_command(&self) -> String {
        let words: Vec<String> = self.command().iter().map(|word| quote(word)).collect();
        words.join(" ")
    }

    /// The command that the manager runs.
    fn command(&self) -> Vec<String> {
        let path = |path: &PathBuf| path.display().to_string();
        vec![
            path(&self.program),
            "--file".to_owned(),
            path(&self.file),
            "resurrect".to_owned(),
            "--foreground".to_owned(),
        ]
    }
}

#[cfg(test)]
pub(crate) fn example(owner: Owner) -> Boot {
    Boot {
        program: "/opt/x task/xtask".into(),
        file: "/srv/tide \"100%\" $HOME/dev.toml".into(),
        workspace: "/srv/tide \"100%\" $HOME".into(),
        hash: 0xab,
        saved: "/srv/tide \"100%\" $HOME/.dev/saved.json".into(),
        search: "/usr/bin:/a b:/100%".to_owned(),
        stop_limit: Duration::from_millis(16_500),
        owner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_readable_whatever_the_workspace_is_called() {
        assert_eq!(example(Owner::User).name(), "xtask-tide--100----HOME-00000000000000ab");
    }
}
