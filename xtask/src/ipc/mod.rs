//! How the commands and the supervisor talk: one JSON object a line over a socket that is the user's alone.

pub mod client;
pub mod protocol;
pub mod server;
