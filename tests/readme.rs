//! The README names what exists: every command it shows, and every verb there is.

use crate::support::Project;
use std::collections::BTreeSet;

const README: &str = include_str!("../README.md");

fn words_after<'t>(text: &'t str, start: &str) -> BTreeSet<&'t str> {
    let word = |rest: &'t str| {
        rest.split(|c: char| !(c.is_ascii_lowercase() || c == '-'))
            .next()
            .unwrap_or_default()
    };
    text.split(start)
        .skip(1)
        .map(word)
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn every_command_of_the_readme_exists() {
    let project = Project::new();
    let verbs = words_after(README, "cargo xtask ");
    assert!(verbs.contains("dev") && verbs.contains("ci"), "{verbs:?}");
    for verb in verbs.into_iter().filter(|verb| !verb.starts_with('-')) {
        project.run(&[verb, "--help"]).ok();
    }
}

#[test]
fn every_verb_is_in_the_readme() {
    let help = Project::new().run(&["--help"]).ok().stdout.clone();
    let verbs = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "));
    let verbs: Vec<&str> = verbs
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    assert!(verbs.contains(&"dev") && verbs.contains(&"ci"), "{help}");
    for verb in verbs {
        assert!(
            README.contains(&format!("`{verb}")),
            "the README does not tell of `{verb}`"
        );
    }
}

#[test]
fn every_flag_of_dev_that_the_readme_shows_exists() {
    let help = Project::new().run(&["dev", "--help"]).ok().stdout.clone();
    for flag in [
        "--caddy",
        "--detach",
        "--wait",
        "--only",
        "--except",
        "--env",
        "--no-build",
        "--no-watch",
        "--replace",
    ] {
        assert!(README.contains(flag) && help.contains(flag), "{flag}");
    }
}
