//! SIGINT, SIGTERM and SIGHUP, all meaning: end gracefully. The only file that knows `ctrlc`.

use std::sync::mpsc::Sender;

/// Puts `message` into the inbox at every such signal.
pub fn on_signal<T: Send + 'static>(inbox: Sender<T>, message: fn() -> T) -> Result<(), String> {
    let told = ctrlc::set_handler(move || {
        // Nobody waits for it any more: we are ending already.
        let _ = inbox.send(message());
    });
    told.map_err(|cause| format!("handle signals: {cause}"))
}
