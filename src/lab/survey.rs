//! What this machine has for servers to run: looked at, with nothing started, pulled or made.

use super::process::Account;
use super::{LabError, docker, lease, native};
use crate::engine::software::Software;

pub use super::lease::Ground;
pub use super::native::Installed;

/// What was found of both labs.
#[derive(Debug)]
pub struct Survey {
    /// The folder that every lab needs.
    pub base: Result<Ground, LabError>,
    /// Whether an engine answers, or why none does.
    pub docker: Result<Engine, LabError>,
    /// One for each server that was asked for, in that order.
    pub servers: Vec<Found>,
}

/// A Docker Engine that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    pub socket: String,
    /// As it says itself, if it does.
    pub version: Option<String>,
}

/// What there is of one server.
#[derive(Debug)]
pub struct Found {
    pub native: Result<Installed, LabError>,
    /// The image from which the Docker lab would run it now; none where no engine answers, too.
    pub image: Option<String>,
}

/// Looks for these servers. Neither a lab nor an image is made or fetched, and no server starts: whether what is there runs well is
/// for a run to tell.
pub async fn survey(wanted: &[Software]) -> Survey {
    let (docker, images) = match docker::survey(wanted).await {
        Ok((engine, images)) => (Ok(engine), images),
        Err(error) => (Err(error), vec![None; wanted.len()]),
    };
    let mut servers = Vec::new();
    for (software, image) in wanted.iter().zip(images) {
        servers.push(Found { native: installed(software).await, image });
    }
    Survey { base: lease::look(), docker, servers }
}

/// A server natively needs an account as well.
async fn installed(software: &Software) -> Result<Installed, LabError> {
    let installed = native::installed(software).await?;
    Account::for_servers(software.user).map(|_| installed)
}
