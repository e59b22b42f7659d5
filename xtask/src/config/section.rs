//! Walks a parsed TOML tree: takes known keys one by one, notes what is wrong with each, and at the end what is unknown.
//!
//! Knows no key of `dev.toml`; who decodes a table asks for its keys and calls [`Section::finish`].

use serde::de::DeserializeSeed;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::nearest::did_you_mean;
use super::problem::Report;
use super::values::{Expecting, Leaf};
use super::{Located, Place};

/// One table, minus the keys that were taken.
pub(super) struct Section<'r, 'i> {
    report: &'r Report<'i>,
    /// `services.server`; empty for the whole file.
    path: String,
    /// Where its name stands.
    pub(super) at: Place,
    table: DeTable<'i>,
    known: Vec<&'static str>,
}

/// One key's value.
pub(super) struct Item<'r, 'i> {
    report: &'r Report<'i>,
    /// The section it stands in.
    path: String,
    key: String,
    /// Where the value stands; a list's item has its own place.
    pub(super) at: Place,
    /// Where the key stands.
    key_at: Place,
    value: Spanned<DeValue<'i>>,
}

impl<'r, 'i> Section<'r, 'i> {
    /// The whole file.
    pub(super) fn root(report: &'r Report<'i>, table: DeTable<'i>) -> Self {
        Self::new(report, String::new(), Place { line: 1, column: 1 }, table)
    }

    fn new(report: &'r Report<'i>, path: String, at: Place, table: DeTable<'i>) -> Self {
        Self {
            report,
            path,
            at,
            table,
            known: Vec::new(),
        }
    }

    /// Whether the key is there and was not taken yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Takes a key, which is known from now on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'r, 'i>> {
        self.known.push(key);
        let (name, value) = self.table.remove_entry(key)?;
        Some(self.item(&name, value))
    }

    /// Takes a key whose value is one scalar.
    pub(super) fn leaf<T: Leaf>(&mut self, key: &'static str) -> Option<T> {
        self.take(key)?.leaf()
    }

    /// Takes a key whose value is a table.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Self> {
        self.take(key)?.section()
    }

    /// Takes a key whose value is a table of names, in written order; empty when absent.
    pub(super) fn entries_of(&mut self, key: &'static str) -> Vec<(Located<String>, Item<'r, 'i>)> {
        self.section(key).map(Self::entries).unwrap_or_default()
    }

    /// All that is left, as names and values in written order: for a table whose keys are the user's own.
    pub(super) fn entries(mut self) -> Vec<(Located<String>, Item<'r, 'i>)> {
        let mut entries: Vec<_> = std::mem::take(&mut self.table).into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let entry = |(name, value)| {
            let item = self.item(&name, value);
            (
                Located {
                    value: name.into_inner().into_owned(),
                    at: item.key_at,
                },
                item,
            )
        };
        entries.into_iter().map(entry).collect()
    }

    /// Notes a problem of the section as a whole.
    pub(super) fn refuse(&self, message: String) {
        self.report.push(self.at, message);
    }

    /// Notes every key that was not taken, with the one that was meant, or all that could have been.
    pub(super) fn finish(self) {
        for name in self.table.keys() {
            let key: &str = name.get_ref();
            let meant = did_you_mean(key, self.known.iter().copied());
            let hint = if meant.is_empty() {
                format!("; known are {}", self.known.join(", "))
            } else {
                meant
            };
            let place = self.report.place(name.span().start);
            self.report
                .push(place, format!("unknown key {}{hint}", label(key, &self.path)));
        }
    }

    fn item(&self, name: &Spanned<std::borrow::Cow<'i, str>>, value: Spanned<DeValue<'i>>) -> Item<'r, 'i> {
        Item {
            report: self.report,
            path: self.path.clone(),
            key: name.get_ref().to_string(),
            at: self.report.place(value.span().start),
            key_at: self.report.place(name.span().start),
            value,
        }
    }
}

impl<'r, 'i> Item<'r, 'i> {
    /// Reads it as one scalar.
    pub(super) fn leaf<T: Leaf>(&self) -> Option<T> {
        self.checked(T::EXPECTED, Ok)
    }

    /// Reads it as one scalar that must also pass `check`; `expected` describes it.
    pub(super) fn checked<T: Leaf, U>(
        &self,
        expected: &'static str,
        check: impl FnOnce(T) -> Result<U, String>,
    ) -> Option<U> {
        if matches!(
            self.value.get_ref(),
            DeValue::Array(_) | DeValue::Table(_) | DeValue::Datetime(_)
        ) {
            self.wrong_type(expected);
            return None;
        }
        let read = Expecting::<T>::new(expected).deserialize(ValueDeserializer::from(self.value.clone()));
        match read.map_err(|error| error.message().to_owned()).and_then(check) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.refuse(&reason);
                None
            }
        }
    }

    /// A float just as it was written: `1.10` must not become `1.1`.
    pub(super) fn float_text(&self) -> Option<String> {
        match self.value.get_ref() {
            DeValue::Float(float) => Some(float.as_str().to_owned()),
            _ => None,
        }
    }

    /// Whether it is a string.
    pub(super) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    /// Whether it is a list.
    pub(super) fn is_list(&self) -> bool {
        self.value.get_ref().is_array()
    }

    /// Whether it is a list without items.
    pub(super) fn is_empty_list(&self) -> bool {
        self.value.get_ref().as_array().is_some_and(|list| list.is_empty())
    }

    /// Whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// Its items, each with its own place, when it is a list.
    pub(super) fn items(self, expected: &'static str) -> Option<Vec<Self>> {
        let Self {
            report,
            path,
            key,
            key_at,
            value,
            ..
        } = self;
        match value.into_inner() {
            DeValue::Array(list) => {
                let item = |value: Spanned<DeValue<'i>>| {
                    let at = report.place(value.span().start);
                    Self {
                        report,
                        path: path.clone(),
                        key: key.clone(),
                        at,
                        key_at,
                        value,
                    }
                };
                Some(list.into_iter().map(item).collect())
            }
            other => {
                report.push(self.at, wrong_type(&key, &path, &other, expected));
                None
            }
        }
    }

    /// Its keys, when it is a table.
    pub(super) fn section(self) -> Option<Section<'r, 'i>> {
        match self.value.into_inner() {
            DeValue::Table(table) => Some(Section::new(
                self.report,
                join(&self.path, &self.key),
                self.key_at,
                table,
            )),
            other => {
                self.report
                    .push(self.at, wrong_type(&self.key, &self.path, &other, "a table"));
                None
            }
        }
    }

    /// Notes that it is of the wrong type.
    pub(super) fn wrong_type(&self, expected: &str) {
        self.report.push(
            self.at,
            wrong_type(&self.key, &self.path, self.value.get_ref(), expected),
        );
    }

    /// Notes what is wrong with the value.
    pub(super) fn refuse(&self, reason: &str) {
        self.report.push(
            self.at,
            format!("cannot read {}: {reason}", label(&self.key, &self.path)),
        );
    }

    /// Notes what is wrong with the key itself.
    pub(super) fn refuse_key(&self, message: String) {
        self.report.push(self.key_at, message);
    }
}

fn wrong_type(key: &str, path: &str, value: &DeValue<'_>, expected: &str) -> String {
    format!(
        "cannot read {}: invalid type: {}, expected {expected}",
        label(key, path),
        value.type_str()
    )
}

/// `` `ports` in [services.server] ``.
fn label(key: &str, path: &str) -> String {
    if path.is_empty() {
        format!("`{key}`")
    } else {
        format!("`{key}` in [{path}]")
    }
}

/// The path of a table inside another, quoted as TOML wants it.
fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let key = if bare {
        key.to_owned()
    } else {
        format!("\"{}\"", key.escape_debug())
    };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
