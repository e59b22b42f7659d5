//! `export`: a profile as an engine's own documents, to stdout or into a directory; what has no counterpart goes to stderr.

use super::workspace::{Workspace, invocation};
use crate::cli::{self, Export};
use crate::paths::write_atomically;
use crate::plan::{self, Options};
use crate::process::resolve_program;
use crate::tasks::export::{self, Document, Engine, Source, relative};
use crate::ui;
use anyhow::{Context as _, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub(super) fn run(workspace: &Workspace, args: &Export) -> Result<u8> {
    let (config, invocation) = (workspace.config()?, invocation(Options::default()));
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

/// The variables to fill in of a new document that a kept one does not mention.
fn missing(new: &str, kept: &str) -> Vec<String> {
    let to_fill_in = new.lines().filter(|line| line.trim_end().ends_with("CHANGE-ME"));
    let names = to_fill_in.filter_map(|line| line.trim_start().split(['=', ':']).next());
    let is_there = |name: &str| {
        kept.lines().any(|line| {
            let rest = line.trim_start().strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['=', ':']))
        })
    };
    names.filter(|name| !is_there(name)).map(str::to_owned).collect()
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
                    "warning: {path} lacks {names}: add what they are, or remove the file and export again"
                ));
            }
            continue;
        }
        write_atomically(&path, document.text.as_bytes())?;
        ui::print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}
