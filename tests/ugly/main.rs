//! Ugly inputs: whatever is wrong with files, machine, servers or the person at the keyboard, the program says what and what to do, ends
//! with the right code, and leaves nothing behind.

mod baselines;
mod capture;
mod consumers;
mod docker;
mod doctor;
mod engines;
mod faults;
mod files;
mod killed;
mod leftovers;
mod machine;
mod mariadb;
mod replicas;
mod secrets;
mod signals;
mod soak;
mod subscribers;
mod support;
mod up;
