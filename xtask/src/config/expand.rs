//! `${VAR}` and `${VAR:-default}` in values of the environment, and in arguments.
//!
//! The caller looks variables up; nothing here reads the environment. The two forms differ because arguments hold
//! shell scripts, whose own `$` must reach the shell untouched.

/// Expands a value of the environment: `${VAR}` (unset is empty), `${VAR:-default}` (the default also serves for an
/// empty value and may hold `${…}` itself), `$$` for a `$`. A `$` before anything else stays.
///
/// # Errors
/// An unclosed `${`, a name that is none, or defaults nested too deeply.
pub fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    expand_value(text, lookup, 0)
}

/// Expands an argument: `${VAR:-default}` as [`expand`] does, `${VAR}` only when the variable is known, `$${` for a
/// literal `${`. All else is kept as it is, `$$`, `$1` and `${i%x}` too: it belongs to a shell.
///
/// # Errors
/// Defaults nested too deeply.
pub fn expand_argument(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    expand_part(text, lookup, 0)
}

/// How deep `${A:-${B:-…}}` may go: more than anybody writes, less than a stack holds.
const DEEPEST: usize = 16;
const TOO_DEEP: &str = "`${…:-${…}}` is nested more than 16 deep";

fn expand_value(text: &str, lookup: &dyn Fn(&str) -> Option<String>, depth: usize) -> Result<String, String> {
    if depth > DEEPEST {
        return Err(TOO_DEEP.to_owned());
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if rest.starts_with("${") {
            let Some((inside, after)) = braced(rest, "$$") else {
                return Err("`${` is not closed; write `$${` for the characters themselves".to_owned());
            };
            let (name, default) = reference(inside).ok_or_else(|| bad_reference(inside))?;
            // The default is expanded even when it is not used, so that a mistake in it shows at once.
            let default = default
                .map(|default| expand_value(default, lookup, depth + 1))
                .transpose()?;
            out.push_str(&choose(lookup(name), default).unwrap_or_default());
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn expand_part(text: &str, lookup: &dyn Fn(&str) -> Option<String>, depth: usize) -> Result<String, String> {
    if depth > DEEPEST {
        return Err(TOO_DEEP.to_owned());
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$${") {
            out.push_str("${");
            rest = after;
        } else if let Some((inside, after)) = braced(rest, "$${")
            && let Some((name, default)) = reference(inside)
        {
            let default = default
                .map(|default| expand_part(default, lookup, depth + 1))
                .transpose()?;
            match choose(lookup(name), default) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&rest[..rest.len() - after.len()]),
            }
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// A known value, unless it is empty and there is a default.
fn choose(value: Option<String>, default: Option<String>) -> Option<String> {
    match value {
        Some(value) if value.is_empty() => default.or(Some(value)),
        Some(value) => Some(value),
        None => default,
    }
}

/// What stands between the `${` that begins `text` and its `}`, and what comes after; `escape` never opens one.
fn braced<'t>(text: &'t str, escape: &str) -> Option<(&'t str, &'t str)> {
    let inside = text.strip_prefix("${")?;
    let mut open = 1;
    let mut at = 0;
    while let Some(step) = inside[at..].find(['$', '}']) {
        at += step;
        let here = &inside[at..];
        if here.starts_with('}') {
            open -= 1;
            if open == 0 {
                return Some((&inside[..at], &inside[at + 1..]));
            }
            at += 1;
        } else if here.starts_with(escape) {
            at += escape.len();
        } else if here.starts_with("${") {
            open += 1;
            at += 2;
        } else {
            at += 1;
        }
    }
    None
}

/// `NAME` or `NAME:-default`; `None` when it is neither.
fn reference(inside: &str) -> Option<(&str, Option<&str>)> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on_well = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (starts_well && goes_on_well).then_some((name, default))
}

fn bad_reference(inside: &str) -> String {
    format!(
        "`${{{inside}}}` is not understood; write `${{NAME}}` or `${{NAME:-default}}`, or `$${{` for the characters themselves"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".to_owned()),
            "B_2" => Some("${A}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn values_are_expanded() {
        let table = [
            ("plain", "plain"),
            ("${A}", "one"),
            ("<${A}${A}>", "<oneone>"),
            ("${NO}", ""),
            ("${B_2}", "${A}"),
            ("${NO:-two}", "two"),
            ("${EMPTY:-two}", "two"),
            ("${EMPTY}", ""),
            ("${A:-two}", "one"),
            ("${NO:-}", ""),
            ("${NO:-${A}}", "one"),
            ("${NO:-${EMPTY:-x}y}z", "xyz"),
            ("$$", "$"),
            ("$${A}", "${A}"),
            ("$$$$", "$$"),
            ("$A costs $5 $", "$A costs $5 $"),
            ("${NO:-$${x}", "${x"),
            ("{}}", "{}}"),
            ("${NO:-a:-b}", "a:-b"),
            ("ü${A}é", "üoneé"),
        ];
        for (text, expanded) in table {
            assert_eq!(expand(text, &lookup).unwrap(), expanded, "{text}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_meant_is_an_error() {
        for text in ["${", "${A", "x ${NO:-${A}", "${A:-$$"] {
            let message = "`${` is not closed; write `$${` for the characters themselves";
            assert_eq!(expand(text, &lookup).unwrap_err(), message, "{text}");
        }
        for text in ["${}", "${1A}", "${A-b}", "${ A }", "${A%x}", "${A:-${}}", "${é}"] {
            assert!(
                expand(text, &lookup)
                    .unwrap_err()
                    .contains("is not understood; write `${NAME}`"),
                "{text}"
            );
        }
        assert_eq!(
            expand("${A.b}", &lookup).unwrap_err(),
            "`${A.b}` is not understood; write `${NAME}` or `${NAME:-default}`, or `$${` for the characters themselves"
        );
    }

    #[test]
    fn arguments_keep_what_belongs_to_a_shell() {
        let table = [
            ("${A}", "one"),
            ("${EMPTY}", ""),
            ("${NO}", "${NO}"),
            ("${NO:-two}", "two"),
            ("${EMPTY:-two}", "two"),
            ("${NO:-${A}}", "one"),
            ("${NO:-${NO}}", "${NO}"),
            ("$${A}", "${A}"),
            ("$$", "$$"),
            ("$$A $1 $@", "$$A $1 $@"),
            ("${i%x} ${#a} ${A}", "${i%x} ${#a} one"),
            ("${", "${"),
            ("${x ${A}", "${x one"),
            ("$(ls ${A})", "$(ls one)"),
            ("${}", "${}"),
            ("kill $$; wait $!", "kill $$; wait $!"),
            ("${A", "${A"),
        ];
        for (text, expanded) in table {
            assert_eq!(expand_argument(text, &lookup).unwrap(), expanded, "{text}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| format!("{}x{}", "${NO:-".repeat(depth), "}".repeat(depth));
        for depth in [17, 5000] {
            assert_eq!(expand(&nested(depth), &lookup).unwrap_err(), TOO_DEEP);
            assert_eq!(expand_argument(&nested(depth), &lookup).unwrap_err(), TOO_DEEP);
        }
        assert_eq!(expand(&nested(16), &lookup).unwrap(), "x");
        assert_eq!(expand_argument(&nested(16), &lookup).unwrap(), "x");
    }

    proptest! {
        #[test]
        fn expanding_never_panics(text: String, near in r"([$}{:-]|A|EMPTY|NO|\$\{|é| ){0,40}") {
            for text in [text, near] {
                let _ = expand(&text, &lookup);
                let _ = expand_argument(&text, &lookup);
            }
        }

        #[test]
        fn a_value_with_its_dollars_doubled_comes_back(text: String) {
            prop_assert_eq!(expand(&text.replace('$', "$$"), &lookup).unwrap(), text);
        }

        #[test]
        fn text_without_braces_is_the_argument_it_was(text in "[^{]*") {
            prop_assert_eq!(expand_argument(&text, &lookup).unwrap(), text);
        }
    }
}
