//! Where the services' output goes: one log file per stream, kept open across runs.

use crate::log::{self, LogConfig, LogFile, Lost};
use crate::plan::ServicePlan;
use jiff::tz::TimeZone;
use regex::bytes::Regex;
use std::collections::HashMap;
use std::io::PipeReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The log files of all services.
pub(super) struct Logs {
    /// What the files below it are not made without: see [`LogConfig::ground`].
    ground: Option<PathBuf>,
    /// By path as it is configured: what a path stands for may change, and must not change who writes to it.
    files: HashMap<PathBuf, (LogConfig, Arc<LogFile>)>,
    /// By canonical path, the configured path by which that file was met first: two writers of one file would tear each other's lines.
    met: HashMap<PathBuf, PathBuf>,
    /// Those of services that were launched in this turn: they are opened together, once all are launched.
    unopened: Vec<Arc<LogFile>>,
}

/// Looks for a pattern in each line of both streams until it is found once.
#[derive(Clone, Default)]
pub(super) struct LineMatcher {
    look: Option<Arc<Look>>,
}

struct Look {
    pattern: Regex,
    found: AtomicBool,
    report: Box<dyn Fn() + Send + Sync>,
}

impl LineMatcher {
    /// Reports the first line that matches, whatever colours are in it. A pattern that does not compile never does; `check` has refused
    /// it before.
    pub(super) fn new(pattern: &str, report: impl Fn() + Send + Sync + 'static) -> Self {
        let look = Regex::new(pattern).ok().map(|pattern| {
            Arc::new(Look {
                pattern,
                found: AtomicBool::new(false),
                report: Box::new(report),
            })
        });
        Self { look }
    }

    fn observer(&self) -> Option<log::Observer> {
        let look = self.look.clone()?;
        Some(Box::new(move |line: &[u8]| {
            if !look.found.load(Ordering::Relaxed) && look.pattern.is_match(&log::escape::strip(line)) {
                look.found.store(true, Ordering::Relaxed);
                (look.report)();
            }
            !look.found.load(Ordering::Relaxed)
        }))
    }
}

impl Logs {
    pub(super) fn new(ground: Option<PathBuf>) -> Self {
        Self {
            ground,
            files: HashMap::new(),
            met: HashMap::new(),
            unopened: Vec::new(),
        }
    }

    /// Moves both streams into their logs; returns the streams that will call `drained` when all of theirs is there.
    pub(super) fn follow(
        &mut self,
        plan: &ServicePlan,
        streams: (PipeReader, PipeReader),
        matcher: &LineMatcher,
        drained: &(impl Fn() + Clone + Send + 'static),
    ) -> Vec<log::Pump> {
        let files = [(streams.0, &plan.out_file), (streams.1, &plan.error_file)];
        let pumps = files.map(|(pipe, path)| {
            let file = self.file(plan, path.clone());
            log::pump(pipe, file, matcher.observer(), drained.clone())
        });
        // A thread that could not be started has dropped its pipe: the service sees a closed one, and lives.
        pumps.into_iter().flatten().collect()
    }

    /// Empties the logs of a service; returns what could not be emptied, and why. One that cannot keeps no other from it.
    pub(super) fn flush(&mut self, plan: &ServicePlan) -> Vec<std::io::Error> {
        let files = own_files(plan).map(|path| self.file(plan, Some(path.clone())).flush_empty());
        files.filter_map(Result::err).collect()
    }

    /// Opens those that are new.
    pub(super) fn open(&mut self) {
        let mut listings = log::Listings::default();
        self.unopened.drain(..).for_each(|file| file.open(&mut listings));
    }

    fn file(&mut self, plan: &ServicePlan, path: Option<PathBuf>) -> Arc<LogFile> {
        let rotation = plan.rotation;
        // That the format is one was proven when it was read.
        // The zone, which takes a walk through the system's, is asked for only where it is shown.
        let own = |format| log::Stamp::new(Some(format), TimeZone::system()).unwrap_or_default();
        let stamp = plan.log_date_format.as_deref().map(own).unwrap_or_default();
        let config = LogConfig {
            path: path.clone(),
            max_size: rotation.max_size,
            retain: rotation.retain,
            compress: rotation.compress,
            stamp,
            ground: self
                .ground
                .clone()
                .filter(|ground| path.as_ref().is_some_and(|path| path.starts_with(ground))),
        };
        let Some(path) = path else { return LogFile::new(config) };
        if let Some((known, file)) = self.files.get_mut(&path) {
            if *known != config {
                file.configure(config.clone());
                *known = config;
            }
            return file.clone();
        }
        let file = self.met_before(&path).unwrap_or_else(|| {
            let file = LogFile::new(config.clone());
            self.unopened.push(file.clone());
            file
        });
        self.files.insert(path, (config, file.clone()));
        file
    }

    /// The file at a path that is new, when it has a writer by another path.
    fn met_before(&mut self, path: &Path) -> Option<Arc<LogFile>> {
        let canonical = log::canonical(path);
        // A link may lead elsewhere by now.
        let other = self
            .met
            .get(&canonical)
            .filter(|other| log::canonical(other) == canonical);
        let file = other
            .and_then(|other| self.files.get(other))
            .map(|(_, file)| file.clone());
        if file.is_none() {
            self.met.insert(canonical, path.to_owned());
        }
        file
    }

    /// How the logs of a service fare: what is wrong with them now, and what they have lost.
    pub(super) fn health(&self, plan: &ServicePlan) -> (Option<String>, Lost) {
        let (mut troubles, mut lost) = (Vec::new(), Lost::default());
        let mut last = None;
        for path in own_files(plan) {
            let Some((_, file)) = self.files.get(path) else {
                continue;
            };
            if last.replace(file).is_some_and(|last| Arc::ptr_eq(last, file)) {
                continue;
            }
            let health = file.health();
            lost = lost.plus(health.lost);
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            troubles.extend(health.trouble(&name));
        }
        ((!troubles.is_empty()).then(|| troubles.join("; ")), lost)
    }
}

/// The log files of a service, each once: both streams may go into one.
fn own_files(plan: &ServicePlan) -> impl Iterator<Item = &PathBuf> {
    let out_file = plan.out_file.as_ref();
    let error_file = plan.error_file.as_ref().filter(|path| out_file != Some(path));
    out_file.into_iter().chain(error_file)
}
