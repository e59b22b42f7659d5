//! Where each variable of a service comes from, weakest first: `env_file`, the shell, the profile, the service, `-e`.
//! Reads files only through the function it is given.

use super::secret::looks_secret;
use crate::config::{EnvValue, Located, Problem, expand};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The variables that differ from the shell's: set, or removed where `None`.
pub(super) type Own = BTreeMap<String, Option<String>>;

/// Where a variable that is not simply the shell's was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// In this file.
    EnvFile(PathBuf),
    /// In the profile's `env`.
    Profile,
    /// In the service's or task's `env`.
    Service,
    /// In the `env` of the profile's override.
    Override,
    /// On the command line: `-e`.
    Option,
    /// Nowhere: it tells one instance from another.
    Instance,
}

/// The origins of `Own` variables. No part of what a service is: plans that differ in it alone are equal, and nothing restarts for it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Origins(pub BTreeMap<String, Origin>);

impl PartialEq for Origins {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Secrets of an `env_file` that the variables of their names no longer hold: `${…}` in `env` may have read them before. No part of
/// what a service is either: where they are read, the value that holds them differs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Replaced(pub BTreeMap<String, String>);

impl PartialEq for Replaced {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Replaced {}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnvFile(path) => write!(f, "env_file {}", path.display()),
            Self::Profile => write!(f, "profile"),
            Self::Service => write!(f, "service"),
            Self::Override => write!(f, "override"),
            Self::Option => write!(f, "-e"),
            Self::Instance => write!(f, "instance"),
        }
    }
}

/// An `env` table and where it is written.
#[derive(Clone)]
pub(super) struct Table<'a>(pub(super) Origin, pub(super) &'a BTreeMap<String, EnvValue>);

/// The variable that tells a copy of a service its number.
pub(super) const INSTANCE: &str = "XTASK_INSTANCE";

/// Reads a file's text; the error says why it cannot.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

/// Everything that a service's environment is made of.
pub(super) struct Sources<'a> {
    pub(super) workspace: &'a Path,
    pub(super) shell: &'a BTreeMap<String, String>,
    /// The profile's files, then the service's.
    pub(super) files: Vec<&'a Located<String>>,
    /// The profile's table, then the service's, then its override's.
    pub(super) tables: Vec<Table<'a>>,
    pub(super) set: &'a [(String, String)],
    /// Which of several copies it is.
    pub(super) instance: Option<u32>,
}

/// What a service or a task sets or removes.
pub(super) struct Resolved {
    pub(super) own: Own,
    pub(super) origins: Origins,
    pub(super) replaced: Replaced,
    /// Variables that a file would set, were they not the shell's.
    pub(super) from_shell: Vec<String>,
    /// What is wrong with the files.
    pub(super) problems: Vec<Problem>,
}

/// Resolves the variables; what fails is added to `errors`, each with what it concerns.
pub(super) fn own(sources: &Sources<'_>, read: ReadFile<'_>, errors: &mut Vec<String>) -> Resolved {
    let mut from_files = BTreeMap::new();
    let mut problems = Vec::new();
    for file in &sources.files {
        match read_env_file(sources, &file.value, read) {
            Ok((path, pairs)) => {
                from_files.extend(pairs.into_iter().map(|(name, value)| (name, (path.clone(), value))));
            }
            Err(message) => problems.push(Problem {
                place: Some(file.at),
                message,
            }),
        }
    }
    let lookup = |name: &str| {
        if let Some(number) = sources.instance.filter(|_| name == INSTANCE) {
            return Some(number.to_string());
        }
        let from_file = || from_files.get(name).map(|(_, value)| value);
        sources.shell.get(name).or_else(from_file).cloned()
    };
    let (mut own, mut origins) = (Own::new(), Origins::default());
    let mut set = |name: &String, value: Option<String>, origin: Origin| {
        own.insert(name.clone(), value);
        origins.0.insert(name.clone(), origin);
    };
    let mut from_shell = Vec::new();
    for (name, (file, value)) in &from_files {
        if sources.shell.contains_key(name) {
            from_shell.push(name.clone());
        } else {
            set(name, Some(value.clone()), Origin::EnvFile(file.clone()));
        }
    }
    for Table(origin, table) in &sources.tables {
        for (name, value) in *table {
            match value {
                EnvValue::Remove => set(name, None, origin.clone()),
                EnvValue::Set(text) => match expand::expand(text, &lookup) {
                    Ok(value) => set(name, Some(value), origin.clone()),
                    Err(why) => errors.push(format!("env {name}: {why}")),
                },
            }
        }
    }
    for (name, value) in sources.set {
        set(name, Some(value.clone()), Origin::Option);
    }
    Resolved {
        replaced: replaced(from_files, &own),
        own,
        origins,
        from_shell,
        problems,
    }
}

/// The secrets of the files that are not among what is set in the end.
fn replaced(from_files: BTreeMap<String, (PathBuf, String)>, own: &Own) -> Replaced {
    let values = from_files.into_iter().map(|(name, (_, value))| (name, value));
    let is_gone = |(name, value): &(String, String)| {
        let present = own.get(name);
        looks_secret(name) && present.is_some_and(|present| present.as_ref() != Some(value))
    };
    Replaced(values.filter(is_gone).collect())
}

/// Names and values, as a file has them.
type Pairs = Vec<(String, String)>;

/// The file and what it sets; what is wrong with it.
fn read_env_file(sources: &Sources<'_>, file: &str, read: ReadFile<'_>) -> Result<(PathBuf, Pairs), String> {
    let shell = |name: &str| sources.shell.get(name).cloned();
    let path = expand::expand_argument(file, &shell).map_err(|why| format!("env_file {file}: {why}"))?;
    let path = super::below(sources.workspace, &path);
    let text = read(&path).map_err(|why| {
        let path = path.display();
        format!(
            "failed to read env_file {path}: {why}; it must be a text that can be read: create or mend it, or take it out of `env_file`"
        )
    })?;
    let pairs = crate::config::env_file::parse(&text);
    let pairs = pairs.map_err(|(line, why)| format!("env_file {}:{line}: {why}", path.display()))?;
    Ok((path, pairs))
}
