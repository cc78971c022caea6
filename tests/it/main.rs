//! The command line and the engines, for real: one crate, one server a version, one database a test.

mod capture;
mod capture_mysql;
mod cli;
mod command;
mod derived;
mod diff;
mod html;
mod lab;
mod mydumper;
mod mysql;
mod mysql_probing;
mod psql;
mod release;
mod snapshot;
mod support;
mod workload;
