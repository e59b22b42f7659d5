//! The `container` tables of one profile, resolved. They shape what `export` writes and nothing that runs here, so they
//! stand beside the plan and not in it: a change of an image restarts nothing.

use super::secret::Mask;
use super::strings::Strings;
use super::{Plan, TaskPlan};
use crate::config::{Config, Container, EnvValue, Network, Problem, Problems, Service, Task, expand};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A profile's services and tasks as `dev.toml` writes them, overrides merged in, with their containers resolved.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    /// The services, by their name without an instance's number.
    pub services: BTreeMap<String, (Service, Option<ContainerPlan>)>,
    /// The tasks that the plan builds.
    pub tasks: BTreeMap<String, (Task, Option<ContainerPlan>)>,
}

/// A container table, resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerPlan {
    /// The image.
    pub image: String,
    /// How it is built.
    pub build: Option<BuildPlan>,
    /// The whole command line, in place of script and arguments; empty means the image's own.
    pub command: Option<Vec<String>>,
    /// The working directory in the image.
    pub cwd: Option<String>,
    /// Variables over all others; removed where `None`.
    pub env: BTreeMap<String, Option<String>>,
    /// The command that says whether it is well.
    pub healthcheck: Option<Vec<String>>,
    /// Whose network it has.
    pub network: Network,
    /// The image that waits for dependencies.
    pub wait_image: String,
}

/// How an image is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildPlan {
    /// The directory that is sent to the build, relative to the workspace or absolute.
    pub context: String,
    /// The file to build by.
    pub dockerfile: Option<String>,
    /// The stage to build.
    pub target: Option<String>,
}

/// What waits where a service names nothing else: the smallest image with `sh`, `nc` and `wget`.
const WAIT_IMAGE: &str = "docker.io/library/busybox:1.37";

/// The service that an instance is one of: `web` for `web-0` of two, else its own name.
pub fn base_name<'p>(config: &Config, name: &'p str) -> &'p str {
    if config.services.contains_key(name) {
        return name;
    }
    name.rsplit_once('-').map_or(name, |(base, _)| base)
}

/// What `dev.toml` writes of the plan's services and tasks; `shell` serves `${VAR}`, as it did for the plan.
///
/// # Errors
/// Every container that does not resolve.
pub fn written(config: &Config, plan: &Plan, shell: &BTreeMap<String, String>) -> Result<Written, Problems> {
    let mut problems = Vec::new();
    let mut written = Written::default();
    let mut resolve = |at, what: String, container: Option<&Container>, own: &BTreeMap<String, Option<String>>| {
        let container = container?;
        let mut errors = Vec::new();
        let plan = resolve(container, shell, own, &mut errors);
        problems.extend(errors.into_iter().map(|error| Problem {
            place: Some(at),
            message: format!("[{what}.container] {error}"),
        }));
        Some(plan)
    };
    for service in &plan.services {
        let name = base_name(config, &service.name);
        if written.services.contains_key(name) {
            continue;
        }
        let merged = config.service_in(&plan.profile, name);
        if let Some(merged) = merged.or_else(|| config.services.get(name).cloned()) {
            let what = format!("services.{name}");
            let container = resolve(merged.at, what, merged.container.as_ref(), &service.env);
            written.services.insert(name.to_owned(), (merged, container));
        }
    }
    for TaskPlan { name, env, .. } in &plan.builds {
        if let Some(task) = config.tasks.get(name) {
            let container = resolve(task.at, format!("tasks.{name}"), task.container.as_ref(), env);
            written.tasks.insert(name.clone(), (task.clone(), container));
        }
    }
    if problems.is_empty() {
        Ok(written)
    } else {
        Err(Problems(config.file.clone(), problems))
    }
}

fn resolve(
    container: &Container,
    shell: &BTreeMap<String, String>,
    own: &BTreeMap<String, Option<String>>,
    errors: &mut Vec<String>,
) -> ContainerPlan {
    let mut env = BTreeMap::new();
    let lookup = |name: &str| shell.get(name).cloned();
    for (name, value) in &container.env {
        match value {
            EnvValue::Remove => drop(env.insert(name.clone(), None)),
            EnvValue::Set(text) => match expand::expand(text, &lookup) {
                Ok(value) => drop(env.insert(name.clone(), Some(value))),
                Err(why) => errors.push(format!("env {name}: {why}")),
            },
        }
    }
    let mut strings = Strings { shell, own, errors };
    ContainerPlan {
        image: strings.text("image", &container.image),
        build: container.build.as_ref().map(|build| BuildPlan {
            context: strings.text("build.context", &build.context),
            dockerfile: build
                .dockerfile
                .as_ref()
                .map(|file| strings.text("build.dockerfile", file)),
            target: build.target.as_ref().map(|stage| strings.text("build.target", stage)),
        }),
        command: container
            .command
            .as_ref()
            .map(|command| strings.words("command", Some(command))),
        cwd: container.cwd.as_ref().map(|cwd| strings.text("cwd", cwd)),
        env,
        healthcheck: container
            .healthcheck
            .as_ref()
            .map(|command| strings.list("healthcheck", command)),
        network: container.network.unwrap_or_default(),
        wait_image: strings.text("wait_image", container.wait_image.as_deref().unwrap_or(WAIT_IMAGE)),
    }
}

impl ContainerPlan {
    /// As `config` prints it: in the words of `dev.toml`, secrets masked. An image that is as it is written is in the open
    /// anyway: a password of `postgres` does not hide it.
    pub fn view(&self, written: &Container, mask: &Mask) -> Value {
        let image = |image: &String, written: &str| {
            let is_open = image == written;
            if is_open { image.clone() } else { mask.text(image) }
        };
        let mut view = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                view.insert(key.to_owned(), value);
            }
        };
        put("image", Some(json!(image(&self.image, &written.image))));
        put("command", self.command.as_ref().map(|words| json!(mask.words(words))));
        put("cwd", self.cwd.as_ref().map(|cwd| json!(mask.text(cwd))));
        put(
            "healthcheck",
            self.healthcheck.as_ref().map(|words| json!(mask.words(words))),
        );
        put("network", Some(json!(self.network.name())));
        let wait_image = written.wait_image.as_deref().unwrap_or(WAIT_IMAGE);
        put("wait_image", Some(json!(image(&self.wait_image, wait_image))));
        put("build", self.build.as_ref().map(|build| build.view(mask)));
        put("env", Some(super::view::of_env(&self.env, mask)));
        view.into()
    }
}

impl BuildPlan {
    fn view(&self, mask: &Mask) -> Value {
        let keys = [
            ("context", Some(&self.context)),
            ("dockerfile", self.dockerfile.as_ref()),
            ("target", self.target.as_ref()),
        ];
        let written = keys
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), json!(mask.text(value?)))));
        written.collect::<Map<String, Value>>().into()
    }
}
