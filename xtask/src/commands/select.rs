//! Which services a user means: names, globs, ids, `all`, in one stack or in several; there also `PROFILE/NAME`, as they are shown.

use super::stacks::{self, Running};
use super::usage;
use super::workspace::Workspace;
use crate::config::{NamePattern, did_you_mean, is_instance_of};
use crate::ipc::protocol::{Failure, Stack};
use anyhow::{Result, bail};
use std::collections::BTreeSet;

/// For each stack the names of the services that `patterns` mean; no pattern means all.
pub(super) fn select(stacks: &[&Stack], patterns: &[String]) -> Result<Vec<Vec<String>>> {
    let mut chosen: Vec<Vec<String>> = stacks.iter().map(|_| Vec::new()).collect();
    let everything = ["all".to_owned()];
    let patterns = if patterns.is_empty() { &everything } else { patterns };
    for pattern in patterns {
        // No name has a slash in it.
        let (profile, word) = match pattern.split_once('/') {
            Some((profile, word)) => (Some(profile), word),
            None => (None, pattern.as_str()),
        };
        let meant = |stack: &&Stack| profile.is_none_or(|profile| stack.profile == profile);
        let matches = matcher(stacks.iter().copied().filter(meant), word)?;
        let mut found = false;
        for (stack, chosen) in stacks.iter().zip(&mut chosen).filter(|(stack, _)| meant(stack)) {
            for service in stack
                .services
                .iter()
                .filter(|service| matches(service.id, &service.name))
            {
                found = true;
                if !chosen.contains(&service.name) {
                    chosen.push(service.name.clone());
                }
            }
        }
        if !found {
            bail!("no service `{pattern}`{}", hint(stacks, pattern));
        }
    }
    Ok(chosen)
}

/// The same for a verb that changes something: each name must be in one stack only.
fn select_one(stacks: &[&Stack], patterns: &[String]) -> Result<Vec<Vec<String>>> {
    let chosen = select(stacks, patterns)?;
    let Some(hit) = several(stacks, &chosen) else {
        return Ok(chosen);
    };
    if patterns.is_empty() {
        return Err(usage(format!(
            "the services are in several stacks: {hit}; say which with -p"
        )));
    }
    for pattern in patterns {
        let one = select(stacks, std::slice::from_ref(pattern))?;
        if let Some(hit) = several(stacks, &one) {
            return Err(usage(format!(
                "{pattern} is in several stacks: {hit}; say which with -p"
            )));
        }
    }
    let all = patterns.join(", ");
    Err(usage(format!(
        "{all} are of several stacks: {hit}; change one stack at a time"
    )))
}

/// The stacks of which something is chosen; `None` where it is one, or none.
fn several(stacks: &[&Stack], chosen: &[Vec<String>]) -> Option<String> {
    let hit = stacks.iter().zip(chosen).filter(|(_, names)| !names.is_empty());
    let profiles: Vec<&str> = hit.map(|(stack, _)| stack.profile.as_str()).collect();
    (profiles.len() > 1).then(|| profiles.join(", "))
}

/// How a service is called where those of `several` stacks are told of.
pub(super) fn label(stack: &Stack, name: &str, several: bool) -> String {
    if several {
        format!("{}/{name}", stack.profile)
    } else {
        name.to_owned()
    }
}

/// The nearest name, or all there are.
fn hint(stacks: &[&Stack], pattern: &str) -> String {
    let is_label = pattern.contains('/');
    let mut names = BTreeSet::new();
    for stack in stacks {
        let services = stack.services.iter();
        names.extend(services.map(|service| label(stack, &service.name, is_label)));
    }
    // The profile they share would make any two services of a stack look alike.
    let nearest = match is_label {
        true => String::new(),
        false => did_you_mean(pattern, names.iter().map(String::as_str)),
    };
    if stacks.iter().any(|stack| stack.profile == pattern) {
        format!("; {pattern} is a profile: name it with -p")
    } else if nearest.is_empty() {
        format!("; there is {}", names.into_iter().collect::<Vec<_>>().join(", "))
    } else {
        nearest
    }
}

/// Lets `act` work on the chosen services of each stack that has any; what fails there ends it.
pub(super) fn for_each_chosen(
    mut running: Vec<Running>,
    patterns: &[String],
    mut act: impl FnMut(&mut Running, Vec<String>) -> Result<Vec<Failure>>,
) -> Result<()> {
    let statuses: Vec<&Stack> = running.iter().map(|running| &running.status).collect();
    let chosen = select_one(&statuses, patterns)?;
    for (running, services) in running
        .iter_mut()
        .zip(chosen)
        .filter(|(_, services)| !services.is_empty())
    {
        if let Some(error) = stacks::failed(&act(running, services)?) {
            return Err(error);
        }
    }
    Ok(())
}

/// Refuses a name that `dev.toml` has and no running stack: it is new, or was left out, and only `dev` adds it.
pub(super) fn refuse_new(workspace: &Workspace, running: &[Running], patterns: &[String]) -> Result<()> {
    let runs = |name: &String| {
        let mut services = running.iter().flat_map(|running| &running.status.services);
        services.any(|service| service.name == *name || is_instance_of(&service.name, name))
    };
    let unknown: Vec<&String> = patterns.iter().filter(|pattern| !runs(pattern)).collect();
    // Of a broken file nothing more can be said.
    let Some(config) = (!unknown.is_empty()).then(|| workspace.config().ok()).flatten() else {
        return Ok(());
    };
    let Some(name) = unknown.into_iter().find(|name| config.services.contains_key(*name)) else {
        return Ok(());
    };
    let has = |profile: &&str| {
        let listed = config.services_of(profile);
        listed.is_none_or(|listed| listed.iter().any(|service| service.value == *name))
    };
    let profiles: Vec<&str> = running.iter().map(|running| running.status.profile.as_str()).collect();
    match profiles.iter().copied().find(has) {
        Some(profile) => {
            bail!("{name} is in dev.toml, but not in the running stack; `cargo xtask dev -p {profile}` adds it")
        }
        None => match profiles.as_slice() {
            [profile] => bail!(
                "{name} is in dev.toml, but profile {profile} does not list it; add it there, then `cargo xtask dev -p {profile}`"
            ),
            several => bail!(
                "{name} is in dev.toml, but no profile that runs lists it ({}); add it to one, and run `cargo xtask dev` of that",
                several.join(", ")
            ),
        },
    }
}

type Matcher = Box<dyn Fn(u32, &str) -> bool>;

fn matcher<'s>(stacks: impl Iterator<Item = &'s Stack>, word: &str) -> Result<Matcher> {
    if let Ok(wanted) = word.parse::<u32>() {
        return Ok(Box::new(move |id, _| id == wanted));
    }
    let Some(names) = NamePattern::new(word) else {
        bail!("`{word}` is not a name, a glob or an id")
    };
    let all: Vec<&str> = stacks
        .flat_map(|stack| &stack.services)
        .map(|service| service.name.as_str())
        .collect();
    if !all.iter().any(|name| names.matches(name)) && all.iter().any(|name| is_instance_of(name, word)) {
        // As dev.toml has it: all its copies.
        let service = word.to_owned();
        return Ok(Box::new(move |_, name| is_instance_of(name, &service)));
    }
    Ok(Box::new(move |_, name| names.matches(name)))
}
