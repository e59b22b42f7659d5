//! How log lines are shown: for people, as JSON, or as the services' own bytes.

use super::log_line::{self, RenderOptions};
use crate::log::reader::{Line, Selection};
use std::io::IsTerminal as _;

/// How log lines are shown.
pub enum Style {
    /// For people.
    People(RenderOptions),
    /// One JSON object a line.
    Json,
    /// The services' bytes alone.
    Raw,
}

impl Style {
    /// For people, with names aligned, and in colour where stdout wants it.
    pub fn people(selection: &Selection) -> Self {
        let name_width = selection
            .logs
            .iter()
            .map(|log| log.service.chars().count())
            .max()
            .unwrap_or_default();
        let colour = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
        let (terminal, zone) = (std::io::stdout().is_terminal(), jiff::tz::TimeZone::system());
        Self::People(RenderOptions {
            name_width,
            colour,
            terminal,
            zone,
        })
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
                Self::Raw => {
                    text.extend_from_slice(&line.text);
                    text.push(b'\n');
                }
            }
        }
        text
    }
}
