//! The rehearsal itself: the dispatcher of events, and the tasks that send them.

pub mod baseline;
pub mod blockers;
pub mod clock;
pub mod command;
mod compare;
mod consumers;
pub mod current;
pub mod dispatcher;
mod failure;
pub mod observer;
pub mod observing;
pub mod owners;
mod plan;
mod preparing;
pub mod probes;
mod program;
pub mod readers;
mod replication;
pub mod routes;
mod routing;
pub mod run;
mod sql;
mod step;
mod watching;
mod workloads;
