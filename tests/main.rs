//! The integration tests: the real binary, real processes, real ports. One file for each verb or theme.
//!
//! No test sleeps: each waits for something it can observe, within one overall limit. Each has a workspace of its own and leaves
//! no process behind. `support` is the language they are written in; `puppet` is the program that plays the services.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod bench;
mod boot;
mod check;
mod describe;
mod design;
mod dev;
mod edit;
mod engines;
mod environment;
mod export;
mod faults;
mod fresh;
mod log_faults;
mod log_files;
mod logs;
mod npm;
mod order;
mod owner;
mod policy;
mod ports;
mod prod;
mod pty;
mod readme;
mod ready;
mod speak;
mod stack;
mod status;
mod stop;
mod support;
mod swap;
mod tidy;
mod trees;
mod wait;
mod watch;
mod why;
