//! Where a watched path really is: symbolic links resolved, and for one that does not exist yet the place where it will
//! show up. Looks at the file system; watches nothing.

use std::fs;
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
    /// The entry in it whose touch means: resolve again.
    pub hook: PathBuf,
}

/// What `given` is now, and where its coming or its change would show.
pub fn resolve(given: &Path) -> (Option<Root>, Option<Anchor>) {
    let root = fs::canonicalize(given).ok().map(|real| Root {
        given: given.to_owned(),
        is_dir: real.is_dir(),
        real,
    });
    let anchor = if root.is_none() || given.is_symlink() {
        anchor(given)
    } else {
        None
    };
    (root, anchor)
}

/// The nearest directory above that exists, and the next step from it.
fn anchor(given: &Path) -> Option<Anchor> {
    given
        .ancestors()
        .zip(given.ancestors().skip(1))
        .find_map(|(child, parent)| {
            let dir = fs::canonicalize(parent).ok().filter(|dir| dir.is_dir())?;
            let hook = dir.join(child.file_name()?);
            Some(Anchor { dir, hook })
        })
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

        let root = |given: &str, real: &str, is_dir| Root {
            given: here.join(given),
            real: here.join(real),
            is_dir,
        };
        let anchor = |hook: &str| Anchor {
            dir: here.clone(),
            hook: here.join(hook),
        };
        assert_eq!(resolve(&here.join("dir")), (Some(root("dir", "dir", true)), None));
        assert_eq!(resolve(&here.join("file")), (Some(root("file", "file", false)), None));
        assert_eq!(
            resolve(&here.join("link")),
            (Some(root("link", "dir", true)), Some(anchor("link")))
        );
        assert_eq!(resolve(&here.join("dangling")), (None, Some(anchor("dangling"))));
        assert_eq!(resolve(&here.join("a/b/c")), (None, Some(anchor("a"))));
        assert_eq!(resolve(&here.join("file/c")), (None, Some(anchor("file"))));
    }
}
