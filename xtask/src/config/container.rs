//! `[services.NAME.container]` and `[tasks.NAME.container]`: what an engine that runs images needs to know.
//!
//! Only `export` reads it; nothing here runs on this machine.

use std::collections::BTreeMap;

use super::nearest::did_you_mean;
use super::section::{Item, Section};
use super::shapes::{env, strings, text, words};
use super::values::{Leaf, Refusal, Scalar};
use super::{EnvValue, Words};

/// How a service or task runs in a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// The image; never empty.
    pub image: String,
    /// How the image is built, for engines that build.
    pub build: Option<ImageBuild>,
    /// The whole command line, in place of `script` and `args`; empty means the image's own.
    pub command: Option<Words>,
    /// The working directory in the image; the image's own when absent.
    pub cwd: Option<String>,
    /// Variables that differ there, over all others.
    pub env: BTreeMap<String, EnvValue>,
    /// A command in the image that exits with 0 when it is well, for engines that cannot ask from outside.
    pub healthcheck: Option<Vec<String>>,
    /// Whose network it has.
    pub network: Option<Network>,
    /// The image, with `sh`, `nc` and `wget`, that waits for what this service depends on.
    pub wait_image: Option<String>,
}

/// `build` of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageBuild {
    /// The directory that is sent to the build.
    pub context: String,
    /// The file to build by, below the context.
    pub dockerfile: Option<String>,
    /// The stage to build.
    pub target: Option<String>,
}

/// Whose network a container has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Its own: it is reached by its name, and its `localhost` is itself.
    #[default]
    Own,
    /// The machine's: everything is on `localhost`, as it is without containers.
    Host,
}

impl Network {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Host => "host",
        }
    }
}

impl Leaf for Network {
    const EXPECTED: &'static str = "\"own\" or \"host\"";

    fn read(scalar: &Scalar<'_>) -> Result<Self, Refusal> {
        match scalar {
            Scalar::Text("own") => Ok(Self::Own),
            Scalar::Text("host") => Ok(Self::Host),
            Scalar::Text(other) => Err(Refusal::Because(format!(
                "`{other}` is not a network; write {}{}",
                Self::EXPECTED,
                did_you_mean(other, ["own", "host"])
            ))),
            Scalar::Integer(_) | Scalar::Float(_) | Scalar::Flag(_) => Err(Refusal::Kind),
        }
    }
}

/// A container table.
pub(super) fn container(mut section: Section<'_, '_>) -> Container {
    if !section.has("image") {
        section.refuse("the container has no `image`; add the name of the image that it runs".to_owned());
    }
    let container = Container {
        image: text(&mut section, "image").unwrap_or_default(),
        build: section.section("build").map(build),
        command: section.take("command").and_then(words),
        cwd: text(&mut section, "cwd"),
        env: env(&mut section),
        healthcheck: section.take("healthcheck").and_then(healthcheck),
        network: section.leaf("network"),
        wait_image: text(&mut section, "wait_image"),
    };
    section.finish();
    container
}

fn build(mut section: Section<'_, '_>) -> ImageBuild {
    if !section.has("context") {
        section.refuse("the build has no `context`; add the directory that it builds from".to_owned());
    }
    let build = ImageBuild {
        context: text(&mut section, "context").unwrap_or_default(),
        dockerfile: text(&mut section, "dockerfile"),
        target: text(&mut section, "target"),
    };
    section.finish();
    build
}

fn healthcheck(item: Item<'_, '_>) -> Option<Vec<String>> {
    if item.is_empty_list() {
        item.refuse("it names no program");
        return None;
    }
    strings(item, "a list: a program and its arguments")
}
