//! Checks what one key alone cannot show: names that refer to nothing, cycles, copies and ports that collide.
//!
//! Reads a decoded [`Config`] and notes problems; changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::cycles::{Graph, cycles, show};
use super::nearest::did_you_mean;
use super::problem::Report;
use super::service::{Condition, Port};
use super::{Config, IMPLICIT_PROFILE, Located, Place, Service};

/// Notes every problem of a whole configuration.
pub(super) fn validate(config: &Config, report: &Report<'_>) {
    let check = Check { config, report };
    check.names();
    for (name, service) in &config.services {
        check.service(name, service);
    }
    check.profiles();
    check.dependency_cycles();
    check.ports();
}

struct Check<'c> {
    config: &'c Config,
    report: &'c Report<'c>,
}

impl Check<'_> {
    fn problem(&self, at: Place, message: String) {
        self.report.push(at, message);
    }

    /// Notes a name that none of `known` has.
    fn known<T>(&self, kind: &str, name: &Located<String>, known: &BTreeMap<String, T>) {
        if known.contains_key(&name.value) {
            return;
        }
        let meant = did_you_mean(&name.value, known.keys().map(String::as_str));
        let hint = match known.is_empty() {
            true => format!("; there are no {kind}s"),
            false if meant.is_empty() => {
                format!("; known are {}", known.keys().cloned().collect::<Vec<_>>().join(", "))
            }
            false => meant,
        };
        self.problem(name.at, format!("there is no {kind} `{}`{hint}", name.value));
    }

    fn each_once<'n>(&self, names: impl IntoIterator<Item = &'n Located<String>>) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(&name.value) {
                self.problem(name.at, format!("`{}` is listed twice; remove one", name.value));
            }
        }
    }

    /// No service is called like a copy of another. A task and a service may share a name.
    fn names(&self) {
        for (name, service) in &self.config.services {
            if let Some((original, copy)) = name.rsplit_once('-')
                && let Some(instances) = self.most_instances(original)
                && copy
                    .parse::<u32>()
                    .is_ok_and(|number| number < instances && number.to_string() == copy)
            {
                let message = format!(
                    "`{name}` is also the name of a copy of `{original}`, which has {instances} instances; rename one"
                );
                self.problem(service.at, message);
            }
        }
    }

    /// The most copies that a service has in any profile; `None` when it is never more than itself.
    fn most_instances(&self, name: &str) -> Option<u32> {
        let base = self.config.services.get(name)?;
        let overrides = self
            .config
            .profiles
            .values()
            .filter_map(|profile| profile.overrides.get(name));
        let all = overrides.map(|over| &over.value).chain([base]);
        all.filter_map(|service| service.instances)
            .max()
            .filter(|instances| *instances > 1)
    }

    /// What a service or an override refers to.
    fn service(&self, name: &str, service: &Service) {
        self.tasks(service.build.as_deref());
        let Some(dependencies) = &service.depends_on else {
            return;
        };
        self.each_once(dependencies.iter().map(|(on, _)| on));
        for (on, dependency) in dependencies {
            let Located { value: other, at } = on;
            let is_service = self.config.services.contains_key(other);
            let is_task = self.config.tasks.contains_key(other);
            let to_its_end = dependency.condition == Condition::Completed;
            if other == name && is_service {
                self.problem(*at, format!("`{name}` depends on itself; remove it"));
            } else if is_service && is_task && to_its_end {
                self.problem(
                    *at,
                    format!("`{other}` is both a service and a task, and either could complete; rename one"),
                );
            } else if is_service || !is_task {
                self.known("service", on, &self.config.services);
            } else if !to_its_end {
                let how = format!("`depends_on = {{ {other} = \"completed\" }}`");
                self.problem(*at, format!("`{other}` is a task: wait for its end with {how}"));
            } else if dependency.restart {
                self.problem(
                    *at,
                    format!("`{other}` is a task and never comes back; remove `restart`"),
                );
            }
        }
    }

    fn tasks(&self, names: Option<&[Located<String>]>) {
        for name in names.unwrap_or_default() {
            self.known("task", name, &self.config.tasks);
        }
    }

    fn profiles(&self) {
        let Config {
            profiles,
            services,
            default_profile,
            ..
        } = self.config;
        for profile in profiles.values() {
            if let Some(parent) = &profile.extends {
                self.known("profile", parent, profiles);
            }
            self.each_once(profile.services.iter().flatten());
            for service in profile.services.iter().flatten() {
                self.known("service", service, services);
            }
            self.tasks(profile.build.as_deref());
            for (service, over) in &profile.overrides {
                self.known(
                    "service",
                    &Located {
                        value: service.clone(),
                        at: over.at,
                    },
                    services,
                );
                self.service(service, &over.value);
            }
        }
        let parents: Graph<'_> = profiles
            .iter()
            .filter_map(|(name, profile)| Some((name.as_str(), vec![profile.extends.as_ref()?.value.as_str()])))
            .collect();
        for cycle in cycles(&parents) {
            let at = profiles
                .get(cycle[0])
                .and_then(|profile| profile.extends.as_ref())
                .map(|parent| parent.at);
            self.problem(
                at.unwrap_or_default(),
                format!("profiles extend each other: {}; break the cycle", show(&cycle)),
            );
        }
        if let Some(default) = default_profile
            && !(profiles.is_empty() && default.value == IMPLICIT_PROFILE)
        {
            self.known("profile", default, profiles);
        }
    }

    /// Cycles among all services as they are, then as each profile overrides them.
    fn dependency_cycles(&self) {
        let services = &self.config.services;
        let mut told = BTreeSet::new();
        self.cycles_of(services, &mut told);
        for profile in self.config.profiles.keys() {
            let merged = services
                .keys()
                .filter_map(|name| Some((name.clone(), self.config.service_in(profile, name)?)));
            self.cycles_of(&merged.collect(), &mut told);
        }
    }

    fn cycles_of(&self, services: &BTreeMap<String, Service>, told: &mut BTreeSet<String>) {
        let dependencies = |name: &str| {
            services
                .get(name)
                .and_then(|service| service.depends_on.as_ref())
                .into_iter()
                .flatten()
        };
        let others = |name: &str| {
            let names = dependencies(name).map(|(on, _)| on.value.as_str());
            // A service that depends on itself has been told of.
            names.filter(|on| *on != name).collect()
        };
        let graph: Graph<'_> = services.keys().map(|name| (name.as_str(), others(name))).collect();
        for cycle in cycles(&graph) {
            let shown = show(&cycle);
            let next = cycle.get(1).copied();
            let at = dependencies(cycle[0])
                .find(|(on, _)| Some(on.value.as_str()) == next)
                .map(|(on, _)| on.at);
            if told.insert(shown.clone()) {
                self.problem(
                    at.unwrap_or_default(),
                    format!("services depend on each other: {shown}; break the cycle"),
                );
            }
        }
    }

    /// Two services of one stack cannot listen on one port.
    fn ports(&self) {
        let config = self.config;
        for profile in config.profiles.keys() {
            let listed = config.services_of(profile).unwrap_or_default();
            let merged = listed
                .iter()
                .filter_map(|name| Some((name.clone(), config.service_in(profile, &name.value)?)));
            self.ports_of(merged.collect());
        }
        if config.profiles.is_empty() {
            let all = config.services.iter();
            self.ports_of(
                all.map(|(name, service)| {
                    (
                        Located {
                            value: name.clone(),
                            at: service.at,
                        },
                        service.clone(),
                    )
                })
                .collect(),
            );
        }
    }

    fn ports_of(&self, services: Vec<(Located<String>, Service)>) {
        let mut owners: BTreeMap<u16, String> = BTreeMap::new();
        for (name, service) in services {
            for port in service.ports.iter().flatten() {
                let Port::Number(port) = port else { continue };
                let owner = owners.entry(*port).or_insert_with(|| name.value.clone());
                if *owner != name.value {
                    let message = format!("`{owner}` and `{}` both declare port {port}; change one", name.value);
                    self.problem(name.at, message);
                }
            }
        }
    }
}
