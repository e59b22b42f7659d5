//! `.env` text → names and values.
//!
//! Reads no file and expands nothing: a `$` stays a `$`, and an unquoted value keeps its quotes and backslashes.

/// Reads a `.env` file: `NAME=value` lines, comments (a `#` that begins a line or follows white space), blank lines,
/// `export` before a name, `'…'` verbatim, `"…"` with `\n \r \t \" \\ \$`; quoted values may span lines. A BOM and CRLF
/// line ends are accepted. White space around `=` and at the end of an unquoted value does not count. Of several
/// lines with one name the last counts; the order is that of the lines that count.
///
/// # Errors
/// The line, from 1, and what is wrong with it, without the value: it may be a secret.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut rest = text.as_str();
    let mut number = 1;
    while !rest.is_empty() {
        let (pair, after) = line(rest).map_err(|message| (number, message))?;
        pairs.extend(pair);
        number += rest[..rest.len() - after.len()].matches('\n').count();
        rest = after;
    }
    let mut seen = std::collections::HashSet::new();
    let mut last: Vec<_> = pairs
        .into_iter()
        .rev()
        .filter(|(name, _)| seen.insert(name.clone()))
        .collect();
    last.reverse();
    Ok(last)
}

type Pair = (String, String);

/// The pair on the first line of `text`, if any, and what comes after it.
fn line(text: &str) -> Result<(Option<Pair>, &str), String> {
    let end = text.find('\n').unwrap_or(text.len());
    let first = text[..end].trim();
    if first.is_empty() || first.starts_with('#') {
        return Ok((None, text.get(end + 1..).unwrap_or("")));
    }
    let Some(equals) = text[..end].find('=') else {
        return Err("there is no `=`; write `NAME=value`, or `#` before a comment".to_owned());
    };
    let before = text[..equals].trim_start();
    let name = match before.strip_prefix("export") {
        Some(after) if after.starts_with(char::is_whitespace) => after.trim(),
        _ => before.trim_end(),
    };
    check_name(name)?;
    let (value, after) = value(&text[equals + 1..])?;
    if value.contains('\0') {
        return Err(format!("the value of `{name}` holds a NUL character"));
    }
    Ok((Some((name.to_owned(), value)), after))
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        Err("there is no name before `=`".to_owned())
    } else if name.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '`' | '$' | '#'))
    {
        Err(format!(
            "`{}` is not a variable's name; write `NAME=value`",
            name.escape_debug()
        ))
    } else {
        Ok(())
    }
}

/// The value that begins `text`, right behind `=`, and what comes after its line.
fn value(text: &str) -> Result<(String, &str), String> {
    let start = text.trim_start_matches([' ', '\t']);
    let (value, after) = if let Some(quoted) = start.strip_prefix('\'') {
        let (value, after) = quoted.split_once('\'').ok_or("the quote `'` is not closed")?;
        (value.to_owned(), after)
    } else if let Some(quoted) = start.strip_prefix('"') {
        double_quoted(quoted)?
    } else {
        return Ok(unquoted(text));
    };
    let end = after.find('\n').unwrap_or(after.len());
    let behind = &after[..end];
    let comment = behind.trim_start();
    if !comment.is_empty() && (!comment.starts_with('#') || comment.len() == behind.len()) {
        return Err("something follows the closing quote; quote the whole value".to_owned());
    }
    Ok((value, after.get(end + 1..).unwrap_or("")))
}

/// A value up to the end of the line or a comment. A `#` right behind `=` is the value's own.
fn unquoted(text: &str) -> (String, &str) {
    let end = text.find('\n').unwrap_or(text.len());
    let line = &text[..end];
    let comment = line
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|at| line[..*at].ends_with(char::is_whitespace))
        .unwrap_or(line.len());
    (line[..comment].trim().to_owned(), text.get(end + 1..).unwrap_or(""))
}

/// The value up to a closing `"`, its escapes resolved, and what comes after the quote.
fn double_quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c @ ('"' | '\\' | '$'))) => value.push(c),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err("the quote `\"` is not closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap()
    }

    #[test]
    fn every_form_of_a_value_is_read() {
        let table = [
            ("A=b", "b"),
            ("A=a b", "a b"),
            ("A=", ""),
            ("A = b ", "b"),
            ("export A=b", "b"),
            ("  export\tA=b", "b"),
            ("A=b # c", "b"),
            ("A=b#c", "b#c"),
            ("A=#c", "#c"),
            ("A= # c", ""),
            ("A=''", ""),
            ("A=\"\"", ""),
            ("A='a \"b\" \\n $X # c'", "a \"b\" \\n $X # c"),
            (r#"A="a\n\t\"\\\$X\q 'b' # c" # d"#, "a\n\t\"\\$X\\q 'b' # c"),
            ("A='one\n two'", "one\n two"),
            ("A=\"one\r\n#two\"\r\n", "one\n#two"),
            ("A={\"a\":1}", "{\"a\":1}"),
            ("A=${X:-y} $Z", "${X:-y} $Z"),
            ("A=C:\\new\\table", "C:\\new\\table"),
            ("A=x=y==", "x=y=="),
            ("A=it's", "it's"),
            ("\u{feff}A=b", "b"),
            ("A=ü é", "ü é"),
            ("A=b\r\n", "b"),
        ];
        for (text, value) in table {
            assert_eq!(pairs(text), [("A".to_owned(), value.to_owned())], "{text}");
        }
    }

    #[test]
    fn comments_and_blank_lines_are_nothing() {
        assert_eq!(pairs("\n  # c=1\r\n\t\n#\n"), []);
        assert_eq!(pairs(""), []);
    }

    #[test]
    fn of_two_lines_with_one_name_the_later_wins() {
        let expected =
            [("B", "2"), ("A", "3"), ("exporter", "4")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs("A=1\nB=2\nexport A='3'\nexporter=4"), expected);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_the_value() {
        let table = [
            (
                "A=1\nB",
                2,
                "there is no `=`; write `NAME=value`, or `#` before a comment",
            ),
            ("A='x\ny'\n=secret", 3, "there is no name before `=`"),
            ("export =secret", 1, "there is no name before `=`"),
            ("A B=secret", 1, "`A B` is not a variable's name; write `NAME=value`"),
            (
                "\n'A'=secret",
                2,
                "`\\'A\\'` is not a variable's name; write `NAME=value`",
            ),
            ("A='secret\n\n", 1, "the quote `'` is not closed"),
            ("#\nA=\"secret\\\"", 2, "the quote `\"` is not closed"),
            (
                "A='secret' b",
                1,
                "something follows the closing quote; quote the whole value",
            ),
            (
                "A='secret'#b",
                1,
                "something follows the closing quote; quote the whole value",
            ),
            ("A=a\0b", 1, "the value of `A` holds a NUL character"),
        ];
        for (text, line, message) in table {
            let (at, said) = parse(text).unwrap_err();
            assert_eq!((at, said.as_str()), (line, message), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text: String, near in "([=#'\"\\\\\r\n A$é]|export ){0,60}") {
            for text in [text, near] {
                let _ = parse(&text);
            }
        }

        #[test]
        fn any_value_survives_double_quotes(value in "[^\0]*") {
            let value = value.replace("\r\n", "\n");
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\r', "\\r");
            let read = pairs(&format!("export A=\"{escaped}\" # c\nB=2\n"));
            prop_assert_eq!(&read[0].1, &value);
        }
    }
}
