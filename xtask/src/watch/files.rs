//! stub
use std::path::PathBuf;
#[derive(Debug)]
pub struct FileWatch(notify::RecommendedWatcher);
impl FileWatch {
    pub fn new(dirs: &[PathBuf], on_change: impl Fn() + Send + 'static) -> anyhow::Result<FileWatch> {
        use notify::Watcher as _;
        let mut w = notify::recommended_watcher(move |e: notify::Result<notify::Event>| {
            if let Ok(e) = e { if matches!(e.kind, notify::EventKind::Access(_)) { return; } on_change() }
        })?;
        for d in dirs { w.watch(d, notify::RecursiveMode::NonRecursive)?; }
        Ok(FileWatch(w))
    }
}
