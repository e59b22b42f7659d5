//! Typed tasks on xshell, in the foreground: builds, and the project's own checks.

pub mod build;
pub mod ci;
