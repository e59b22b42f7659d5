//! What a line says when it is more than text: its fields and its level.
//!
//! Knows JSON objects (pino, bunyan, zap, slog …) and logfmt. Pure; how such a line is shown is the business of `ui::log_line`.

use serde_json::{Map, Value};

/// How bad a line is, in the order of badness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `trace`, 10.
    Trace,
    /// `debug`, 20.
    Debug,
    /// `info`, 30.
    Info,
    /// `warn`, 40.
    Warn,
    /// `error`, 50.
    Error,
    /// `fatal`, 60.
    Fatal,
}

impl Level {
    /// The level's name, five characters at most.
    pub fn name(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Fatal => "fatal",
        }
    }

    /// The level a word names, in any case (`warn`, `WARNING`, `E`, `critical`), or a number of pino and bunyan.
    pub fn from_text(text: &str) -> Option<Level> {
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Some(Self::from_number(number)),
            Ok(_) | Err(_) => Self::from_word(text),
        }
    }

    fn from_word(word: &str) -> Option<Level> {
        Some(match word.to_ascii_lowercase().as_str() {
            "trace" | "t" => Level::Trace,
            "debug" | "d" | "verbose" => Level::Debug,
            "info" | "i" | "information" | "notice" => Level::Info,
            "warn" | "warning" | "w" => Level::Warn,
            "error" | "err" | "e" => Level::Error,
            "fatal" | "f" | "critical" | "crit" | "panic" | "dpanic" | "alert" | "emerg" | "emergency" => Level::Fatal,
            _ => return None,
        })
    }

    /// The level of a number as pino and bunyan write it: 10 is `trace`, 60 and more `fatal`, others count as the next below.
    fn from_number(number: f64) -> Level {
        let levels = [Level::Fatal, Level::Error, Level::Warn, Level::Info, Level::Debug];
        let steps = [60.0, 50.0, 40.0, 30.0, 20.0];
        steps
            .iter()
            .zip(levels)
            .find(|(step, _)| number >= **step)
            .map_or(Level::Trace, |(_, level)| level)
    }
}

/// The names under which a level, a message and a time stand in structured lines, the usual one first.
const LEVEL_KEYS: [&str; 4] = ["level", "severity", "lvl", "log.level"];
const MESSAGE_KEYS: [&str; 2] = ["msg", "message"];
const ERROR_KEYS: [&str; 3] = ["err", "error", "exception"];
const STACK_KEYS: [&str; 4] = ["stack", "stacktrace", "stack_trace", "exc_info"];
const TIME_KEYS: [&str; 4] = ["time", "timestamp", "ts", "@timestamp"];
const NOISE: [&str; 3] = ["pid", "hostname", "v"];

/// A number below this, the year 2001 in seconds, is no time of a line.
const EARLIEST: f64 = 1e9;

/// The fields of a line that is a JSON object, or begins with a `key=value` pair and is nothing but pairs and single words, two at least
/// or a level alone; none of any other.
pub fn fields(text: &[u8]) -> Option<Map<String, Value>> {
    let text = text.trim_ascii();
    if text.starts_with(b"{") {
        // A byte that is no UTF-8 makes no other record of it.
        return serde_json::from_str(&String::from_utf8_lossy(text)).ok();
    }
    // Cheap to see, and nearly every line ends here.
    memchr::memchr(b'=', text)?;
    logfmt(str::from_utf8(text).ok()?)
}

/// The level that a line's fields name.
pub fn level(fields: &Map<String, Value>) -> Option<Level> {
    keyed_level(fields).map(|(_, level)| level)
}

/// The level and the key that it stands under.
fn keyed_level(fields: &Map<String, Value>) -> Option<(&'static str, Level)> {
    LEVEL_KEYS.iter().find_map(|key| {
        let level = match fields.get(*key)? {
            Value::Number(number) => number.as_f64().map(Level::from_number),
            Value::String(word) => Level::from_text(word),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        Some((*key, level?))
    })
}

/// Takes the message out of the fields.
pub fn take_message(fields: &mut Map<String, Value>) -> Option<String> {
    let key = MESSAGE_KEYS
        .into_iter()
        .find(|key| fields.get(*key).is_some_and(Value::is_string))?;
    match fields.shift_remove(key)? {
        Value::String(message) => Some(message),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Takes the level's field out of the fields, if it could be read.
pub fn take_level(fields: &mut Map<String, Value>) -> Option<Level> {
    let (key, level) = keyed_level(fields)?;
    fields.shift_remove(key);
    Some(level)
}

/// Removes the line's own time: the stamp says when it was written. A `time` that is a duration stays.
pub fn remove_time(fields: &mut Map<String, Value>) {
    for key in TIME_KEYS {
        if fields.get(key).is_some_and(is_moment) {
            fields.shift_remove(key);
        }
    }
}

/// Whether it says when: a date, or a number of seconds or less since 1970.
fn is_moment(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number >= EARLIEST),
        Value::String(text) => {
            let mut start = text.bytes();
            let is_date = (0..4).all(|_| start.next().is_some_and(|byte| byte.is_ascii_digit()));
            is_date && matches!(start.next(), Some(b'-' | b'/'))
                || text.parse().is_ok_and(|number: f64| number >= EARLIEST)
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Removes what says the same in every line of pino, bunyan and their like, which are known by the number of their level.
pub fn remove_noise(fields: &mut Map<String, Value>) {
    if fields.get(LEVEL_KEYS[0]).is_some_and(Value::is_number) {
        for key in NOISE {
            fields.shift_remove(key);
        }
    }
}

/// Takes out the stack of an error, which is several lines: `stack` and the like, also within `err`.
pub fn take_stack(fields: &mut Map<String, Value>) -> Option<String> {
    let error = ERROR_KEYS.into_iter().find(|key| {
        let within = fields.get(*key).and_then(Value::as_object);
        within.is_some_and(|within| has_stack(within).is_some())
    });
    let within = match error {
        Some(key) => fields.get_mut(key)?.as_object_mut()?,
        None => fields,
    };
    match within.shift_remove(has_stack(within)?)? {
        Value::String(stack) => Some(stack),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn has_stack(fields: &Map<String, Value>) -> Option<&'static str> {
    let is_stack = |key: &&str| {
        fields
            .get(*key)
            .and_then(Value::as_str)
            .is_some_and(|text| text.contains('\n'))
    };
    STACK_KEYS.into_iter().find(is_stack)
}

fn logfmt(text: &str) -> Option<Map<String, Value>> {
    let is_key = |key: &str| {
        let is_part = |letter: char| letter.is_alphanumeric() || "_-.@/".contains(letter);
        !key.is_empty() && key.chars().all(is_part)
    };
    let mut fields = Map::new();
    let mut pairs = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.split(' ').next().unwrap_or_default();
        if pairs > 0 && is_key(word) {
            // A key without a value is true.
            fields.insert(word.to_owned(), Value::Bool(true));
            rest = rest[word.len()..].trim_start();
            continue;
        }
        let (key, after) = rest.split_once('=')?;
        if !is_key(key) {
            return None;
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (value, _) = after.split_once(' ').unwrap_or((after, ""));
                (value.to_owned(), &after[value.len()..])
            }
        };
        if !after.is_empty() && !after.starts_with(' ') {
            return None;
        }
        fields.insert(key.to_owned(), Value::String(value));
        pairs += 1;
        rest = after.trim_start();
    }
    // Words between pairs are flags; a sentence behind one pair is a sentence.
    let is_structured = pairs > 1 && 2 * pairs >= fields.len() || pairs == fields.len() && level(&fields).is_some();
    is_structured.then_some(fields)
}

/// The text up to the closing quote, its escapes resolved, and what comes after.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                kind @ ('x' | 'u' | 'U') => {
                    let digits = match kind {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let code = text[at + 2..].get(..digits);
                    let letter = code.and_then(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?));
                    match letter {
                        Some(letter) => {
                            value.push(letter);
                            letters.nth(digits - 1);
                        }
                        // No escape: the letter itself, as after any other backslash.
                        None => value.push(kind),
                    }
                }
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_byte_that_is_no_utf8_hides_no_record() {
        let fields = fields(b"{\"level\":50,\"msg\":\"caf\xe9 failed\"}").unwrap();
        assert_eq!(level(&fields), Some(Level::Error));
    }

    #[test]
    fn the_level_is_found_however_it_is_written() {
        for (text, expected) in [
            (r#"{"level":30,"msg":"up"}"#, Some(Level::Info)),
            (r#"{"level":45}"#, Some(Level::Warn)),
            (r#"{"level":5}"#, Some(Level::Trace)),
            (r#"{"severity":"WARNING"}"#, Some(Level::Warn)),
            (r#"{"level":"error"}"#, Some(Level::Error)),
            (r#"{"level":{"deep":1},"severity":"crit"}"#, Some(Level::Fatal)),
            (r#"{"level":"loud"}"#, None),
            (
                r#"time=2026-11-23T09:15:02Z level=warn msg="disk is \"full\"""#,
                Some(Level::Warn),
            ),
            (r#"lvl=eror msg=x"#, None),
            ("level=error", Some(Level::Error)),
            ("level=warn msg=hi flag", Some(Level::Warn)),
        ] {
            assert_eq!(level(&fields(text.as_bytes()).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn escapes_of_a_quoted_value_are_what_they_stand_for() {
        let text = r#"level=error msg="caf\u00e9 \r\n C:\\dir \x1b[31m \U0001f600 \uzzzz \x4""#;
        let expected = "caf\u{e9} \r\n C:\\dir \x1b[31m \u{1f600} uzzzz x4";
        assert_eq!(fields(text.as_bytes()).unwrap()["msg"], expected);
    }

    #[test]
    fn ordinary_text_has_no_fields() {
        for text in [
            "",
            "listening on 7163",
            "a=b",
            "x = 1, y = 2",
            "{not json}",
            "[1,2]",
            "url=http://x/?a=b and more",
            "=x y=z",
            "retry=3 of the last five attempts failed",
            "a=1 b=2 and then some words that are no flags",
        ] {
            assert_eq!(fields(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn only_what_was_read_is_taken_out() {
        let rest = |text: &str| {
            let mut fields = fields(text.as_bytes()).unwrap();
            remove_time(&mut fields);
            remove_noise(&mut fields);
            let level = take_level(&mut fields);
            (level, Value::Object(fields).to_string())
        };
        for (text, level, expected) in [
            (
                "path=/ time=35ms v=2 pid=7",
                None,
                r#"{"path":"/","time":"35ms","v":"2","pid":"7"}"#,
            ),
            (
                r#"{"level":"loud","severity":"error","time":12}"#,
                Some(Level::Error),
                r#"{"level":"loud","time":12}"#,
            ),
            (
                r#"{"level":30,"time":1795433111695,"pid":7,"hostname":"h","v":1,"ts":"2026-11-23T09:15:02Z","x":1}"#,
                Some(Level::Info),
                r#"{"x":1}"#,
            ),
            ("ts=1795433111.695 level=info a=b", Some(Level::Info), r#"{"a":"b"}"#),
        ] {
            assert_eq!(rest(text), (level, expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn quoted_values_are_unquoted() {
        let fields = fields(br#"msg="two words\n" empty= path=/a/b?c=d"#).unwrap();
        let expected = [("msg", "two words\n"), ("empty", ""), ("path", "/a/b?c=d")];
        assert!(
            fields
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
                .eq(expected)
        );
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "[a-z=\" {}\\\\:]{0,40}") {
            let _ = fields(&bytes);
            let _ = fields(text.as_bytes());
        }
    }
}
