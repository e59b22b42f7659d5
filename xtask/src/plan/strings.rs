//! `${VAR}` in everything but `env`: a service's strings read the service's own environment.

use super::environment::Own;
use crate::config::{Words, expand};
use std::collections::BTreeMap;

/// Expands strings for one service and gathers what fails.
pub(super) struct Strings<'a> {
    pub(super) shell: &'a BTreeMap<String, String>,
    pub(super) own: &'a Own,
    pub(super) errors: &'a mut Vec<String>,
}

/// Whether a program is a shell, by its name.
fn is_shell(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or_default();
    ["sh", "bash", "dash", "zsh", "ksh", "ash", "fish"].contains(&name)
}

/// Where among the arguments of a program, or behind them, the text of a script stands: it is the first word behind the options of a
/// shell, one of which is `-c`, alone or among other letters (`-ec`). `None` where there is no such text.
pub fn script_place(program: &str, args: &[String]) -> Option<usize> {
    if !is_shell(program) {
        return None;
    }
    let (mut place, mut is_text) = (0, false);
    while let Some(letters) = args.get(place).and_then(|word| word.strip_prefix(['-', '+'])) {
        let is_long = letters.starts_with('-');
        is_text |= args[place].starts_with('-') && !is_long && letters.contains('c');
        place += 1;
        match letters {
            "" | "-" => break,
            "-rcfile" | "-init-file" => place += 1,
            // `-o pipefail`, `-ceuo pipefail`: one word more for each.
            letters if !is_long => place += letters.matches(['o', 'O']).count(),
            _ => {}
        }
    }
    is_text.then_some(place)
}

impl Strings<'_> {
    /// The text of `key`, expanded.
    pub(super) fn text(&mut self, key: &str, text: &str) -> String {
        let lookup = |name: &str| match self.own.get(name) {
            Some(value) => value.clone(),
            None => self.shell.get(name).cloned(),
        };
        expand::expand_argument(text, &lookup).unwrap_or_else(|why| {
            self.errors.push(format!("{key}: {why}"));
            String::new()
        })
    }

    /// The list of `key`, each text expanded.
    pub(super) fn list(&mut self, key: &str, list: &[String]) -> Vec<String> {
        list.iter().map(|text| self.text(key, text)).collect()
    }

    /// Words are split first: an expanded value stays one word.
    pub(super) fn words(&mut self, key: &str, words: Option<&Words>) -> Vec<String> {
        words.map(|words| self.list(key, &words.split())).unwrap_or_default()
    }

    /// The arguments of a program. What a shell is given as a script has variables of its own, and the same environment: it stays as it
    /// is written.
    pub(super) fn args_of(&mut self, program: &str, key: &str, words: &[String]) -> Vec<String> {
        let script = script_place(program, words);
        let expand = |(at, word): (usize, &String)| match script {
            Some(place) if at == place => word.clone(),
            Some(_) | None => self.text(key, word),
        };
        words.iter().enumerate().map(expand).collect()
    }

    /// A port, written as a number or as text with variables.
    pub(super) fn port(&mut self, port: &crate::config::Port) -> Option<u16> {
        match port {
            crate::config::Port::Number(number) => Some(*number),
            crate::config::Port::Text(text) => {
                let expanded = self.text("ports", &text.value);
                match expanded.parse::<u16>() {
                    Ok(port) if port > 0 => Some(port),
                    Ok(_) | Err(_) => {
                        self.errors
                            .push(format!("ports: `{expanded}` is not a port; use 1 to 65535"));
                        None
                    }
                }
            }
        }
    }
}
