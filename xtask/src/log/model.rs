//! Any history of a log against what it should hold: written, rotated, compressed, flushed, read.

use std::sync::Arc;

use proptest::prelude::*;

use super::reader::{Follow, last};
use super::tests::{Place, opened, read_texts};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    WriteUnfinished,
    Settle,
    Flush,
    Compress,
    Restart,
    Read,
    Last(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1_usize..12).prop_map(Step::Write),
        2 => Just(Step::WriteUnfinished),
        1 => Just(Step::Settle),
        1 => Just(Step::Flush),
        2 => Just(Step::Compress),
        1 => Just(Step::Restart),
        4 => Just(Step::Read),
        3 => (0_usize..30).prop_map(Step::Last),
    ]
}

/// What the log should hold, beside the log.
struct Model {
    place: Place,
    log: Arc<LogFile>,
    clock: i64,
    count: usize,
    /// Lines that are whole and not flushed.
    lines: Vec<String>,
    unfinished: String,
    follow: Follow,
    unread: Vec<String>,
}

impl Model {
    fn new() -> Model {
        let place = Place::new();
        let log = opened(place.config(150, false));
        let follow = Follow::from_end(&place.selection());
        let (lines, unread) = (Vec::new(), Vec::new());
        Model {
            place,
            log,
            clock: 0,
            count: 0,
            lines,
            unfinished: String::new(),
            follow,
            unread,
        }
    }

    fn write(&mut self, text: &str) {
        self.clock += 10;
        self.log.append_part(0, text.as_bytes(), self.now());
        self.unfinished.push_str(text);
        while let Some((line, rest)) = self.unfinished.split_once('\n') {
            self.lines.push(line.to_owned());
            self.unread.push(line.to_owned());
            self.unfinished = rest.to_owned();
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + self.clock).unwrap()
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Write(lines) => {
                let text: String = (self.count..self.count + lines)
                    .map(|number| format!("line {number}\n"))
                    .collect();
                self.count += lines;
                self.write(&text);
            }
            Step::WriteUnfinished => self.write("some "),
            Step::Settle => assert!(self.log.settle(self.now())),
            Step::Flush => {
                self.take(&Step::Read);
                self.log.flush_empty().unwrap();
                self.lines.clear();
                self.unfinished.clear();
            }
            Step::Compress => {
                for stamp in archive::rotations(&self.place.path()).unwrap() {
                    let _ = compress::compress(&archive::plain_path(&self.place.path(), stamp));
                }
            }
            Step::Restart => {
                self.write("\n");
                self.take(&Step::Settle);
                self.log = opened(self.place.config(150, false));
            }
            Step::Read => {
                self.take(&Step::Settle);
                assert_eq!(read_texts(&mut self.follow), std::mem::take(&mut self.unread));
            }
            Step::Last(count) => {
                self.take(&Step::Settle);
                let (lines, follow) = last(&self.place.selection(), *count).unwrap();
                let texts: Vec<_> = lines
                    .iter()
                    .map(|line| String::from_utf8(line.text.clone()).unwrap())
                    .collect();
                assert_eq!(texts, self.lines[self.lines.len().saturating_sub(*count)..]);
                self.follow = follow;
                self.unread.clear();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_happens_to_the_files_a_reader_sees_each_line_once(steps in prop::collection::vec(step(), 1..40)) {
        let mut model = Model::new();
        for step in &steps {
            model.take(step);
        }
        model.take(&Step::Read);
        model.take(&Step::Last(usize::MAX));
    }
}
