//! The `.gitignore` files that hold for one directory: its own and those above it, the nearest deciding first.
//! Reads those files and nothing else; they count with or without a `.git` directory.

use ignore::Match;
use ignore::gitignore::Gitignore;
use std::path::Path;
use std::sync::Arc;

/// A chain of `.gitignore` files. Cheap to clone: directories without a file of their own share their parent's chain.
#[derive(Clone, Debug, Default)]
pub struct Rules(Option<Arc<Link>>);

#[derive(Debug)]
struct Link {
    nearest: Gitignore,
    above: Rules,
}

impl Rules {
    /// The rules that hold in the directory that `root` is in: from the top of its repository (else of the workspace)
    /// downwards. None when they ignore `root` itself.
    pub fn above(root: &Path, workspace: &Path) -> Option<Self> {
        let mut chain = directories_above(root, workspace);
        chain.reverse();
        let mut rules = Self::default();
        for (dir, inner) in chain.iter().zip(chain.iter().skip(1).chain([&root])) {
            rules = rules.enter(dir);
            if rules.drops(inner, true) {
                return None;
            }
        }
        Some(rules)
    }

    /// The rules inside `dir`, whose `.gitignore` is read if there is one. Lines that cannot be read are skipped, as git
    /// does.
    pub fn enter(&self, dir: &Path) -> Self {
        let (nearest, _unreadable_lines) = Gitignore::new(dir.join(".gitignore"));
        if nearest.is_empty() {
            return self.clone();
        }
        Self(Some(Arc::new(Link {
            nearest,
            above: self.clone(),
        })))
    }

    /// Whether `path`, directly inside the directory of these rules, is ignored.
    pub fn drops(&self, path: &Path, is_dir: bool) -> bool {
        let mut rest = self;
        while let Some(link) = &rest.0 {
            match link.nearest.matched(path, is_dir) {
                Match::None => rest = &link.above,
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
            }
        }
        false
    }
}

/// The directories whose `.gitignore` holds for `root` from above, the nearest first.
pub fn directories_above<'a>(root: &'a Path, workspace: &Path) -> Vec<&'a Path> {
    let repository = root.ancestors().find(|dir| dir.join(".git").exists());
    let top = repository
        .or_else(|| root.starts_with(workspace).then_some(workspace))
        .unwrap_or(root);
    root.ancestors()
        .skip(1)
        .take_while(|dir| dir.starts_with(top))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_nearest_file_decides_and_the_repository_is_the_top() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().join("repository");
        let web = top.join("packages/web");
        fs::create_dir_all(web.join("dist")).unwrap();
        fs::create_dir(top.join(".git")).unwrap();
        fs::write(temp.path().join(".gitignore"), "*").unwrap();
        fs::write(top.join(".gitignore"), "*.log\ndist/\n/once\n").unwrap();
        fs::write(web.join(".gitignore"), "!keep.log\n").unwrap();

        let above = Rules::above(&web, &web).unwrap();
        assert!(above.drops(&web.join("keep.log"), false));
        let rules = above.enter(&web);
        assert!(!rules.drops(&web.join("keep.log"), false));
        assert!(rules.drops(&web.join("other.log"), false));
        assert!(rules.drops(&web.join("dist"), true));
        assert!(!rules.drops(&web.join("dist"), false));
        assert!(!rules.drops(&web.join("once"), false));
        assert!(Rules::above(&web.join("dist"), &web).is_none());
    }

    #[test]
    fn without_a_repository_the_workspace_is_the_top() {
        let temp = tempfile::tempdir().unwrap();
        let web = temp.path().join("web/src");
        fs::create_dir_all(&web).unwrap();
        fs::write(temp.path().join(".gitignore"), "*.log").unwrap();
        fs::write(temp.path().join("web/.gitignore"), "*.tmp").unwrap();
        let rules = Rules::above(&web, temp.path()).unwrap();
        assert!(rules.drops(&web.join("a.log"), false) && rules.drops(&web.join("a.tmp"), false));
        let rules = Rules::above(&web, Path::new("/nowhere")).unwrap();
        assert!(!rules.drops(&web.join("a.log"), false) && !rules.drops(&web.join("a.tmp"), false));
    }
}
