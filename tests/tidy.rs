//! The laws of the house that no lint knows: which module may import which, what pure modules never touch, and which module
//! owns which crate. Test code may do as it likes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module's layer; the longest name counts. A module imports its own layer and lower ones.
const LAYERS: [(&str, u8); 40] = [
    ("clock", 0),
    ("config", 0),
    ("policy", 0),
    ("shortage", 0),
    ("log::escape", 0),
    ("log::filter", 0),
    ("log::grace", 0),
    ("log::line", 0),
    ("log::losses", 0),
    ("log::merge", 0),
    ("log::moment", 0),
    ("log::record", 0),
    ("log::rotation", 0),
    ("log::stamp", 0),
    ("log::structured", 0),
    ("plan", 1),
    ("lifecycle", 1),
    ("watch::filter", 1),
    ("fleet", 2),
    ("ipc::protocol", 2),
    ("ui::log_line", 2),
    ("ui::style", 2),
    ("ui::table", 2),
    ("boot", 3),
    ("paths", 3),
    ("service_manager", 3),
    ("signal", 3),
    ("process", 3),
    ("log", 3),
    ("readiness", 3),
    ("watch", 3),
    ("ipc", 3),
    ("ui", 3),
    ("supervisor", 4),
    ("keeper", 4),
    ("tasks", 4),
    // What the command line says, as values: the verbs take them.
    ("cli", 5),
    ("commands", 5),
    ("lib", 6),
    ("main", 6),
];

/// The layers that touch no file, process, clock, environment or terminal; `clock` itself is the one that may.
const HIGHEST_PURE: u8 = 2;

/// What gives a pure module away. `clock::Now` is a value; its readers are not.
const IMPURE: [&str; 9] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "clock::monotonic",
    "clock::now",
    "clock::wall",
];

/// The one module that may name each crate; the others go through it.
const OWNERS: [(&str, &[&str]); 11] = [
    ("clap", &["cli", "lib"]),
    ("comfy_table", &["ui"]),
    ("croner", &["config"]),
    ("ctrlc", &["signal"]),
    ("duct", &["process"]),
    ("flate2", &["log"]),
    ("notify", &["watch"]),
    ("toml", &["config"]),
    ("ureq", &["readiness"]),
    ("which", &["process"]),
    ("xshell", &["tasks"]),
];

/// What panics where the system has no thread to give or stderr takes nothing, and what does not.
const PANICS: [(&str, &str); 3] = [
    ("thread::spawn", "thread::Builder"),
    ("anstream::eprintln", "ui::tell"),
    ("anstream::eprint", "ui::tell"),
];

/// A source file of ours, without its tests.
struct Source {
    /// `log::reader`.
    module: String,
    /// Every path it names, whole: `crate::log::line::Stamp`, `std::fs`.
    paths: BTreeSet<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 50, "only {} files below {}", found.len(), root.display());
    found
}

fn collect(root: &Path, dir: &Path, found: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let module = module_of(path.strip_prefix(root).unwrap());
            let text = fs::read_to_string(&path).unwrap();
            if !module.ends_with("tests") && !module.ends_with("::simulation") {
                let paths = paths_in(&module, code_of(&text));
                found.push(Source { module, paths });
            }
        }
    }
}

fn module_of(file: &Path) -> String {
    let text = file.with_extension("");
    let names: Vec<&str> = text.iter().map(|name| name.to_str().unwrap()).collect();
    match names.as_slice() {
        [parents @ .., "mod"] => parents.join("::"),
        all => all.join("::"),
    }
}

/// Everything above the file's own unit tests.
fn code_of(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

/// Every path that `code` names, use trees taken apart, `super` and `self` resolved.
fn paths_in(module: &str, code: &str) -> BTreeSet<String> {
    let code: String = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut paths = BTreeSet::new();
    let statement = regex::Regex::new(r"(?m)^\s*(?:pub(?:\([a-z]+\))? )?use ([^;]+);").unwrap();
    for found in statement.captures_iter(&code) {
        let tree: String = found[1].split_whitespace().collect();
        take_apart("", &tree, &mut paths);
    }
    let inline = regex::Regex::new(r"\b[a-z_][a-z0-9_]*(?:::[A-Za-z_][A-Za-z0-9_]*)+").unwrap();
    paths.extend(inline.find_iter(&code).map(|found| found.as_str().to_owned()));
    paths.iter().map(|path| absolute(module, path)).collect()
}

/// `a::{b, c::{d}}` as `a::b`, `a::c::d`.
fn take_apart(start: &str, tree: &str, paths: &mut BTreeSet<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        paths.insert(format!("{start}{tree}"));
        return;
    };
    let inner = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut from) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                take_apart(&format!("{start}{head}"), &inner[from..at], paths);
                from = at + 1;
            }
            _ => {}
        }
    }
    take_apart(&format!("{start}{head}"), &inner[from..], paths);
}

fn absolute(module: &str, path: &str) -> String {
    let mut parents: Vec<&str> = module.split("::").collect();
    let mut rest = path;
    let mut relative = false;
    while let Some(above) = rest.strip_prefix("super::") {
        parents.pop();
        rest = above;
        relative = true;
    }
    if let Some(own) = rest.strip_prefix("self::") {
        rest = own;
        relative = true;
    }
    if relative {
        format!("crate::{}::{rest}", parents.join("::"))
    } else {
        path.to_owned()
    }
}

fn layer_of(module: &str) -> Option<u8> {
    let within = |name: &str| module == name || module.starts_with(&format!("{name}::"));
    let known = LAYERS.iter().filter(|(name, _)| within(name));
    known.max_by_key(|(name, _)| name.len()).map(|(_, layer)| *layer)
}

#[test]
fn every_module_has_a_layer_and_imports_nothing_higher() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = layer_of(&source.module) else {
            wrong.push(format!("{} has no layer", source.module));
            continue;
        };
        for path in &source.paths {
            let Some(name) = path.strip_prefix("crate::") else {
                continue;
            };
            let inside = source.module.split("::").next() == name.split("::").next() && name.split("::").count() < 2;
            if layer_of(name).is_some_and(|other| other > own) && !inside {
                wrong.push(format!("{} (layer {own}) imports {path}", source.module));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_touch_no_file_process_clock_or_environment() {
    let pure = |source: &Source| {
        source.module != "clock" && layer_of(&source.module).is_some_and(|layer| layer <= HIGHEST_PURE)
    };
    let mut wrong = Vec::new();
    for source in sources().into_iter().filter(pure) {
        for path in &source.paths {
            let name = path.trim_start_matches("crate::");
            if IMPURE
                .iter()
                .any(|impure| name == *impure || name.starts_with(&format!("{impure}::")))
            {
                wrong.push(format!("{} names {path}", source.module));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_crate_has_one_owner() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, owners) in OWNERS {
            let named = source
                .paths
                .iter()
                .any(|path| path == name || path.starts_with(&format!("{name}::")));
            let top = source.module.split("::").next().unwrap_or_default();
            if named && !owners.contains(&top) {
                wrong.push(format!("{} names {name}, which belongs to {owners:?}", source.module));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_panics_for_want_of_a_thread_or_of_a_reader() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, instead) in PANICS {
            let named = |path: &String| path == name || path.ends_with(&format!("::{name}"));
            if source.paths.iter().any(named) {
                wrong.push(format!("{} names {name}; use {instead}", source.module));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_use_tree_is_taken_apart_whole() {
    let code = "use super::{line::Stamp, merge};\nuse std::{fs, io::{self, Read}};\nlet x = crate::clock::now();";
    let paths = paths_in("log::reader", code);
    for path in [
        "crate::log::line::Stamp",
        "crate::log::merge",
        "std::fs",
        "std::io::Read",
        "crate::clock::now",
    ] {
        assert!(paths.contains(path), "{path} is not in {paths:?}");
    }
}
