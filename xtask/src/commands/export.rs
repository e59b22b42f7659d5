//! `export`: a profile as an engine's own documents, to stdout or into a directory; what has no counterpart goes to stderr.

use super::workspace::{Workspace, invocation};
use crate::cli::{self, Export};
use crate::paths::write_atomically;
use crate::plan::{self, Options};
use crate::process::resolve_program;
use crate::tasks::export::{self, Document, Engine, PLACEHOLDER, Source, relative};
use crate::ui;
use anyhow::{Context as _, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub(super) fn run(workspace: &Workspace, args: &Export) -> Result<u8> {
    let invocation = invocation(Options::default());
    let config = workspace.whole_config(&invocation)?;
    let plan = workspace.plan_of(&config, args.profile.as_deref(), &invocation)?;
    let written = plan::written(&config, &plan, &invocation.shell)?;
    let output = args.output.as_deref().map(std::path::absolute).transpose();
    let output = output.context("failed to find the output directory")?;
    let find = |script: &str, cwd: &Path, path: Option<&str>| resolve_program(script, cwd, path.map(OsStr::new)).ok();
    // Whatever else is in the shell says nothing of the profile.
    let known = |(name, value): (&String, &String)| workspace.reads(name).then(|| (name.clone(), value.clone()));
    let source = Source {
        config: &config,
        plan: &plan,
        written: &written,
        shell: invocation.shell.iter().filter_map(known).collect(),
        path: invocation.shell.get("PATH").map(String::as_str),
        workspace: output
            .as_deref()
            .map_or_else(PathBuf::new, |output| relative(output, &plan.workspace)),
        find: &find,
    };
    let export = export::export(engine(args.engine), &source)?;
    match &output {
        Some(output) => write(output, &export.documents)?,
        None => print(&export.documents)?,
    }
    for note in export.notes {
        ui::tell(&format!("note: {note}"));
    }
    Ok(0)
}

fn engine(engine: cli::Engine) -> Engine {
    match engine {
        cli::Engine::Systemd => Engine::Systemd,
        cli::Engine::Compose => Engine::Compose,
        cli::Engine::Kubernetes => Engine::Kubernetes,
    }
}

/// One text of all documents, each under its name. YAML takes the names for comments, and `---` between its documents.
fn print(documents: &[Document]) -> Result<()> {
    let yaml = |document: &Document| document.name.ends_with(".yaml");
    let mut text = String::new();
    // Variables to fill in are no YAML, so they are named and not printed beside it.
    let mixed = documents.iter().any(yaml);
    let (printed, left): (Vec<_>, Vec<_>) = documents.iter().partition(|document| !mixed || yaml(document));
    for (index, document) in printed.iter().enumerate() {
        match (index, mixed) {
            (0, _) => {}
            (_, true) => text.push_str("---\n"),
            (_, false) => text.push('\n'),
        }
        if printed.len() > 1 {
            text.push_str(&format!("# {}\n", document.name));
        }
        text.push_str(&document.text);
    }
    ui::print(&text)?;
    for document in left {
        ui::tell(&format!(
            "note: {} is needed, too: write all files with -o DIR",
            document.name
        ));
    }
    Ok(())
}

/// The variables to fill in of a new document that a kept one does not mention. Each Secret of a file stands for itself: another
/// may well have a variable of the same name.
fn missing(new: &str, kept: &str) -> Vec<String> {
    let kept: Vec<&str> = kept.split("\n---\n").collect();
    let of_one = |part: &str| -> Vec<String> {
        let owner = owner(part).map(str::to_owned);
        let same: Vec<&str> = kept
            .iter()
            .copied()
            .filter(|part| self::owner(part) == owner.as_deref())
            .collect();
        let to_fill_in = part.lines().filter(|line| line.trim_end().ends_with(PLACEHOLDER));
        let names = to_fill_in.filter_map(|line| line.trim_start().split(['=', ':']).next());
        let names = names.filter(|name| !same.iter().any(|kept| mentions(kept, name)));
        names
            .map(|name| match &owner {
                Some(owner) => format!("{name} of {owner}"),
                None => name.to_owned(),
            })
            .collect()
    };
    new.split("\n---\n").flat_map(of_one).collect()
}

/// The name of the Secret that a part of a file is; a file of variables has none.
fn owner(part: &str) -> Option<&str> {
    part.lines().find_map(|line| line.strip_prefix("  name: "))
}

/// Whether a text gives a variable of this name a value.
fn mentions(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let rest = line.trim_start().strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['=', ':']))
    })
}

/// Writes the documents and lists them. One that was filled in is kept.
fn write(output: &Path, documents: &[Document]) -> Result<()> {
    std::fs::create_dir_all(output).with_context(|| format!("failed to make directory {}", output.display()))?;
    for document in documents {
        let path = output.join(&document.name);
        if document.to_fill_in && path.exists() {
            ui::tell(&format!("note: {} is kept: it may be filled in", path.display()));
            let kept = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
            let missing = missing(&document.text, &kept);
            if !missing.is_empty() {
                let (path, names) = (path.display(), missing.join(", "));
                ui::tell(&format!(
                    "warning: {path} lacks {names}: add what is lacking, or remove the file and export again"
                ));
            }
            continue;
        }
        write_atomically(&path, document.text.as_bytes())?;
        ui::print(&format!("{}\n", path.display()))?;
        let to_fill_in = missing(&document.text, "");
        if !to_fill_in.is_empty() {
            let (path, names) = (path.display(), to_fill_in.join(", "));
            ui::tell(&format!(
                "note: fill in {names} in {path}; another export keeps the file"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kept_file_lacks_is_known_for_each_secret_of_it() {
        let secret = |name: &str, data: &str| format!("metadata:\n  name: {name}\nstringData:\n{data}");
        let kept = [secret("a", "  T: x\n  U: y\n"), secret("b", "  T: z\n")].join("---\n");
        let new = [
            secret("a", "  T: CHANGE-ME\n"),
            secret("b", "  T: CHANGE-ME\n  U: CHANGE-ME\n"),
        ]
        .join("---\n");
        assert_eq!(missing(&new, &kept), ["U of b"]);
        assert_eq!(missing(&secret("c", "  T: CHANGE-ME\n"), &kept), ["T of c"]);
        assert_eq!(missing("A=CHANGE-ME\nAB=CHANGE-ME\n", "AB=1\n"), ["A"]);
    }
}
