//! The scenarios, for real, one after the other: timed runs want the machine for themselves, so they are a test program of their own.

mod comfort;
#[path = "../it/support/elsewhere.rs"]
mod elsewhere;
mod locks;
mod pairs;
mod plan;
mod replicas;
mod routing;
mod run;
mod server;
mod snapshots;
mod traffic;
