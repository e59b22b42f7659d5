//! A profile with everything that it extends.
//! Decides nothing about services; it says what is written for them.

use crate::config::{self, Config, EnvValue, Located};
use std::collections::BTreeMap;

/// A profile with what it extends merged in.
#[derive(Default)]
pub(super) struct Profile {
    pub(super) services: Option<Vec<String>>,
    pub(super) build: Option<Vec<String>>,
    pub(super) env: BTreeMap<String, EnvValue>,
    pub(super) env_file: Vec<Located<String>>,
    pub(super) overrides: BTreeMap<String, config::Service>,
}

impl Profile {
    /// The profile with its ancestors; validation has proven that they exist and end.
    pub(super) fn merged(config: &Config, name: &str) -> Self {
        let mut merged = Self::default();
        for (_, profile) in config.lineage(name).into_iter().rev() {
            let values = |list: &Vec<Located<String>>| list.iter().map(|name| name.value.clone()).collect();
            merged.services = profile.services.as_ref().map(values).or(merged.services);
            merged.build = profile.build.as_ref().map(values).or(merged.build);
            merged.env.extend(profile.env.clone());
            merged.env_file = profile.env_file.clone().unwrap_or(merged.env_file);
            for (service, over) in &profile.overrides {
                let base = merged.overrides.remove(service).unwrap_or_default();
                merged.overrides.insert(service.clone(), base.merged_with(&over.value));
            }
        }
        if merged.services.is_none() {
            merged.services = Some(config.services.keys().cloned().collect());
        }
        merged
    }
}
