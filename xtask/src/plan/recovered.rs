//! What else is wrong with a `dev.toml` that is wrong already: all errors are told at once.

use super::environment::ReadFile;
use super::{Invocation, profile_names, resolve};
use crate::config::{Config, Place, Problem, Problems};
use std::collections::BTreeSet;
use std::path::Path;

/// `problems` of a file, and those that only its profiles show. Where something is wrong already, what could be read is not all there
/// is: of a section with problems only those are told that have a place of their own in it, and nothing of services that are not listed,
/// or clash, where the lists themselves have problems.
pub fn and_more(
    config: &Config,
    file: &Path,
    problems: Problems,
    invocation: &Invocation,
    read: ReadFile<'_>,
) -> Problems {
    let Problems(name, mut problems) = problems;
    let profiles: BTreeSet<Place> = config.profiles.values().map(|profile| profile.at).collect();
    let services = config.services.values().map(|service| service.at);
    let tasks = config.tasks.values().map(|task| task.at);
    let sections: BTreeSet<Place> = profiles.iter().copied().chain(services).chain(tasks).collect();
    let section = |place: Place| sections.range(..=place).next_back().copied();
    let broken: BTreeSet<Place> = problems.iter().filter_map(|problem| section(problem.place?)).collect();
    let lists_are_whole = broken.is_disjoint(&profiles);
    let is_certain = |problem: &Problem| {
        problem.place.is_some_and(|place| {
            let is_of_the_whole = sections.contains(&place);
            !is_of_the_whole || lists_are_whole && !broken.contains(&place)
        })
    };
    for profile in profile_names(config) {
        let Err(Problems(_, more)) = resolve(config, file, Some(&profile), invocation, read) else {
            continue;
        };
        for problem in more.into_iter().filter(is_certain) {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
    problems.sort_by_key(|problem| problem.place);
    Problems(name, problems)
}
