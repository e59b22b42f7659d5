//! Takes out of an environment what `cargo run` put in on the way, so that services see the user's own.
//! Pure: it reads no environment itself.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The environment without cargo's additions, if it shows that cargo started this program; else unchanged.
/// `CARGO_HOME` and `RUSTUP_HOME` stay: they tell where things are, not who is being built. What `[env]` of a
/// `.cargo/config.toml` adds cannot be told from the user's own and stays, too.
pub fn scrub_cargo(env: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let env: Vec<_> = env.collect();
    let get = |name: &str| {
        env.iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_os_str())
    };
    if get("CARGO_MANIFEST_DIR").is_none() || get("CARGO_PKG_NAME") != Some(OsStr::new(PACKAGE)) {
        return env;
    }
    let toolchains = get("RUSTUP_HOME").map(|home| Path::new(home).join("toolchains"));
    // Set by the user in the shell: rustup only passed it on.
    let own_toolchain = get("RUSTUP_TOOLCHAIN_SOURCE") == Some(OsStr::new("env"));
    env.iter()
        .filter(|(name, value)| !is_cargos(name, value) && (name != "RUSTUP_TOOLCHAIN" || own_toolchain))
        .filter_map(|(name, value)| {
            if LIBRARY_PATHS.iter().any(|path| name == path) {
                let rest = without_cargos_directories(value, toolchains.as_deref())?;
                return Some((name.clone(), rest));
            }
            Some((name.clone(), value.clone()))
        })
        .collect()
}

/// The package whose `cargo run` is undone; a variable of another one is somebody else's.
const PACKAGE: &str = "xtask";

/// Where cargo puts its directories in front: Linux, macOS.
const LIBRARY_PATHS: [&str; 2] = ["LD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"];

const ADDED: [&str; 9] = [
    "CARGO",
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_MANIFEST_PATH",
    "CARGO_PRIMARY_PACKAGE",
    "RUSTUP_TOOLCHAIN_SOURCE",
    "RUST_RECURSION_COUNT",
];

fn is_cargos(name: &OsStr, value: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    // `OUT_DIR` is a name others use, too; cargo's is `…/build/<package>-<hash>/out`.
    let build_output = || {
        value
            .to_str()
            .is_some_and(|value| value.contains("/build/") && value.ends_with("/out"))
    };
    ADDED.contains(&name) || name.starts_with("CARGO_PKG_") || (name == "OUT_DIR" && build_output())
}

/// What is left of a library path, or nothing at all. Cargo's directories are known by their shape: `X` beside
/// `X/deps` is a target directory, `S/rustlib/<triple>/lib` and `S` are a toolchain's libraries.
fn without_cargos_directories(value: &OsStr, toolchains: Option<&Path>) -> Option<OsString> {
    let all: Vec<PathBuf> = std::env::split_paths(value).collect();
    let targets: Vec<&Path> = all
        .iter()
        .map(PathBuf::as_path)
        .filter(|path| all.contains(&path.join("deps")))
        .collect();
    let sysroots: Vec<&Path> = all.iter().filter_map(|path| sysroot_libraries(path)).collect();
    let is_cargos = |path: &Path| {
        targets.iter().any(|target| path.starts_with(target))
            || sysroots.contains(&path)
            || sysroot_libraries(path).is_some()
            || toolchains.is_some_and(|toolchains| path.starts_with(toolchains))
    };
    let rest: Vec<&PathBuf> = all.iter().filter(|path| !is_cargos(path)).collect();
    if rest.iter().all(|path| path.as_os_str().is_empty()) {
        return None;
    }
    std::env::join_paths(rest).ok()
}

/// `S` of `S/rustlib/<triple>/lib`.
fn sysroot_libraries(path: &Path) -> Option<&Path> {
    let rustlib = path.parent()?.parent()?;
    (path.ends_with("lib") && rustlib.ends_with("rustlib"))
        .then(|| rustlib.parent())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARIES: &str = "/w/target/xtask/debug/build/z-1/out:/w/target/xtask/debug:/w/target/xtask/debug/deps:\
        /home/u/.rustup/toolchains/stable-x/lib/rustlib/x/lib:/home/u/.rustup/toolchains/stable-x/lib";

    fn scrubbed(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let by_cargo = [
            ("CARGO_MANIFEST_DIR", "/w/xtask"),
            ("CARGO_PKG_NAME", "xtask"),
            ("RUSTUP_HOME", "/r"),
        ];
        let env = by_cargo
            .iter()
            .chain(variables)
            .map(|(name, value)| (name.into(), value.into()));
        let rest = scrub_cargo(env).into_iter();
        let rest = rest.map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()));
        rest.filter(|(name, _)| name != "RUSTUP_HOME").collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn what_cargo_added_goes_and_what_the_user_set_stays() {
        let variables = [
            ("CARGO", "/c"),
            ("CARGO_HOME", "/h"),
            ("CARGO_PKG_VERSION", "1"),
            ("RUST_RECURSION_COUNT", "1"),
            ("OUT_DIR", "/w/target/debug/build/x-1/out"),
            ("RUSTUP_TOOLCHAIN", "stable"),
            ("RUSTUP_TOOLCHAIN_SOURCE", "default"),
            ("CARGO_TERM_COLOR", "always"),
            ("PATH", "/bin"),
        ];
        let expected = [
            pair("CARGO_HOME", "/h"),
            pair("CARGO_TERM_COLOR", "always"),
            pair("PATH", "/bin"),
        ];
        assert_eq!(scrubbed(&variables), expected);
        let own = [
            ("RUSTUP_TOOLCHAIN", "nightly"),
            ("RUSTUP_TOOLCHAIN_SOURCE", "env"),
            ("OUT_DIR", "dist"),
        ];
        assert_eq!(
            scrubbed(&own),
            [pair("RUSTUP_TOOLCHAIN", "nightly"), pair("OUT_DIR", "dist")]
        );
    }

    #[test]
    fn only_cargos_own_directories_leave_a_library_path() {
        assert_eq!(scrubbed(&[("LD_LIBRARY_PATH", LIBRARIES)]), []);
        let both = format!("{LIBRARIES}:/opt/oracle/lib:/w/target/other");
        assert_eq!(
            scrubbed(&[("DYLD_FALLBACK_LIBRARY_PATH", &both)]),
            [pair("DYLD_FALLBACK_LIBRARY_PATH", "/opt/oracle/lib:/w/target/other")]
        );
        let distribution = "/usr/lib/rustlib/x/lib:/usr/lib:/r/toolchains/s/lib:/mine";
        assert_eq!(
            scrubbed(&[("LD_LIBRARY_PATH", distribution)]),
            [pair("LD_LIBRARY_PATH", "/mine")]
        );
    }

    #[test]
    fn an_environment_that_cargo_did_not_make_is_left_alone() {
        let plain = vec![
            ("CARGO".into(), "/c".into()),
            ("LD_LIBRARY_PATH".into(), LIBRARIES.into()),
        ];
        assert_eq!(scrub_cargo(plain.clone().into_iter()), plain);
        let other = vec![
            ("CARGO_MANIFEST_DIR".into(), "/o".into()),
            ("CARGO_PKG_NAME".into(), "other".into()),
        ];
        assert_eq!(scrub_cargo(other.clone().into_iter()), other);
    }
}
