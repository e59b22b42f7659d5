//! Typed tasks on xshell, in the foreground: builds, the service manager's files, the project's own checks, the benchmark.

pub mod bench;
pub mod build;
pub mod ci;
pub mod export;
pub mod fresh;
pub mod guard;
pub mod interrupt;
pub mod ordinary;
pub mod startup;
