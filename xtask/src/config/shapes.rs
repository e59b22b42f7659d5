//! The shapes that several keys of `dev.toml` share: names, paths, words, variables, numbers within limits.
//!
//! One value into one type; knows no key but `env`, and fills no default.

use std::collections::BTreeMap;
use std::time::Duration;

use super::section::{Item, Section};
use super::values::Leaf;
use super::words::split;
use super::{EnvValue, Located, Size, Words};

/// A key whose value is a string that is not empty.
pub(super) fn text(section: &mut Section<'_, '_>, key: &'static str) -> Option<String> {
    filled(&section.take(key)?)
}

/// A string that is not empty, with its place.
pub(super) fn located(item: &Item<'_, '_>) -> Option<Located<String>> {
    filled(item).map(|value| Located { value, at: item.at })
}

/// `env`.
pub(super) fn env(section: &mut Section<'_, '_>) -> BTreeMap<String, EnvValue> {
    let mut env = BTreeMap::new();
    for (name, item) in section.entries_of("env") {
        if name.value.is_empty() || name.value.contains(['=', '\0']) {
            let shown = name.value.escape_debug();
            item.refuse_key(format!(
                "`{shown}` cannot be a variable's name: it must not be empty, nor hold `=` or NUL"
            ));
        }
        let value = item.float_text().map(EnvValue::Set).or_else(|| item.leaf());
        env.extend(value.map(|value| (name.value, value)));
    }
    env
}

/// A string that splits like a shell's words, or a list.
pub(super) fn words(item: Item<'_, '_>) -> Option<Words> {
    const EXPECTED: &str = "a string or a list of strings";
    if item.is_list() {
        let items = item.items(EXPECTED)?;
        return Some(Words::List(items.iter().filter_map(Item::leaf).collect()));
    }
    item.checked(EXPECTED, |line: String| split(&line).map(|_| Words::Line(line)))
}

/// A path or a list of paths.
pub(super) fn paths(item: Item<'_, '_>) -> Option<Vec<Located<String>>> {
    one_or_more(item, "a path or a list of paths")
}

/// A task or a list of tasks.
pub(super) fn tasks(item: Item<'_, '_>) -> Option<Vec<Located<String>>> {
    one_or_more(item, "a task or a list of tasks")
}

fn one_or_more(item: Item<'_, '_>, expected: &'static str) -> Option<Vec<Located<String>>> {
    if item.is_list() {
        return names(item, expected);
    }
    item.checked(expected, not_empty)
        .map(|value| vec![Located { value, at: item.at }])
}

/// A list of names, each with its place.
pub(super) fn names(item: Item<'_, '_>, expected: &'static str) -> Option<Vec<Located<String>>> {
    Some(item.items(expected)?.iter().filter_map(located).collect())
}

/// A list of strings that are not empty.
pub(super) fn strings(item: Item<'_, '_>, expected: &'static str) -> Option<Vec<String>> {
    Some(item.items(expected)?.iter().filter_map(filled).collect())
}

/// A list of globs, or of paths that may be globs.
pub(super) fn globs(item: Item<'_, '_>, expected: &'static str) -> Option<Vec<String>> {
    let readable = |glob: String| match globset::Glob::new(&glob) {
        _ if glob.is_empty() => Err("it is empty".to_owned()),
        Ok(_) => Ok(glob),
        Err(error) => Err(format!("`{glob}` is not a glob: {}", error.kind())),
    };
    let all = item.items(expected)?;
    Some(
        all.iter()
            .filter_map(|item| item.checked(String::EXPECTED, readable))
            .collect(),
    )
}

/// A string that is not empty.
pub(super) fn filled(item: &Item<'_, '_>) -> Option<String> {
    item.checked(String::EXPECTED, not_empty)
}

fn not_empty(text: String) -> Result<String, String> {
    if text.is_empty() {
        Err("it is empty".to_owned())
    } else {
        Ok(text)
    }
}

/// A duration above 0.
pub(super) fn some_time(item: &Item<'_, '_>) -> Option<Duration> {
    item.checked(Duration::EXPECTED, |time: Duration| {
        if time.is_zero() { Err(ZERO.to_owned()) } else { Ok(time) }
    })
}

/// A size above 0.
pub(super) fn size(item: &Item<'_, '_>) -> Option<Size> {
    item.checked(Size::EXPECTED, |size: Size| {
        if size.0 == 0 { Err(ZERO.to_owned()) } else { Ok(size) }
    })
}

const ZERO: &str = "it must be more than 0";

/// A whole number, 0 or more.
pub(super) fn count(item: &Item<'_, '_>) -> Option<u32> {
    whole(item, "a whole number, 0 or more", 0, u32::MAX.into())
}

/// A whole number within limits, both included.
pub(super) fn whole<T: TryFrom<i128>>(
    item: &Item<'_, '_>,
    expected: &'static str,
    least: i128,
    most: i128,
) -> Option<T> {
    item.checked(expected, |number: i128| {
        let fits = (least..=most).contains(&number).then(|| T::try_from(number).ok());
        fits.flatten()
            .ok_or_else(|| format!("`{number}` is out of range, expected {expected}"))
    })
}
