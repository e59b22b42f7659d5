//! How a unit of systemd is written: lines, words in quotes, times. What we install and what we export are written alike.

use std::fmt::Write as _;

/// Adds `KEY=VALUE`.
pub fn line(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "{key}={value}");
}

/// A text in which `%` begins no specifier.
pub fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// One word, in quotes where it needs them.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '=' | ',' | ':' | '@' | '+');
    let word = specifiers(word);
    if !word.is_empty() && word.chars().all(|c| plain(c) || c == '%') {
        return word;
    }
    let mut out = String::from('"');
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Seconds, or milliseconds where they are not whole.
pub fn time(duration: std::time::Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_systemd_reads_them() {
        let table = [
            ("plain-word_1.2/3", "plain-word_1.2/3"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("100%", "100%%"),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a\nb\u{1}", "\"a\\nb\\x01\""),
            (";", "\";\""),
            ("it's", "\"it's\""),
        ];
        for (word, expected) in table {
            assert_eq!(quoted(word), expected);
        }
    }
}
