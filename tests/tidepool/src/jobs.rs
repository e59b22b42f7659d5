//! The list of jobs and, when asked for, its journal: a line of JSON for each change, replayed at the start.
//! Knows nothing of how jobs travel or who works on them.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

/// How far a job is. The order is the way it goes: nothing goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Accepted.
    Queued,
    /// A worker has it.
    Working,
    /// Worked off.
    Done,
}

impl State {
    /// The name in the API and in the journal.
    pub fn name(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Working => "working",
            State::Done => "done",
        }
    }

    fn from_name(name: &str) -> Option<State> {
        [State::Queued, State::Working, State::Done]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What `POST /api/jobs` answered.
    pub id: String,
    /// How far it is.
    pub state: State,
    /// What was posted; null for a job that is only known from a worker's report.
    pub payload: Value,
    /// When it came to this state, in milliseconds since 1970.
    pub time_ms: u64,
}

impl Job {
    /// As the API shows it and as the journal keeps it.
    pub fn to_json(&self) -> Value {
        json!({"id": self.id, "state": self.state.name(), "time": self.time_ms, "payload": self.payload})
    }

    fn from_json(line: &str) -> Option<Job> {
        let value: Value = serde_json::from_str(line).ok()?;
        Some(Job {
            id: value["id"].as_str()?.to_string(),
            state: State::from_name(value["state"].as_str()?)?,
            payload: value["payload"].clone(),
            time_ms: value["time"].as_u64()?,
        })
    }
}

/// The list, shared by the threads that serve and work.
#[derive(Debug, Clone)]
pub struct Jobs {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    list: List,
    journal: Option<File>,
}

impl Jobs {
    /// A list that ends with the process.
    pub fn in_memory() -> Jobs {
        Jobs::of(List::default(), None)
    }

    /// The list as the journal at `path` tells it; made when there is none. Also returns how many lines were not understood.
    pub fn open(path: &Path) -> io::Result<(Jobs, usize)> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut journal = OpenOptions::new().create(true).append(true).open(path)?;
        let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            // A write was cut off; what comes next shall not be appended to the stump.
            journal.write_all(b"\n")?;
        }
        let (list, torn) = List::replay(&text);
        Ok((Jobs::of(list, Some(journal)), torn))
    }

    /// Brings a job to `state`, making it when it is not known. The error is the journal's; the list has changed all the same.
    pub fn set(&self, id: &str, state: State, payload: Option<Value>, now_ms: u64) -> io::Result<Job> {
        let mut inner = self.lock();
        let (job, changed) = inner.list.set(id, state, payload, now_ms);
        if changed && let Some(journal) = &mut inner.journal {
            journal.write_all(format!("{}\n", job.to_json()).as_bytes())?;
        }
        Ok(job)
    }

    /// One job.
    pub fn get(&self, id: &str) -> Option<Job> {
        self.lock().list.get(id).cloned()
    }

    /// All jobs, oldest first.
    pub fn all(&self) -> Vec<Job> {
        self.lock().list.jobs.clone()
    }

    fn of(list: List, journal: Option<File>) -> Jobs {
        Jobs {
            inner: Arc::new(Mutex::new(Inner { list, journal })),
        }
    }

    /// A panic elsewhere leaves the list whole: nothing in here panics halfway.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct List {
    jobs: Vec<Job>,
    places: HashMap<String, usize>,
}

impl List {
    /// The list after all lines of a journal, and how many of them were not understood.
    fn replay(text: &str) -> (List, usize) {
        let mut list = List::default();
        let mut torn = 0;
        for line in text.lines().filter(|line| !line.is_empty()) {
            match Job::from_json(line) {
                Some(job) => drop(list.set(&job.id, job.state, Some(job.payload), job.time_ms)),
                None => torn += 1,
            }
        }
        (list, torn)
    }

    fn get(&self, id: &str) -> Option<&Job> {
        self.places.get(id).map(|&place| &self.jobs[place])
    }

    /// The job afterwards, and whether anything is new. A payload fills a job that had none; a state never goes back,
    /// so that a report which overtakes another, or comes twice, does no harm.
    fn set(&mut self, id: &str, state: State, payload: Option<Value>, now_ms: u64) -> (Job, bool) {
        let payload = payload.unwrap_or(Value::Null);
        let Some(&place) = self.places.get(id) else {
            let job = Job {
                id: id.to_string(),
                state,
                payload,
                time_ms: now_ms,
            };
            self.places.insert(id.to_string(), self.jobs.len());
            self.jobs.push(job.clone());
            return (job, true);
        };
        let job = &mut self.jobs[place];
        let before = job.clone();
        if state > job.state {
            job.state = state;
            job.time_ms = now_ms;
        }
        if job.payload.is_null() {
            job.payload = payload;
        }
        (job.clone(), *job != before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_never_goes_back() {
        let mut list = List::default();
        list.set("a", State::Done, None, 5);
        let (job, changed) = list.set("a", State::Working, None, 6);
        assert_eq!((job.state, job.time_ms, changed), (State::Done, 5, false));
    }

    #[test]
    fn a_payload_that_comes_after_the_report_is_kept() {
        let mut list = List::default();
        list.set("a", State::Done, None, 5);
        let (job, changed) = list.set("a", State::Queued, Some(json!({"n": 1})), 6);
        assert_eq!((job.state, job.payload, changed), (State::Done, json!({"n": 1}), true));
    }

    #[test]
    fn a_journal_is_replayed_and_a_torn_line_is_counted() {
        let mut first = List::default();
        let lines = [
            first.set("a", State::Queued, Some(json!(1)), 1).0,
            first.set("b", State::Queued, Some(json!(2)), 2).0,
            first.set("a", State::Done, None, 3).0,
        ];
        let text = lines
            .iter()
            .map(|job| format!("{}\n", job.to_json()))
            .collect::<String>()
            + "{\"id\":\"c\",\"sta";
        let (second, torn) = List::replay(&text);
        assert_eq!((second.jobs, torn), (first.jobs, 1));
    }

    #[test]
    fn every_state_is_read_back_by_its_name() {
        for state in [State::Queued, State::Working, State::Done] {
            assert_eq!(State::from_name(state.name()), Some(state));
        }
    }
}
