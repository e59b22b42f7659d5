//! What must not be shown: the values of variables whose names look secret, wherever they stand, and the passwords in URLs.
//! One way of masking for all that people read of a plan; knows neither its keys nor who prints them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What stands in for a secret.
const MASK: &str = "********";

/// A shorter value is found by chance within too many texts.
pub const SHORTEST_WITHIN: usize = 8;
/// A shorter value is found by chance as a whole word.
pub const SHORTEST: usize = 4;

/// What says nothing, whatever its variable is called, and stands in many texts: `USE_AUTH=true`.
const TRIVIAL: [&str; 4] = ["true", "false", "none", "null"];

/// Parts of names whose values look secret.
const SECRET: [&str; 12] = [
    "SECRET",
    "TOKEN",
    "PASSWORD",
    "PASSWD",
    "PRIVATE",
    "CREDENTIAL",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "PASSPHRASE",
    "AUTHORIZATION",
    "JWT",
];

/// Whether the value of a variable of this name is to be masked.
pub fn looks_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    SECRET.iter().any(|part| name.contains(part))
        || ["KEY", "PASS"].contains(&name.as_str())
        || ["_KEY", "_PASS", "_PWD", "_PAT", "_SALT", "_AUTH"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// The path of a file with a secret is none itself; what begins with a slash may also be base64.
pub fn is_path(value: &str) -> bool {
    ["./", "../", "~/"].iter().any(|start| value.starts_with(start))
        || value.starts_with('/') && !value.contains(['+', '='])
}

/// Hides the secrets that it knows; without any, those that a text itself tells of: `--token=…`, `amqp://user:…@host`.
///
/// A short secret is hidden within a text, too: `-p${DB_PASS}`. That hits a word by chance now and then, but unlike a reference in an
/// export, a mask too many breaks nothing.
#[derive(Debug, Default)]
pub struct Mask {
    workspace: PathBuf,
    /// Longest first, so that nothing is left of one that holds another.
    secrets: Vec<String>,
}

impl Mask {
    /// Knows the secrets of the shell and of the values that the texts of a service or a task may hold. Those of the shell count even
    /// where they are set anew: `${…}` may have read them before.
    pub fn of<'a>(
        workspace: &Path,
        shell: &'a BTreeMap<String, String>,
        own: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Self {
        let found: BTreeSet<&String> = shell
            .iter()
            .chain(own)
            .filter(|(name, value)| looks_secret(name) && is_telling(value))
            .map(|(_, value)| value)
            .collect();
        let mut secrets: Vec<String> = found.into_iter().cloned().collect();
        secrets.sort_by_key(|value| Reverse(value.len()));
        Self {
            workspace: workspace.to_owned(),
            secrets,
        }
    }

    /// The value of a variable that `dev.toml` or one of its files sets: nothing of it when its name looks secret.
    pub fn value(&self, name: &str, value: &str) -> String {
        if looks_secret(name) {
            return MASK.to_owned();
        }
        self.text(value)
    }

    /// The same of a variable that the shell sets. No `${…}` put a short secret within it, and a password such as `root` is part of many
    /// a `PATH`: it is hidden where it is all of the value, or of what follows its last `=`.
    pub fn inherited(&self, name: &str, value: &str) -> String {
        if looks_secret(name) {
            return MASK.to_owned();
        }
        let is_all_of = |before: &str| before.is_empty() || before.ends_with('=');
        self.hide(value, |secret| {
            secret.chars().count() >= SHORTEST_WITHIN || value.strip_suffix(secret).is_some_and(is_all_of)
        })
    }

    /// A text of `dev.toml`, or a message about it.
    pub fn text(&self, text: &str) -> String {
        self.hide(text, |_| true)
    }

    /// A path. Where the workspace is, no variable says: a password such as `root` does not hide it.
    pub fn path(&self, path: &Path) -> String {
        let shown = match path.strip_prefix(&self.workspace) {
            Ok(inside) => super::below(&self.workspace, &self.text(&inside.to_string_lossy())),
            Err(_) => self.text(&path.to_string_lossy()).into(),
        };
        shown.display().to_string()
    }

    /// Arguments: what follows `--token=` and `--token` is hidden, too.
    pub fn words(&self, words: &[String]) -> Vec<String> {
        let shown = words.iter().zip(named(words)).map(|(word, secret)| match secret {
            Some(value) => format!("{}{MASK}", self.text(&word[..word.len() - value.len()])),
            None => self.text(word),
        });
        shown.collect()
    }

    fn hide(&self, text: &str, is_meant: impl Fn(&str) -> bool) -> String {
        let secrets = self.secrets.iter().filter(|secret| is_meant(secret));
        let hidden = secrets.fold(text.to_owned(), |text, secret| text.replace(secret, MASK));
        without_passwords(&hidden)
    }
}

/// Of each word the end that its own name (`--token=…`) or the flag before it (`--token`) calls secret.
pub fn named(words: &[String]) -> Vec<Option<&str>> {
    let is_flag = |word: &str| word.starts_with('-');
    let secret = |flag: &str| looks_secret(&flag.trim_start_matches('-').replace('-', "_"));
    let mut is_next = false;
    let mut secret_of = |word| {
        let named = str::split_once(word, '=').filter(|(name, _)| secret(name));
        let after_flag = (is_next && !is_flag(word)).then_some(word);
        is_next = is_flag(word) && named.is_none() && secret(word);
        named.map(|(_, value)| value).or(after_flag)
    };
    words.iter().map(|word| secret_of(word.as_str())).collect()
}

/// What says nothing, whatever its variable is called.
pub fn is_trivial(value: &str) -> bool {
    TRIVIAL.iter().any(|trivial| value.eq_ignore_ascii_case(trivial))
}

/// Whether a secret value says enough to be looked for in other texts.
fn is_telling(value: &str) -> bool {
    value.chars().count() >= SHORTEST && !is_trivial(value) && !is_path(value)
}

/// `scheme://user:password@host` with the password masked, as often as there is one.
fn without_passwords(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(scheme) = rest.find("://") {
        let (before, address) = rest.split_at(scheme + 3);
        shown.push_str(before);
        rest = address;
        if let Some((from, to)) = password(address) {
            shown.push_str(&address[..from]);
            shown.push_str(MASK);
            rest = &address[to..];
        }
    }
    shown + rest
}

/// Where the password of an address is, without its scheme: `user:password@host`.
fn password(address: &str) -> Option<(usize, usize)> {
    let login = &address[..address.find(['/', '?', '#', ' ']).unwrap_or(address.len())];
    let to = login.rfind('@')?;
    let user = login[..to].find(':')?;
    Some((user + 1, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(shell: &[(&str, &str)], own: &[(&str, &str)]) -> Mask {
        let shell = shell
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let own = own
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let own: BTreeMap<String, String> = own.collect();
        Mask::of(Path::new("/root/ws"), &shell.collect(), &own)
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_looks_secret_is_masked_and_nothing_else() {
        for (name, value, shown) in [
            ("API_TOKEN", "abc", MASK),
            ("db_password", "abc", MASK),
            ("SIGNING_KEY", "abc", MASK),
            ("KEYBOARD", "de", "de"),
            ("URL", "postgres://me:pa:ss@db/x?a=@", "postgres://me:********@db/x?a=@"),
            ("URL", "http://me@host:80/a:b@c", "http://me@host:80/a:b@c"),
            ("URL", "see http://localhost:80/", "see http://localhost:80/"),
            ("EMPTY", "", ""),
        ] {
            assert_eq!(Mask::default().value(name, value), shown, "{name}={value}");
        }
    }

    #[test]
    fn each_password_of_a_list_of_addresses_is_masked() {
        for (value, shown) in [
            (
                "amqp://a:s1@h1,amqp://b:s2@h2",
                "amqp://a:********@h1,amqp://b:********@h2",
            ),
            ("amqp://h1:1,amqp://b:s2@h2/v", "amqp://h1:1,amqp://b:********@h2/v"),
            (
                "redis://:s1@h1:1/0 redis://u@h2 x://y:s3@h3",
                "redis://:********@h1:1/0 redis://u@h2 x://y:********@h3",
            ),
            ("://", "://"),
        ] {
            assert_eq!(Mask::default().value("BROKERS", value), shown, "{value}");
        }
    }

    #[test]
    fn secrets_among_arguments_are_masked() {
        for (given, shown) in [
            ("run --api-token=abc -v", "run --api-token=******** -v"),
            ("--password abc --port 80", "--password ******** --port 80"),
            ("--token --verbose x", "--token --verbose x"),
            ("DB_PASS=x y", "DB_PASS=******** y"),
            ("-d amqp://u:p@h", "-d amqp://u:********@h"),
        ] {
            assert_eq!(Mask::default().words(&words(given)), words(shown), "{given}");
        }
    }

    #[test]
    fn a_known_secret_is_masked_wherever_it_stands_and_leaves_no_part_of_another() {
        let mask = mask(
            &[("A_TOKEN", "hunter2"), ("SHELL_KEY", "of-the-shell")],
            &[("B_TOKEN", "hunter2-and-more"), ("URL", "x")],
        );
        assert_eq!(
            mask.words(&words(
                "-phunter2 of-the-shell <hunter2-and-more> of-the-shell=1 u://a:hunter2@h x"
            )),
            words("-p******** ******** <********> ********=1 u://a:********@h x")
        );
        assert_eq!(mask.value("URL", "http://h/?k=of-the-shell"), "http://h/?k=********");
    }

    #[test]
    fn a_short_secret_hides_neither_the_workspace_nor_what_the_shell_says() {
        let mask = mask(&[("PGPASSWORD", "root"), ("API_TOKEN", "of-the-shell")], &[]);
        for (path, shown) in [
            ("/root/ws", "/root/ws"),
            ("/root/ws/of-the-shell/root", "/root/ws/********/********"),
            ("/root/else", "/********/else"),
        ] {
            assert_eq!(mask.path(Path::new(path)), shown, "{path}");
        }
        for (value, shown) in [
            ("/root/bin:/bin", "/root/bin:/bin"),
            ("/root", "/root"),
            ("root", MASK),
            ("dbname=x password=root", "dbname=x password=********"),
            ("http://h/?k=of-the-shell&x", "http://h/?k=********&x"),
        ] {
            assert_eq!(mask.inherited("V", value), shown, "{value}");
        }
        assert_eq!(mask.value("V", "Bearer root"), "Bearer ********");
    }

    #[test]
    fn a_value_that_stands_in_many_texts_by_chance_is_left_there() {
        let mask = mask(
            &[("EMPTY_KEY", ""), ("PIN_TOKEN", "12"), ("USE_AUTH", "True")],
            &[
                ("NO_AUTH", "none"),
                ("SSH_PRIVATE_KEY", "/home/me/.ssh/id"),
                ("KEY", "abc"),
            ],
        );
        let text = "12 True none abc /home/me/.ssh/id";
        assert_eq!(mask.text(text), text);
        assert_eq!(mask.value("USE_AUTH", "True"), MASK);
    }
}
