//! Log lines as pino writes them: one JSON object a line on stdout, read by whoever collects them.
//! Decides nothing about what is worth a line.

use std::io::Write;

use serde_json::{Map, Value, json};

use crate::clock;

/// pino's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Info = 30,
    /// Odd, but it goes on.
    Warn = 40,
    /// Something asked for did not happen.
    Error = 50,
    /// The process ends because of it.
    Fatal = 60,
}

/// A program's log.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    name: &'static str,
}

impl Log {
    /// The log of the program `name`.
    pub fn new(name: &'static str) -> Log {
        Log { name }
    }

    /// Writes a line at `Level::Info`; `fields` is an object.
    pub fn info(self, msg: &str, fields: Value) {
        self.write(Level::Info, msg, fields);
    }

    /// Writes a line at `Level::Warn`; `fields` is an object.
    pub fn warn(self, msg: &str, fields: Value) {
        self.write(Level::Warn, msg, fields);
    }

    /// Writes a line at `Level::Error`; `fields` is an object.
    pub fn error(self, msg: &str, fields: Value) {
        self.write(Level::Error, msg, fields);
    }

    /// Writes a line at `Level::Fatal`; `fields` is an object.
    pub fn fatal(self, msg: &str, fields: Value) {
        self.write(Level::Fatal, msg, fields);
    }

    fn write(self, level: Level, msg: &str, fields: Value) {
        let line = line(level, clock::wall_ms(), std::process::id(), self.name, msg, fields);
        // Nobody reads on: no reason to stop serving.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    }
}

/// One line, its newline included: pino's keys first, then `fields`, then `msg`.
fn line(level: Level, time_ms: u64, pid: u32, name: &str, msg: &str, fields: Value) -> String {
    let mut object = Map::new();
    object.insert("level".into(), json!(level as u8));
    object.insert("time".into(), json!(time_ms));
    object.insert("pid".into(), json!(pid));
    object.insert("name".into(), json!(name));
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    object.insert("msg".into(), json!(msg));
    format!("{}\n", Value::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_like_pino() {
        assert_eq!(
            line(Level::Error, 1700, 42, "server", "no \"queue\"", json!({"port": 7163})),
            "{\"level\":50,\"time\":1700,\"pid\":42,\"name\":\"server\",\"port\":7163,\"msg\":\"no \\\"queue\\\"\"}\n"
        );
    }
}
