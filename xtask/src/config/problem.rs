//! What is wrong with a `dev.toml`, and where: places, problems and their text.
//!
//! Collects and renders; decides nothing about what is allowed. Nothing here prints.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A position in the text, both counted from 1; columns count characters, not bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The character of that line, from 1.
    pub column: usize,
}

impl Problems {
    /// A file of which only `before` is text.
    pub fn not_text(file: &str, before: &str) -> Self {
        let line = before.rsplit('\n').next().unwrap_or_default();
        let place = Place {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        };
        let message = "a byte that is no UTF-8; save the file as UTF-8".to_owned();
        Self(
            file.to_owned(),
            vec![Problem {
                place: Some(place),
                message,
            }],
        )
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value and where it was written. Two are equal when their values are: moving a line changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Located<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub at: Place,
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Located<T> {}

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is; `None` when it is the file as a whole.
    pub place: Option<Place>,
    /// What is wrong and what to do.
    pub message: String,
}

/// Everything wrong with one file: its name as shown, and the problems sorted by place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub String, pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.1.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match problem.place {
                Some(place) => write!(f, "{}:{place}: {}", self.0, problem.message)?,
                None => write!(f, "{}: {}", self.0, problem.message)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Gathers problems while a text is read, and turns byte offsets into places.
pub(super) struct Report<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'t> Report<'t> {
    /// An empty report about `text`.
    pub(super) fn new(text: &'t str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            text,
            line_starts,
            problems: RefCell::default(),
        }
    }

    /// The place of a byte offset; one past the end is the end.
    pub(super) fn place(&self, offset: usize) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or("");
        Place {
            line,
            column: before.chars().count() + 1,
        }
    }

    /// The text of a span, empty when it is none.
    pub(super) fn slice(&self, span: Range<usize>) -> &'t str {
        self.text.get(span).unwrap_or("")
    }

    /// The line that holds a place, without its line end.
    pub(super) fn line(&self, place: Place) -> &'t str {
        self.text.lines().nth(place.line.saturating_sub(1)).unwrap_or("")
    }

    /// Notes one problem.
    pub(super) fn push(&self, at: Place, message: String) {
        self.problems.borrow_mut().push(Problem {
            place: Some(at),
            message,
        });
    }

    /// All that was noted, sorted by place.
    pub(super) fn finish(self, file: &str) -> Problems {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.place);
        problems.dedup();
        Problems(file.to_owned(), problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let report = Report::new("a\nüb\n");
        assert_eq!(report.place(0).to_string(), "1:1");
        assert_eq!(report.place(2).to_string(), "2:1");
        assert_eq!(report.place(4).to_string(), "2:2");
        assert_eq!(report.place(6).to_string(), "3:1");
        assert_eq!(report.place(600).to_string(), "3:1");
    }

    #[test]
    fn problems_print_one_line_each_in_the_order_of_the_file() {
        let report = Report::new("one\ntwo\n");
        report.push(report.place(4), "second".to_owned());
        report.push(report.place(1), "first".to_owned());
        let problems = report.finish("dev.toml");
        assert_eq!(problems.to_string(), "dev.toml:1:2: first\ndev.toml:2:1: second");
        let whole = Problem {
            place: None,
            message: "gone".to_owned(),
        };
        assert_eq!(Problems("x.toml".to_owned(), vec![whole]).to_string(), "x.toml: gone");
    }
}
