//! What a user's word for services means: a name, a glob or `all`.

use globset::{Glob, GlobMatcher};

/// A word that stands for services by their names.
#[derive(Debug, Clone)]
pub struct NamePattern(Option<GlobMatcher>);

impl NamePattern {
    /// `None` where the word is neither a name nor a glob.
    pub fn new(word: &str) -> Option<Self> {
        if word == "all" {
            return Some(Self(None));
        }
        Glob::new(word).ok().map(|glob| Self(Some(glob.compile_matcher())))
    }

    /// Whether it means the service of this name.
    pub fn matches(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|glob| glob.is_match(name))
    }
}

/// Whether `name` is one of the copies (`NAME-0`, `NAME-1`, …) that a service with `instances` runs in.
pub fn is_instance_of(name: &str, service: &str) -> bool {
    let number = name.strip_prefix(service).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_name_a_glob_or_all() {
        let matches = |word: &str, name: &str| NamePattern::new(word).unwrap().matches(name);
        assert!(matches("web", "web") && !matches("web", "web-0"));
        assert!(matches("web*", "web-0") && !matches("web*", "api"));
        assert!(matches("all", "web"));
        assert!(NamePattern::new("web[").is_none());
    }

    #[test]
    fn instances_are_numbered_copies() {
        assert!(is_instance_of("web-0", "web") && is_instance_of("web-12", "web"));
        for other in ["web", "web-", "web-a", "web2-0", "web-0-1"] {
            assert!(!is_instance_of(other, "web"), "{other}");
        }
    }
}
