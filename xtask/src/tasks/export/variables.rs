//! Which names of variables an engine takes. `dev.toml` takes all that a process can have; an engine ignores some of them in
//! silence, or refuses the whole document for one.

use super::secret::Environment;
use super::{Engine, Notes};

/// Takes out what the engine cannot set, and says so.
pub(super) fn leave_out(engine: Engine, environment: &mut Environment, who: &str, notes: &mut Notes) {
    let mut keeps = |name: &str, is_secret: bool| {
        let is_kept = is_settable(engine, name, is_secret);
        if !is_kept {
            notes.add(
                format!("the variable `{name}`"),
                who,
                "its name is none there, so it is left out; rename it",
            );
        }
        is_kept
    };
    environment.plain.retain(|name, _| keeps(name, false));
    environment.secret.retain(|name| keeps(name, true));
}

/// Whether the engine can give a process a variable of this name.
fn is_settable(engine: Engine, name: &str, is_secret: bool) -> bool {
    let is_common = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    match engine {
        Engine::Systemd => is_identifier(name),
        Engine::Kubernetes => name.chars().all(is_common) && !name.starts_with(|c: char| c.is_ascii_digit()),
        // A file of variables knows fewer names than a list in the document.
        Engine::Compose => !is_secret || name.chars().all(is_common),
    }
}

/// Whether a command line of the engine can refer to a variable of this name.
pub(super) fn can_refer(engine: Engine, name: &str) -> bool {
    match engine {
        Engine::Systemd | Engine::Compose => is_identifier(name),
        Engine::Kubernetes => is_settable(engine, name, true),
    }
}

fn is_identifier(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_given_the_names_that_it_takes() {
        use Engine::{Compose, Kubernetes, Systemd};
        for (name, plain, secret, referred) in [
            (
                "OK_1",
                vec![Systemd, Compose, Kubernetes],
                vec![Systemd, Compose, Kubernetes],
                vec![Systemd, Compose, Kubernetes],
            ),
            (
                "F.g",
                vec![Compose, Kubernetes],
                vec![Compose, Kubernetes],
                vec![Kubernetes],
            ),
            ("1A", vec![Compose], vec![Compose], vec![]),
            ("BAD NAME", vec![Compose], vec![], vec![]),
        ] {
            for engine in [Systemd, Compose, Kubernetes] {
                assert_eq!(
                    is_settable(engine, name, false),
                    plain.contains(&engine),
                    "{engine:?} {name}"
                );
                assert_eq!(
                    is_settable(engine, name, true),
                    secret.contains(&engine),
                    "{engine:?} {name}"
                );
                assert_eq!(can_refer(engine, name), referred.contains(&engine), "{engine:?} {name}");
            }
        }
    }
}
