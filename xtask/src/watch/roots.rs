//! Where a watched path really is: symbolic links resolved, and for one that does not exist yet the place where it will
//! show up. Looks at the file system; watches nothing.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A watched path that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// As named in the configuration, or the symbolic link that led here: what reports show.
    pub given: PathBuf,
    /// Without symbolic links: what events name.
    pub real: PathBuf,
    /// Else a file.
    pub is_dir: bool,
}

/// Where to see that a root comes, or points to somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The directory to watch.
    pub dir: PathBuf,
    /// The entry in it whose change means: resolve again.
    pub hook: PathBuf,
    /// What the way was found by.
    pub then: Standing,
}

/// What stands at a place, as far as a way leads through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing, or nobody may say what.
    Nothing,
    /// A symbolic link to there.
    Link(PathBuf),
    /// A directory, and who may go through it: mode, user and group.
    Directory([u32; 3]),
    /// A file, or what is like one.
    File,
}

impl Standing {
    /// What stands at `path` now.
    pub fn at(path: &Path) -> Self {
        let Ok(metadata) = fs::symlink_metadata(path) else {
            return Self::Nothing;
        };
        if metadata.is_symlink() {
            return fs::read_link(path).map_or(Self::Nothing, Self::Link);
        }
        match metadata.is_dir() {
            true => Self::Directory([metadata.mode(), metadata.uid(), metadata.gid()]),
            false => Self::File,
        }
    }
}

/// As many links in a row as Linux follows; a longer chain is a circle.
const LINKS: u32 = 40;

/// What `given` is now, and where its coming or its change would show: at each step of the way to it below the workspace, outside of
/// it at the last step that can be seen, and the same for what a symbolic link on the way leads to.
pub fn resolve(given: &Path, workspace: &Path) -> (Option<Root>, Vec<Anchor>) {
    let mut anchors = Vec::new();
    let real = start(given, workspace).and_then(|start| follow(start, workspace, &mut anchors));
    let root = real.map(|real| Root {
        given: given.to_owned(),
        is_dir: real.is_dir(),
        real,
    });
    (root, anchors)
}

/// A real directory, and the steps that are left from there.
type Start = (PathBuf, VecDeque<OsString>);

/// Where the way to `path` begins: the workspace, or, outside of it or while it is away, the nearest directory above that exists.
fn start(path: &Path, workspace: &Path) -> Option<Start> {
    let nearest = || path.ancestors().skip(1).find(|dir| dir.is_dir());
    let base = if path.starts_with(workspace) && workspace.is_dir() {
        workspace
    } else {
        nearest()?
    };
    let steps = path.strip_prefix(base).ok()?.iter().map(OsStr::to_owned).collect();
    Some((fs::canonicalize(base).ok()?, steps))
}

/// Goes step by step to the end of the way, if there is one.
fn follow((mut real, mut steps): Start, workspace: &Path, anchors: &mut Vec<Anchor>) -> Option<PathBuf> {
    let mut links = 0;
    while let Some(step) = steps.pop_front() {
        if step == ".." {
            real.pop();
            continue;
        }
        let next = real.join(step);
        let then = Standing::at(&next);
        anchors.push(Anchor {
            dir: real.clone(),
            hook: next.clone(),
            then: then.clone(),
        });
        let target = match then {
            Standing::Link(target) => target,
            Standing::Directory(_) => {
                real = next;
                continue;
            }
            Standing::File if steps.is_empty() => return Some(next),
            Standing::File | Standing::Nothing => return None,
        };
        links += 1;
        if links > LINKS {
            return None;
        }
        let ahead: VecDeque<OsString> = if target.is_absolute() {
            let (base, ahead) = start(&target, workspace)?;
            real = base;
            ahead
        } else {
            target.iter().map(OsStr::to_owned).collect()
        };
        steps = ahead.into_iter().chain(steps).collect();
    }
    Some(real)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn roots_resolve_to_what_is_there_and_to_where_it_will_be() {
        let temp = tempfile::tempdir().unwrap();
        let here = fs::canonicalize(temp.path()).unwrap();
        fs::create_dir(here.join("dir")).unwrap();
        fs::write(here.join("file"), "").unwrap();
        symlink("dir", here.join("link")).unwrap();
        symlink("none", here.join("dangling")).unwrap();
        symlink("circle", here.join("circle")).unwrap();

        let root = |given: &str, real: &str, is_dir| {
            Some(Root {
                given: here.join(given),
                real: here.join(real),
                is_dir,
            })
        };
        let anchor = |hook: &str| Anchor {
            dir: here.join(hook).parent().unwrap().to_owned(),
            hook: here.join(hook),
            then: Standing::at(&here.join(hook)),
        };
        let resolve = |given: &str| resolve(&here.join(given), &here);
        assert_eq!(resolve("dir"), (root("dir", "dir", true), vec![anchor("dir")]));
        assert_eq!(resolve("file"), (root("file", "file", false), vec![anchor("file")]));
        assert_eq!(
            resolve("link"),
            (root("link", "dir", true), vec![anchor("link"), anchor("dir")])
        );
        assert_eq!(resolve("dangling"), (None, vec![anchor("dangling"), anchor("none")]));
        assert_eq!(resolve("a/b/c"), (None, vec![anchor("a")]));
        assert_eq!(resolve("file/c"), (None, vec![anchor("file")]));
        assert_eq!(resolve("circle"), (None, vec![anchor("circle"); 41]));

        // In the middle of the way, upwards again, and to an absolute path.
        fs::create_dir(here.join("dir/sub")).unwrap();
        symlink("../dir", here.join("dir/up")).unwrap();
        symlink(here.join("dir"), here.join("absolute")).unwrap();
        assert_eq!(
            resolve("absolute/up/sub"),
            (
                root("absolute/up/sub", "dir/sub", true),
                ["absolute", "dir", "dir/up", "dir", "dir/sub"].map(anchor).to_vec()
            )
        );
        assert_eq!(resolve(""), (root("", "", true), vec![]));
    }

    #[test]
    fn a_workspace_that_is_away_is_awaited_where_it_will_be() {
        let temp = tempfile::tempdir().unwrap();
        let here = fs::canonicalize(temp.path()).unwrap();
        let workspace = here.join("parent/workspace");
        let awaited = |hook: &str| {
            let hook = here.join(hook);
            let dir = hook.parent().unwrap().to_owned();
            let then = Standing::Nothing;
            (None, vec![Anchor { dir, hook, then }])
        };
        assert_eq!(resolve(&workspace.join("src"), &workspace), awaited("parent"));
        fs::create_dir(here.join("parent")).unwrap();
        assert_eq!(resolve(&workspace, &workspace), awaited("parent/workspace"));
    }

    #[test]
    fn outside_of_the_workspace_only_the_last_step_is_looked_at() {
        let temp = tempfile::tempdir().unwrap();
        let here = fs::canonicalize(temp.path()).unwrap();
        fs::create_dir_all(here.join("other/dir")).unwrap();
        let workspace = here.join("workspace");
        let (root, anchors) = resolve(&here.join("other/dir"), &workspace);
        assert_eq!(root.map(|root| root.real), Some(here.join("other/dir")));
        let dir = here.join("other");
        assert_eq!(
            anchors,
            [Anchor {
                hook: dir.join("dir"),
                then: Standing::at(&dir.join("dir")),
                dir
            }]
        );
    }
}
