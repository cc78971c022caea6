//! Servers for tests, and whether a missing one is a failure.

pub mod elsewhere;
pub mod local_host;
pub mod server;

/// With `CI=true` nothing is skipped.
pub fn ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}
