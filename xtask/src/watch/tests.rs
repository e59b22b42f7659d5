//! Real files and real events.

use super::fingerprint::settled_before;
use super::ground::{Touch, TouchKind};
use super::tree::Tree;
use super::*;
use crate::clock;
use crate::clock::monotonic;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

/// A workspace that is watched.
struct Bench {
    _temp: tempfile::TempDir,
    workspace: PathBuf,
    watcher: Watcher,
    heard: Receiver<WatchReport>,
}

/// Writes the files (a name ending in `/` is a directory), then watches the roots, and waits until that works. A file that was
/// written just before could be an edit that nobody was told of: these have been there for longer.
fn bench(files: &[&str], roots: &[&str]) -> Bench {
    let bench = unwatched(files);
    for file in files.iter().filter(|file| !file.ends_with('/')) {
        while !settled_before(&bench.at(file), clock::wall().into()) {
            thread::yield_now();
        }
    }
    bench.watch(roots);
    bench
}

fn unwatched(files: &[&str]) -> Bench {
    let temp = tempfile::tempdir().unwrap();
    let workspace = fs::canonicalize(temp.path()).unwrap();
    let (said, heard) = mpsc::channel();
    let watcher = Watcher::start(move |report| {
        let _ = said.send(report);
    })
    .unwrap();
    let bench = Bench {
        _temp: temp,
        workspace,
        watcher,
        heard,
    };
    for file in files {
        match file.strip_suffix('/') {
            Some(dir) => fs::create_dir_all(bench.at(dir)).unwrap(),
            None => bench.write(file, file),
        }
    }
    bench
}

impl Bench {
    fn at(&self, path: &str) -> PathBuf {
        self.workspace.join(path)
    }

    fn spec(&self, service: &str, roots: &[&str]) -> WatchSpec {
        WatchSpec {
            service: service.to_owned(),
            roots: roots
                .iter()
                .map(|root| {
                    if root.is_empty() {
                        self.workspace.clone()
                    } else {
                        self.at(root)
                    }
                })
                .collect(),
            ignore: vec!["*.test.ts".to_owned()],
            workspace: self.workspace.clone(),
            own: vec![self.at("state")],
        }
    }

    /// Also until what was read ahead is beyond doubt: nothing below has to wait for it.
    fn watch(&self, roots: &[&str]) {
        self.watcher.set(vec![self.spec("web", roots)], clock::wall());
        self.armed("web");
        assert!(
            self.heard.recv_timeout(Duration::from_millis(150)).is_err(),
            "nothing is news at the start"
        );
    }

    #[track_caller]
    fn armed(&self, name: &str) -> (usize, usize) {
        match self.heard.recv_timeout(LIMIT) {
            Ok(WatchReport::Armed {
                service,
                directories,
                files,
            }) if service == name => (directories, files),
            other => panic!("{other:?}"),
        }
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    /// What was reported until `last` was, without it.
    #[track_caller]
    fn until(&self, last: &str) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        while !all.remove(last) {
            match self.heard.recv_timeout(LIMIT) {
                Ok(WatchReport::Changed(changed)) => {
                    all.extend(changed.paths.iter().map(|path| path.to_str().unwrap().to_owned()));
                }
                other => panic!("{other:?} after {all:?}"),
            }
        }
        all
    }

    /// What was reported until now: a hard link has no writer, so it is looked at after all that was touched before. What a
    /// walk touches comes later than the event that led to the walk, hence the repetition.
    #[track_caller]
    fn reported(&self, dir: &str) -> BTreeSet<String> {
        fs::write(self.at("outside"), "").unwrap();
        let links = ["last-1", "last-2", "last-3"].map(|name| format!("{dir}/{name}"));
        let mut all = BTreeSet::new();
        for link in &links {
            fs::hard_link(self.at("outside"), self.at(link)).unwrap();
            all.extend(self.until(link));
        }
        for link in &links {
            fs::remove_file(self.at(link)).unwrap();
            all.extend(self.until(link));
        }
        all
    }

    #[track_caller]
    fn expect(&self, paths: &[&str]) {
        let mut wanted: BTreeSet<String> = paths.iter().map(|&path| path.to_owned()).collect();
        while let Some(last) = wanted.pop_first() {
            for path in self.until(&last) {
                assert!(wanted.remove(&path), "{path} is not among what is left: {wanted:?}");
            }
        }
    }
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|&path| path.to_owned()).collect()
}

#[test]
fn a_modified_a_created_and_a_deleted_file_count() {
    let bench = bench(&["src/a", "src/deep/b"], &["src"]);
    bench.write("src/a", "new");
    bench.expect(&["src/a"]);
    bench.write("src/.hidden", "new");
    bench.expect(&["src/.hidden"]);
    fs::remove_file(bench.at("src/deep/b")).unwrap();
    bench.expect(&["src/deep/b"]);
}

#[test]
fn a_renamed_file_counts_under_both_names() {
    let bench = bench(&["src/a"], &["src"]);
    fs::rename(bench.at("src/a"), bench.at("src/b")).unwrap();
    bench.expect(&["src/a", "src/b"]);
}

#[test]
fn every_atomic_save_counts_and_its_temporary_file_does_not() {
    let bench = bench(&["src/a"], &["src"]);
    for text in ["one", "two", "three"] {
        bench.write("src/a.new", text);
        fs::rename(bench.at("src/a.new"), bench.at("src/a")).unwrap();
        bench.until("src/a");
    }
    assert_eq!(bench.reported("src"), set(&[]));
}

#[test]
fn a_save_with_the_same_bytes_does_not_count_however_it_is_done() {
    let bench = bench(&["src/a", "src/b", "src/c"], &["src"]);
    bench.write("src/a", "src/a");
    bench.write("outside", "src/b");
    fs::rename(bench.at("outside"), bench.at("src/b")).unwrap();
    // As vim does with a backup.
    fs::rename(bench.at("src/c"), bench.at("src/c~")).unwrap();
    bench.write("src/c", "src/c");
    fs::remove_file(bench.at("src/c~")).unwrap();
    assert_eq!(bench.reported("src"), set(&[]));
    bench.write("src/a", "other");
    bench.expect(&["src/a"]);
    bench.write("src/a", "other");
    assert_eq!(bench.reported("src"), set(&[]));
}

#[test]
fn quick_saves_with_the_same_bytes_do_not_count_whatever_moment_is_looked_at() {
    let bench = bench(&["src/a"], &["src"]);
    for _ in 0..500 {
        bench.write("src/a", "src/a");
    }
    assert_eq!(bench.reported("src"), set(&[]));
    // One that stays empty counts.
    bench.write("src/a", "");
    bench.expect(&["src/a"]);
}

#[test]
fn a_read_or_a_change_of_mode_or_time_does_not_count() {
    let bench = bench(&["src/a", "src/deep/b"], &["src"]);
    fs::read(bench.at("src/a")).unwrap();
    let mut mode = fs::metadata(bench.at("src/a")).unwrap().permissions();
    mode.set_readonly(true);
    fs::set_permissions(bench.at("src/a"), mode).unwrap();
    let file = fs::File::options().append(true).open(bench.at("src/deep/b")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    drop(file);
    assert_eq!(bench.reported("src"), set(&[]));
}

#[test]
fn a_writer_that_keeps_its_file_open_counts() {
    let bench = bench(&["src/a"], &["src"]);
    let mut file = fs::File::options().append(true).open(bench.at("src/a")).unwrap();
    file.write_all(b"more").unwrap();
    bench.expect(&["src/a"]);
    drop(file);
}

#[test]
fn the_last_of_twenty_quick_saves_is_reported() {
    let bench = bench(&["src/a"], &["src"]);
    for turn in 0..20 {
        bench.write("src/a", &format!("turn {turn}"));
    }
    bench.until("src/a");
    bench.reported("src");
    bench.write("src/a", "turn 19");
    assert_eq!(bench.reported("src"), set(&[]), "the last content was seen");
}

#[test]
fn a_new_directory_joins_with_what_was_written_at_once() {
    let bench = bench(&["src/a"], &["src"]);
    bench.write("src/new/b", "b");
    bench.expect(&["src/new/b"]);
    bench.write("src/new/b", "changed");
    bench.expect(&["src/new/b"]);
}

#[test]
fn deep_new_directories_join() {
    let bench = bench(&["src/a"], &["src"]);
    bench.write("src/1/2/3/4/5/b", "b");
    bench.expect(&["src/1/2/3/4/5/b"]);
    bench.write("src/1/2/c", "c");
    bench.write("src/1/2/3/4/c", "c");
    bench.expect(&["src/1/2/c", "src/1/2/3/4/c"]);
}

#[test]
fn a_removed_directory_leaves_and_joins_again() {
    let bench = bench(&["src/dir/a", "src/dir/deep/b"], &["src"]);
    fs::remove_dir_all(bench.at("src/dir")).unwrap();
    bench.expect(&["src/dir/a", "src/dir/deep/b"]);
    bench.write("src/dir/a", "again");
    bench.expect(&["src/dir/a"]);
    bench.write("src/dir/a", "changed");
    bench.expect(&["src/dir/a"]);
}

#[test]
fn a_directory_that_comes_back_with_the_same_files_does_not_count_and_is_watched() {
    let bench = bench(&["src/dir/a", "src/dir/deep/b"], &["src"]);
    fs::remove_dir_all(bench.at("src/dir")).unwrap();
    bench.write("src/dir/a", "src/dir/a");
    bench.write("src/dir/deep/b", "src/dir/deep/b");
    assert_eq!(bench.reported("src"), set(&[]));
    bench.write("src/dir/deep/b", "changed");
    bench.expect(&["src/dir/deep/b"]);
}

#[test]
fn a_renamed_directory_counts_with_all_its_files_and_is_watched_under_its_new_name() {
    let bench = bench(&["src/dir/a", "src/dir/deep/b"], &["src"]);
    fs::rename(bench.at("src/dir"), bench.at("src/moved")).unwrap();
    bench.expect(&["src/dir/a", "src/dir/deep/b", "src/moved/a", "src/moved/deep/b"]);
    bench.write("src/moved/deep/b", "changed");
    bench.expect(&["src/moved/deep/b"]);
    bench.write("src/dir/a", "again");
    bench.expect(&["src/dir/a"]);
}

#[test]
fn a_removed_root_is_watched_when_it_comes_back() {
    let bench = bench(&["web/src/a"], &["web/src"]);
    fs::remove_dir_all(bench.at("web")).unwrap();
    bench.expect(&["web/src/a"]);
    bench.write("web/src/a", "again");
    bench.expect(&["web/src/a"]);
    bench.write("web/src/deep/b", "b");
    bench.expect(&["web/src/deep/b"]);
}

#[test]
fn a_root_that_does_not_exist_joins_when_it_is_created() {
    let bench = bench(&[], &["later/src", "later.toml"]);
    bench.write("later/other", "");
    bench.write("later/src/a", "a");
    bench.expect(&["later/src/a"]);
    bench.write("later/src/a", "b");
    bench.write("later.toml", "a");
    bench.expect(&["later/src/a", "later.toml"]);
}

#[test]
fn of_a_directory_with_a_single_watched_file_only_that_file_counts() {
    let bench = bench(&["app.toml", "other.toml"], &["app.toml"]);
    bench.write("other.toml", "new");
    for text in ["one", "two"] {
        bench.write("app.tmp", text);
        fs::rename(bench.at("app.tmp"), bench.at("app.toml")).unwrap();
        assert_eq!(bench.until("app.toml"), set(&[]));
    }
    fs::remove_file(bench.at("app.toml")).unwrap();
    bench.expect(&["app.toml"]);
    bench.write("app.toml", "again");
    bench.expect(&["app.toml"]);
}

#[test]
fn ignored_files_and_directories_do_not_count() {
    let bench = unwatched(&["src/a", "src/node_modules/", "src/out/x", "src/.git/", "state/"]);
    bench.write(".gitignore", "*.log\n/src/out/\n");
    bench.watch(&[""]);
    bench.write("src/server.log", "line");
    bench.write("src/out/x", "new");
    bench.write("src/node_modules/a/index.js", "new");
    bench.write("src/.git/index", "new");
    bench.write("src/.a.swp", "new");
    bench.write("src/a.test.ts", "new");
    bench.write("state/x", "new");
    bench.write("target/debug/app", "new");
    assert_eq!(bench.reported("src"), set(&["outside"]));
}

#[test]
fn a_changed_gitignore_holds_from_then_on() {
    let bench = bench(&["src/a", "src/gen/b"], &["src"]);
    bench.write("src/.gitignore", "gen\n");
    bench.expect(&["src/.gitignore"]);
    assert_eq!(bench.reported("src"), set(&[]));
    bench.write("src/gen/b", "new");
    assert_eq!(bench.reported("src"), set(&[]));
    fs::remove_file(bench.at("src/.gitignore")).unwrap();
    bench.until("src/.gitignore");
    bench.write("src/gen/b", "newer");
    bench.until("src/gen/b");
}

#[test]
fn a_root_inside_an_ignored_place_is_watched() {
    let bench = unwatched(&["target/generated/a", "src/b"]);
    bench.write(".gitignore", "target\n");
    bench.watch(&["", "target/generated"]);
    bench.write("target/debug", "new");
    bench.write("target/generated/a", "new");
    bench.expect(&["target/generated/a"]);
    assert_eq!(bench.reported("src"), set(&["outside"]));
}

#[test]
fn a_linked_root_is_reported_under_its_own_name_and_followed_when_it_changes() {
    let bench = unwatched(&["releases/1/a", "releases/2/a"]);
    symlink("releases/1", bench.at("current")).unwrap();
    bench.watch(&["current"]);
    bench.write("releases/1/a", "new");
    bench.expect(&["current/a"]);
    symlink("releases/2", bench.at("next")).unwrap();
    fs::rename(bench.at("next"), bench.at("current")).unwrap();
    bench.until("current/a");
    bench.write("releases/2/b", "new");
    bench.until("current/b");
}

#[test]
fn links_to_files_and_directories_are_followed_and_their_change_counts() {
    let bench = unwatched(&[
        "src/a",
        "shared/deep/b",
        "config/one",
        "config/two",
        "src/node_modules/",
    ]);
    symlink("../shared", bench.at("src/shared")).unwrap();
    symlink("../config/one", bench.at("src/config")).unwrap();
    symlink("..", bench.at("src/loop")).unwrap();
    symlink("../src", bench.at("shared/back")).unwrap();
    bench.watch(&["src"]);
    bench.write("shared/deep/b", "new");
    bench.expect(&["src/shared/deep/b"]);
    bench.write("config/one", "new");
    bench.expect(&["src/config"]);
    symlink("../config/two", bench.at("src/new")).unwrap();
    fs::rename(bench.at("src/new"), bench.at("src/config")).unwrap();
    bench.until("src/config");
    bench.reported("src");
    bench.write("config/two", "new");
    bench.expect(&["src/config"]);
    fs::remove_file(bench.at("src/shared")).unwrap();
    bench.until("src/shared");
}

#[test]
fn what_a_link_will_lead_to_counts_when_it_comes_and_each_time_it_comes_again() {
    let bench = unwatched(&["src/a"]);
    symlink("../made/config", bench.at("src/config")).unwrap();
    symlink("../generated", bench.at("src/generated")).unwrap();
    bench.watch(&["src"]);
    for text in ["one", "two"] {
        bench.write("made/config", text);
        bench.until("src/config");
        bench.write("generated/a", text);
        bench.until("src/generated/a");
    }
    fs::remove_dir_all(bench.at("generated")).unwrap();
    // What it was called by way of the link nobody knows any more.
    bench.until("generated/a");
    for text in ["three", "four"] {
        bench.write("generated/a", text);
        bench.until("src/generated/a");
    }
}

#[test]
fn a_write_to_what_a_link_or_a_root_leads_to_means_no_new_walk_but_its_replacement_does() {
    let bench = unwatched(&["src/a", "data/db", "data/other", "state/log"]);
    symlink("../data/other", bench.at("src/other")).unwrap();
    symlink("../state/log", bench.at("src/log")).unwrap();
    symlink("/dev/null", bench.at("src/nothing")).unwrap();
    let mut ground = Ground::new(|_| {}).unwrap();
    let mut tree = Tree::new(bench.spec("web", &["src", "data/db"])).unwrap();
    tree.baseline(&mut ground, SystemTime::from(clock::wall()));
    assert!(tree.wants(&bench.at("data")));
    assert!(!tree.wants(&bench.at("state")) && !tree.wants(Path::new("/dev")));
    let mut is_upset = |tree: &mut Tree, path: &str, kind| {
        let (path, at) = (bench.at(path), monotonic());
        tree.touch(&Touch { path, kind, at }, &mut ground);
        std::mem::take(&mut tree.stale)
    };
    for path in ["data/db", "data/other", "data"] {
        assert!(!is_upset(&mut tree, path, TouchKind::Other), "{path}");
    }
    // A save that puts the old one aside is looked at in the middle of it.
    fs::rename(bench.at("data/db"), bench.at("data/old")).unwrap();
    assert!(!is_upset(&mut tree, "data/db", TouchKind::Gone));
    bench.write("data/db", "new");
    assert!(!is_upset(&mut tree, "data/db", TouchKind::Written));
    assert!(tree.settle(monotonic() + LIMIT).contains(&PathBuf::from("data/db")));
    fs::remove_file(bench.at("data/db")).unwrap();
    symlink("old", bench.at("data/db")).unwrap();
    assert!(is_upset(&mut tree, "data/db", TouchKind::Other));
    fs::remove_file(bench.at("data/other")).unwrap();
    fs::create_dir(bench.at("data/other")).unwrap();
    assert!(is_upset(&mut tree, "data/other", TouchKind::Other));
    // It looks the same as before.
    assert!(is_upset(&mut tree, "data", TouchKind::Written));
}

#[test]
fn a_directory_above_a_root_that_is_replaced_takes_the_watch_along() {
    let bench = bench(&["web/server/src/a"], &["web/server/src"]);
    fs::rename(bench.at("web"), bench.at("old")).unwrap();
    for text in ["new", "newer"] {
        bench.write("web/server/src/a", text);
        bench.until("web/server/src/a");
    }
    bench.write("old/server/src/a", "forgotten");
    assert_eq!(bench.reported("web/server/src"), set(&[]));
}

#[test]
fn a_link_above_a_root_is_followed_when_it_changes() {
    let bench = unwatched(&["releases/1/src/a", "releases/2/src/a"]);
    symlink("releases/1", bench.at("current")).unwrap();
    bench.watch(&["current/src"]);
    symlink("releases/2", bench.at("next")).unwrap();
    fs::rename(bench.at("next"), bench.at("current")).unwrap();
    bench.until("current/src/a");
    bench.write("releases/2/src/b", "new");
    bench.until("current/src/b");
}

#[test]
fn a_gitignore_above_a_root_holds_from_its_change_on() {
    let bench = unwatched(&["src/a.sql", "src/b.txt"]);
    bench.write(".gitignore", "*.sql\n");
    bench.watch(&["src"]);
    bench.write("src/a.sql", "ignored");
    assert_eq!(bench.reported("src"), set(&[]));
    bench.write(".gitignore", "b.txt\n");
    bench.write("src/a.sql", "no more");
    bench.until("src/a.sql");
    bench.reported("src");
    bench.write("src/b.txt", "ignored");
    assert_eq!(bench.reported("src"), set(&[]));
}

#[test]
fn a_file_and_a_directory_may_take_each_others_place() {
    let bench = bench(&["src/a", "src/b/c"], &["src"]);
    fs::remove_file(bench.at("src/a")).unwrap();
    bench.write("src/a/inner", "new");
    bench.expect(&["src/a", "src/a/inner"]);
    fs::remove_dir_all(bench.at("src/b")).unwrap();
    bench.write("src/b", "new");
    bench.expect(&["src/b", "src/b/c"]);
}

#[test]
fn an_unchanged_spec_stays_watched_when_others_come_and_go() {
    let bench = bench(&["src/a", "lib/b"], &["src"]);
    bench.write("src/a", "during");
    bench.watcher.set(
        vec![bench.spec("api", &["lib"]), bench.spec("web", &["src"])],
        clock::wall(),
    );
    let mut reports = vec![
        bench.heard.recv_timeout(LIMIT).unwrap(),
        bench.heard.recv_timeout(LIMIT).unwrap(),
    ];
    reports.sort_by_key(|report| matches!(report, WatchReport::Armed { .. }));
    let during = Changed {
        service: "web".to_owned(),
        paths: vec!["src/a".into()],
    };
    let armed = WatchReport::Armed {
        service: "api".to_owned(),
        directories: 1,
        files: 1,
    };
    assert_eq!(reports, [WatchReport::Changed(during), armed]);
    bench.watcher.set(vec![bench.spec("web", &["src"])], clock::wall());
    bench.write("lib/b", "nobody's");
    bench.write("src/a", "new");
    bench.expect(&["src/a"]);
}

#[test]
fn services_with_the_same_sources_are_each_told() {
    let bench = unwatched(&["src/a"]);
    bench.watcher.set(
        vec![bench.spec("web-0", &["src"]), bench.spec("web-1", &["src"])],
        clock::wall(),
    );
    assert_eq!(bench.armed("web-0"), (1, 1));
    bench.armed("web-1");
    bench.write("src/a", "new");
    for name in ["web-0", "web-1"] {
        let Ok(WatchReport::Changed(changed)) = bench.heard.recv_timeout(LIMIT) else {
            panic!()
        };
        assert_eq!(changed.service, name);
    }
}

#[test]
fn a_file_written_right_after_set_counts() {
    let bench = unwatched(&["src/a"]);
    // Beyond the grain of the file system's clock.
    assert!(bench.heard.recv_timeout(Duration::from_millis(50)).is_err());
    bench.watcher.set(vec![bench.spec("web", &["src"])], clock::wall());
    assert!(
        bench
            .heard
            .recv_timeout(Duration::from_millis(20))
            .is_ok_and(|report| matches!(report, WatchReport::Armed { .. }))
    );
    bench.write("src/b", "new");
    bench.write("src/a", "new");
    bench.expect(&["src/a", "src/b"]);
}

#[test]
fn a_file_written_between_set_and_the_walk_counts() {
    let bench = unwatched(&["src/a", "src/b"]);
    let mut ground = Ground::new(|_| {}).unwrap();
    let mut tree = Tree::new(bench.spec("web", &["src"])).unwrap();
    let grain = Duration::from_millis(50);
    assert!(bench.heard.recv_timeout(grain).is_err());
    let since = SystemTime::from(clock::wall());
    assert!(bench.heard.recv_timeout(grain).is_err());
    bench.write("src/a", "new");
    tree.baseline(&mut ground, since);
    assert_eq!(tree.settle(monotonic() + LIMIT), [Path::new("src/a")]);
}

#[test]
fn a_bad_glob_fails_its_service_alone() {
    let bench = unwatched(&["src/a"]);
    let bad = WatchSpec {
        ignore: vec!["a[".to_owned()],
        ..bench.spec("bad", &["src"])
    };
    bench.watcher.set(vec![bad, bench.spec("web", &["src"])], clock::wall());
    bench.armed("web");
    match bench.heard.recv_timeout(LIMIT) {
        Ok(WatchReport::Failed { service, why }) => assert!(service == "bad" && why.contains("`a[`"), "{why}"),
        other => panic!("{other:?}"),
    }
    bench.write("src/a", "new");
    bench.expect(&["src/a"]);
}

#[test]
fn what_cannot_be_watched_is_told_once_and_also_when_it_is_over() {
    let closed = Permissions::from_mode(0o0);
    let bench = unwatched(&["src/a", "src/closed/"]);
    fs::set_permissions(bench.at("src/closed"), closed.clone()).unwrap();
    if fs::read_dir(bench.at("src/closed")).is_ok() {
        // Nothing is closed to root.
        return;
    }
    let set = |services: &[&str]| {
        let specs = services.iter().map(|service| bench.spec(service, &["src"])).collect();
        bench.watcher.set(specs, clock::wall());
    };
    let told = |wanted: &str| match bench.heard.recv_timeout(LIMIT) {
        Ok(WatchReport::Failed { service, why }) => assert!(service == wanted && why.contains("src/closed"), "{why}"),
        other => panic!("{other:?}"),
    };
    set(&["web"]);
    bench.armed("web");
    told("web");
    // It holds: only the other does not know it yet.
    set(&["web", "other"]);
    bench.armed("other");
    told("other");
    fs::set_permissions(bench.at("src/closed"), Permissions::from_mode(0o700)).unwrap();
    for wanted in ["web", "other"] {
        let service = wanted.to_owned();
        assert_eq!(bench.heard.recv_timeout(LIMIT), Ok(WatchReport::Mended { service }));
    }
    bench.write("src/closed/b", "new");
    bench.until("src/closed/b");
}

#[test]
fn a_link_to_where_nobody_may_look_is_no_trouble() {
    let bench = unwatched(&["src/a", "closed/sub/b", "passage/sub/c"]);
    for (dir, mode) in [("closed", 0o000), ("passage", 0o111)] {
        fs::set_permissions(bench.at(dir), Permissions::from_mode(mode)).unwrap();
        symlink(format!("../{dir}/sub"), bench.at("src").join(dir)).unwrap();
    }
    // Fails if told of trouble; nothing is closed to root, but there it must hold as well.
    bench.watch(&["src"]);
    bench.write("src/a", "new");
    bench.expect(&["src/a"]);
    bench.write("passage/sub/c", "new");
    bench.expect(&["src/passage/c"]);
    for dir in ["closed", "passage"] {
        fs::set_permissions(bench.at(dir), Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn after_lost_events_everything_that_differs_is_found_and_watched_again() {
    let bench = unwatched(&["src/a", "src/b", "src/gone/c", "src/same/d"]);
    // Its events lead nowhere: all are lost.
    let mut ground = Ground::new(|_| {}).unwrap();
    let mut tree = Tree::new(bench.spec("web", &["src"])).unwrap();
    tree.baseline(&mut ground, SystemTime::from(clock::wall()));
    while tree.read_ahead(99, u64::MAX) {}
    bench.write("src/a", "new");
    bench.write("src/new/e", "new");
    fs::remove_dir_all(bench.at("src/gone")).unwrap();
    let touch = Touch {
        path: bench.at("src/b"),
        kind: TouchKind::Other,
        at: monotonic() + LIMIT,
    };
    tree.touch(&touch, &mut ground);
    tree.rescan(&mut ground);
    let paths: Vec<PathBuf> = tree.settle(monotonic() + LIMIT + LIMIT);
    assert_eq!(paths, ["src/a", "src/gone/c", "src/new/e"].map(PathBuf::from));
    assert_eq!(tree.size(), (3, 4));
    assert!(tree.wants(&bench.at("src/new")) && !tree.wants(&bench.at("src/gone")));
    assert_eq!(tree.deadline(), None);
}

#[test]
fn a_workspace_that_was_away_is_watched_again() {
    let bench = bench(&["src/a", "src/b"], &["src"]);
    let moved = bench.workspace.with_extension("moved");
    fs::rename(&bench.workspace, &moved).unwrap();
    fs::rename(&moved, &bench.workspace).unwrap();
    // Whether somebody looked meanwhile, and said that it was away, is open.
    let next = || {
        loop {
            match bench.heard.recv_timeout(LIMIT) {
                Ok(WatchReport::Changed(changed)) => return changed.paths,
                Ok(WatchReport::Failed { .. } | WatchReport::Mended { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let file = PathBuf::from("src/a");
    for text in ["new", "newer"] {
        bench.write("src/a", text);
        assert_eq!(next(), std::slice::from_ref(&file));
    }
    fs::remove_dir_all(&bench.workspace).unwrap();
    for text in ["again", "and again"] {
        bench.write("src/a", text);
        while !next().contains(&file) {}
    }
}

#[test]
fn of_a_workspace_that_is_renamed_nothing_counts_until_it_is_back() {
    let bench = unwatched(&["src/a", "src/b", "src/deep/c"]);
    let parent = bench.workspace.join("above");
    let workspace = parent.join("workspace");
    let moved = parent.join("moved");
    fs::create_dir(&parent).unwrap();
    fs::create_dir(&workspace).unwrap();
    fs::rename(bench.at("src"), workspace.join("src")).unwrap();
    // Its events lead nowhere: the test says which it gets to know.
    let mut ground = Ground::new(|_| {}).unwrap();
    let mut tree = Tree::new(WatchSpec {
        roots: vec![workspace.join("src"), workspace.clone()],
        workspace: workspace.clone(),
        ..bench.spec("web", &[])
    })
    .unwrap();
    tree.baseline(&mut ground, SystemTime::from(clock::wall()));
    while tree.read_ahead(99, u64::MAX) {}
    let touch = |path: PathBuf, kind| Touch {
        path,
        kind,
        at: monotonic(),
    };

    fs::rename(&workspace, &moved).unwrap();
    tree.touch(&touch(workspace.clone(), TouchKind::Gone), &mut ground);
    tree.rescan(&mut ground);
    assert!(tree.away && tree.deadline().is_none() && tree.wants(&parent));
    assert_eq!(tree.settle(monotonic() + LIMIT), [""; 0].map(PathBuf::from));
    fs::rename(&moved, &workspace).unwrap();
    tree.touch(&touch(workspace.clone(), TouchKind::Written), &mut ground);
    assert!(tree.stale);
    tree.rescan(&mut ground);
    assert_eq!(tree.settle(monotonic() + LIMIT), [""; 0].map(PathBuf::from));
    assert!(!tree.away && tree.wants(&workspace.join("src/deep")));

    // Where a directory above is renamed, nobody is told but by the next edit.
    let elsewhere = bench.at("elsewhere");
    fs::rename(&parent, &elsewhere).unwrap();
    fs::write(elsewhere.join("workspace/src/a"), "new").unwrap();
    tree.touch(&touch(workspace.join("src/a"), TouchKind::Written), &mut ground);
    assert_eq!(tree.settle(monotonic() + LIMIT), [""; 0].map(PathBuf::from));
    assert!(tree.away && tree.stale);
    tree.rescan(&mut ground);
    assert!(tree.wants(&bench.workspace));
    fs::rename(&elsewhere, &parent).unwrap();
    tree.rescan(&mut ground);
    assert_eq!(tree.settle(monotonic() + LIMIT), ["src/a"].map(PathBuf::from));
}

#[test]
fn writes_to_what_nobody_watches_are_dropped_and_those_beside_them_are_not() {
    let bench = unwatched(&["junk", ".gitignore", "src/a", "data/db", "data/junk"]);
    let (said, heard) = mpsc::channel();
    let mut ground = Ground::new(move |news| said.send(news).unwrap_or_default()).unwrap();
    let mut tree = Tree::new(bench.spec("web", &["src", "data/db"])).unwrap();
    tree.baseline(&mut ground, SystemTime::from(clock::wall()));
    ground.hush(tree.partial().cloned().collect(), tree.heeded().collect());
    ground.heed(&bench.at("src"));
    let told = |last: &str| {
        let mut told = BTreeSet::new();
        while !told.contains(last) {
            match heard.recv_timeout(LIMIT) {
                Ok(ground::News::Touched(touch)) => {
                    let path = touch.path.strip_prefix(&bench.workspace).unwrap();
                    told.insert(path.to_str().unwrap().to_owned())
                }
                other => panic!("{other:?}"),
            };
        }
        told
    };
    for path in ["junk", "data/junk", "data/db", ".gitignore", "src/a"] {
        bench.write(path, "new");
    }
    assert_eq!(told("src/a"), set(&["data/db", ".gitignore", "src/a"]));
    fs::remove_file(bench.at("junk")).unwrap();
    assert!(told("junk").contains("junk"));
    ground.heed(&bench.at("data"));
    bench.write("data/junk", "newer");
    told("data/junk");
}

#[test]
fn dropping_the_watcher_ends_its_thread() {
    let bench = bench(&["src/a"], &["src"]);
    let Bench {
        watcher,
        heard,
        _temp,
        workspace: _,
    } = bench;
    drop(watcher);
    assert_eq!(heard.recv_timeout(LIMIT), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn paths_outside_the_workspace_are_reported_whole() {
    let bench = unwatched(&["src/a"]);
    let elsewhere = tempfile::tempdir().unwrap();
    bench.watcher.set(
        vec![WatchSpec {
            workspace: elsewhere.path().to_owned(),
            ..bench.spec("web", &["src"])
        }],
        clock::wall(),
    );
    bench.armed("web");
    bench.write("src/a", "new");
    bench.until(bench.at("src/a").to_str().unwrap());
}

/// What people and their tools do to a tree, on a few names, so that things come and go at the same places.
#[derive(Clone, Debug)]
enum Deed {
    Write(usize, u8),
    SaveAtomically(usize, u8),
    Remove(usize),
    Rename(usize, usize),
}

const PLACES: [&str; 7] = ["src/a", "src/b", "src/d/a", "src/d/b", "src/d/e/a", "src/d", "src/f"];

impl Deed {
    fn any() -> impl Strategy<Value = Self> {
        let place = || 0..PLACES.len();
        prop_oneof![
            (place(), 0..3u8).prop_map(|(index, text)| Self::Write(index, text)),
            (place(), 0..3u8).prop_map(|(index, text)| Self::SaveAtomically(index, text)),
            place().prop_map(Self::Remove),
            (place(), place()).prop_map(|(from, to)| Self::Rename(from, to)),
        ]
    }

    /// What cannot be done, because something is or is not there, is left.
    fn perform(&self, bench: &Bench) -> std::io::Result<()> {
        let place = |index: &usize| bench.at(PLACES[*index]);
        let parent = |index: &usize| fs::create_dir_all(place(index).parent().unwrap());
        match self {
            Self::Write(index, text) => parent(index).and_then(|()| fs::write(place(index), [*text])),
            Self::SaveAtomically(index, text) => parent(index)
                .and_then(|()| fs::write(bench.at("draft"), [*text]))
                .and_then(|()| fs::rename(bench.at("draft"), place(index))),
            Self::Remove(index) => fs::remove_file(place(index)).or_else(|_| fs::remove_dir_all(place(index))),
            Self::Rename(from, to) => fs::rename(place(from), place(to)),
        }
    }
}

/// All files below `dir` and their content.
fn contents(bench: &Bench, dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(contents(bench, &path));
        } else {
            let name = path.strip_prefix(&bench.workspace).unwrap().to_str().unwrap();
            all.insert(name.to_owned(), fs::read(&path).unwrap());
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_what_differs_was_reported_and_everything_stays_watched(
        deeds in prop::collection::vec(Deed::any(), 1..40),
    ) {
        let bench = bench(&["src/a", "src/d/a", "src/d/e/a"], &["src"]);
        let before = contents(&bench, &bench.at("src"));
        for deed in &deeds {
            let _ = deed.perform(&bench);
        }
        let after = contents(&bench, &bench.at("src"));
        let reported = bench.reported("src");
        for name in before.keys().chain(after.keys()).filter(|name| before.get(*name) != after.get(*name)) {
            prop_assert!(reported.contains(name), "{name} is not among {reported:?}");
        }
        for name in after.keys() {
            bench.write(name, "still watched");
            bench.until(name);
        }
    }
}
