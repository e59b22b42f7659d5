//! Which paths below the watched roots count: names that never do, our own files, and the service's `ignore_watch` globs.
//! Pure: it judges paths by their text alone. `.gitignore` files, which have to be read, are `rules`.

use crate::log::rotation;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Names that are never watched, at any depth below a root: version control, installed packages, build output, our own
/// state, and what editors write beside the file they save.
const NAMES: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".jj",
    "node_modules",
    "target",
    ".dev",
    "4913",
    ".DS_Store",
];

/// Endings of editors' swap and backup files: vim, and nearly everything that keeps a backup.
const ENDINGS: &[&str] = &[".swp", ".swx", "~", "___jb_tmp___", "___jb_old___"];

/// What one service watches. All paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchSpec {
    /// Whom the reports are about.
    pub service: String,
    /// Files or directories; they may come to exist later, and may be symbolic links.
    pub roots: Vec<PathBuf>,
    /// The service's `ignore_watch`, on top of `.gitignore` files and the defaults.
    pub ignore: Vec<String>,
    /// Where reported paths and globs with a slash start.
    pub workspace: PathBuf,
    /// Our own state directory and the log files outside it: never watched, nor what rotation makes of them.
    pub own: Vec<PathBuf>,
}

/// What one service watches, as a question about paths. A root itself always passes, even one inside an ignored place:
/// the user named it.
#[derive(Debug)]
pub struct Filter {
    roots: Vec<PathBuf>,
    workspace: PathBuf,
    own: Vec<PathBuf>,
    any: Globs,
    directories: Globs,
}

impl Filter {
    /// Compiles the globs of a service. A glob without a slash matches names in any directory, one with a slash the path
    /// from a root or from the workspace, one that ends in a slash directories only.
    ///
    /// # Errors
    /// Names the first glob that cannot be read, and why.
    pub fn new(spec: &WatchSpec) -> Result<Self, String> {
        let mut any = Building::new();
        let mut directories = Building::new();
        for text in &spec.ignore {
            let (target, glob) = match text.strip_suffix('/') {
                Some(glob) => (&mut directories, glob),
                None => (&mut any, text.as_str()),
            };
            target
                .add(glob)
                .map_err(|why| format!("read glob `{text}` of ignore_watch: {why}"))?;
        }
        let built = |globs: Building| {
            globs
                .build()
                .map_err(|why| format!("read the globs of ignore_watch: {why}"))
        };
        Ok(Self {
            roots: spec.roots.clone(),
            workspace: spec.workspace.clone(),
            own: spec.own.clone(),
            any: built(any)?,
            directories: built(directories)?,
        })
    }

    /// Whether a change of the file `path` counts.
    pub fn keeps(&self, path: &Path) -> bool {
        self.roots.iter().filter(|root| path.starts_with(root)).any(|root| {
            path.ancestors()
                .take_while(|prefix| prefix.starts_with(root))
                .all(|prefix| self.passes_below(root, prefix, prefix != path))
        })
    }

    /// Whether `path` passes, given that the directory it is in does: the step of a walk.
    pub fn passes(&self, path: &Path, is_dir: bool) -> bool {
        self.roots
            .iter()
            .filter(|root| is_below(path, root))
            .any(|root| self.passes_below(root, path, is_dir))
    }

    /// Whether `path`, a place that a symbolic link leads to, is one of those which are never watched.
    pub fn is_off_limits(&self, path: &Path) -> bool {
        let below = path.strip_prefix(&self.workspace).unwrap_or(path);
        self.is_own(path) || below.iter().any(is_noise)
    }

    fn passes_below(&self, root: &Path, path: &Path, is_dir: bool) -> bool {
        if self.is_own(path) {
            return false;
        }
        if path.as_os_str().len() <= root.as_os_str().len() && path == root {
            return true;
        }
        let Some(name) = path.file_name() else { return true };
        let forms = || {
            let below = [root, &self.workspace].map(|top| path.strip_prefix(top).ok());
            below.into_iter().flatten().chain([path])
        };
        let dropped =
            is_noise(name) || self.any.matches(name, forms) || is_dir && self.directories.matches(name, forms);
        !dropped
    }

    fn is_own(&self, path: &Path) -> bool {
        self.own
            .iter()
            .any(|own| is_below(path, own) || is_rotated_from(own, path))
    }
}

/// `Path::starts_with` for what may be asked of every file: most are told apart by their bytes alone.
fn is_below(path: &Path, top: &Path) -> bool {
    let (bytes, top_bytes) = (path.as_os_str().as_encoded_bytes(), top.as_os_str().as_encoded_bytes());
    bytes.starts_with(top_bytes.strip_suffix(b"/").unwrap_or(top_bytes)) && path.starts_with(top)
}

/// Whether `path` is what a rotation makes of the log `own`, or is about to make.
fn is_rotated_from(own: &Path, path: &Path) -> bool {
    // Names first: they are short, and nearly all differ.
    let (Some(log), Some(name)) = (
        own.file_name().and_then(OsStr::to_str),
        path.file_name().and_then(OsStr::to_str),
    ) else {
        return false;
    };
    name.starts_with(log.strip_suffix(".log").unwrap_or(log))
        && rotation::parse_rotated(log, name.strip_suffix(".tmp").unwrap_or(name)).is_some()
        && own.parent() == path.parent()
}

/// Whether a file or directory of this name never counts, wherever it is.
pub fn is_noise(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let vim_swap = || name.starts_with('.') && name.rsplit_once(".sw").is_some_and(|(_, last)| last.len() == 1);
    NAMES.contains(&name)
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || name.starts_with(".#")
        || name.len() > 1 && name.starts_with('#') && name.ends_with('#')
        || vim_swap()
}

#[derive(Debug)]
struct Globs {
    names: GlobSet,
    paths: GlobSet,
}

impl Globs {
    /// `forms` are the path as seen from each place where a glob may start.
    fn matches<'a, Forms: Iterator<Item = &'a Path>>(&self, name: &OsStr, forms: impl Fn() -> Forms) -> bool {
        !self.names.is_empty() && self.names.is_match(name)
            || !self.paths.is_empty() && forms().any(|form| self.paths.is_match(form))
    }
}

struct Building {
    names: GlobSetBuilder,
    paths: GlobSetBuilder,
}

impl Building {
    fn new() -> Self {
        Self {
            names: GlobSetBuilder::new(),
            paths: GlobSetBuilder::new(),
        }
    }

    fn add(&mut self, glob: &str) -> Result<(), String> {
        if glob.is_empty() {
            return Err("it is empty; remove it, or write a name such as `*.test.ts`".to_owned());
        }
        if glob.starts_with('!') {
            return Err("a glob cannot take back what another ignores; narrow the other one".to_owned());
        }
        let compile = |glob: &str| {
            let built = GlobBuilder::new(glob).literal_separator(true).build();
            built.map_err(|error| error.kind().to_string())
        };
        if !glob.contains('/') {
            self.names.add(compile(glob)?);
            return Ok(());
        }
        let anchored = glob.strip_prefix("./").or_else(|| glob.strip_prefix('/'));
        self.paths.add(compile(anchored.unwrap_or(glob))?);
        if glob.starts_with('/') {
            self.paths.add(compile(glob)?);
        }
        Ok(())
    }

    fn build(self) -> Result<Globs, String> {
        let text = |error: globset::Error| error.kind().to_string();
        Ok(Globs {
            names: self.names.build().map_err(text)?,
            paths: self.paths.build().map_err(text)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(roots: &[&str], ignore: &[&str]) -> Filter {
        let spec = WatchSpec {
            service: "web".to_owned(),
            roots: roots.iter().map(|root| Path::new("/ws").join(root)).collect(),
            ignore: ignore.iter().map(|&glob| glob.to_owned()).collect(),
            workspace: "/ws".into(),
            own: vec!["/ws/state".into(), "/ws/server.log".into()],
        };
        Filter::new(&spec).unwrap()
    }

    #[track_caller]
    fn check(filter: &Filter, table: &[(&str, bool)]) {
        for (path, keeps) in table {
            assert_eq!(filter.keeps(&Path::new("/ws").join(path)), *keeps, "{path}");
        }
    }

    #[test]
    fn defaults_leave_sources_and_drop_noise() {
        let table = [
            ("src/app.rs", true),
            ("src/.env", true),
            ("src/.hidden/deep/file", true),
            ("src/targets/a", true),
            ("src/#notes", true),
            ("src/#", true),
            ("src/swp", true),
            (".git/index", false),
            ("packages/a/.git/index", false),
            (".hg/x", false),
            (".jj/x", false),
            (".svn/x", false),
            ("node_modules/a/index.js", false),
            ("packages/a/node_modules/b/index.js", false),
            ("target/debug/app", false),
            (".dev/dev/state.json", false),
            ("src/.app.rs.swp", false),
            ("src/.app.rs.swo", false),
            ("src/.app.rs.swx", false),
            ("src/app.rs~", false),
            ("src/.#app.rs", false),
            ("src/#app.rs#", false),
            ("src/4913", false),
            ("src/app.rs___jb_tmp___", false),
            (".DS_Store", false),
            ("state/state.json", false),
            ("server.log", false),
            ("server.log.txt", true),
        ];
        check(&filter(&[""], &[]), &table);
    }

    #[test]
    fn a_glob_without_a_slash_matches_names_in_any_directory() {
        let table = [
            ("a.test.ts", false),
            ("deep/er/a.test.ts", false),
            ("a.test.tsx", true),
            ("generated/a.ts", false),
            ("deep/generated/a.ts", false),
            ("generated.ts", true),
        ];
        check(&filter(&[""], &["*.test.ts", "generated"]), &table);
    }

    #[test]
    fn a_glob_with_a_trailing_slash_matches_directories_only() {
        let table = [
            ("generated/a.ts", false),
            ("deep/generated/a.ts", false),
            ("deep/generated", true),
        ];
        check(&filter(&[""], &["generated/"]), &table);
    }

    #[test]
    fn a_glob_with_a_slash_starts_at_the_root_or_at_the_workspace() {
        let table = [
            ("server/src/gen/deep/a.ts", false),
            ("server/src/generic/a.ts", true),
            ("server/lib/gen/a.ts", true),
            ("server/fixtures/a.json", false),
            ("server/src/fixtures/a.json", true),
            ("server/docs/x.md", false),
            ("server/src/docs/x.md", true),
            ("server/deep/er/snap/x", false),
            ("server/once", false),
            ("server/src/once", true),
        ];
        let globs = ["src/gen/**", "server/fixtures/*", "./docs", "**/snap", "/once"];
        check(&filter(&["server"], &globs), &table);
        check(
            &filter(&[""], &["/ws/gen/**"]),
            &[("gen/a", false), ("src/gen/a", true)],
        );
    }

    #[test]
    fn a_star_stays_in_its_directory_where_a_slash_is_written() {
        check(
            &filter(&[""], &["src/*.ts"]),
            &[("src/a.ts", false), ("src/deep/a.ts", true)],
        );
    }

    #[test]
    fn a_root_inside_an_ignored_place_is_watched_and_filtered_below() {
        let table = [
            ("target/generated/a.rs", true),
            ("target/generated/node_modules/a.js", false),
            ("target/debug/app", false),
            ("elsewhere/a.rs", false),
        ];
        check(&filter(&["target/generated"], &[]), &table);
        let table = [
            ("target/generated/a.rs", true),
            ("target/debug/app", false),
            ("src/a.rs", true),
        ];
        check(&filter(&["", "target/generated"], &[]), &table);
    }

    #[test]
    fn our_own_files_are_dropped_even_as_a_root() {
        check(&filter(&["state"], &[]), &[("state", false), ("state/x", false)]);
        let logs = [
            ("server.log", false),
            ("server.20261123T091502.123456Z.log", false),
            ("server.20261123T091502.123456Z.log.gz", false),
            ("server.20261123T091502.123456Z.log.gz.tmp", false),
            ("server.2.log", true),
            ("deep/server.log", true),
        ];
        check(&filter(&[""], &[]), &logs);
    }

    #[test]
    fn a_bad_glob_is_an_error_that_names_it() {
        let bad = |glob: &str| {
            let spec = WatchSpec {
                service: "web".to_owned(),
                roots: Vec::new(),
                ignore: vec!["*.ok".to_owned(), glob.to_owned()],
                workspace: "/ws".into(),
                own: Vec::new(),
            };
            Filter::new(&spec).unwrap_err()
        };
        assert!(
            bad("a[b").starts_with("read glob `a[b` of ignore_watch: unclosed character class"),
            "{}",
            bad("a[b")
        );
        assert!(bad("src/{a").contains("`src/{a`"));
        assert!(bad("!keep.ts").contains("cannot take back"));
        assert!(bad("").contains("empty"));
        assert!(bad("/").contains("empty"));
    }

    proptest! {
        #[test]
        fn a_path_is_kept_exactly_if_each_step_of_a_walk_passes(
            parts in prop::collection::vec("(a|src|target|gen|x\\.test\\.ts|y~)", 1..5),
        ) {
            let filter = filter(&["", "target/gen"], &["*.test.ts", "src/gen/"]);
            let path = parts.iter().fold(PathBuf::from("/ws/a"), |path, part| path.join(part));
            let steps: Vec<_> = path.ancestors().take_while(|step| step.starts_with("/ws")).collect();
            let walked = steps.iter().all(|step| filter.passes(step, *step != path));
            prop_assert_eq!(filter.keeps(&path), walked);
        }
    }
}
