//! Nested values → YAML that every reader takes the same way, whichever version of YAML it speaks.
//!
//! Own, because a YAML library is a quarter of what this program builds, for one verb: a document of ours is plain JSON
//! data, JSON's strings are YAML's, and all there is to decide is when a string may go without quotes.

use serde_json::Value;
use std::fmt::Write as _;

/// One document in block style. Names that are null are left out.
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(_) | Value::Array(_) if !is_flow(value) => block(value, 0, false, &mut out),
        Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let _ = writeln!(out, "{}", flow(value));
        }
    }
    out
}

/// Writes a filled object or list. `begun`: the first line already has its indentation.
fn block(value: &Value, depth: usize, begun: bool, out: &mut String) {
    let mut first = begun;
    let mut indent = |out: &mut String| {
        if !std::mem::take(&mut first) {
            out.push_str(&"  ".repeat(depth));
        }
    };
    match value {
        Value::Object(object) => {
            for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
                indent(out);
                let _ = write!(out, "{}:", scalar(key));
                behind(value, depth + 1, false, out);
            }
        }
        Value::Array(list) => {
            for value in list {
                indent(out);
                out.push('-');
                behind(value, depth + 1, true, out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Writes what stands behind a `key:` or a `-`.
fn behind(value: &Value, depth: usize, item: bool, out: &mut String) {
    if is_flow(value) {
        let _ = writeln!(out, " {}", flow(value));
    } else if item {
        out.push(' ');
        block(value, depth, true, out);
    } else {
        out.push('\n');
        block(value, depth, false, out);
    }
}

/// Whether it fits on its line: everything but objects and lists that hold something.
fn is_flow(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.values().all(Value::is_null),
        Value::Array(list) => list.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => scalar(text),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
    }
}

/// What some version of YAML reads as something else than text.
const WORDS: [&str; 11] = [
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf",
];

/// A string: bare where it is surely one, else as in JSON, with what YAML forbids or folds escaped.
fn scalar(text: &str) -> String {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if begins && text.chars().all(plain) && !WORDS.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\0'..=' ' if c != ' ' => drop(write!(out, "\\x{:02x}", u32::from(c))),
            '\u{7f}'..='\u{9f}' => drop(write!(out, "\\x{:02x}", u32::from(c))),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn blocks_are_indented_and_what_is_null_is_left_out() {
        let value = json!({
            "a": {"b": [1, "two", {"c": true, "d": {"e": "f"}}, ["g"], []], "x": null},
            "empty": {}, "gone": {"x": null}, "none": null,
        });
        let expected = "a:\n  b:\n    - 1\n    - two\n    - c: true\n      d:\n        e: f\n    - - g\n    - []\nempty: {}\ngone: {}\n";
        assert_eq!(document(&value), expected);
    }

    #[test]
    fn a_string_that_some_reader_would_take_for_something_else_is_quoted() {
        for text in [
            "no", "Yes", "1", "1e3", "0x1", "", "-", "a: b", "a #b", "*", "~", "NaN", ".5", "22:22", "@a",
        ] {
            assert_eq!(document(&json!({"k": text})), format!("k: {text:?}\n"), "{text}");
        }
        for text in ["server", "a-b_c.d/e", "/usr/bin/true", "SIGINT"] {
            assert_eq!(document(&json!({"k": text})), format!("k: {text}\n"));
        }
        assert_eq!(
            document(&json!("a\"\\\n\t\u{1}\u{85}\u{2028}é")),
            "\"a\\\"\\\\\\n\\t\\x01\\x85\\u2028é\"\n"
        );
        assert_eq!(document(&json!({"no": 1})), "\"no\": 1\n");
    }
}
