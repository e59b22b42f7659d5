//! Command-line words: a string split as a shell splits it, or a list.
//!
//! Quotes and backslashes only; expands nothing and runs nothing.

/// Arguments as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// One string, split like a shell's words; `''` is an empty argument. Decoding proved that it splits.
    Line(String),
    /// A list, each item one argument as it is.
    List(Vec<String>),
}

impl Default for Words {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Words {
    /// The arguments. A line that does not split (decoding lets none through) is one argument.
    pub fn split(&self) -> Vec<String> {
        match self {
            Self::Line(line) => split(line).unwrap_or_else(|_| vec![line.clone()]),
            Self::List(list) => list.clone(),
        }
    }
}

/// Splits `line` like a shell's words.
///
/// # Errors
/// When a quote is not closed, or when a `#` begins a word: a shell would drop the rest of the line as a comment,
/// and an argument that vanishes in silence is worse than a question.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let words = shell_words::split(line).map_err(|_| "a quote is not closed".to_owned())?;
    // A letter in place of each `#` never begins a comment: a different count means that one was dropped.
    let kept = shell_words::split(&line.replace('#', "x")).map_err(|_| COMMENT.to_owned())?;
    if words.len() != kept.len() {
        Err(COMMENT.to_owned())
    } else {
        Ok(words)
    }
}

/// One word as a shell takes it, in quotes where it needs them.
pub fn quote(word: &str) -> String {
    shell_words::quote(word).into_owned()
}

const COMMENT: &str = "`#` would begin a comment; quote the word that begins with it";

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Vec<String> {
        Words::Line(text.to_owned()).split()
    }

    #[test]
    fn empty_arguments_are_kept() {
        assert_eq!(
            line("run --config '' --adapter \"\""),
            ["run", "--config", "", "--adapter", ""]
        );
        assert_eq!(line(""), Vec::<String>::new());
    }

    #[test]
    fn quotes_backslashes_and_line_ends_work_as_in_a_shell() {
        assert_eq!(
            line(r#"a\ b 'c "d"' "e \"f\"" g'h'i"#),
            ["a b", "c \"d\"", "e \"f\"", "ghi"]
        );
        assert_eq!(line("a \\\n  b\n\tc"), ["a", "b", "c"]);
        assert_eq!(
            line("-c 'echo $HOME | cat; x=${y%z}'"),
            ["-c", "echo $HOME | cat; x=${y%z}"]
        );
    }

    #[test]
    fn a_list_is_taken_as_it_is() {
        let list = vec!["a b".to_owned(), String::new(), "'q'".to_owned()];
        assert_eq!(Words::List(list.clone()).split(), list);
    }

    #[test]
    fn what_a_shell_would_drop_or_wait_for_is_an_error() {
        assert_eq!(split("it's").unwrap_err(), "a quote is not closed");
        assert_eq!(split("--color #fff").unwrap_err(), COMMENT);
        assert_eq!(split("#").unwrap_err(), COMMENT);
        assert_eq!(split("a # it's").unwrap_err(), COMMENT);
        assert_eq!(split("--color '#fff' a#b").unwrap(), ["--color", "#fff", "a#b"]);
    }

    proptest::proptest! {
        #[test]
        fn splitting_never_panics_and_undoes_joining(words: Vec<String>, text: String) {
            let _ = Words::Line(text).split();
            proptest::prop_assert_eq!(split(&shell_words::join(&words)).unwrap(), words);
        }
    }
}
