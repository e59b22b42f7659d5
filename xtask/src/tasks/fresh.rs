//! Whether a task has anything to do: what it is, its inputs and its outputs, compared by content with its last success.
//! Reads files and keeps one record for each task, and sees to it that a task runs once at a time; runs nothing itself.
//!
//! Inputs are files, directories with all below them, or globs. Below a directory what `.gitignore` files and the watch's
//! defaults leave out does not count, nor does an output, and links are followed as the watch follows them; a path that is named
//! counts whatever ignores it. An input that does not exist is no basis for a comparison, so the task runs.

use crate::lifecycle::Files;
use crate::paths::{self, Lock};
use crate::plan::TaskPlan;
use crate::watch::filter::is_noise;
use crate::watch::rules::Rules;
use anyhow::{Context as _, Result};
use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use twox_hash::XxHash3_128;

/// Raised when an older record could be misread.
const RECORD_VERSION: u32 = 1;

/// Below the state directory; no profile can have this name.
const DIRECTORY: &str = ".tasks";

/// The workspace whose task it is.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where relative paths start.
    pub workspace: PathBuf,
    /// Where records are kept; never an input.
    pub state_dir: PathBuf,
}

/// What a look at a task found.
#[derive(Debug)]
pub enum Look {
    /// Nothing changed since the last success.
    Fresh,
    /// It has to run.
    Stale(Stale),
}

/// A task that has to run, with what it starts from.
#[derive(Debug)]
pub struct Stale {
    /// What differs from the last success; `None` when there is nothing to compare with.
    pub why: Option<String>,
    /// The record of the last success; `None` when none is kept.
    last: Option<PathBuf>,
    record: Option<Unsealed>,
}

/// What becomes the record of a success.
#[derive(Debug)]
struct Unsealed {
    file: PathBuf,
    definition: String,
    inputs: Digests,
    outputs: Vec<String>,
    place: Place,
}

/// Paths as people read them, and the hash of what is there.
type Digests = BTreeMap<String, String>;

/// The last success of a task.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    definition: String,
    inputs: Digests,
    outputs: Digests,
}

/// Looks whether a task has to run, with this shell's environment.
pub fn look(task: &TaskPlan, shell: &BTreeMap<String, String>, place: &Place) -> Look {
    if task.inputs.is_empty() {
        return Look::Stale(Stale {
            why: None,
            last: None,
            record: None,
        });
    }
    let file = record_file(task, place);
    let before = Record::read(&file);
    let definition = definition(task, shell);
    let inputs = match inputs(task, place) {
        Ok(inputs) => inputs,
        Err(why) => {
            return Look::Stale(Stale {
                why: Some(why),
                last: Some(file),
                record: None,
            });
        }
    };
    let why = before.map(|before| before.differs(&definition, &inputs, &task.outputs, place));
    if why == Some(None) {
        return Look::Fresh;
    }
    Look::Stale(Stale {
        why: why.flatten(),
        last: Some(file.clone()),
        record: Some(Unsealed {
            file,
            definition,
            inputs,
            outputs: task.outputs.clone(),
            place: place.clone(),
        }),
    })
}

/// Waits until nobody else runs the task, here or in another process; nobody does until what is returned is dropped. `busy` is called
/// before it waits. `None` where the state directory cannot be written: then nothing is recorded either.
pub fn turn(task: &TaskPlan, place: &Place, busy: impl FnOnce()) -> Option<Lock> {
    let file = record_file(task, place).with_extension("lock");
    paths::make_state_dir(&place.state_dir).ok()?;
    paths::private_dir(file.parent()?).ok()?;
    if let Some(lock) = Lock::try_take(&file).ok()? {
        return Some(lock);
    }
    busy();
    Lock::take(&file).ok()
}

/// Forgets the last success of a task, so that it has to run.
///
/// # Errors
/// When its record cannot be removed.
pub fn forget(task: &TaskPlan, place: &Place) -> Result<()> {
    paths::remove_if_there(&record_file(task, place))
}

fn record_file(task: &TaskPlan, place: &Place) -> PathBuf {
    place.state_dir.join(DIRECTORY).join(format!("{}.json", task.name))
}

impl Stale {
    /// The task begins: what it leaves behind when it fails or is cancelled is not its last success.
    ///
    /// # Errors
    /// When the old record cannot be removed.
    pub fn begin(&self) -> Result<()> {
        self.last.as_deref().map_or(Ok(()), paths::remove_if_there)
    }

    /// The task succeeded: until something changes it need not run again. What its inputs were is what they were before it
    /// ran, so that an edit meanwhile is not lost.
    ///
    /// # Errors
    /// When that cannot be written down; the task will then run again.
    pub fn succeeded(self) -> Result<()> {
        let Some(record) = self.record else { return Ok(()) };
        let outputs = outputs(&record.outputs, &record.place).map_err(anyhow::Error::msg)?;
        let text = serde_json::to_vec(&Record {
            version: RECORD_VERSION,
            definition: record.definition,
            inputs: record.inputs,
            outputs,
        })
        .context("failed to encode the record of a task")?;
        paths::make_state_dir(&record.place.state_dir)?;
        paths::private_dir(&record.place.state_dir.join(DIRECTORY))?;
        paths::write_atomically(&record.file, &text)
    }
}

impl Record {
    /// `None` when there is none, or none of this version that is whole.
    fn read(file: &Path) -> Option<Self> {
        let record: Self = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        (record.version == RECORD_VERSION).then_some(record)
    }

    /// What is not as it was.
    fn differs(&self, definition: &str, inputs: &Digests, patterns: &[String], place: &Place) -> Option<String> {
        if self.definition != definition {
            return Some("its definition or environment changed".to_owned());
        }
        if let Some(files) = changed(&self.inputs, inputs) {
            return Some(files.to_string());
        }
        match outputs(patterns, place) {
            Ok(outputs) => changed(&self.outputs, &outputs).map(|files| format!("output {files}")),
            Err(why) => Some(why),
        }
    }
}

fn changed(before: &Digests, now: &Digests) -> Option<Files> {
    let mut files = Files::default();
    let gone = before.keys().filter(|path| !now.contains_key(*path));
    let new = now.iter().filter(|(path, digest)| before.get(*path) != Some(digest));
    files.add(gone.chain(new.map(|(path, _)| path)).cloned());
    (files != Files::default()).then_some(files)
}

/// What the task is: another program, argument or variable is another task.
fn definition(task: &TaskPlan, shell: &BTreeMap<String, String>) -> String {
    let TaskPlan {
        name: _,
        script,
        args,
        cwd,
        env,
        from_shell,
        replaced: _,
        inputs,
        outputs,
    } = task;
    let from_shell: Vec<_> = from_shell.iter().map(|name| (name, shell.get(name))).collect();
    let mut hasher = XxHash3_128::new();
    hasher.write(format!("{:?}", (script, args, cwd, env, from_shell, inputs, outputs)).as_bytes());
    digest(&hasher)
}

fn inputs(task: &TaskPlan, place: &Place) -> Result<Digests, String> {
    let outputs = patterns("outputs", &task.outputs, place)?;
    let mut all = Digests::new();
    for pattern in patterns("inputs", &task.inputs, place)? {
        if !pattern.gather(true, &outputs, place, &mut all)? {
            return Err(format!("its input {} does not exist", pattern.text));
        }
    }
    Ok(all)
}

fn outputs(texts: &[String], place: &Place) -> Result<Digests, String> {
    let mut all = Digests::new();
    for pattern in patterns("outputs", texts, place)? {
        if !pattern.gather(false, &[], place, &mut all)? {
            return Err(format!("its output {} is missing", pattern.text));
        }
    }
    Ok(all)
}

fn patterns(key: &str, texts: &[String], place: &Place) -> Result<Vec<Pattern>, String> {
    texts
        .iter()
        .map(|text| Pattern::new(text, place).map_err(|why| format!("read `{text}` of {key}: {why}")))
        .collect()
}

/// One of the `inputs` or `outputs`.
struct Pattern {
    text: String,
    /// The path; for a glob the directory where it starts.
    base: PathBuf,
    glob: Option<GlobMatcher>,
}

impl Pattern {
    fn new(text: &str, place: &Place) -> Result<Self, String> {
        let path: PathBuf = place.workspace.join(text).components().collect();
        let is_glob = |text: &str| text.contains(['*', '?', '[', '{']);
        let (text, named) = (text.to_owned(), Path::new(text));
        if !is_glob(&text) || path.symlink_metadata().is_ok() {
            return Ok(Self {
                text,
                base: path,
                glob: None,
            });
        }
        let plain = |part: &std::path::Component<'_>| !is_glob(&part.as_os_str().to_string_lossy());
        let start: PathBuf = named.components().take_while(plain).collect();
        let rest: PathBuf = named.components().skip_while(plain).collect();
        let glob = GlobBuilder::new(&rest.to_string_lossy())
            .literal_separator(true)
            .build();
        Ok(Self {
            text,
            base: place.workspace.join(start).components().collect(),
            glob: Some(glob.map_err(|error| error.kind().to_string())?.compile_matcher()),
        })
    }

    fn covers(&self, path: &Path) -> bool {
        match (&self.glob, path.strip_prefix(&self.base)) {
            (_, Err(_)) => false,
            (None, Ok(_)) => true,
            // A directory that matches covers what is in it.
            (Some(glob), Ok(rest)) => rest.ancestors().any(|part| glob.is_match(part)),
        }
    }

    /// Adds the digests of all files it stands for; `false` when it stands for nothing.
    fn gather(&self, filtered: bool, without: &[Self], place: &Place, into: &mut Digests) -> Result<bool, String> {
        let mut found = self.glob.is_none() && self.base.symlink_metadata().is_ok();
        for path in files(&self.base, filtered, place)? {
            if !self.covers(&path) {
                continue;
            }
            found = true;
            if without.iter().any(|other| other.covers(&path)) {
                continue;
            }
            let shown = path.strip_prefix(&place.workspace).unwrap_or(&path);
            match file_digest(&path) {
                Ok(digest) => drop(into.insert(shown.display().to_string(), digest)),
                // It went meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(format!("cannot read {}: {error}", shown.display())),
            }
        }
        Ok(found)
    }
}

/// The files and symbolic links at or below `top`; of inputs (`filtered`) without what is ignored, and with what lies behind links to
/// other directories of the workspace.
fn files(top: &Path, filtered: bool, place: &Place) -> Result<Vec<PathBuf>, String> {
    let failed = |error: &std::io::Error| format!("cannot read all of {}: {error}", top.display());
    // A link that is named stands for the directory it leads to.
    if !top.is_dir() {
        return match found(top.symlink_metadata()).map_err(|error| failed(&error))? {
            Some(_) => Ok(vec![top.to_owned()]),
            None => Ok(Vec::new()),
        };
    }
    let mut walk = Walk {
        workspace: fs::canonicalize(&place.workspace).unwrap_or_else(|_| place.workspace.clone()),
        state_dir: &place.state_dir,
        filtered,
        real_top: fs::canonicalize(top).map_err(|error| failed(&error))?,
        linked: BTreeSet::new(),
        queue: Vec::new(),
        files: Vec::new(),
    };
    let rules = Rules::above(&walk.real_top, &walk.workspace).unwrap_or_default();
    walk.queue.push((top.to_owned(), walk.real_top.clone(), rules));
    while let Some((dir, real, rules)) = walk.queue.pop() {
        walk.add(&dir, &real, &rules).map_err(|error| failed(&error))?;
    }
    Ok(walk.files)
}

/// The files of one directory with all below it, as far as they were found.
struct Walk<'a> {
    workspace: PathBuf,
    state_dir: &'a Path,
    filtered: bool,
    real_top: PathBuf,
    /// The directories that links led to, so that a circle of them has an end.
    linked: BTreeSet<PathBuf>,
    /// Directories to read: as they are named, where they really are, and the rules above them.
    queue: Vec<(PathBuf, PathBuf, Rules)>,
    files: Vec<PathBuf>,
}

impl Walk<'_> {
    fn add(&mut self, dir: &Path, real: &Path, rules: &Rules) -> std::io::Result<()> {
        let Some(entries) = found(fs::read_dir(real))? else {
            return Ok(());
        };
        let rules = if self.filtered {
            rules.enter(real)
        } else {
            Rules::default()
        };
        for entry in entries {
            let entry = entry?;
            let (name, Some(kind)) = (entry.file_name(), found(entry.file_type())?) else {
                continue;
            };
            let (path, real) = (dir.join(&name), real.join(&name));
            let is_left_out = || is_noise(&name) || path == self.state_dir || rules.drops(&real, kind.is_dir());
            if self.filtered && is_left_out() {
                continue;
            }
            if kind.is_dir() {
                self.queue.push((path, real, rules.clone()));
                continue;
            }
            if self.filtered && kind.is_symlink() && real.is_dir() {
                self.follow(&path, &real);
            }
            self.files.push(path);
        }
        Ok(())
    }

    /// What lies behind a link to a directory counts as the watch counts it: inside the workspace, and not twice.
    fn follow(&mut self, path: &Path, link: &Path) {
        let Ok(real) = fs::canonicalize(link) else { return };
        let is_known = real.starts_with(&self.real_top) || self.real_top.starts_with(&real);
        if is_known || !real.starts_with(&self.workspace) || self.linked.contains(&real) {
            return;
        }
        if let Some(rules) = Rules::above(&real, &self.workspace) {
            self.linked.insert(real.clone());
            self.queue.push((path.to_owned(), real, rules));
        }
    }
}

/// What is there; `None` where it went meanwhile.
fn found<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Of the bytes, whether it can be executed and, for a symbolic link, where it leads.
fn file_digest(path: &Path) -> std::io::Result<String> {
    let mut hasher = XxHash3_128::new();
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        hasher.write(fs::read_link(path)?.as_os_str().as_bytes());
        hasher.write(b"\0");
    }
    // A link that leads nowhere or to a directory is its text alone.
    let Ok(target) = fs::metadata(path) else {
        return Ok(digest(&hasher));
    };
    if target.is_file() {
        hasher.write(&[u8::from(target.permissions().mode() & 0o111 != 0)]);
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => hasher.write(&buffer[..count]),
            }
        }
    }
    Ok(digest(&hasher))
}

fn digest(hasher: &twox_hash::xxhash3_128::Hasher) -> String {
    format!("{:032x}", hasher.finish_128())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Replaced;

    struct Bench {
        dir: tempfile::TempDir,
        task: TaskPlan,
        shell: BTreeMap<String, String>,
    }

    impl Bench {
        fn new(inputs: &[&str], outputs: &[&str]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
            let task = TaskPlan {
                name: "client".to_owned(),
                script: "npm".to_owned(),
                args: vec!["run".to_owned()],
                cwd: dir.path().to_owned(),
                env: BTreeMap::new(),
                from_shell: Vec::new(),
                replaced: Replaced::default(),
                inputs: texts(inputs),
                outputs: texts(outputs),
            };
            let shell = BTreeMap::new();
            Self { dir, task, shell }
        }

        fn write(&self, path: &str, text: &str) -> &Self {
            let path = self.dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        fn look(&self) -> Look {
            let workspace = fs::canonicalize(self.dir.path()).unwrap();
            let state_dir = workspace.join("state");
            look(&self.task, &self.shell, &Place { workspace, state_dir })
        }

        fn succeed(&self) -> &Self {
            let Look::Stale(stale) = self.look() else {
                panic!("it is fresh")
            };
            stale.begin().unwrap();
            stale.succeeded().unwrap();
            self
        }

        #[track_caller]
        fn fresh(&self) -> &Self {
            let look = self.look();
            assert!(matches!(look, Look::Fresh), "{look:?}");
            self
        }

        #[track_caller]
        fn stale(&self, why: &str) -> &Self {
            let Look::Stale(stale) = self.look() else {
                panic!("it is fresh")
            };
            assert_eq!(stale.why.as_deref().unwrap_or_default(), why);
            self
        }
    }

    #[test]
    fn content_decides_and_the_changed_file_is_named() {
        let bench = Bench::new(&["src", "package.json"], &[]);
        bench
            .write("src/a.ts", "1")
            .write("src/b.ts", "1")
            .write("package.json", "{}");
        bench.stale("").succeed().fresh();
        // Written anew with the same bytes.
        bench.write("src/a.ts", "1").fresh();
        bench.write("src/a.ts", "2").stale("src/a.ts changed");
        bench
            .write("src/c.ts", "")
            .stale("src/a.ts changed (+1 more)")
            .succeed()
            .fresh();
        fs::remove_file(bench.dir.path().join("src/c.ts")).unwrap();
        bench.stale("src/c.ts changed").succeed().fresh();
        fs::set_permissions(bench.dir.path().join("package.json"), fs::Permissions::from_mode(0o755)).unwrap();
        bench.stale("package.json changed");
    }

    #[test]
    fn another_definition_is_another_task() {
        let mut bench = Bench::new(&["src"], &[]);
        bench.write("src/a.ts", "1").succeed().fresh();
        bench.task.env.insert("MODE".to_owned(), Some("production".to_owned()));
        bench.stale("its definition or environment changed").succeed().fresh();
        bench.task.args.push("--minify".to_owned());
        bench.stale("its definition or environment changed");
    }

    #[test]
    fn outputs_must_be_what_the_task_left() {
        let bench = Bench::new(&["src"], &["build/client", "build/*.map"]);
        bench
            .write("src/a.ts", "1")
            .write("build/client/index.html", "x")
            .write("build/a.map", "x");
        bench.succeed().fresh();
        bench
            .write("build/client/index.html", "y")
            .stale("output build/client/index.html changed");
        bench.write("build/client/index.html", "x").fresh();
        fs::remove_file(bench.dir.path().join("build/a.map")).unwrap();
        bench
            .stale("its output build/*.map is missing")
            .write("build/a.map", "x")
            .fresh();
        fs::remove_dir_all(bench.dir.path().join("build/client")).unwrap();
        bench.stale("its output build/client is missing");
        // A success that made no output is none to go by.
        let Look::Stale(stale) = bench.look() else {
            panic!("it is fresh")
        };
        let error = stale.succeeded().unwrap_err();
        assert_eq!(error.to_string(), "its output build/client is missing");
    }

    #[test]
    fn a_run_that_began_is_no_success_until_it_ends() {
        let bench = Bench::new(&["src"], &[]);
        bench.write("src/a.ts", "1").succeed().write("src/a.ts", "2");
        let Look::Stale(stale) = bench.look() else {
            panic!("it is fresh")
        };
        stale.begin().unwrap();
        drop(stale);
        // Even back at what once succeeded.
        bench.write("src/a.ts", "1").stale("");
        // An edit meanwhile is not lost.
        let Look::Stale(stale) = bench.look() else {
            panic!("it is fresh")
        };
        bench.write("src/a.ts", "3");
        stale.succeeded().unwrap();
        bench.stale("src/a.ts changed");
    }

    #[test]
    fn ignored_files_and_outputs_are_no_inputs_unless_they_are_named() {
        let bench = Bench::new(&[".", "generated/api.ts"], &["build"]);
        bench
            .write(".gitignore", "*.log\ngenerated\n")
            .write("a.ts", "1")
            .write("generated/api.ts", "1");
        bench.write("build/a.js", "x").succeed().fresh();
        bench
            .write("server.log", "y")
            .write("node_modules/a/index.js", "y")
            .write("state/x", "y")
            .fresh();
        bench.write("generated/api.ts", "2").stale("generated/api.ts changed");
    }

    #[test]
    fn globs_stand_for_what_matches() {
        let bench = Bench::new(&["src/**/*.ts"], &[]);
        bench.stale("its input src/**/*.ts does not exist");
        bench
            .write("src/deep/a.ts", "1")
            .write("src/a.css", "1")
            .succeed()
            .fresh();
        bench.write("src/a.css", "2").fresh();
        bench.write("src/b.ts", "1").stale("src/b.ts changed");
        let bench = Bench::new(&["src/[.ts"], &[]);
        bench.stale("read `src/[.ts` of inputs: unclosed character class; missing ']'");
    }

    #[test]
    fn a_missing_input_or_no_inputs_at_all_never_skip() {
        let bench = Bench::new(&["scr"], &[]);
        bench.succeed().stale("its input scr does not exist");
        // Nor does a run without one leave an older success standing.
        bench.write("scr/a", "1").succeed().fresh();
        fs::rename(bench.dir.path().join("scr"), bench.dir.path().join("away")).unwrap();
        bench.succeed();
        fs::rename(bench.dir.path().join("away"), bench.dir.path().join("scr")).unwrap();
        bench.stale("");
        let bench = Bench::new(&[], &["build"]);
        bench.write("build/a", "1").succeed().stale("");
    }

    #[test]
    fn links_count_by_where_they_lead_and_what_is_there() {
        let bench = Bench::new(&["src"], &[]);
        bench.write("src/a.ts", "1").write("shared/b.ts", "1");
        let link = |to: &str| {
            let path = bench.dir.path().join("src/b.ts");
            let _ = fs::remove_file(&path);
            std::os::unix::fs::symlink(to, path).unwrap();
        };
        link("../shared/b.ts");
        bench.succeed().fresh();
        bench.write("shared/b.ts", "2").stale("src/b.ts changed").succeed();
        link("nowhere");
        bench.stale("src/b.ts changed").succeed().fresh();
        link(".");
        bench.stale("src/b.ts changed").succeed().fresh();
    }

    #[test]
    fn what_lies_behind_a_link_to_a_directory_counts_as_the_watch_counts_it() {
        let bench = Bench::new(&["src"], &[]);
        bench
            .write("src/a.ts", "1")
            .write("shared/b.ts", "1")
            .write("shared/b.log", "1")
            .write("shared/.gitignore", "*.log\n");
        for (link, to) in [
            ("src/shared", "../shared"),
            ("src/loop", ".."),
            ("shared/back", "../src"),
        ] {
            std::os::unix::fs::symlink(to, bench.dir.path().join(link)).unwrap();
        }
        bench.succeed().fresh();
        bench.write("shared/b.log", "2").fresh();
        bench.write("shared/b.ts", "2").stale("src/shared/b.ts changed");
    }

    #[test]
    fn a_gitignore_above_the_workspace_is_none_of_its_business() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join(".gitignore"), "*").unwrap();
        let mut bench = Bench::new(&["src"], &[]);
        bench.dir = tempfile::tempdir_in(outer.path()).unwrap();
        bench.write("src/a.ts", "1").succeed().fresh();
        bench.write("src/a.ts", "2").stale("src/a.ts changed");
    }

    #[test]
    fn a_variable_of_an_env_file_counts_also_where_the_shell_overrides_it() {
        let mut bench = Bench::new(&["src"], &[]);
        bench.task.from_shell.push("API_URL".to_owned());
        bench.shell.insert("API_URL".to_owned(), "http://one".to_owned());
        bench.write("src/a.ts", "1").succeed().fresh();
        bench.shell.insert("OTHER".to_owned(), "x".to_owned());
        bench.fresh();
        bench.shell.insert("API_URL".to_owned(), "http://two".to_owned());
        bench.stale("its definition or environment changed");
    }

    #[test]
    fn a_broken_record_is_none() {
        let bench = Bench::new(&["src"], &[]);
        bench.write("src/a.ts", "1").succeed().fresh();
        bench.write("state/.tasks/client.json", "{").stale("");
    }
}
