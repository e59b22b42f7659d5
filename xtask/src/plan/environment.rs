//! Where each variable of a service comes from, weakest first: `env_file`, the shell, the profile, the service, `-e`.
//! Reads files only through the function it is given.

use crate::config::{EnvValue, expand};
use std::collections::BTreeMap;
use std::path::Path;

/// The variables that differ from the shell's: set, or removed where `None`.
pub(super) type Own = BTreeMap<String, Option<String>>;

/// Reads a file's text; the error says why it cannot.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

/// Everything that a service's environment is made of.
pub(super) struct Sources<'a> {
    pub(super) workspace: &'a Path,
    pub(super) shell: &'a BTreeMap<String, String>,
    /// The profile's files, then the service's.
    pub(super) files: Vec<&'a String>,
    /// The profile's table, then the service's, overrides already merged in.
    pub(super) tables: Vec<&'a BTreeMap<String, EnvValue>>,
    pub(super) set: &'a [(String, String)],
}

/// Resolves the variables; what fails is added to `errors`, each with what it concerns.
pub(super) fn own(sources: &Sources<'_>, read: ReadFile<'_>, errors: &mut Vec<String>) -> Own {
    let mut from_files = BTreeMap::new();
    for file in &sources.files {
        read_env_file(sources, file, read, &mut from_files, errors);
    }
    let lookup = |name: &str| sources.shell.get(name).or_else(|| from_files.get(name)).cloned();
    let mut own: Own = from_files
        .iter()
        .filter(|(name, _)| !sources.shell.contains_key(*name))
        .map(|(name, value)| (name.clone(), Some(value.clone())))
        .collect();
    for (name, value) in sources.tables.iter().flat_map(|table| table.iter()) {
        let value = match value {
            EnvValue::Remove => None,
            EnvValue::Set(text) => match expand::expand(text, &lookup) {
                Ok(value) => Some(value),
                Err(why) => {
                    errors.push(format!("env {name}: {why}"));
                    continue;
                }
            },
        };
        own.insert(name.clone(), value);
    }
    own.extend(
        sources
            .set
            .iter()
            .map(|(name, value)| (name.clone(), Some(value.clone()))),
    );
    own
}

fn read_env_file(
    sources: &Sources<'_>,
    file: &str,
    read: ReadFile<'_>,
    into: &mut BTreeMap<String, String>,
    errors: &mut Vec<String>,
) {
    let shell = |name: &str| sources.shell.get(name).cloned();
    let path = match expand::expand_argument(file, &shell) {
        Ok(path) => super::below(sources.workspace, &path),
        Err(why) => return errors.push(format!("env_file {file}: {why}")),
    };
    match read(&path) {
        Err(why) => errors.push(format!(
            "failed to read env_file {}: {why}; make it or remove it",
            path.display()
        )),
        Ok(text) => match crate::config::env_file::parse(&text) {
            Ok(pairs) => into.extend(pairs),
            Err((line, why)) => errors.push(format!("{}:{line}: {why}", path.display())),
        },
    }
}
