//! What a test observes of a project: its status, and the processes that the system knows of.

use std::path::PathBuf;

use serde_json::Value;

use super::processes::{self, Process};
use super::{LIMIT, Project, wait_at_most};

impl Project {
    /// The output of `status --json`.
    #[track_caller]
    pub fn status(&self) -> Value {
        let run = self.run(&["status", "--json"]).ok();
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("status --json is not JSON: {error}; {run}"))
    }

    /// The running stacks.
    #[track_caller]
    pub fn stacks(&self) -> Vec<Value> {
        self.status()["stacks"].as_array().expect("`stacks` is a list").clone()
    }

    /// What `status --json` says of a service; null where it has none of this name.
    #[track_caller]
    pub fn service_status(&self, name: &str) -> Value {
        let stacks = self.stacks();
        let mut services = stacks.iter().flat_map(|stack| stack["services"].as_array().unwrap());
        services
            .find(|service| service["name"] == name)
            .cloned()
            .unwrap_or_default()
    }

    /// Waits until `status --json` says something of a service.
    #[track_caller]
    pub fn wait(&self, name: &str, what: &str, mut is_so: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = wait_at_most(LIMIT, || {
            last = self.service_status(name);
            is_so(&last).then(|| last.clone())
        });
        found.unwrap_or_else(|| panic!("waited in vain until {name} {what}; it is {last:#}"))
    }

    /// Waits until the service has this status.
    #[track_caller]
    pub fn wait_status(&self, name: &str, status: &str) -> Value {
        self.wait(name, &format!("is {status}"), |service| service["status"] == status)
    }

    /// Waits until the service is ready.
    #[track_caller]
    pub fn wait_ready(&self, name: &str) -> Value {
        self.wait(name, "is ready", |service| service["ready"] == true)
    }

    /// Waits until a file has so many lines.
    #[track_caller]
    pub fn wait_lines(&self, path: &str, lines: usize) {
        let seen = wait_at_most(LIMIT, || (self.lines(path) >= lines).then_some(()));
        assert!(seen.is_some(), "{path} has {} lines", self.lines(path));
    }

    /// The pid of the supervisor of the only stack.
    #[track_caller]
    pub fn supervisor(&self) -> u32 {
        pid(&self.stacks()[0]["supervisor"])
    }

    /// Everything alive that belongs to the project.
    pub fn processes(&self) -> Vec<Process> {
        processes::of_places(&self.places().iter().map(PathBuf::as_path).collect::<Vec<_>>())
    }

    /// Expects that no process of a service is left, right now.
    #[track_caller]
    pub fn assert_no_service_process(&self) {
        let left: Vec<_> = self
            .processes()
            .into_iter()
            .filter(|process| !process.is_xtask())
            .collect();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    /// Waits until nothing at all is left: no service, no supervisor, no keeper.
    #[track_caller]
    pub fn wait_nothing_left(&self) {
        let none = wait_at_most(LIMIT, || self.processes().is_empty().then_some(()));
        assert!(none.is_some(), "left behind: {:#?}", self.processes());
    }
}

/// The `pid` of what `status --json` says.
#[track_caller]
pub fn pid(status: &Value) -> u32 {
    status["pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok())
        .unwrap_or_else(|| panic!("no pid in {status:#}"))
}

/// The `restarts` of what `status --json` says.
pub fn restarts(status: &Value) -> u64 {
    status["restarts"]
        .as_u64()
        .unwrap_or_else(|| panic!("no restarts in {status:#}"))
}
