//! How log lines are shown: for people, as JSON, or as the services' own bytes.

use super::log_line::{self, RenderOptions};
use crate::log::line::CONTINUES;
use crate::log::record::{End, Line};

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
        for line in lines {
            match self {
                Self::People(options) => log_line::render(line, options, &mut text),
                Self::Json => {
                    text.extend_from_slice(log_line::json(line).to_string().as_bytes());
                    text.push(b'\n');
                }
                Self::Raw => raw(line, &mut text),
            }
        }
        text
    }
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
