//! `dev.toml` text → typed [`Config`], which mirrors the file: what is absent there is `None` here, no default is filled.
//!
//! Pure: touches no file, process, clock, environment or terminal. Finds every mistake of a text at once, each with its
//! place. What a profile makes of the whole, with defaults and the environment, is a plan's job.

mod container;
mod cron;
pub mod cycles;
mod decode;
mod decode_ready;
mod decode_service;
pub mod env_file;
pub mod expand;
pub mod nearest;
mod pattern;
mod problem;
mod section;
mod service;
mod shapes;
mod signal;
#[cfg(test)]
mod tests;
pub mod units;
mod validate;
mod values;
mod words;

use std::collections::BTreeMap;

pub use container::{Container, ImageBuild, Network};
pub use cron::CronLine;
pub use decode_ready::check_url;
pub use nearest::did_you_mean;
pub use pattern::{NamePattern, is_instance_of};
pub use problem::{Located, Place, Problem, Problems};
pub use service::{Autorestart, Condition, Dependency, EnvValue, Port, Probe, Ready, Rotation, Service, Watch};
pub use signal::Signal;
pub use units::Size;
pub use words::{Words, quote};

/// A whole `dev.toml` as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The file's name as shown to the user.
    pub file: String,
    /// The profile that `dev` starts when none is named.
    pub default_profile: Option<Located<String>>,
    /// Where state and logs go, instead of `.dev`.
    pub state_dir: Option<String>,
    /// `[logs]`: rotation for every service that says nothing itself.
    pub logs: Rotation,
    /// `[tasks.NAME]`.
    pub tasks: BTreeMap<String, Task>,
    /// `[services.NAME]`.
    pub services: BTreeMap<String, Service>,
    /// `[profiles.NAME]`; when there is none, every service together is one stack.
    pub profiles: BTreeMap<String, Profile>,
}

/// `[tasks.NAME]`: a one-shot command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    /// Where its name stands.
    pub at: Place,
    /// The program; never empty.
    pub script: String,
    /// Its arguments.
    pub args: Words,
    /// Its working directory; the workspace when absent.
    pub cwd: Option<String>,
    /// Its variables.
    pub env: BTreeMap<String, EnvValue>,
    /// What it reads: unchanged since the last success, it is skipped.
    pub inputs: Vec<String>,
    /// What it writes.
    pub outputs: Vec<String>,
    /// How it runs in a container.
    pub container: Option<Container>,
}

/// `[profiles.NAME]`: a named stack.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Where its name stands.
    pub at: Place,
    /// The profile whose keys it takes where it has none itself.
    pub extends: Option<Located<String>>,
    /// Its services, in written order.
    pub services: Option<Vec<Located<String>>>,
    /// The tasks that run before the stack starts.
    pub build: Option<Vec<Located<String>>>,
    /// Variables for all its services.
    pub env: BTreeMap<String, EnvValue>,
    /// `.env` files for all its services.
    pub env_file: Option<Vec<Located<String>>>,
    /// What it changes in services, by service; the place is that of the service's name.
    pub overrides: BTreeMap<String, Located<Service>>,
}

/// The `state_dir` of a text, as far as it can be read: a broken `dev.toml` must not hide what runs.
pub fn state_dir(text: &str) -> Option<String> {
    // Most say nothing of it, and every command asks.
    text.contains("state_dir").then_some(())?;
    readable(text).get("state_dir")?.get_ref().as_str().map(str::to_owned)
}

/// The names of the profiles of a text, as far as it can be read, for the same reason.
pub fn profiles_in(text: &str) -> Vec<String> {
    if !text.contains("profiles") {
        return Vec::new();
    }
    let table = readable(text);
    let profiles = table.get("profiles").and_then(|profiles| profiles.get_ref().as_table());
    let names = profiles.into_iter().flat_map(|profiles| profiles.keys());
    names.map(|name| name.get_ref().clone().into_owned()).collect()
}

/// The profile that exists when `dev.toml` names none: all services.
pub const IMPLICIT_PROFILE: &str = "dev";

/// The profile that is meant where none is named, if `default_profile` is written as it usually is: a guess, for what may be wrong.
pub fn likely_profile(text: &str) -> &str {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix("default_profile")?.trim_start().strip_prefix('='));
    value.map_or(IMPLICIT_PROFILE, |value| value.trim().trim_matches(['"', '\'']))
}

/// What can be read of a text.
fn readable(text: &str) -> toml::de::DeTable<'_> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    toml::de::DeTable::parse_recoverable(text).0.into_inner()
}

/// Nested values as TOML.
///
/// # Errors
/// When they hold what TOML cannot say.
pub fn to_toml(value: &impl serde::Serialize) -> Result<String, toml::ser::Error> {
    toml::to_string(value)
}

impl Config {
    /// Reads and checks a whole text; `file` is its name as problems show it.
    ///
    /// # Errors
    /// Every problem of the text, sorted by place. A text that is not TOML is not looked into any further.
    pub fn parse(text: &str, file: &str) -> Result<Self, Problems> {
        let (config, problems) = Self::recover(text, file);
        if problems.1.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    }

    /// What can be read of a text, and its problems, as [`Config::parse`] has them: what is wrong in one place hides nothing elsewhere.
    pub fn recover(text: &str, file: &str) -> (Self, Problems) {
        decode::recover(text, file)
    }

    /// A profile and those it extends, itself first. Ends before an unknown one and before a profile comes twice.
    pub fn lineage(&self, profile: &str) -> Vec<(&str, &Profile)> {
        let mut lineage: Vec<(&str, &Profile)> = Vec::new();
        let mut next = self.profiles.get_key_value(profile);
        while let Some((name, profile)) = next
            && lineage.iter().all(|(seen, _)| seen != name)
        {
            lineage.push((name.as_str(), profile));
            next = profile
                .extends
                .as_ref()
                .and_then(|parent| self.profiles.get_key_value(&parent.value));
        }
        lineage
    }

    /// The services that a profile lists, itself or through what it extends; `None` when none of them says so.
    pub fn services_of(&self, profile: &str) -> Option<&[Located<String>]> {
        self.lineage(profile)
            .into_iter()
            .find_map(|(_, profile)| profile.services.as_deref())
    }

    /// A service with the overrides of a profile, those of what it extends below its own; `None` when there is no
    /// such service.
    pub fn service_in(&self, profile: &str, service: &str) -> Option<Service> {
        let mut merged = self.services.get(service)?.clone();
        for (_, profile) in self.lineage(profile).into_iter().rev() {
            if let Some(over) = profile.overrides.get(service) {
                merged = merged.merged_with(&over.value);
            }
        }
        Some(merged)
    }
}
