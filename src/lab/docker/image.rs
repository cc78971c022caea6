//! Which image a server runs from: one that is here, else the one a registry has.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt;
use tokio::time::Instant;

use super::{call, engine};
use crate::engine::software::Software;
use crate::lab::LabError;

/// A pull that says nothing for this long has no network.
const SILENCE_DEADLINE: Duration = Duration::from_secs(15);
const PULL_DEADLINE: Duration = Duration::from_secs(600);

/// The image to use, which is here once this returns.
///
/// # Errors
/// No engine answers, or no image is here and none could be pulled.
pub async fn image_for(software: &Software) -> Result<String, LabError> {
    let docker = engine().await?;
    if let Some(image) = here(&docker, software).await? {
        return Ok(image);
    }
    pull(&docker, &software.pull).await.map_err(|why| LabError::NoImage {
        engine: software.engine.name(),
        version: software.version.clone(),
        tried: software.images.clone(),
        pull: software.pull.clone(),
        why,
        built: software.built,
    })?;
    Ok(software.pull.clone())
}

/// The id of the image that it starts from, and what is added to that.
///
/// # Errors
/// As [`image_for`].
pub async fn identity(software: &Software) -> Result<String, LabError> {
    let image = image_for(software).await?;
    let found = call("look at an image", engine().await?.inspect_image(&image)).await?;
    let added: Vec<String> = software.packages.iter().map(ToString::to_string).collect();
    let parts: Vec<&str> = software.parts.iter().map(|part| part.name.as_str()).collect();
    Ok(format!("{} {} {}", found.id.unwrap_or(image), added.join(" "), parts.join(" ")))
}

/// The image to use, where one is here.
///
/// # Errors
/// The engine does not say.
pub async fn here(docker: &Docker, software: &Software) -> Result<Option<String>, LabError> {
    for image in &software.images {
        let found = call("look for an image", async {
            match docker.inspect_image(image).await {
                Ok(_) => Ok(true),
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
                Err(error) => Err(error),
            }
        });
        if found.await? {
            return Ok(Some(image.clone()));
        }
    }
    Ok(None)
}

async fn pull(docker: &Docker, image: &str) -> Result<(), String> {
    tracing::info!(image, "pulling an image");
    let options = CreateImageOptionsBuilder::new().from_image(image).build();
    let mut progress = std::pin::pin!(docker.create_image(Some(options), None, None));
    let end = Instant::now() + PULL_DEADLINE;
    let mut last = "nothing".to_owned();
    loop {
        let patience = Instant::now() + SILENCE_DEADLINE;
        match tokio::time::timeout_at(patience.min(end), progress.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(info))) => last = info.status.unwrap_or(last),
            Ok(Some(Err(error))) => return Err(error.to_string()),
            Err(_) => return Err(format!("the registry fell silent; last seen: {last}")),
        }
    }
}
