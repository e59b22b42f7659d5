//! What must not be printed: the values of variables whose names look secret, wherever they turn up.

use crate::plan::secret::{SHORTEST, SHORTEST_WITHIN, is_path, looks_secret};
use std::collections::{BTreeMap, BTreeSet};

/// What stands in the place of a secret, for its owner to fill in.
pub const PLACEHOLDER: &str = "CHANGE-ME";

/// The secret values that are known, longest first, each with the name of its variable.
#[derive(Debug, Default)]
pub struct Secrets(Vec<(String, String)>);

/// The variables of one container or unit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Those that may be read by everybody.
    pub plain: BTreeMap<String, String>,
    /// The names of the others.
    pub secret: BTreeSet<String>,
}

impl Secrets {
    /// Gathers them from variables: the shell's, and those of services and tasks.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let is_one = |name: &str, value: &str| {
            value.chars().count() >= SHORTEST && (looks_secret(name) && !is_path(value) || has_password(value))
        };
        let found: BTreeSet<(String, String)> = variables
            .into_iter()
            .filter(|(name, value)| is_one(name, value))
            .map(|(name, value)| (value.clone(), name.clone()))
            .collect();
        let mut all: Vec<(String, String)> = found.into_iter().collect();
        all.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        all.dedup_by(|one, other| one.0 == other.0);
        Self(all)
    }

    /// The variable whose value the text holds: one that is long enough anywhere, any other as the whole text or what follows its last
    /// `=`.
    pub fn found_in(&self, text: &str) -> Option<&str> {
        let last = text.rsplit('=').next().unwrap_or_default();
        let holds = |value: &str| text.contains(value) && (is_found_within(value) || value == text || value == last);
        let (_, name) = self.0.iter().find(|(value, _)| holds(value))?;
        Some(name)
    }

    /// The same within texts of other things, which hold short values by chance, and those that are `public` anyway.
    pub fn found_within(&self, text: &str, public: &[&str]) -> Option<&str> {
        let is_public = |value: &str| public.iter().any(|text| text.contains(value));
        let holds = |value: &str| is_found_within(value) && text.contains(value) && !is_public(value);
        let (_, name) = self.0.iter().find(|(value, _)| holds(value))?;
        Some(name)
    }

    /// The text with `escape` over what is open, and `reference` in place of each secret value; the names of those go
    /// to `used`.
    pub fn render(
        &self,
        text: &str,
        escape: &dyn Fn(&str) -> String,
        reference: &dyn Fn(&str) -> String,
        used: &mut BTreeSet<String>,
    ) -> String {
        let place = |value: &str| {
            if is_found_within(value) {
                text.find(value)
            } else {
                // A short one only where it is all that is left of a word.
                text.strip_suffix(value)
                    .filter(|before| before.is_empty() || before.ends_with('='))
                    .map(str::len)
            }
        };
        let first = self
            .0
            .iter()
            .filter_map(|(value, name)| Some((place(value)?, value, name)));
        // `min_by_key` takes the first of equals, which is the longest.
        let Some((at, value, name)) = first.min_by_key(|(at, _, _)| *at) else {
            return escape(text);
        };
        used.insert(name.clone());
        let rest = self.render(&text[at + value.len()..], escape, reference, used);
        format!("{}{}{rest}", escape(&text[..at]), reference(name))
    }

    /// The variables of something: its own, and on top of them its container's. What is removed was never there: no
    /// engine passes a shell's environment on.
    pub fn environment(
        &self,
        own: &BTreeMap<String, Option<String>>,
        container: Option<&BTreeMap<String, Option<String>>>,
    ) -> Environment {
        let mut all = own.clone();
        all.extend(
            container
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        let mut environment = Environment::default();
        for (name, value) in all {
            match value {
                None => {}
                Some(value) if looks_secret(&name) || self.found_in(&value).is_some() || has_password(&value) => {
                    environment.secret.insert(name);
                }
                Some(value) => {
                    environment.plain.insert(name, value);
                }
            }
        }
        environment
    }
}

fn is_found_within(value: &str) -> bool {
    value.chars().count() >= SHORTEST_WITHIN
}

/// Whether one of its URLs has a password: `postgres://user:secret@host/`.
fn has_password(value: &str) -> bool {
    let is_login = |address: &str| {
        let authority = address.split(['/', '?', '#']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
        user.is_some_and(|(_, password)| !password.is_empty())
    };
    value.split("://").skip(1).any(is_login)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(pairs: &[(&str, &str)]) -> BTreeMap<String, Option<String>> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), Some((*value).to_owned()));
        pairs.iter().map(own).collect()
    }

    fn secrets(pairs: &[(&str, &str)]) -> Secrets {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Secrets::of(pairs.iter().map(|(name, value)| (name, value)))
    }

    #[test]
    fn a_variable_is_secret_by_its_name_or_by_what_it_holds() {
        let secrets = secrets(&[("DB_PASSWORD", "correct horse")]);
        let environment = secrets.environment(
            &own(&[
                ("API_TOKEN", "x"),
                ("DSN", "db:correct horse@host"),
                ("URL", "postgres://me:pw@host/db"),
                ("URLS", "amqp://one,amqp://me:pw@two"),
                ("HOME_URL", "http://host:80/a@b:c"),
            ]),
            Some(&own(&[("PORT", "80")])),
        );
        assert_eq!(
            environment.secret,
            ["API_TOKEN", "DSN", "URL", "URLS"].map(str::to_owned).into()
        );
        assert_eq!(environment.plain.into_keys().collect::<Vec<_>>(), ["HOME_URL", "PORT"]);
    }

    #[test]
    fn a_secret_value_becomes_a_reference_and_the_rest_is_escaped() {
        let secrets = secrets(&[
            ("A_TOKEN", "12345678"),
            ("B_TOKEN", "123456789"),
            ("KEY", "short"),
            ("SSH_PRIVATE_KEY", "/home/me/.ssh/id"),
        ]);
        let mut used = BTreeSet::new();
        let text = secrets.render(
            "$a 123456789 short 12345678/home/me/.ssh/id",
            &|text| text.replace('$', "$$"),
            &|name| format!("${{{name}}}"),
            &mut used,
        );
        assert_eq!(text, "$$a ${B_TOKEN} short ${A_TOKEN}/home/me/.ssh/id");
        assert_eq!(used, ["A_TOKEN", "B_TOKEN"].map(str::to_owned).into());
    }

    #[test]
    fn a_short_secret_is_found_as_a_word_and_one_that_is_public_is_none() {
        let secrets = secrets(&[
            ("API_TOKEN", "hunter2"),
            ("DSN", "postgres://me:pw@db/x"),
            ("POSTGRES_PASSWORD", "postgres"),
            ("PIN_TOKEN", "1"),
        ]);
        for (text, expected) in [
            ("hunter2", Some("API_TOKEN")),
            ("--token=hunter2", Some("API_TOKEN")),
            ("hunter2000", None),
            ("1", None),
            ("--url=postgres://me:pw@db/x", Some("DSN")),
        ] {
            assert_eq!(secrets.found_in(text), expected, "{text}");
            let rendered = secrets.render(
                text,
                &str::to_owned,
                &|name| format!("${{{name}}}"),
                &mut BTreeSet::new(),
            );
            assert_eq!(rendered != text, expected.is_some(), "{text}: {rendered}");
        }
        let image = ["docker.io/library/postgres:16"];
        assert_eq!(secrets.found_within("image: postgres", &[]), Some("POSTGRES_PASSWORD"));
        assert_eq!(secrets.found_within("image: postgres", &image), None);
    }
}
