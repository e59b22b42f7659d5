//! Finds the program that a `script` means. The only owner of `which`.
//! It runs nothing and knows no environment but the PATH it is given.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::launch::LaunchError;

/// The absolute path of `script`: with a `/` it starts at `cwd`, as for a shell there; without one it is looked up on
/// `path` (the service's PATH) alone. An absolute path also makes the spawn cheap.
///
/// # Errors
/// [`LaunchError::NotFound`], or [`LaunchError::NotExecutable`] when only a file that cannot be executed was found.
pub fn resolve_program(script: &str, cwd: &Path, path: Option<&OsStr>) -> Result<PathBuf, LaunchError> {
    if script.contains('/') {
        return resolve_path(script, cwd);
    }
    let path = path.unwrap_or_default();
    let not_found = || LaunchError::NotFound {
        program: script.to_owned(),
        searched: path.display().to_string(),
    };
    if script.is_empty() || path.is_empty() {
        return Err(not_found());
    }
    if let Ok(found) = which::which_in(script, Some(path), cwd) {
        return Ok(found);
    }
    // `which` says the same of a missing and of a forbidden file.
    let candidates = std::env::split_paths(path).map(|directory| cwd.join(directory).join(script));
    let mut forbidden = candidates.filter(|candidate| candidate.is_file());
    Err(forbidden
        .next()
        .map_or_else(not_found, |path| LaunchError::NotExecutable { path }))
}

/// Whether this is a file that we may execute.
pub(super) fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

fn resolve_path(script: &str, cwd: &Path) -> Result<PathBuf, LaunchError> {
    let path = cwd.join(script.strip_prefix("./").unwrap_or(script));
    if is_executable(&path) {
        Ok(path)
    } else if path.exists() {
        Err(LaunchError::NotExecutable { path })
    } else {
        Err(LaunchError::NotFound {
            program: script.to_owned(),
            searched: path.display().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_script_with_a_slash_starts_at_cwd_and_one_without_is_looked_up_on_path_alone() {
        let root = tempfile::tempdir().unwrap();
        let cwd = root.path();
        file(&cwd.join("run.sh"), 0o755);
        file(&cwd.join("bin/tool"), 0o755);
        let path = Some(OsStr::new("/nowhere:bin"));
        assert_eq!(resolve_program("./run.sh", cwd, None).unwrap(), cwd.join("run.sh"));
        assert_eq!(resolve_program("bin/tool", cwd, None).unwrap(), cwd.join("bin/tool"));
        assert_eq!(resolve_program("tool", cwd, path).unwrap(), cwd.join("bin/tool"));
        let missing = resolve_program("run.sh", cwd, path).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "program `run.sh` not found: it is not installed or not on PATH; install it or set `script` to its path"
        );
        assert!(missing.is_permanent());
        assert!(matches!(
            resolve_program("tool", cwd, None),
            Err(LaunchError::NotFound { .. })
        ));
    }

    #[test]
    fn found_but_not_executable_is_told_apart_from_not_found() {
        let root = tempfile::tempdir().unwrap();
        let cwd = root.path();
        file(&cwd.join("bin/tool"), 0o644);
        let by_name = resolve_program("tool", cwd, Some(OsStr::new("bin"))).unwrap_err();
        let by_path = resolve_program("bin/tool", cwd, None).unwrap_err();
        let directory = resolve_program("./bin", cwd, None).unwrap_err();
        for error in [&by_name, &by_path, &directory] {
            assert!(matches!(error, LaunchError::NotExecutable { .. }), "{error}");
        }
        assert!(by_name.to_string().contains("run `chmod +x "), "{by_name}");
        assert!(directory.to_string().contains("is a directory"), "{directory}");
        let missing = resolve_program("./none", cwd, None).unwrap_err();
        assert!(
            missing.to_string().starts_with("cannot launch `./none`: there is no /"),
            "{missing}"
        );
    }
}
