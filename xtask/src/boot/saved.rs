//! `saved.json`: which stacks run, so that they can be started again. Names of profiles, options and services only; a
//! variable's value, even one of `-e`, is never in it.

use crate::plan::Options;
use serde::{Deserialize, Serialize};

/// Raised when an older program could misread the file.
const VERSION: u32 = 1;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    version: u32,
    /// The stacks, in the order of their profiles' names.
    pub stacks: Vec<SavedStack>,
}

/// A stack that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedStack {
    /// Its profile.
    pub profile: String,
    /// `--only`.
    only: Vec<String>,
    /// `--except`.
    except: Vec<String>,
    /// The services that the user had stopped.
    stopped: Vec<String>,
    /// `--no-watch`.
    no_watch: bool,
    /// `--no-build`.
    no_build: bool,
}

impl Saved {
    /// These stacks.
    pub fn new(stacks: Vec<SavedStack>) -> Self {
        Self {
            version: VERSION,
            stacks,
        }
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// When it is torn, or of another version.
    pub fn parse(text: &str) -> Result<Self, String> {
        let saved: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if saved.version == VERSION {
            Ok(saved)
        } else {
            Err(format!(
                "it is of version {}, this program knows {VERSION}",
                saved.version
            ))
        }
    }

    /// The file's text.
    pub fn text(&self) -> String {
        // Strings and booleans only: this cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl SavedStack {
    /// A stack that runs with these options.
    pub fn new(profile: &str, options: &Options) -> Self {
        let Options {
            only,
            except,
            set: _,
            stopped,
            no_watch,
            no_build,
        } = options.clone();
        Self {
            profile: profile.to_owned(),
            only,
            except,
            stopped,
            no_watch,
            no_build,
        }
    }

    /// The options that start it again.
    pub fn options(&self) -> Options {
        Options {
            only: self.only.clone(),
            except: self.except.clone(),
            set: Vec::new(),
            stopped: self.stopped.clone(),
            no_watch: self.no_watch,
            no_build: self.no_build,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        let options = Options {
            only: vec!["web".to_owned()],
            set: vec![("TOKEN".to_owned(), "hunter2".to_owned())],
            stopped: vec!["api".to_owned()],
            no_build: true,
            ..Options::default()
        };
        Saved::new(vec![SavedStack::new("prod", &options)])
    }

    #[test]
    fn what_is_saved_comes_back_but_for_variables() {
        let text = saved().text();
        assert!(!text.contains("hunter2") && !text.contains("TOKEN"), "{text}");
        let back = Saved::parse(&text).unwrap();
        assert_eq!(back, saved());
        let options = back.stacks[0].options();
        assert_eq!(
            (options.only.len(), options.stopped.len(), options.no_build),
            (1, 1, true)
        );
        assert!(options.set.is_empty());
    }

    #[test]
    fn any_part_of_the_file_is_known_to_be_torn() {
        let text = saved().text();
        for end in 0..text.trim_end().len() {
            assert!(Saved::parse(&text[..end]).is_err(), "{end}");
        }
        assert!(
            Saved::parse(&text.replace("\"version\": 1", "\"version\": 2"))
                .unwrap_err()
                .contains("version 2")
        );
    }
}
