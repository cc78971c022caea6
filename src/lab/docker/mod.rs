//! Containers as a lab, on whatever Docker Engine answers.
//!
//! The server is not a container's main process: it can be stopped and started, and the container stays. The main process waits on a
//! leash, an `exec` whose standard input this process holds open: however this process ends, the input closes and the container goes.

mod archive;
mod clone;
mod container;
mod derived;
mod exec;
mod image;
mod overlay;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bollard::Docker;
use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
};

use super::lease::Base;
use super::reap::Reaped;
use super::survey::Engine;
use super::{LabError, baseline, lease, within};
use crate::engine::software::Software;

pub(super) use container::DockerHost;
pub(super) use derived::outfit;
pub(super) use image::{identity, image_for};

/// An engine that is busy with others answers late.
const PING_DEADLINE: Duration = Duration::from_secs(10);
/// Of a call that moves no data.
const CALL_DEADLINE: Duration = Duration::from_secs(60);

const CONTAINER: &str = "container";
const VOLUME: &str = "volume";

/// A client of this machine's engine, which has just answered.
pub(super) async fn engine() -> Result<Docker, LabError> {
    // Ports of containers are looked for on this machine's loopback.
    if let Some(host) = configured().filter(|host| !host.starts_with("unix://")) {
        return Err(LabError::RemoteDocker { host });
    }
    let no_docker = |source: Box<dyn std::error::Error + Send + Sync>| LabError::NoDocker { socket: socket(), source };
    let docker =
        testcontainers::core::client::docker_client_instance().await.map_err(|source| no_docker(source.into()))?;
    match tokio::time::timeout(PING_DEADLINE, docker.ping()).await {
        Ok(Ok(_)) => Ok(docker),
        Ok(Err(source)) => Err(no_docker(source.into())),
        Err(passed) => Err(no_docker(passed.into())),
    }
}

/// What the engine has: its version, and for each server the image that is here. Pulls nothing.
///
/// # Errors
/// No engine answers, or it does not say.
pub(super) async fn survey(wanted: &[Software]) -> Result<(Engine, Vec<Option<String>>), LabError> {
    let docker = engine().await?;
    let version = call("ask Docker for its version", docker.version()).await?.version;
    let mut images = Vec::new();
    for software in wanted {
        images.push(image::here(&docker, software).await?);
    }
    Ok((Engine { socket: socket(), version }, images))
}

/// Removes every container and volume of one lab, but those of baselines that it made.
///
/// # Errors
/// The engine does not answer, or does not remove them.
pub(super) async fn sweep(lab: &str, base: &Base) -> Result<(), LabError> {
    let docker = engine().await?;
    let label = format!("rehearsal.lab={lab}");
    for container in containers(&docker, &label).await? {
        remove_container(&docker, &container.id).await?;
    }
    let kept = baseline::volumes(base);
    let of_baseline = volumes(&docker, &format!("rehearsal.baseline={lab}")).await?;
    let unpublished = of_baseline.into_iter().filter(|volume| !kept.contains(&volume.id));
    for volume in volumes(&docker, &label).await?.into_iter().chain(unpublished) {
        remove_volume(&docker, &volume.id).await?;
    }
    Ok(())
}

/// Removes the volumes of baselines.
///
/// # Errors
/// As [`sweep`].
pub(super) async fn remove_volumes(names: &BTreeSet<String>) -> Result<(), LabError> {
    let docker = engine().await?;
    for name in names {
        remove_volume(&docker, name).await?;
    }
    Ok(())
}

/// Removes containers and volumes of labs of this base that have no folder any more. Without an engine there is nothing to do.
pub(super) async fn reap(base: &Base) -> Vec<Reaped> {
    let Ok(docker) = engine().await else { return Vec::new() };
    let mut reaped = Vec::new();
    if let Err(error) = reap_with(&docker, base, &mut reaped).await {
        tracing::warn!(%error, "could not clear away containers that a run left");
    }
    reaped
}

/// A container or volume of a lab.
struct Labelled {
    /// Of a volume, its name.
    id: String,
    labels: HashMap<String, String>,
}

impl Labelled {
    fn reaped(&self, kind: &str) -> Reaped {
        Reaped {
            lab: self.lab().cloned().unwrap_or_default(),
            run: self.labels.get("rehearsal.run").cloned(),
            what: format!("{kind} {}", self.id.get(..12).filter(|_| kind == CONTAINER).unwrap_or(&self.id)),
        }
    }

    /// The one that made it.
    fn lab(&self) -> Option<&String> {
        self.labels.get("rehearsal.lab").or_else(|| self.labels.get("rehearsal.baseline"))
    }

    /// A lab's folder is made before its containers and removed after them.
    fn is_left_over(&self, base: &Base) -> bool {
        self.lab().is_some_and(|lab| !base.path().join(lab).exists())
    }
}

async fn reap_with(docker: &Docker, base: &Base, reaped: &mut Vec<Reaped>) -> Result<(), LabError> {
    let label = format!("rehearsal.base={}", base.id());
    for container in containers(docker, &label).await?.iter().filter(|found| found.is_left_over(base)) {
        remove_container(docker, &container.id).await?;
        reaped.push(container.reaped(CONTAINER));
    }
    let found = volumes(docker, &label).await?;
    // Asked after them: what is a baseline's by now was somebody's who made it.
    let kept = baseline::volumes(base);
    for volume in found.iter().filter(|found| found.is_left_over(base) && !kept.contains(&found.id)) {
        remove_volume(docker, &volume.id).await?;
        reaped.push(volume.reaped(VOLUME));
    }
    // Of a base that lay here, on this machine, and is gone with all that it knew, as with memory when a machine is started again.
    let here = format!("rehearsal.place={}", base.path().display());
    let of_before = |found: &&Labelled| {
        found.labels.get("rehearsal.machine") == Some(&lease::machine())
            && found.labels.get("rehearsal.base").is_some_and(|id| id != base.id())
    };
    for volume in volumes(docker, &here).await?.iter().filter(of_before) {
        remove_volume(docker, &volume.id).await?;
        reaped.push(volume.reaped(VOLUME));
    }
    Ok(())
}

async fn containers(docker: &Docker, label: &str) -> Result<Vec<Labelled>, LabError> {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let found = call("list containers", docker.list_containers(Some(options))).await?;
    Ok(found
        .into_iter()
        .filter_map(|found| Some(Labelled { id: found.id?, labels: found.labels.unwrap_or_default() }))
        .collect())
}

async fn volumes(docker: &Docker, label: &str) -> Result<Vec<Labelled>, LabError> {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let found = call("list volumes", docker.list_volumes(Some(options))).await?;
    Ok(found.volumes.into_iter().flatten().map(|found| Labelled { id: found.name, labels: found.labels }).collect())
}

async fn has_volume(docker: &Docker, name: &str) -> Result<bool, LabError> {
    call("look for a volume", async {
        match docker.inspect_volume(name).await {
            Ok(_) => Ok(true),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    })
    .await
}

async fn create_volume(docker: &Docker, name: &str, labels: &HashMap<String, String>) -> Result<(), LabError> {
    let request =
        VolumeCreateRequest { name: Some(name.to_owned()), labels: Some(labels.clone()), ..Default::default() };
    call("make a volume", docker.create_volume(request)).await.map(drop)
}

async fn remove_container(docker: &Docker, id: &str) -> Result<(), LabError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match call("remove a container", gone_is_well(docker.remove_container(id, Some(options)))).await {
        Ok(()) => wait_until_gone(docker, id).await,
        Err(error) => Err(error),
    }
}

async fn remove_volume(docker: &Docker, name: &str) -> Result<(), LabError> {
    let options = RemoveVolumeOptionsBuilder::new().force(true).build();
    call("remove a volume", gone_is_well(docker.remove_volume(name, Some(options)))).await
}

/// Containers remove themselves when they end, so a removal may already be under way.
async fn wait_until_gone(docker: &Docker, id: &str) -> Result<(), LabError> {
    within("the removal of a container", CALL_DEADLINE, async {
        while docker.inspect_container(id, None).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    })
    .await
}

async fn gone_is_well(
    removal: impl Future<Output = Result<(), bollard::errors::Error>>,
) -> Result<(), bollard::errors::Error> {
    match removal.await {
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
        other => other,
    }
}

/// A call with a deadline and an error that says what it was for.
async fn call<T>(what: &str, work: impl Future<Output = Result<T, bollard::errors::Error>>) -> Result<T, LabError> {
    within(what, CALL_DEADLINE, async { work.await.map_err(|source| failed(what, source)) }).await
}

fn failed(what: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LabError {
    let source = source.into();
    if says_disk_full(&source.to_string()) {
        return LabError::DiskFull { what: what.to_owned() };
    }
    LabError::Docker { what: what.to_owned(), source }
}

/// The engine says it in small letters, programs with a capital one.
fn says_disk_full(said: &str) -> bool {
    said.contains("o space left on device")
}

fn socket() -> String {
    configured().unwrap_or_else(|| "/var/run/docker.sock".to_owned())
}

fn configured() -> Option<String> {
    let host = std::env::var_os("DOCKER_HOST").filter(|host| !host.is_empty())?;
    Some(host.to_string_lossy().into_owned())
}
