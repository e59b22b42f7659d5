//! The readers on real files that the writer made: merged, from any place on, while they rotate.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;
use std::thread;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use regex::bytes::Regex;

use super::filter::Filter;
use super::reader::{
    EventInput, Follow, Line, LineStream, LogInput, Selection, Span, all, find_last, last, last_words,
};
use super::structured::Level;
use super::tests::{Place, opened, read_all, read_texts, until};
use super::*;
use crate::clock;

fn since(selection: &Selection, from: Timestamp) -> std::io::Result<Follow> {
    let span = Span {
        from: Some(from),
        until: None,
    };
    all(&Selection {
        span,
        ..selection.clone()
    })
}

fn stamp(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| str::from_utf8(&line.text).unwrap()).collect()
}

#[test]
fn a_reader_notices_an_emptied_file_even_when_it_has_grown_to_the_same_size() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    let mut follow = Follow::from_end(&place.selection());
    for _ in 0..3 {
        log.flush_empty().unwrap();
        Place::say(&log, &b"the same text every time, longer than a stamp\n".repeat(3));
        assert_eq!(read_all(&mut follow).len(), 3);
    }
}

#[test]
fn what_was_written_after_the_clock_was_set_back_is_read_all_the_same() {
    let place = Place::new();
    std::fs::create_dir_all(place.logs()).unwrap();
    let line = |stamp: Timestamp, text: &str| {
        let mut line = line::prefix(stamp).to_vec();
        line.extend_from_slice(text.as_bytes());
        line.push(b'\n');
        line
    };
    let (ahead, later) = ("2100-01-01T00:00:00Z".parse().unwrap(), stamp(0));
    let filler = "x".repeat(100);
    let bytes = [
        line(ahead, &filler).repeat(3000),
        line(later, "after the step").repeat(3000),
    ]
    .concat();
    std::fs::write(place.path(), bytes).unwrap();
    let selection = place.selection();
    let after = |span| {
        let mut follow = all(&Selection {
            span,
            ..selection.clone()
        })
        .unwrap()
        .to_the_end();
        read_texts(&mut follow)
            .iter()
            .filter(|text| *text == "after the step")
            .count()
    };
    assert_eq!(after(Span::default()), 3000);
    let until = Some(stamp(1));
    assert_eq!(after(Span { from: None, until }), 3000);
    let span = Span { from: None, until };
    assert_eq!(
        texts(&last(&Selection { span, ..selection }, 10).unwrap().0),
        ["after the step"; 10]
    );
}

#[test]
fn a_follower_passes_rotated_files_that_cannot_be_opened() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    Place::say(&log, b"before\n");
    let mut follow = Follow::from_end(&place.selection());
    Place::say(&log, b"last of the old file\n");
    let circle = |second| {
        let path = archive::plain_path(&place.path(), stamp(second));
        std::os::unix::fs::symlink(&path, &path).unwrap();
        path
    };
    circle(1);
    std::fs::rename(place.path(), archive::plain_path(&place.path(), stamp(2))).unwrap();
    let later = circle(3);
    Place::say(&log, b"first of the new one\n");
    let seen = read_texts(&mut follow);
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(
        (seen[0].as_str(), seen[2].as_str()),
        ("last of the old file", "first of the new one")
    );
    assert!(seen[1].contains(later.to_str().unwrap()), "{seen:?}");
}

/// A selection of so many logs, which were rotated once each.
fn many(place: &Place, count: usize) -> Selection {
    let mut selection = place.selection();
    std::fs::create_dir_all(place.logs()).unwrap();
    let log = |number| LogInput {
        path: place.logs().join(format!("{number}.log")),
        ..selection.logs[0].clone()
    };
    selection.logs = (0..count).map(log).collect();
    for log in &selection.logs {
        std::fs::write(archive::plain_path(&log.path, stamp(1)), "old\n").unwrap();
        std::fs::write(&log.path, "new\n").unwrap();
    }
    selection
}

#[test]
fn a_look_at_many_logs_reads_their_directory_once() {
    let place = Place::new();
    let selection = many(&place, 20);
    let reads = |look: &dyn Fn() -> usize| {
        let before = archive::DIRECTORIES_READ.get();
        (look(), archive::DIRECTORIES_READ.get() - before)
    };
    assert_eq!(reads(&|| last(&selection, 100).unwrap().0.len()), (40, 1));
    assert_eq!(reads(&|| last_words(&selection, 100).unwrap().len()), (40, 1));
    assert_eq!(reads(&|| read_all(&mut all(&selection).unwrap()).len()), (40, 1));
    let follow = || {
        let mut follow = Follow::from_end(&selection);
        follow.join(&selection);
        read_all(&mut follow).len()
    };
    assert_eq!(reads(&follow), (0, 1));
    let join = || {
        let mut follow = Follow::from_end(&Selection::default()).asked(stamp(0));
        follow.join(&selection);
        read_all(&mut follow).len()
    };
    assert_eq!(reads(&join), (40, 1));
}

#[test]
fn a_log_that_is_rotated_while_others_are_opened_is_looked_at_again() {
    let place = Place::new();
    let selection = many(&place, 3);
    let rotated = &selection.logs[1].path;
    let mut asked = 0;
    let paths = selection.logs.iter().map(|log| {
        asked += 1;
        if asked == 3 {
            std::fs::rename(rotated, archive::plain_path(rotated, stamp(2))).unwrap();
            std::fs::write(rotated, "newest\n").unwrap();
        }
        log.path.as_path()
    });
    let before = archive::DIRECTORIES_READ.get();
    let snapshots = archive::Snapshot::take_all(paths);
    assert_eq!(
        archive::DIRECTORIES_READ.get() - before,
        2,
        "one of them for that log alone"
    );
    let snapshots: Vec<_> = snapshots.into_iter().map(Result::unwrap).collect();
    let stamps = [vec![stamp(1)], vec![stamp(1), stamp(2)], vec![stamp(1)]];
    for ((snapshot, stamps), log) in snapshots.iter().zip(stamps).zip(&selection.logs) {
        assert_eq!(snapshot.rotated, stamps);
        let current = snapshot.current.as_ref().unwrap().metadata().unwrap();
        let now = log.path.metadata().unwrap();
        assert_eq!(archive::identity(&current), archive::identity(&now));
    }
}

#[test]
fn lines_of_all_logs_and_events_stand_in_the_order_of_time() {
    let place = Place::new();
    let stamp = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap();
    let mut selection = place.selection();
    selection.logs.push(LogInput {
        service: "db".into(),
        stream: Stream::Err,
        path: place.logs().join("db-error.log"),
        stamp: Stamp::Usual,
    });
    let path = place.dir.path().join("dev/supervisor.log");
    selection.events = vec![EventInput {
        path: path.clone(),
        services: Some(vec!["db".into()]),
        prefix: String::new(),
    }];
    let mut follow = Follow::from_end(&selection);
    let events = EventLog::new(path, None);
    let logs: Vec<_> = selection
        .logs
        .iter()
        .map(|log| {
            opened(LogConfig {
                path: Some(log.path.clone()),
                ..place.config(0, false)
            })
        })
        .collect();
    events.event(stamp(1), None, "stack is up");
    logs[0].append(0, b"web 2\nweb 2 too\n", stamp(2));
    events.event(stamp(3), Some("db"), "started\nwell");
    events.event(stamp(3), Some("web"), "not asked for");
    logs[1].append(0, b"db 4\n", stamp(4));
    logs[0].append(0, b"web 5\n", stamp(5));
    let lines = read_all(&mut follow);
    let seen: Vec<_> = lines
        .iter()
        .map(|line| (&*line.service, line.stream, str::from_utf8(&line.text).unwrap()))
        .collect();
    let expected = [
        ("", LineStream::Event, "stack is up"),
        ("web", LineStream::Out, "web 2"),
        ("web", LineStream::Out, "web 2 too"),
        ("db", LineStream::Event, "started\nwell"),
        ("db", LineStream::Err, "db 4"),
        ("web", LineStream::Out, "web 5"),
    ];
    assert_eq!(seen, expected);
    for count in 0..=lines.len() {
        let events = lines.iter().map(|line| line.stream == LineStream::Event);
        let begin = lines.len() - length_of_last(events, count);
        assert_eq!(last(&selection, count).unwrap().0, lines[begin..]);
    }
    assert_eq!(read_all(&mut since(&selection, stamp(3)).unwrap()), lines[3..]);
}

#[test]
fn a_service_that_joins_later_is_read_from_when_the_reader_began() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    log.append(0, b"long ago\n", Timestamp::UNIX_EPOCH);
    let mut follow = Follow::from_end(&Selection::default());
    Place::say(&log, b"since\n");
    follow.join(&place.selection());
    follow.join(&place.selection());
    assert_eq!(read_texts(&mut follow), ["since"]);
    assert_eq!(follow.directories(), [place.logs()]);
}

#[test]
fn what_a_service_says_between_the_question_who_there_is_and_the_first_look_is_not_missed() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    log.append(0, b"long ago\n", Timestamp::UNIX_EPOCH);
    let asked = clock::wall();
    Place::say(&log, b"meanwhile\n");
    let mut follow = Follow::from_end(&Selection::default()).asked(asked);
    follow.join(&place.selection());
    assert_eq!(read_texts(&mut follow), ["meanwhile"]);
}

#[test]
fn a_point_in_time_is_found_in_a_large_file_and_lines_without_a_stamp_belong_to_the_one_before() {
    let place = Place::new();
    let log = opened(place.config(0, false));
    let stamp = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap();
    for second in 0..5_000 {
        log.append(0, format!("{second} {}\n", "x".repeat(100)).as_bytes(), stamp(second));
    }
    for second in [0, 1, 2_500, 4_999] {
        let lines = read_all(&mut since(&place.selection(), stamp(second)).unwrap());
        assert_eq!(lines.len(), usize::try_from(5_000 - second).unwrap());
    }
    let mut file = OpenOptions::new().append(true).open(place.path()).unwrap();
    file.write_all(b"written by hand\n").unwrap();
    let (lines, _) = last(&place.selection(), 1).unwrap();
    assert_eq!(
        (lines[0].stamp, &lines[0].text[..]),
        (stamp(4_999), &b"written by hand"[..])
    );
}

#[test]
fn a_follower_loses_and_doubles_nothing_while_the_writer_rotates() {
    let place = Place::new();
    let log = opened(place.config(600, true));
    let total = 4_000;
    let (mut writer, ended) = Place::pump(&log);
    let flood = thread::spawn(move || {
        for number in 0..total {
            writeln!(writer, "{number}").unwrap();
        }
    });
    let mut followers: Vec<(VecDeque<usize>, Follow)> = Vec::new();
    let number = |line: Line| str::from_utf8(&line.text).unwrap().parse::<usize>().unwrap();
    let mut is_done = false;
    while !is_done {
        is_done = ended.try_recv().is_ok();
        if followers.len() < 30 {
            let (lines, follow) = last(&place.selection(), 50).unwrap();
            followers.push((lines.into_iter().map(number).collect(), follow));
        }
        for (seen, follow) in &mut followers {
            seen.extend(follow.read_new().unwrap().into_iter().map(number));
        }
    }
    flood.join().unwrap();
    for (seen, follow) in &mut followers {
        seen.extend(read_all(follow).into_iter().map(number));
        let first = seen.front().copied().unwrap_or(0);
        assert!(seen.iter().copied().eq(first..total), "from {first}: {seen:?}");
    }
}

/// Writes lines of several services and the supervisor, and returns them as they should be read.
struct Stack {
    place: Place,
    selection: Selection,
    logs: Vec<Arc<LogFile>>,
    events: EventLog,
}

impl Stack {
    fn new(max_size: u64) -> Stack {
        let place = Place::new();
        let names = [("web", Stream::Out), ("web", Stream::Err), ("db", Stream::Out)];
        let mut selection = Selection::default();
        for (service, stream) in names {
            selection.logs.push(LogInput {
                service: service.to_owned(),
                stream,
                path: log_file(&place.logs(), service, stream),
                stamp: Stamp::Usual,
            });
        }
        let path = place.dir.path().join("dev/supervisor.log");
        selection.events = vec![EventInput {
            path: path.clone(),
            services: None,
            prefix: String::new(),
        }];
        let open = |log: &LogInput| {
            opened(LogConfig {
                path: Some(log.path.clone()),
                ..place.config(max_size, false)
            })
        };
        Stack {
            logs: selection.logs.iter().map(open).collect(),
            events: EventLog::new(path, None),
            place,
            selection,
        }
    }

    /// Lets one of them say something.
    fn say(&self, lane: usize, at: Timestamp, text: &str) {
        match self.logs.get(lane) {
            Some(log) => {
                log.append(0, format!("{text}\n").as_bytes(), at);
            }
            None => self.events.event(at, Some("web"), text),
        }
    }

    fn compress_some(&self) {
        for log in &self.selection.logs {
            for stamp in archive::rotations(&log.path).unwrap().iter().step_by(2) {
                let _ = compress::compress(&archive::plain_path(&log.path, *stamp));
            }
        }
    }
}

#[test]
fn a_line_that_comes_into_its_file_after_a_younger_one_of_another_is_shown_before_it() {
    let stack = Stack::new(0);
    let mut follow = Follow::from_end(&stack.selection);
    let millis = |millis| stamp(1) + std::time::Duration::from_millis(millis);
    stack.say(3, millis(5), "ended with SIGKILL after 2s");
    // A first look, in the moment between the line's stamp and its writing.
    let (lines, stays) = follow.read_until(Some(millis(0))).unwrap();
    assert_eq!((lines.len(), stays), (0, Some(millis(5))));
    stack.say(0, millis(2), "last words");
    stack.say(2, millis(9), "of another");
    let (lines, stays) = follow.read_until(Some(millis(6))).unwrap();
    assert_eq!(texts(&lines), ["last words", "ended with SIGKILL after 2s"]);
    assert_eq!(stays, Some(millis(9)));
    assert_eq!(texts(&follow.read_new().unwrap()), ["of another"]);
}

/// How many lines, of which these are events, go with the last `count` of the services.
fn length_of_last(events: impl DoubleEndedIterator<Item = bool>, count: usize) -> usize {
    let mut counts = [0, 0];
    let is_wanted = |is_event: &bool| {
        let is_wanted = counts.iter().all(|so_far| *so_far < count);
        counts[usize::from(*is_event)] += 1;
        is_wanted
    };
    events.rev().take_while(is_wanted).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_the_split_over_services_streams_and_rotations_the_merge_is_the_sorted_whole(
        said in prop::collection::vec((0_usize..4, 0_i64..4), 1..60),
        max_size in prop_oneof![Just(0_u64), Just(90), Just(200)],
        from in 0_i64..80,
        length in 0_i64..80,
        count in 0_usize..60,
    ) {
        let stack = Stack::new(max_size);
        let mut clock = 0;
        let mut whole: Vec<(i64, usize, String)> = Vec::new();
        for (number, (lane, step)) in said.into_iter().enumerate() {
            clock += step;
            let text = format!("line {number}");
            stack.say(lane, stamp(clock), &text);
            whole.push((clock, lane, text));
        }
        stack.compress_some();
        whole.sort_by_key(|(clock, lane, _)| (*clock, *lane));
        let expected = |span: Span| -> Vec<&str> {
            whole.iter().filter(|(clock, ..)| span.holds(stamp(*clock))).map(|(_, _, text)| text.as_str()).collect()
        };
        let spans = [
            Span::default(),
            Span { from: Some(stamp(from)), until: None },
            Span { from: None, until: Some(stamp(from)) },
            Span { from: Some(stamp(from)), until: Some(stamp(from + length)) },
        ];
        for span in spans {
            let selection = Selection { span, ..stack.selection.clone() };
            let expected = expected(span);
            let read = read_all(&mut all(&selection).unwrap());
            prop_assert_eq!(texts(&read), &expected[..], "{:?}", span);
            let read = read_all(&mut all(&selection).unwrap().to_the_end());
            prop_assert_eq!(texts(&read), &expected[..], "{:?}", span);
            let back = last_words(&selection, count).unwrap();
            let begin = read.len() - length_of_last(read.iter().map(|line| line.stream == LineStream::Event), count);
            prop_assert_eq!(texts(&back), &expected[begin..], "{:?}", span);
        }
    }
}

#[test]
fn a_time_is_exact_at_both_ends_in_a_file_that_is_searched() {
    let stack = Stack::new(0);
    // Three lines at each moment, and a crowd at one of them that is larger than what is looked at at once.
    let mut whole = Vec::new();
    for second in 0..4_000 {
        for number in 0..if second == 2_000 { 5_000 } else { 3 } {
            let text = format!("{second}.{number} {}", "x".repeat(60));
            stack.logs[0].append(0, format!("{text}\n").as_bytes(), stamp(second));
            whole.push((second, text));
        }
    }
    for (from, until) in [
        (0, 0),
        (1, 1_999),
        (2_000, 2_000),
        (2_001, 2_001),
        (1_999, 3_999),
        (3_999, 5_000),
        (-5, -1),
    ] {
        let selection = Selection {
            span: Span {
                from: Some(stamp(from)),
                until: Some(stamp(until)),
            },
            ..stack.selection.clone()
        };
        let expected: Vec<&str> = whole
            .iter()
            .filter(|(second, _)| (from..=until).contains(second))
            .map(|(_, text)| text.as_str())
            .collect();
        let read = read_all(&mut all(&selection).unwrap());
        assert!(
            texts(&read) == expected,
            "{from} {until}: {} {}",
            read.len(),
            expected.len()
        );
        let back = last_words(&selection, 10_000).unwrap();
        assert!(
            texts(&back) == expected[expected.len().saturating_sub(10_000)..],
            "{from} {until}"
        );
    }
}

#[test]
fn what_is_not_finished_is_among_the_last_words_and_nothing_after_them() {
    let stack = Stack::new(0);
    stack.say(0, stamp(1), "whole");
    stack.logs[0].append(0, b"password: ", stamp(2));
    stack.say(2, stamp(3), "younger");
    let expected = ["whole", "password: ", "younger"];
    assert_eq!(texts(&last_words(&stack.selection, 9).unwrap()), expected);
    assert_eq!(texts(&last_words(&stack.selection, 2).unwrap()), expected[1..]);
    let mut all = all(&stack.selection).unwrap().to_the_end();
    assert_eq!(texts(&read_all(&mut all)), expected);
    stack.logs[0].append(0, b"secret\n", stamp(4));
    assert_eq!(read_all(&mut all), []);
    let before = Selection {
        span: Span {
            from: None,
            until: Some(stamp(2)),
        },
        ..stack.selection.clone()
    };
    assert_eq!(texts(&last_words(&before, 1).unwrap()), ["password: secret"]);
}

#[test]
fn an_unfinished_line_may_be_taken_before_it_is_whole() {
    let stack = Stack::new(0);
    let mut follow = Follow::from_end(&stack.selection);
    stack.logs[0].append(0, b"password: ", stamp(2));
    assert_eq!(read_all(&mut follow), []);
    assert_eq!(follow.unfinished()[0], 28 + 10);
    assert_eq!(
        texts(&follow.take_unfinished(|_, _| false).unwrap()),
        Vec::<String>::new()
    );
    let is_it = |log, size| (log, size) == (0, 38);
    assert_eq!(texts(&follow.take_unfinished(is_it).unwrap()), ["password: "]);
    assert_eq!(follow.unfinished()[0], 0);
    stack.logs[0].append(0, b"secret\nnext\n", stamp(3));
    assert_eq!(read_texts(&mut follow), ["secret", "next"]);
}

#[test]
fn only_lines_that_are_wanted_are_counted_and_found() {
    let stack = Stack::new(400);
    for second in 0..50 {
        stack.say(0, stamp(second), &format!("{second} plain"));
        if second % 10 == 0 {
            stack.say(0, stamp(second), &format!(r#"{{"level":50,"msg":"bad {second}"}}"#));
            stack.say(1, stamp(second), &format!("warned {second}"));
            stack.say(3, stamp(second), &format!("noted {second}"));
        }
    }
    stack.compress_some();
    let with = |filter: Filter| Selection {
        filter: Arc::new(filter),
        ..stack.selection.clone()
    };
    let bad = with(Filter {
        level: Some(Level::Warn),
        pattern: None,
    });
    let read = last_words(&bad, 3).unwrap();
    assert_eq!(
        texts(&read),
        ["warned 30", r#"{"level":50,"msg":"bad 40"}"#, "warned 40"]
    );
    assert_eq!(read_all(&mut all(&bad).unwrap()).len(), 10);
    let said = with(Filter {
        level: None,
        pattern: Regex::new("^(noted|0 )").ok(),
    });
    assert_eq!(
        read_texts(&mut all(&said).unwrap()),
        ["0 plain", "noted 0", "noted 10", "noted 20", "noted 30", "noted 40"]
    );
    let found = find_last(&stack.selection, |line| line.text.starts_with(b"noted 2")).unwrap();
    assert_eq!(found.unwrap().stamp, stamp(20));
    assert_eq!(find_last(&stack.selection, |line| line.text == b"never").unwrap(), None);
}

#[test]
fn lines_whose_stamps_say_nothing_keep_their_order_and_stand_where_their_file_ends() {
    for format in ["", "%A"] {
        let mut stack = Stack::new(0);
        let own = Stamp::new(Some(format), TimeZone::UTC).unwrap();
        stack.selection.logs[0].stamp = own.clone();
        stack.logs[0] = opened(LogConfig {
            path: Some(stack.place.path()),
            stamp: own,
            ..stack.place.config(0, false)
        });
        let now = clock::wall();
        stack.say(0, now, "  one");
        stack.say(2, now - std::time::Duration::from_secs(60), "long ago");
        stack.say(3, now + std::time::Duration::from_secs(60), "to come");
        stack.say(0, now, "two");
        let expected = ["long ago", "  one", "two", "to come"];
        assert_eq!(read_texts(&mut all(&stack.selection).unwrap()), expected, "{format:?}");
        assert_eq!(
            texts(&last_words(&stack.selection, 2).unwrap()),
            expected[1..],
            "{format:?}"
        );
        let old = since(&stack.selection, now + std::time::Duration::from_secs(30));
        assert_eq!(read_texts(&mut old.unwrap()), ["to come"], "{format:?}");
    }
}

#[test]
fn a_flush_under_a_flood_leaves_whole_lines_without_a_gap() {
    let place = Place::new();
    let log = opened(place.config(30_000, true));
    let (mut writer, ended) = Place::pump(&log);
    let flood = thread::spawn(move || {
        for number in 0..20_000 {
            writeln!(writer, "{number}").unwrap();
        }
    });
    let mut follow = Follow::from_end(&place.selection());
    let mut flushes = 0;
    while ended.try_recv().is_err() {
        log.flush_empty().unwrap();
        flushes += 1;
        follow.read_new().unwrap();
    }
    flood.join().unwrap();
    assert!(flushes > 1);
    until("nothing is being compressed", || {
        let left = archive::rotations(&place.path()).unwrap();
        left.iter()
            .all(|stamp| !archive::plain_path(&place.path(), *stamp).exists())
    });
    // A line may be cut by a flush: its rest, perhaps nothing but its end, is a line of its own.
    let texts = place.texts();
    let numbers: Vec<u32> = texts
        .iter()
        .skip(1)
        .map(|text| str::from_utf8(text).unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers.last().copied().unwrap_or(19_999), 19_999);
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    log.flush_empty().unwrap();
    assert_eq!(place.bytes(), b"");
    assert_eq!(archive::rotations(&place.path()).unwrap(), []);
}
