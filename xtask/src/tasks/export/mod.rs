//! A profile → the documents of an engine that runs it on more than one machine, and notes on all that it cannot say there.
//!
//! Pure: reads no file, writes none. Each engine is one file; `stack`, `keys` and `secret` are what they share.

mod compose;
mod keys;
mod kubernetes;
mod names;
mod open;
mod secret;
mod stack;
mod systemd;
mod variables;
pub mod yaml;

use crate::config::{Config, Container};
use crate::plan::{Plan, Written};
use anyhow::{Result, bail};
use keys::Fate;
pub use keys::Key;
use names::names_differ;
use open::refuse_open_secrets;
pub use secret::PLACEHOLDER;
use stack::Stack;
pub use stack::{Find, relative};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a profile is exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Units for this machine.
    Systemd,
    /// `compose.yaml`, for podman-compose and its like.
    Compose,
    /// Objects for a cluster.
    Kubernetes,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Compose => "compose",
            Self::Kubernetes => "kubernetes",
        }
    }

    fn fate(self, key: Key) -> Fate {
        match self {
            Self::Systemd => systemd::fate(key),
            Self::Compose => compose::fate(key),
            Self::Kubernetes => kubernetes::fate(key),
        }
    }
}

/// What an export reads.
pub struct Source<'a> {
    /// `dev.toml`.
    pub config: &'a Config,
    /// The profile, resolved.
    pub plan: &'a Plan,
    /// What `dev.toml` writes of its services and tasks.
    pub written: &'a Written,
    /// The variables of the shell that `dev.toml` reads, with which the plan was resolved.
    pub shell: BTreeMap<String, String>,
    /// The PATH of the shell.
    pub path: Option<&'a str>,
    /// The workspace as seen from where the documents will be: `..`; empty when they are there.
    pub workspace: PathBuf,
    /// Finds a bare program name on a PATH, from a directory.
    pub find: Find<'a>,
}

/// What an export gives.
#[derive(Debug)]
pub struct Export {
    /// The documents, in the order in which they are read best.
    pub documents: Vec<Document>,
    /// What has no counterpart: lines for people.
    pub notes: Vec<String>,
}

/// One file.
#[derive(Debug, PartialEq, Eq)]
pub struct Document {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Whether secrets are to be filled in, so that it must not be written over once it is there.
    pub to_fill_in: bool,
}

/// What has no counterpart, gathered: the same of several services is one line.
#[derive(Debug, Default)]
struct Notes(Vec<(String, Vec<String>, String)>);

impl Notes {
    /// Notes that `what` of `who` has no counterpart, and what there is instead.
    fn add(&mut self, what: impl Into<String>, who: &str, instead: impl Into<String>) {
        let (what, instead) = (what.into(), instead.into());
        let same = |note: &&mut (String, Vec<String>, String)| note.0 == what && note.2 == instead;
        match self.0.iter_mut().find(same) {
            Some((_, names, _)) if names.iter().any(|name| name == who) => {}
            Some((_, names, _)) => names.push(who.to_owned()),
            None => self.0.push((what, vec![who.to_owned()], instead)),
        }
    }

    fn lines(self, engine: Engine) -> Vec<String> {
        let line = |(what, who, instead): (String, Vec<String>, String)| {
            format!(
                "no counterpart in {}: {what} ({}): {instead}",
                engine.name(),
                who.join(", ")
            )
        };
        self.0.into_iter().map(line).collect()
    }
}

/// Exports a profile.
///
/// # Errors
/// When services lack a container where the engine runs images, when names collide there, or when a secret would be printed.
pub fn export(engine: Engine, source: &Source<'_>) -> Result<Export> {
    let stack = Stack {
        plan: source.plan,
        services: stack::workloads(source.config, source.plan, source.written),
        tasks: stack::chores(source.plan, source.written),
        secrets: stack::secrets(&source.shell, source.plan, source.written),
        workspace: source.workspace.clone(),
        path: source.path,
        find: source.find,
    };
    names_differ(engine, &stack)?;
    refuse_open_secrets(engine, &stack)?;
    let mut notes = Notes::default();
    for service in &stack.services {
        for key in keys::written(service.written) {
            if let Fate::Listed(instead) = engine.fate(key) {
                notes.add(format!("`{}`", key.name()), service.name, instead);
            }
        }
    }
    for key in keys::written_logs(&source.config.logs) {
        if let Fate::Listed(instead) = engine.fate(key) {
            notes.add(format!("`{}`", key.name()), "[logs]", instead);
        }
    }
    let documents = match engine {
        Engine::Systemd => systemd::documents(&stack, &mut notes),
        Engine::Compose => compose::documents(&stack, &mut notes),
        Engine::Kubernetes => kubernetes::documents(&stack, &mut notes),
    }?;
    let public = public_texts(&stack);
    for document in &documents {
        if let Some(name) = stack.secrets.found_within(&document.text, &public) {
            bail!(
                "the export would show the value of {name}, in {}; pass it to its service by `env` alone",
                document.name
            );
        }
    }
    Ok(Export {
        documents,
        notes: notes.lines(engine),
    })
}

/// What `dev.toml` itself writes for all to read: names and images.
fn public_texts<'a>(stack: &'a Stack<'_>) -> Vec<&'a str> {
    let written = |container: Option<&'a Container>| {
        container.into_iter().flat_map(|container| {
            let build = container.build.iter().map(|build| build.context.as_str());
            let images = std::iter::once(container.image.as_str()).chain(container.wait_image.as_deref());
            images.chain(build)
        })
    };
    let services = stack
        .services
        .iter()
        .flat_map(|service| std::iter::once(service.name).chain(written(service.written.container.as_ref())));
    let tasks = stack
        .tasks
        .iter()
        .flat_map(|task| std::iter::once(task.plan.name.as_str()).chain(written(task.written.container.as_ref())));
    let profile = std::iter::once(stack.plan.profile.as_str());
    profile.chain(services).chain(tasks).collect()
}

/// All services have a container, or an error names those that have none.
fn require_containers(stack: &Stack<'_>) -> Result<()> {
    let without: Vec<&str> = stack
        .services
        .iter()
        .filter(|service| service.container.is_none())
        .map(|service| service.name)
        .collect();
    if let Some(first) = without.first() {
        bail!(
            "no `container` for {}; add `[services.{first}.container]` with its `image`",
            without.join(", ")
        );
    }
    Ok(())
}

/// Whole seconds, rounded up.
fn seconds(duration: std::time::Duration) -> u64 {
    duration
        .as_secs()
        .saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// What stands above every document.
fn head(stack: &Stack<'_>, engine: Engine, use_it: &str) -> String {
    let profile = &stack.plan.profile;
    format!(
        "# Profile {profile} of dev.toml, written by `cargo xtask export {} -p {profile}`: change it there.\n# {use_it}\n",
        engine.name()
    )
}
