//! What watching has seen of one service's files, from the first change to the restart it leads to.

use super::Monotonic;
use std::fmt;

/// The most file names that are kept; the rest is counted.
const MOST_NAMES: usize = 20;

/// Changed files, the first few by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    names: Vec<String>,
    more: usize,
}

impl Files {
    /// Adds files that are not yet known.
    pub fn add(&mut self, files: impl IntoIterator<Item = String>) {
        for file in files {
            if self.names.contains(&file) {
                continue;
            }
            if self.names.len() < MOST_NAMES {
                self.names.push(file);
            } else {
                self.more += 1;
            }
        }
    }
}

impl Files {
    /// The names that were kept.
    pub fn into_names(self) -> Vec<String> {
        self.names
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.names.first() else {
            return write!(f, "files changed");
        };
        write!(f, "{first} changed")?;
        match self.names.len() - 1 + self.more {
            0 => Ok(()),
            more => write!(f, " (+{more} more)"),
        }
    }
}

/// One turn of watching: changes settle, builds run, then the service restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Nothing changed.
    None,
    /// Files changed; the turn begins when they have been quiet, or have not become quiet for too long.
    Settling {
        /// When the quiet time is over.
        until: Monotonic,
        /// The first change.
        began: Monotonic,
        /// The last change.
        changed_at: Monotonic,
        /// What changed.
        files: Files,
    },
    /// The builds run.
    Building {
        /// What changed.
        files: Files,
        /// What changed since they began, and did not end them: the next turn's.
        later: Option<(Monotonic, Files)>,
    },
}
