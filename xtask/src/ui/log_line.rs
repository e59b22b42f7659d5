//! A log line as people and programs are shown it: time, name, mark, text; or one JSON object.
//!
//! Turns values into bytes and prints nothing. What a service may do to a terminal is limited to colours: everything else that
//! moves the cursor or changes the screen is taken out of its lines.

use std::borrow::Cow;
use std::io::Write;

use anstyle::{AnsiColor, Style};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use regex::bytes::Regex;
use serde_json::{Map, Value, json};

use crate::lifecycle;
use crate::log::escape;
use crate::log::line::{STAMP_LEN, prefix};
use crate::log::record::{Line, LineStream};
use crate::log::structured::{self, Level};

/// How lines are shown.
#[derive(Clone, Debug)]
pub struct RenderOptions {
    /// Columns of the name: the longest name among the services shown.
    pub name_width: usize,
    /// Whether colours are wanted: those of the names, and those the services wrote themselves.
    pub colour: bool,
    /// On a terminal, structured lines are taken apart and control characters removed.
    pub terminal: bool,
    /// The time zone of the times that a terminal is shown.
    pub zone: TimeZone,
    /// Lines of days before this one are shown with their day.
    pub today: Date,
    /// What is made to stand out.
    pub highlight: Option<Regex>,
}

/// Colours of names: the ones that can be read on light and dark grounds, without red, which is for errors.
const NAMES: [AnsiColor; 10] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightGreen,
    AnsiColor::BrightYellow,
    AnsiColor::BrightBlue,
];

/// Appends `line` and a newline to `into`: `server | text`, with `!` for the bar where it is standard error, and `*` for an event; on a
/// terminal the local time comes first. The further lines of an event, and of an error's stack, have rows of their own.
pub fn render(line: &Line, options: &RenderOptions, into: &mut Vec<u8>) {
    if options.terminal {
        Painter(options.colour).put(into, Style::new().dimmed(), time(line, options).as_bytes());
        into.push(b' ');
    }
    name_and_mark(line, options, into);
    let fields = (options.terminal && line.stream != LineStream::Event).then(|| structured::fields(&line.text));
    match fields.flatten() {
        Some(fields) => structured_text(line, fields, options, into),
        None if line.stream == LineStream::Event => event_text(line, options, into),
        None => plain_text(&line.text, options, into),
    }
    into.push(b'\n');
}

/// What happened, each of its lines in a row of its own: a failed build's last lines tell more apart than in one.
fn event_text(line: &Line, options: &RenderOptions, into: &mut Vec<u8>) {
    // The colour of what matches would end that of the event.
    let style = match &options.highlight {
        Some(_) => Style::new(),
        None => event_style(&line.text),
    };
    for (place, row) in line.text.split(|byte| *byte == b'\n').enumerate() {
        if place > 0 {
            row_below(line, options, into);
        }
        let mut text = Vec::new();
        plain_text(row, options, &mut text);
        Painter(options.colour).put(into, style, &text);
    }
}

/// Begins another row of `line`: its name and mark again, and nothing where its time stands.
fn row_below(line: &Line, options: &RenderOptions, into: &mut Vec<u8>) {
    into.push(b'\n');
    if options.terminal {
        into.resize(into.len() + time(line, options).len() + 1, b' ');
    }
    name_and_mark(line, options, into);
}

/// Red where something broke, yellow where something is not as wanted, green where it is again.
fn event_style(text: &[u8]) -> Style {
    let text = String::from_utf8_lossy(text);
    let begins = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
    if lifecycle::is_crash(&text) || begins(&["errored", "build failed"]) {
        AnsiColor::Red.on_default()
    } else if begins(&["blocked", "not ready", "killed", "not launched"]) {
        AnsiColor::Yellow.on_default()
    } else if begins(&["ready"]) {
        AnsiColor::Green.on_default()
    } else {
        Style::new()
    }
}

/// `10:15:02.123`, or `11-22 10:15:02` on another day.
fn time(line: &Line, options: &RenderOptions) -> String {
    let local = line.stamp.to_zoned(options.zone.clone());
    let form = if local.date() < options.today {
        "%m-%d %H:%M:%S"
    } else {
        "%H:%M:%S%.3f"
    };
    local.strftime(form).to_string()
}

fn name_and_mark(line: &Line, options: &RenderOptions, into: &mut Vec<u8>) {
    let paint = Painter(options.colour);
    let gap = options.name_width.saturating_sub(line.service.chars().count());
    paint.put(into, name_style(&line.service), line.service.as_bytes());
    into.resize(into.len() + gap, b' ');
    if options.name_width > 0 {
        into.push(b' ');
    }
    let (mark, style) = match line.stream {
        LineStream::Out => (b"|", Style::new()),
        LineStream::Err => (b"!", AnsiColor::Red.on_default()),
        LineStream::Event => (b"*", Style::new().bold()),
    };
    paint.put(into, style, mark);
    into.push(b' ');
}

/// `line` as one JSON object: `time`, `service`, `stream`, `text`, `fields`; bytes that are no UTF-8 are replaced.
pub fn json(line: &Line) -> Value {
    let stamp = prefix(line.stamp);
    json!({
        "time": String::from_utf8_lossy(&stamp[..STAMP_LEN]),
        "service": &*line.service,
        "stream": line.stream.name(),
        "text": String::from_utf8_lossy(&line.text),
        "fields": structured::fields(&escape::strip(&line.text)),
    })
}

/// A line's own colour for ever: from its name alone, so that it does not change with what runs beside it.
fn name_style(name: &str) -> Style {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    NAMES[(hash >> 8) as usize % NAMES.len()].on_default()
}

fn level_style(level: Level) -> Style {
    match level {
        Level::Trace | Level::Debug => Style::new().dimmed(),
        Level::Info => AnsiColor::Green.on_default(),
        Level::Warn => AnsiColor::Yellow.on_default(),
        Level::Error | Level::Fatal => AnsiColor::Red.on_default().bold(),
    }
}

/// `info  listening port=7163`, and below it the stack of an error, a line each.
fn structured_text(line: &Line, mut fields: Map<String, Value>, options: &RenderOptions, into: &mut Vec<u8>) {
    let paint = Painter(options.colour);
    structured::remove_time(&mut fields);
    structured::remove_noise(&mut fields);
    let stack = structured::take_stack(&mut fields);
    let begin = into.len();
    if let Some(level) = structured::take_level(&mut fields) {
        paint.put(into, level_style(level), format!("{:5}", level.name()).as_bytes());
    }
    if let Some(message) = structured::take_message(&mut fields) {
        into.extend((into.len() > begin).then_some(b' '));
        shown_text(
            message.replace("\r\n", "\n").replace('\n', "\\n").as_bytes(),
            options,
            into,
        );
    }
    for (key, value) in &fields {
        into.extend((into.len() > begin).then_some(b' '));
        let mut text = Vec::new();
        shown_text(
            format!("{key}=").as_bytes(),
            &RenderOptions {
                colour: false,
                ..options.clone()
            },
            &mut text,
        );
        paint.put(into, Style::new().dimmed(), &text);
        let text = match value {
            Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '\n', '=']) => text.clone(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                value.to_string()
            }
        };
        shown_text(text.as_bytes(), options, into);
    }
    if into.len() == begin && stack.is_none() {
        // It says nothing else: a blank row would hide that it was written at all.
        return plain_text(&line.text, options, into);
    }
    for row in stack.iter().flat_map(|stack| stack.lines()) {
        row_below(line, options, into);
        shown_text(row.as_bytes(), options, into);
    }
}

/// A line as a service wrote it, with the codes that are not wanted taken out.
fn plain_text(text: &[u8], options: &RenderOptions, into: &mut Vec<u8>) {
    let mut states = text.rsplit(|byte| *byte == b'\r');
    let shown = if options.terminal {
        // A progress bar that was redrawn in its line: a terminal would be left with the last state.
        states.find(|state| changes_line(state)).unwrap_or_default()
    } else {
        text.strip_suffix(b"\r").unwrap_or(text)
    };
    shown_text(shown, options, into);
}

/// Whether a terminal shows anything else after a text than before it: colours alone, as that which ends before a line does, leave
/// what stands there.
fn changes_line(text: &[u8]) -> bool {
    let mut rest = text.trim_ascii();
    while rest.first() == Some(&ESCAPE) {
        let (code, after) = rest.split_at(escape::length(rest));
        if !is_colour(code) {
            return true;
        }
        rest = after.trim_ascii_start();
    }
    !rest.is_empty()
}

fn is_colour(code: &[u8]) -> bool {
    code.starts_with(b"\x1b[") && code.ends_with(b"m")
}

/// A text with the codes that are not wanted taken out.
fn shown_text(text: &[u8], options: &RenderOptions, into: &mut Vec<u8>) {
    // On a terminal whole characters only: what is taken out from between two bytes must not make one of them.
    let whole = if options.terminal {
        String::from_utf8_lossy(text)
    } else {
        Cow::default()
    };
    let rest = if options.terminal { whole.as_bytes() } else { text };
    match &options.highlight {
        // The service's own colours would end within the matches.
        Some(pattern) if options.colour => {
            let mut plain = Vec::new();
            without_codes(
                rest,
                &RenderOptions {
                    colour: false,
                    ..options.clone()
                },
                &mut plain,
            );
            highlighted(&plain, pattern, into);
        }
        Some(_) | None => without_codes(rest, options, into),
    }
}

fn highlighted(text: &[u8], pattern: &Regex, into: &mut Vec<u8>) {
    let mut done = 0;
    for found in pattern.find_iter(text).filter(|found| !found.is_empty()) {
        into.extend_from_slice(&text[done..found.start()]);
        Painter(true).put(into, AnsiColor::Red.on_default().bold(), found.as_bytes());
        done = found.end();
    }
    into.extend_from_slice(&text[done..]);
}

fn without_codes(text: &[u8], options: &RenderOptions, into: &mut Vec<u8>) {
    let mut rest = text;
    let mut coloured = false;
    while let Some(&first) = rest.first() {
        let plain = plain_length(rest, options.terminal);
        into.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        if plain > 0 {
            continue;
        }
        let length = match first {
            ESCAPE => escape::length(rest),
            C1 => escape::length_of_c1(rest),
            _ => 1,
        };
        let (code, after) = rest.split_at(length);
        let is_colour = is_colour(code);
        if is_colour && options.colour || !options.terminal && first != ESCAPE || first == b'\t' {
            into.extend_from_slice(code);
            coloured |= is_colour;
        }
        rest = after;
    }
    if coloured {
        into.extend_from_slice(b"\x1b[0m");
    }
}

/// How much of the text has no control character before it; the ones of two bytes (U+0080 to U+009F) count on a terminal, which obeys
/// them.
fn plain_length(text: &[u8], terminal: bool) -> usize {
    let is_c1 =
        |at: usize| terminal && text[at] == C1 && text.get(at + 1).is_some_and(|byte| (0x80..0xa0).contains(byte));
    let controls = (0..text.len()).find(|at| is_control(text[*at]) || is_c1(*at));
    controls.unwrap_or(text.len())
}

const ESCAPE: u8 = 0x1b;

/// The first byte of the control characters from U+0080 on, in UTF-8.
const C1: u8 = 0xc2;

fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

struct Painter(bool);

impl Painter {
    fn put(&self, into: &mut Vec<u8>, style: Style, text: &[u8]) {
        if !self.0 || style == Style::new() {
            return into.extend_from_slice(text);
        }
        // Writing to memory does not fail.
        let _ = write!(into, "{style}");
        into.extend_from_slice(text);
        let _ = write!(into, "{style:#}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::record::End;
    use proptest::prelude::*;

    fn line(stream: LineStream, text: &[u8]) -> Line {
        let stamp = "2026-11-23T09:15:02.123456Z".parse().unwrap();
        Line {
            stamp,
            service: "web".into(),
            stream,
            text: text.to_vec(),
            end: End::Newline,
        }
    }

    fn options(terminal: bool, colour: bool) -> RenderOptions {
        RenderOptions {
            name_width: 6,
            colour,
            terminal,
            zone: TimeZone::UTC,
            today: jiff::civil::date(2026, 11, 23),
            highlight: None,
        }
    }

    fn shown(line: &Line, options: &RenderOptions) -> String {
        let mut bytes = Vec::new();
        render(line, options, &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    /// Any JSON that is not too deep.
    fn value() -> impl Strategy<Value = Value> {
        let text = "[a-z\"= \n\u{1b}\u{e9}\r]{0,8}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("(stack|type|[a-z]{1,3})", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn names_are_aligned_and_streams_marked() {
        for (stream, expected) in [
            (LineStream::Out, "web    | text\n"),
            (LineStream::Err, "web    ! text\n"),
            (LineStream::Event, "web    * text\n"),
        ] {
            assert_eq!(shown(&line(stream, b"text\r"), &options(false, false)), expected);
        }
        let stack = Line {
            service: "".into(),
            ..line(LineStream::Event, b"stack is up")
        };
        assert_eq!(shown(&stack, &options(false, false)), "       * stack is up\n");
    }

    #[test]
    fn a_name_has_its_own_colour_and_it_stays() {
        assert_eq!(name_style("web"), name_style("web"));
        assert!(
            ["server", "client", "caddy", "db", "queue"]
                .iter()
                .any(|name| name_style(name) != name_style("web"))
        );
    }

    #[test]
    fn colours_of_services_are_kept_on_a_terminal_and_nothing_else() {
        let text = b"\x1b[2J\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x1b[3Aok\x07\ttab\x1b(B\x1b";
        let line = line(LineStream::Out, text);
        assert!(shown(&line, &options(true, true)).ends_with("| \x1b[1;31mred\x1b[0m ok\ttab\x1b[0m\n"));
        assert_eq!(
            shown(&line, &options(true, false)),
            "09:15:02.123 web    | red ok\ttab\n"
        );
        assert_eq!(shown(&line, &options(false, false)), "web    | red ok\x07\ttab\n");
    }

    #[test]
    fn control_characters_of_two_bytes_do_not_reach_a_terminal() {
        let line = line(LineStream::Out, "a \u{9b}2J\u{9d}0;title\u{7}b\u{85}\u{e9}".as_bytes());
        assert_eq!(shown(&line, &options(true, false)), "09:15:02.123 web    | a b\u{e9}\n");
    }

    #[test]
    fn what_is_taken_out_leaves_no_control_character_behind() {
        for text in [
            &b"\xc2\0\x9b2J"[..],
            b"\xc2\x07\x9d0;t\x07",
            b"\xc2\xc2\x9b\x9b2J",
            b"\xc2\x1b[0m\x9b2J",
        ] {
            for colour in [false, true] {
                let shown = shown(&line(LineStream::Out, text), &options(true, colour));
                assert!(
                    !shown.chars().any(|letter| ('\u{80}'..'\u{a0}').contains(&letter)),
                    "{shown:?}"
                );
            }
        }
    }

    #[test]
    fn a_structured_line_that_says_nothing_else_is_no_blank_row() {
        for text in ["{}", "{\"msg\":\"\"}", "{\"time\":\"2026-12-24T18:00:00Z\"}"] {
            let shown = shown(&line(LineStream::Out, text.as_bytes()), &options(true, false));
            assert_eq!(shown, format!("09:15:02.123 web    | {text}\n"));
        }
    }

    #[test]
    fn a_redrawn_line_shows_its_last_state_on_a_terminal() {
        for (text, state) in [
            ("10%\r50%\r100%\r", "100%"),
            ("two ends\r\r", "two ends"),
            ("cleared\r  ", "cleared"),
        ] {
            let line = line(LineStream::Out, text.as_bytes());
            assert_eq!(
                shown(&line, &options(true, false)),
                format!("09:15:02.123 web    | {state}\n")
            );
        }
        let line = line(LineStream::Out, b"10%\r50%\r100%\r");
        assert_eq!(shown(&line, &options(false, false)), "web    | 10%\r50%\r100%\n");
    }

    #[test]
    fn colours_alone_are_no_state_of_a_redrawn_line() {
        for (text, state, coloured) in [
            ("\x1b[32mfoo\r\x1b[39m", "foo", "\x1b[32mfoo\x1b[0m"),
            ("foo\r \x1b[39m\x1b[0m \r\x1b[m", "foo", "foo"),
            ("foo\r\x1b[32mbar\x1b[39m", "bar", "\x1b[32mbar\x1b[39m\x1b[0m"),
            ("foo\r\x1b[39m\x1b[K", "", "\x1b[39m\x1b[0m"),
            ("foo\r\x1b[2K", "", ""),
            ("\r\x1b[39m", "", ""),
        ] {
            let line = line(LineStream::Out, text.as_bytes());
            let expected = format!("09:15:02.123 web    | {state}\n");
            assert_eq!(shown(&line, &options(true, false)), expected, "{text:?}");
            let shown = shown(&line, &options(true, true));
            assert!(shown.ends_with(&format!("| {coloured}\n")), "{text:?}: {shown:?}");
        }
    }

    #[test]
    fn a_message_of_several_lines_is_whole() {
        let line = line(
            LineStream::Out,
            br#"{"level":30,"msg":"HTTP/1.1 400\r\nno","k":"a\rb"}"#,
        );
        assert_eq!(
            shown(&line, &options(true, false)),
            "09:15:02.123 web    | info  HTTP/1.1 400\\nno k=ab\n"
        );
    }

    #[test]
    fn a_structured_line_is_taken_apart_on_a_terminal_only() {
        let text = br#"{"level":40,"time":1700000000000,"pid":7,"hostname":"h","port":7163,"msg":"low","path":"a b","x":null}"#;
        let line = line(LineStream::Out, text);
        let expected = "09:15:02.123 web    | warn  low port=7163 path=\"a b\" x=null\n";
        assert_eq!(shown(&line, &options(true, false)), expected);
        assert_eq!(
            shown(&line, &options(false, false)),
            format!("web    | {}\n", str::from_utf8(text).unwrap())
        );
    }

    #[test]
    fn a_stack_stands_below_its_line_and_another_day_is_named() {
        let text = br#"{"level":50,"err":{"type":"Error","stack":"Error: no\n    at main"},"msg":"broken"}"#;
        let mut old = options(true, false);
        old.today = jiff::civil::date(2026, 11, 24);
        let expected = "11-23 09:15:02 web    ! error broken err={\"type\":\"Error\"}\n".to_owned();
        let below = "               web    ! Error: no\n               web    !     at main\n";
        assert_eq!(shown(&line(LineStream::Err, text), &old), expected + below);
    }

    #[test]
    fn what_matches_stands_out_without_the_colours_of_the_service() {
        let mut matching = options(true, true);
        matching.highlight = Regex::new("r?ed|w|").ok();
        let line = line(LineStream::Out, b"\x1b[32mcolou\x1b[1mred\x1b[0m words");
        let red = |text: &str| format!("\x1b[1m\x1b[31m{text}\x1b[0m");
        let expected = format!("| colou{} {}ords\n", red("red"), red("w"));
        assert!(
            shown(&line, &matching).ends_with(&expected),
            "{:?}",
            shown(&line, &matching)
        );
    }

    #[test]
    fn a_crash_is_red_and_what_is_ready_is_green() {
        for (text, code) in [
            ("ended with SIGKILL after 2s", "\x1b[31m"),
            ("errored: no such program", "\x1b[31m"),
            ("blocked: port 80 is held", "\x1b[33m"),
            ("ready after 1s", "\x1b[32m"),
            ("ended with exit code 0 after 2s", ""),
            ("started (pid 7)", ""),
        ] {
            let end = if code.is_empty() { "" } else { "\x1b[0m" };
            let shown = shown(&line(LineStream::Event, text.as_bytes()), &options(true, true));
            assert!(shown.ends_with(&format!(" {code}{text}{end}\n")), "{shown:?}");
        }
    }

    #[test]
    fn further_lines_of_an_event_stand_below_its_first() {
        let line = line(LineStream::Event, b"build failed: no\n  --> src/a.rs\n\nerror\x1b[2J");
        let plain = "web    * build failed: no\nweb    *   --> src/a.rs\nweb    * \nweb    * error\n";
        assert_eq!(shown(&line, &options(false, false)), plain);
        let on_terminal = plain.replace("web ", "             web ");
        let on_terminal = on_terminal.replacen("             ", "09:15:02.123 ", 1);
        assert_eq!(shown(&line, &options(true, false)), on_terminal);
        let coloured = shown(&line, &options(true, true));
        for row in ["build failed: no", "  --> src/a.rs", "error"] {
            assert!(coloured.contains(&format!(" \x1b[31m{row}\x1b[0m\n")), "{coloured:?}");
        }
        let mut matching = options(false, true);
        matching.highlight = Regex::new("^error").ok();
        assert!(shown(&line, &matching).ends_with(" \x1b[1m\x1b[31merror\x1b[0m\n"));
        assert_eq!(json(&line)["text"], "build failed: no\n  --> src/a.rs\n\nerror\x1b[2J");
    }

    #[test]
    fn json_has_the_fields_that_scripts_read() {
        let plain = json(&line(LineStream::Err, b"caf\xe9"));
        let expected =
            r#"{"time":"2026-11-23T09:15:02.123456Z","service":"web","stream":"err","text":"caf�","fields":null}"#;
        assert_eq!(plain.to_string(), expected);
        assert_eq!(json(&line(LineStream::Out, br#"{"level":30}"#))["fields"]["level"], 30);
    }

    proptest! {
        #[test]
        fn nothing_that_moves_the_cursor_reaches_a_terminal(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut bytes = Vec::new();
            render(&line(LineStream::Out, &text), &options(true, false), &mut bytes);
            bytes.pop();
            prop_assert!(bytes.iter().all(|&byte| !is_control(byte) || byte == b'\t'));
        }

        #[test]
        fn every_row_of_an_event_has_its_name_and_nothing_that_moves_the_cursor(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let rows = shown(&line(LineStream::Event, &text), &options(true, false));
            prop_assert_eq!(rows.matches('\n').count(), 1 + text.iter().filter(|byte| **byte == b'\n').count());
            prop_assert!(rows.split_terminator('\n').all(|row| row.contains("web    * ")), "{rows:?}");
            prop_assert!(rows.bytes().all(|byte| !is_control(byte) || byte == b'\t' || byte == b'\n'), "{rows:?}");
        }

        #[test]
        fn a_structured_line_of_any_shape_is_shown_and_its_fields_survive_as_json(
            keys in prop::collection::vec((prop::sample::select(vec!["level", "severity", "msg", "message", "time", "err", "stack", "x"]), value()), 0..6),
        ) {
            let object: Map<String, Value> = keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            let line = line(LineStream::Out, Value::Object(object.clone()).to_string().as_bytes());
            prop_assert_eq!(&json(&line)["fields"], &Value::Object(object));
            let rows = shown(&line, &options(true, false));
            prop_assert!(rows.lines().all(|row| row.contains("web    | ")), "{rows}");
            prop_assert!(rows.bytes().all(|byte| !is_control(byte) || byte == b'\t' || byte == b'\n'), "{rows:?}");
        }
    }
}
