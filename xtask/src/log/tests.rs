//! The writer on real files, pipes and threads; what the readers make of them is in `reader_tests` and `model`.

use std::fs::{self, File};
use std::io::{self, PipeWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use flate2::read::MultiGzDecoder;

use super::reader::{Follow, Line, LogInput, Selection, all, last};
use super::*;
use crate::clock;

const LIMIT: Duration = Duration::from_secs(30);

pub(super) fn opened(config: LogConfig) -> Arc<LogFile> {
    let log = LogFile::new(config);
    log.open(&mut Listings::default());
    log
}

pub(super) struct Place {
    pub(super) dir: tempfile::TempDir,
}

impl Place {
    pub(super) fn new() -> Place {
        Place {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.dir.path().join("dev/logs")
    }

    pub(super) fn path(&self) -> PathBuf {
        log_file(&self.logs(), "web", Stream::Out)
    }

    pub(super) fn config(&self, max_size: u64, compress: bool) -> LogConfig {
        LogConfig {
            path: Some(self.path()),
            max_size,
            retain: 1_000_000,
            compress,
            stamp: Stamp::Usual,
            ground: None,
        }
    }

    pub(super) fn selection(&self) -> Selection {
        let log = LogInput {
            service: "web".into(),
            stream: Stream::Out,
            path: self.path(),
            stamp: Stamp::Usual,
        };
        Selection {
            logs: vec![log],
            ..Selection::default()
        }
    }

    /// All bytes of all files of the log in order, read without the code under test.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut names: Vec<String> = fs::read_dir(self.logs())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| !name.ends_with(".tmp") && name != "web-out.log");
        names.sort();
        names.dedup_by(|later, first| later.trim_end_matches(".gz") == first.as_str());
        names.push("web-out.log".into());
        let mut bytes = Vec::new();
        for name in names {
            let Ok(mut file) = File::open(self.logs().join(&name)) else {
                continue;
            };
            if name.ends_with(".gz") {
                MultiGzDecoder::new(file).read_to_end(&mut bytes).unwrap();
            } else {
                file.read_to_end(&mut bytes).unwrap();
            }
        }
        bytes
    }

    /// The text of all lines in all files; every one must have a stamp.
    pub(super) fn texts(&self) -> Vec<Vec<u8>> {
        let bytes = self.bytes();
        let whole = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        if bytes.is_empty() {
            return Vec::new();
        }
        whole
            .split(|&byte| byte == b'\n')
            .map(|line| line::split_stamp(line).expect("a stamp").1.to_vec())
            .collect()
    }

    /// Starts a pump and gives what to write into and what tells that it is done.
    pub(super) fn pump(log: &Arc<LogFile>) -> (PipeWriter, Receiver<()>) {
        let (pipe, writer) = io::pipe().unwrap();
        let (done, ended) = mpsc::channel();
        pump(pipe, log.clone(), None, move || done.send(()).unwrap()).unwrap();
        (writer, ended)
    }

    /// Pumps `bytes` and returns when they are in the log.
    pub(super) fn say(log: &Arc<LogFile>, bytes: &[u8]) {
        let (mut writer, ended) = Place::pump(log);
        writer.write_all(bytes).unwrap();
        drop(writer);
        ended.recv_timeout(LIMIT).unwrap();
    }
}

/// Asks again and again until `found`, within one overall limit.
pub(super) fn until(what: &str, mut found: impl FnMut() -> bool) {
    let began = clock::monotonic();
    while !found() {
        assert!(clock::monotonic() - began < LIMIT, "{what}");
        thread::yield_now();
    }
}

pub(super) fn read_all(follow: &mut Follow) -> Vec<Line> {
    let mut lines = Vec::new();
    loop {
        let new = follow.read_new().unwrap();
        if new.is_empty() {
            return lines;
        }
        lines.extend(new);
    }
}

pub(super) fn read_texts(follow: &mut Follow) -> Vec<String> {
    read_all(follow)
        .into_iter()
        .map(|line| String::from_utf8(line.text).unwrap())
        .collect()
}

#[test]
fn a_file_name_says_whose_log_it_is_exactly() {
    let stamp: Timestamp = "2026-11-23T09:15:02.123456Z".parse().unwrap();
    let rotated = "web-out.20261123T091502.123456Z.log";
    for (name, expected) in [
        ("web-out.log", Some(("web", Stream::Out, None))),
        ("web-error.log", Some(("web", Stream::Err, None))),
        ("web-out-out.log", Some(("web-out", Stream::Out, None))),
        ("web.v2-out.log", Some(("web.v2", Stream::Out, None))),
        ("a.b.c-out.log", Some(("a.b.c", Stream::Out, None))),
        (rotated, Some(("web", Stream::Out, Some(stamp)))),
        (
            "web.v2-error.20261123T091502.123456Z.log.gz",
            Some(("web.v2", Stream::Err, Some(stamp))),
        ),
        ("web-out.log.gz", None),
        ("web-out.log.gz.tmp", None),
        ("-out.log", None),
        ("web.log", None),
        ("supervisor.log", None),
    ] {
        assert_eq!(parse_name(name), expected, "{name}");
    }
}

#[test]
fn every_byte_is_kept_as_it_came() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    Place::say(
        &log,
        b"plain\n\n\xff\xfe invalid\r\n\x1b[31mred\x1b[0m\0\nno newline at the end",
    );
    let expected: [&[u8]; 5] = [
        b"plain",
        b"",
        b"\xff\xfe invalid\r",
        b"\x1b[31mred\x1b[0m\0",
        b"no newline at the end",
    ];
    assert_eq!(place.texts(), expected);
    assert_eq!(log.health(), Health::default());
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(place.logs()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_line_of_three_megabytes_is_kept_in_pieces_that_say_so() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    let line: Vec<u8> = (0..3 * 1024 * 1024_u32)
        .map(|at| b'a' + u8::try_from(at % 26).unwrap())
        .collect();
    Place::say(&log, &line);
    let texts = place.texts();
    let (last, pieces) = texts.split_last().unwrap();
    let mut joined = Vec::new();
    for piece in pieces {
        joined.extend_from_slice(piece.strip_suffix(line::CONTINUES).unwrap());
    }
    joined.extend_from_slice(last);
    assert!(joined == line);
    assert!(
        texts
            .iter()
            .all(|piece| piece.len() <= line::MAX_LINE + line::CONTINUES.len())
    );
}

#[test]
fn an_unfinished_line_is_on_disk_at_once_and_goes_on_without_a_second_stamp() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    let (mut writer, ended) = Place::pump(&log);
    let mut follow = Follow::from_end(&place.selection());
    writer.write_all(b"password: ").unwrap();
    until("the prompt is on disk", || place.bytes().ends_with(b"password: "));
    assert!(read_all(&mut follow).is_empty());
    writer.write_all(b"secret\nnext").unwrap();
    drop(writer);
    ended.recv_timeout(LIMIT).unwrap();
    assert_eq!(place.texts(), [&b"password: secret"[..], b"next"]);
    assert_eq!(read_texts(&mut follow), ["password: secret", "next"]);
}

#[test]
fn dribbled_bytes_end_up_as_whole_lines() {
    let place = Place::new();
    let log = opened(place.config(100, false));
    let (mut writer, ended) = Place::pump(&log);
    for byte in b"one\ntwo\nthree\n".repeat(20) {
        writer.write_all(&[byte]).unwrap();
    }
    drop(writer);
    ended.recv_timeout(LIMIT).unwrap();
    assert_eq!(place.texts(), [&b"one"[..], b"two", b"three"].repeat(20));
}

#[test]
fn a_flood_is_written_in_whole_blocks_and_its_end_once_nothing_follows() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    let flood: String = (0..4_000)
        .map(|number| format!("line {number} {}\n", "x".repeat(40)))
        .collect();
    let at = Timestamp::UNIX_EPOCH;
    log.append_part(0, flood.as_bytes(), at);
    let written = place.bytes().len();
    assert!(written > 0 && written.is_multiple_of(64 * 1024), "{written}");
    log.append_part(0, b"and an unfinished", at);
    log.settle(at);
    let texts = place.texts();
    let (last, lines) = texts.split_last().unwrap();
    assert!(lines.join(&b'\n') == flood.trim_end().as_bytes());
    assert_eq!(last, b"and an unfinished");
}

/// Bytes that a flood leaves laid aside beyond the end of any of its files after `rest`, but for the block that each ends in; none where
/// nothing is ever laid aside.
fn laid_aside_after(rest: impl FnOnce(&LogFile, Timestamp)) -> Option<u64> {
    let place = Place::new();
    let max_size = 1024 * 1024;
    let log = opened(place.config(max_size, false));
    let path = place.path();
    let beyond = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.blocks() * 512).saturating_sub(metadata.len().next_multiple_of(metadata.blksize()))
    };
    let at = Timestamp::UNIX_EPOCH;
    // Short of its full size by a line that does not fit.
    let line = [&b"x".repeat(60_000)[..], b"\n"].concat();
    for _ in 0..40 {
        log.append_part(0, &line, at);
    }
    let is_laid_aside = beyond(&path) > max_size / 4;
    rest(&log, at);
    let files: Vec<_> = fs::read_dir(place.logs())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.len() > 2, "{files:?}");
    is_laid_aside.then(|| files.iter().map(|file| beyond(file)).sum())
}

#[test]
fn what_was_laid_aside_for_a_flood_is_given_back_when_it_ends_or_rests_or_becomes_a_trickle() {
    let none = |left: Option<u64>| assert_eq!(left.unwrap_or(0), 0);
    none(laid_aside_after(|log, at| log.finish(0, at)));
    none(laid_aside_after(LogFile::release));
    none(laid_aside_after(|log, at| assert!(log.append(0, b"a line\n", at))));
    none(laid_aside_after(|log, at| assert!(log.say_losses(0, at))));
}

#[test]
fn what_waits_of_one_writer_stands_before_what_another_writes_after_it() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    let at = Timestamp::UNIX_EPOCH;
    log.append_part(0, b"first\nbegun", at);
    assert_eq!(place.bytes(), b"");
    log.append_part(1, b"second\n", at);
    log.append(0, b", ended\n", at);
    let expected = ["first", "begun [xtask: line continues]", "second", ", ended"];
    assert_eq!(place.texts(), expected.map(str::as_bytes));
}

#[test]
fn a_pipe_held_by_a_grandchild_is_read_to_its_end_beside_the_next_run() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    let (mut first, first_ended) = Place::pump(&log);
    let mut held = first.try_clone().unwrap();
    first.write_all(b"begun by the first").unwrap();
    drop(first);
    until("the first wrote", || place.bytes().ends_with(b"first"));
    Place::say(&log, b"second run\n");
    assert!(first_ended.try_recv().is_err());
    held.write_all(b", ended by its child\n").unwrap();
    drop(held);
    first_ended.recv_timeout(LIMIT).unwrap();
    let expected = [
        "begun by the first [xtask: line continues]",
        "second run",
        ", ended by its child",
    ];
    assert_eq!(place.texts(), expected.map(str::as_bytes));
}

#[test]
fn an_observer_sees_whole_lines_until_it_has_seen_enough() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    let (pipe, mut writer) = io::pipe().unwrap();
    let (seen, lines) = mpsc::channel();
    let observer: Observer = Box::new(move |line| {
        seen.send(String::from_utf8_lossy(line).into_owned()).unwrap();
        line != b"ready"
    });
    let (done, ended) = mpsc::channel();
    pump(pipe, log, Some(observer), move || done.send(()).unwrap()).unwrap();
    for part in ["sta", "rting\r\nrea", "dy\nmore\n"] {
        writer.write_all(part.as_bytes()).unwrap();
    }
    drop(writer);
    ended.recv_timeout(LIMIT).unwrap();
    assert_eq!(lines.iter().collect::<Vec<_>>(), ["starting", "ready"]);
}

#[test]
fn rotation_under_full_load_loses_and_doubles_nothing() {
    let place = Place::new();
    let log = opened(place.config(64 * 1024, true));
    let (mut writer, ended) = Place::pump(&log);
    let lines = 60_000;
    let flood: String = (0..lines)
        .map(|number| format!("line {number} {}\n", "x".repeat(number % 90)))
        .collect();
    for chunk in flood.as_bytes().chunks(9_973) {
        writer.write_all(chunk).unwrap();
    }
    drop(writer);
    ended.recv_timeout(LIMIT).unwrap();
    until("all rotated files are compressed", || {
        let plain =
            |name: &str| parse_name(name).is_some_and(|(_, _, rotated)| rotated.is_some()) && !name.ends_with(".gz");
        !fs::read_dir(place.logs())
            .unwrap()
            .any(|entry| plain(entry.unwrap().file_name().to_str().unwrap()))
    });
    let texts = place.texts();
    assert_eq!(texts.len(), lines);
    assert!(texts.join(&b'\n') == flood.trim_end().as_bytes());
    let sizes = |entry: io::Result<fs::DirEntry>| entry.unwrap().metadata().unwrap().len();
    assert!(
        fs::read_dir(place.logs())
            .unwrap()
            .map(sizes)
            .all(|size| size <= 64 * 1024)
    );
    let (read, _) = last(&place.selection(), usize::MAX).unwrap();
    assert!(read.iter().map(|line| &line.text).eq(&texts));
    assert!(read_all(&mut all(&place.selection()).unwrap()) == read);
}

#[test]
fn only_the_newest_rotated_files_of_this_log_stay() {
    let place = Place::new();
    let neighbour = place.logs().join("web-out-out.20200101T000000.000000Z.log");
    fs::create_dir_all(place.logs()).unwrap();
    fs::write(&neighbour, "of another service").unwrap();
    let log = opened(LogConfig {
        retain: 2,
        ..place.config(60, false)
    });
    for number in 0..10 {
        Place::say(&log, format!("{number} {}\n", "x".repeat(30)).as_bytes());
    }
    assert!(neighbour.exists());
    fs::remove_file(neighbour).unwrap();
    let texts: Vec<_> = place.texts().iter().map(|text| text[0]).collect();
    assert_eq!(texts, b"789");
}

#[test]
fn what_a_crash_left_half_done_is_finished_at_the_next_start() {
    let place = Place::new();
    fs::create_dir_all(place.logs()).unwrap();
    let rotated = place.logs().join("web-out.20200101T000000.000000Z.log");
    fs::write(&rotated, "2020-01-01T00:00:00.000000Z old\n").unwrap();
    fs::write(rotated.with_extension("log.gz.tmp"), "half").unwrap();
    fs::write(place.path(), "2020-01-02T00:00:00.000000Z torn").unwrap();
    let (lines, mut follow) = last(&place.selection(), 9).unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(follow.take_unfinished(|_, _| true).unwrap()[0].text, b"torn");
    let log = opened(place.config(1000, true));
    until("the file is compressed", || {
        !rotated.exists() && rotated.with_extension("log.gz").exists()
    });
    assert!(!rotated.with_extension("log.gz.tmp").exists());
    Place::say(&log, b"new\n");
    assert_eq!(place.texts(), [&b"old"[..], b"torn", b"new"]);
}

#[test]
fn a_flush_while_writing_leaves_no_hole_and_loses_nothing_after_it() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    let (mut writer, ended) = Place::pump(&log);
    writer.write_all(b"before\nunfinished ").unwrap();
    until("it is written", || place.bytes().ends_with(b"unfinished "));
    let mut follow = Follow::from_end(&place.selection());
    log.flush_empty().unwrap();
    assert_eq!(place.bytes(), b"");
    writer.write_all(b"rest\nafter\n").unwrap();
    drop(writer);
    ended.recv_timeout(LIMIT).unwrap();
    assert_eq!(place.texts(), [&b"rest"[..], b"after"]);
    assert_eq!(read_texts(&mut follow), ["rest", "after"]);
    fs::remove_file(place.path()).unwrap();
    log.flush_empty().unwrap();
    assert!(place.path().exists());
}

#[test]
fn a_removed_or_moved_file_or_directory_is_made_anew() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    Place::say(&log, b"one\n");
    let say = |text: &str| {
        until("the writer has noticed", || {
            Place::say(&log, text.as_bytes());
            place.path().exists()
        });
        assert!(place.texts().iter().all(|line| line == text.trim_end().as_bytes()));
    };
    fs::remove_file(place.path()).unwrap();
    say("two\n");
    fs::rename(place.path(), place.dir.path().join("elsewhere")).unwrap();
    say("three\n");
    fs::remove_dir_all(place.dir.path().join("dev")).unwrap();
    say("four\n");
    assert_eq!(log.health(), Health::default());
}

#[test]
fn what_a_full_disk_swallows_is_counted_and_said_once_there_is_room() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let place = Place::new();
    fs::create_dir_all(place.logs()).unwrap();
    std::os::unix::fs::symlink("/dev/full", place.path()).unwrap();
    let log = opened(place.config(0, false));
    Place::say(&log, b"lost\nlost too\n");
    assert_eq!(log.health().lost, Lost { bytes: 14, lines: 2 });
    fs::remove_file(place.path()).unwrap();
    until("the writer has noticed", || {
        Place::say(&log, b"kept\n");
        place.path().exists()
    });
    let texts = place.texts();
    let said = String::from_utf8(texts[0].clone()).unwrap();
    assert!(
        said.starts_with(&format!("[xtask: {} dropped: No space left", log.health().lost)),
        "{said}"
    );
    assert_eq!(texts[1], b"kept");
}

#[test]
fn a_directory_that_cannot_be_made_blocks_nobody() {
    let place = Place::new();
    fs::write(place.dir.path().join("dev"), "a file where the directory should be").unwrap();
    let log = opened(place.config(0, false));
    Place::say(&log, b"lost\n");
    assert_eq!(log.health().lost, Lost { bytes: 5, lines: 1 });
    fs::remove_file(place.dir.path().join("dev")).unwrap();
    Place::say(&log, b"kept\n");
    assert_eq!(place.texts()[1], b"kept");
}

#[test]
fn without_its_ground_a_log_is_not_made_anew_and_goes_on_in_the_file_that_moved_along() {
    let place = Place::new();
    let (ground, moved) = (place.logs(), place.logs().with_extension("moved"));
    fs::create_dir_all(&ground).unwrap();
    let log = opened(LogConfig {
        ground: Some(ground.clone()),
        ..place.config(0, false)
    });
    Place::say(&log, b"one\n");
    fs::rename(&ground, &moved).unwrap();
    Place::say(&log, b"two\n");
    assert!(!ground.exists());
    let text = fs::read_to_string(moved.join(place.path().file_name().unwrap())).unwrap();
    assert!(text.contains("one") && text.contains("two"), "{text}");
    let other = opened(LogConfig {
        ground: Some(ground.clone()),
        ..place.config(0, false)
    });
    Place::say(&other, b"nowhere\n");
    assert!(!ground.exists() && other.health() != Health::default());
}

#[test]
fn a_log_that_is_not_kept_still_drains_the_pipe() {
    let log = opened(LogConfig {
        path: None,
        max_size: 0,
        retain: 0,
        compress: false,
        stamp: Stamp::Usual,
        ground: None,
    });
    Place::say(&log, &b"x".repeat(1_000_000));
    assert_eq!(log.health(), Health::default());
    log.flush_empty().unwrap();
}

#[test]
fn a_file_of_another_owner_keeps_its_inode_through_a_flush() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    let inode = || fs::metadata(place.path()).unwrap().ino();
    let before = inode();
    Place::say(&log, b"line\n");
    log.flush_empty().unwrap();
    assert_eq!(inode(), before);
}
