//! What a command line or a check would show to everybody, though no variable holds it: told by its own words, and refused.

use super::Engine;
use super::stack::{self, Stack};
use super::variables::can_refer;
use crate::plan::secret::{Mask, is_path, is_trivial, named};
use crate::plan::{Probe, script_place};
use anyhow::{Result, bail};

/// A secret in a command line or a check cannot be told from the rest of it, unless it is a variable's value in a command line, which
/// becomes a reference.
pub(super) fn refuse_open_secrets(engine: Engine, stack: &Stack<'_>) -> Result<()> {
    let refuse = |who: &str, words: &[String], has_references: bool| {
        for (word, is_open) in words.iter().zip(open(words)) {
            let known = stack.secrets.found_in(word);
            if let Some(name) = known.filter(|name| has_references && !can_refer(engine, name)) {
                bail!(
                    "the export cannot refer to `{name}` in the command line of {who}: {} knows no variable of such a name; rename it",
                    engine.name()
                );
            }
            if known.is_none() && is_open || known.is_some() && !has_references {
                let place = if has_references {
                    "the command line"
                } else {
                    "the check"
                };
                bail!("the export would show a secret in {place} of {who}; let it read a variable of `env` instead");
            }
        }
        Ok(())
    };
    for service in &stack.services {
        for plan in &service.instances {
            refuse(service.name, &stack::command_line(plan), true)?;
            match &plan.probe {
                Some(Probe::Command(words)) => refuse(service.name, words, false)?,
                Some(Probe::Http(url)) => refuse(service.name, std::slice::from_ref(url), false)?,
                Some(Probe::Tcp(_) | Probe::Log(_) | Probe::Notify | Probe::Ports) | None => {}
            }
        }
        let container = service.container.iter();
        for (words, has_references) in container.flat_map(|plan| [(&plan.command, true), (&plan.healthcheck, false)]) {
            refuse(service.name, words.as_deref().unwrap_or_default(), has_references)?;
        }
    }
    for task in &stack.tasks {
        let words: Vec<String> = std::iter::once(&task.plan.script)
            .chain(&task.plan.args)
            .cloned()
            .collect();
        refuse(&task.plan.name, &words, true)?;
        let command = task.container.and_then(|container| container.command.as_deref());
        refuse(&task.plan.name, command.unwrap_or_default(), true)?;
    }
    Ok(())
}

/// Of each word of a command line whether it tells of a secret. The text of a shell's script is a command line itself.
fn open(words: &[String]) -> Vec<bool> {
    let script = words
        .split_first()
        .and_then(|(program, args)| Some(script_place(program, args)? + 1));
    let is_open = |(at, (word, value)): (usize, (&String, Option<&str>))| {
        let by_name = if script == Some(at) {
            let inner: Vec<String> = word.split_whitespace().map(str::to_owned).collect();
            named(&inner).into_iter().flatten().any(is_secret)
        } else {
            value.is_some_and(is_secret)
        };
        by_name || has_password(word)
    };
    words.iter().zip(named(words)).enumerate().map(is_open).collect()
}

/// A mask that knows no secret hides the passwords of URLs.
fn has_password(word: &str) -> bool {
    Mask::default().text(word) != word
}

/// Whether what a name calls secret is one: not a number (`--max-tokens=4096`), what is read later (`$(cat …)`), or where a file is.
fn is_secret(value: &str) -> bool {
    let value = value.trim_start_matches('"').trim_end_matches(['"', ';', ')']);
    let is_number = value.parse::<f64>().is_ok_and(f64::is_finite);
    !(value.is_empty() || value.starts_with('$') || is_number || is_trivial(value) || is_path(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_calls_secret_is_open_unless_it_cannot_be_one() {
        for (words, expected) in [
            (&["node", "--password=verylong"][..], true),
            (&["node", "--token", "abc"], true),
            (&["node", "amqp://u:p@h"], true),
            (&["node", "--max-tokens=4096"], false),
            (&["node", "--max-tokens", "0.5"], false),
            (&["node", "--token=$TOKEN", "--use-auth=true"], false),
            (&["node", "--token-file", "/run/secrets/t"], false),
            (&["sh", "-c", "API_TOKEN=$(cat /run/secrets/t) exec node x"], false),
            (
                &["sh", "-c", "API_TOKEN=\"$(cat t)\" node --max-tokens=9; node x"],
                false,
            ),
            (&["sh", "-c", "API_TOKEN=$(cat t) DB_PASSWORD=verylong node x"], true),
            (&["sh", "-c", "exec node --password verylong"], true),
            (&["sh", "-c", "exec node amqp://u:p@h"], true),
            (&["sh", "-c", "cd token && MODE=1 ./x"], false),
        ] {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(open(&words).contains(&true), expected, "{words:?}");
        }
    }
}
