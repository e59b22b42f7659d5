//! The workspace a command works in: `dev.toml`, the plan it resolves to, the shell it was called from.

use crate::config::{Config, Problem, Problems};
use crate::paths::{self, StackPaths};
use crate::plan::{self, Invocation, Options, Plan, TaskPlan};
use crate::process::scrub_cargo;
use crate::tasks::fresh::Place;
use crate::ui;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A directory with a `dev.toml`.
#[derive(Clone)]
pub(super) struct Workspace {
    /// Where `dev.toml` is.
    pub(super) file: PathBuf,
    /// Where logs and state are kept.
    pub(super) state_dir: PathBuf,
    text: String,
    /// Where the first byte is that is no UTF-8.
    not_text: Option<usize>,
}

impl Workspace {
    /// Finds it from the current directory. A broken `dev.toml` is no error yet: what runs can be stopped all the same.
    pub(super) fn find(named: Option<&Path>) -> Result<Self> {
        let start = std::env::current_dir().context("failed to find the current directory; it may have been removed: go to one that exists, or name a file with --file")?;
        let file = paths::find_config(named, &start)?;
        if named.is_none() && file.parent().is_none_or(|dir| !start.starts_with(dir)) {
            let (file, start) = (file.display(), start.display());
            ui::tell(&format!("using {file}: there is no dev.toml in {start} or above it"));
        }
        let bytes = std::fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let (text, not_text) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(valid))
            }
        };
        let dir = file.parent().unwrap_or(Path::new("/")).to_owned();
        let state_dir = crate::config::state_dir(&text);
        let state_dir = plan::below(&dir, state_dir.as_deref().unwrap_or(".dev"));
        Ok(Self {
            file,
            state_dir,
            text,
            not_text,
        })
    }

    /// Whether `dev.toml` reads this variable of the shell: `${NAME}` or `${NAME:-…}`.
    pub(super) fn reads(&self, name: &str) -> bool {
        let rest = |at: usize| &self.text[at + 2 + name.len()..];
        let start = format!("${{{name}");
        let mut places = self.text.match_indices(&start).map(|(at, _)| rest(at));
        places.any(|rest| rest.starts_with(['}', ':']))
    }

    /// `dev.toml` as types; an error tells also what only its profiles show.
    pub(super) fn whole_config(&self, invocation: &Invocation) -> Result<Config, Problems> {
        self.config().map_err(|problems| {
            let (config, _) = Config::recover(&self.text, &problems.0);
            plan::and_more(&config, &self.file, problems, invocation, &read)
        })
    }

    /// `dev.toml` as types.
    pub(super) fn config(&self) -> Result<Config, Problems> {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        if let Some(at) = self.not_text {
            return Err(Problems::not_text(&name, &self.text[..at]));
        }
        Config::parse(&self.text, &name)
    }

    /// The plan of a profile.
    pub(super) fn plan(&self, profile: Option<&str>, invocation: &Invocation) -> Result<Plan, Problems> {
        let config = self.whole_config(invocation)?;
        let plan = self.plan_of(&config, profile, invocation)?;
        if plan.services.is_empty() {
            let message = "no service to run: it has none".to_owned();
            return Err(Problems(config.file, vec![Problem { place: None, message }]));
        }
        Ok(plan)
    }

    /// The plan of a profile of a `dev.toml` that is already parsed.
    pub(super) fn plan_of(
        &self,
        config: &Config,
        profile: Option<&str>,
        invocation: &Invocation,
    ) -> Result<Plan, Problems> {
        plan::resolve(config, &self.file, profile, invocation, &read)
    }

    /// A task with the environment of a profile.
    pub(super) fn task(
        &self,
        config: &Config,
        profile: &str,
        name: &str,
        invocation: &Invocation,
    ) -> Result<TaskPlan, Problems> {
        plan::resolve_task(config, &self.file, profile, name, invocation, &read)
    }

    /// Where tasks have their files and their records.
    pub(super) fn place(&self) -> Place {
        Place {
            workspace: self.file.parent().unwrap_or(Path::new("/")).to_owned(),
            state_dir: self.state_dir.clone(),
        }
    }

    /// The files of a stack.
    pub(super) fn stack(&self, profile: &str) -> Result<StackPaths> {
        StackPaths::new(&self.state_dir, profile)
    }

    /// The profile that is probably meant where none is named, without reading all of `dev.toml`.
    pub(super) fn likely_profile(&self) -> &str {
        crate::config::likely_profile(&self.text)
    }

    /// The profiles that may run here: those that are known to have, and those of `dev.toml`, whose files may have been removed.
    pub(super) fn possible_profiles(&self, known: &[String]) -> Vec<String> {
        let mut names = known.to_vec();
        names.extend(plan::or_implicit(crate::config::profiles_in(&self.text)));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The profiles that have ever run here.
    pub(super) fn known_profiles(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.state_dir).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| paths::has_been_a_stacks(&entry.path()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// The shell's environment without what cargo added, and the options of `dev`.
pub(super) fn invocation(options: Options) -> Invocation {
    invocation_telling(options, &ui::tell)
}

/// The same; `tell` is called with what is left out.
pub(super) fn invocation_telling(options: Options, tell: &dyn Fn(&str)) -> Invocation {
    let mut shell = BTreeMap::new();
    for (name, value) in scrub_cargo(std::env::vars_os()) {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => {
                shell.insert(name, value);
            }
            (Ok(name), Err(_)) => tell(&format!("warning: {name} is not UTF-8 and is not passed on")),
            (Err(_), _) => tell("warning: a variable whose name is not UTF-8 is not passed on"),
        }
    }
    Invocation { shell, options }
}
