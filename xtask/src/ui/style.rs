//! How log lines are shown: for people, as JSON, or as the services' own bytes.

use super::log_line::{self, RenderOptions};
use crate::log::line::CONTINUES;
use crate::log::record::{End, Line, LineStream};
use std::collections::HashMap;

/// How log lines are shown.
pub enum Style {
    /// For people.
    People(Box<RenderOptions>),
    /// One JSON object a line.
    Json,
    /// The services' bytes alone, a line that was too long put together again.
    Raw,
}

impl Style {
    /// Whether an unfinished line may be shown before the rest of it comes: programs get whole ones.
    pub fn shows_unfinished(&self) -> bool {
        match self {
            Self::People(_) | Self::Raw => true,
            Self::Json => false,
        }
    }

    /// Whether what is shown is the services' bytes, no more and no less.
    pub fn is_raw(&self) -> bool {
        match self {
            Self::Raw => true,
            Self::People(_) | Self::Json => false,
        }
    }

    /// Makes room for names of so many columns.
    pub fn widen(&mut self, name_width: usize) {
        match self {
            Self::People(options) => options.name_width = options.name_width.max(name_width),
            Self::Json | Self::Raw => {}
        }
    }

    /// The lines as bytes to be printed.
    pub fn render(&self, lines: &[Line]) -> Vec<u8> {
        let mut text = Vec::new();
        match self {
            Self::People(options) => lines.iter().for_each(|line| log_line::render(line, options, &mut text)),
            Self::Json => {
                for line in lines {
                    text.extend_from_slice(log_line::json(line).to_string().as_bytes());
                    text.push(b'\n');
                }
            }
            Self::Raw if lines.iter().any(|line| line.end == End::Continues) => {
                together(lines).for_each(|line| raw(line, &mut text));
            }
            Self::Raw => lines.iter().for_each(|line| raw(line, &mut text)),
        }
        text
    }
}

/// The lines, but with the pieces of a long one next to each other, where others were written in between.
fn together(lines: &[Line]) -> impl Iterator<Item = &Line> {
    let mut wholes: Vec<Vec<&Line>> = Vec::new();
    let mut begun: HashMap<(&str, LineStream), usize> = HashMap::new();
    for line in lines {
        let log = (&*line.service, line.stream);
        let place = begun.remove(&log).unwrap_or_else(|| {
            wholes.push(Vec::new());
            wholes.len() - 1
        });
        wholes[place].push(line);
        if line.end == End::Continues {
            begun.insert(log, place);
        }
    }
    wholes.into_iter().flatten()
}

fn raw(line: &Line, into: &mut Vec<u8>) {
    match line.end {
        End::Newline => {
            into.extend_from_slice(&line.text);
            into.push(b'\n');
        }
        End::Continues => into.extend_from_slice(line.text.strip_suffix(CONTINUES).unwrap_or(&line.text)),
        End::Open => into.extend_from_slice(&line.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn raw_puts_the_pieces_of_a_long_line_together_whoever_writes_in_between() {
        let line = |service: &str, text: &str, end| Line {
            stamp: Timestamp::UNIX_EPOCH,
            service: service.into(),
            stream: LineStream::Out,
            text: text.into(),
            end,
        };
        let piece = |service, text: &str| {
            let text = format!("{text}{}", String::from_utf8_lossy(CONTINUES));
            line(service, &text, End::Continues)
        };
        let lines = [
            line("b", "first", End::Newline),
            piece("a", "1"),
            line("b", "between", End::Newline),
            piece("c", "x"),
            piece("a", "2"),
            line("a", "3", End::Newline),
            line("c", "y", End::Newline),
            line("a", "next", End::Newline),
        ];
        let text = String::from_utf8(Style::Raw.render(&lines)).unwrap();
        assert_eq!(text, "first\n123\nbetween\nxy\nnext\n");
    }
}
