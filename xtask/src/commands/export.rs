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
    let source = Source {
        config: &config,
        plan: &plan,
        written: &written,
        shell: &invocation.shell,
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

/// Writes the documents and lists them. One that was filled in is kept.
fn write(output: &Path, documents: &[Document]) -> Result<()> {
    std::fs::create_dir_all(output).with_context(|| format!("failed to make directory {}", output.display()))?;
    for document in documents {
        let path = output.join(&document.name);
        if document.to_fill_in && path.exists() {
            ui::tell(&format!("note: {} is kept: it may be filled in", path.display()));
            continue;
        }
        write_atomically(&path, document.text.as_bytes())?;
        ui::print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}
