//! Whether a Docker Engine answers, and whether an image can be had from it.

use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::TryStreamExt;

use crate::setup::POSTGRES_MAJOR;
use crate::terminal::say;

const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
const PULL_DEADLINE: Duration = Duration::from_secs(90);

/// Whether an engine answers.
///
/// # Errors
/// No runtime could be made.
pub fn answers() -> anyhow::Result<bool> {
    runtime()?.block_on(async { Ok(engine().await.is_some()) })
}

/// Whether an engine answers and has this image.
///
/// # Errors
/// No runtime could be made.
pub fn has_image(image: &str) -> anyhow::Result<bool> {
    runtime()?.block_on(async {
        let Some(docker) = engine().await else { return Ok(false) };
        Ok(docker.inspect_image(image).await.is_ok())
    })
}

/// The image with a Postgres server: the one that `cargo xtask images` builds, else the official one, pulled if need be. None where
/// no engine answers or no image can be had.
///
/// # Errors
/// No runtime could be made.
pub fn postgres_image() -> anyhow::Result<Option<String>> {
    runtime()?.block_on(async {
        let Some(docker) = engine().await else { return Ok(None) };
        let built = format!("rehearsal/postgres:{POSTGRES_MAJOR}");
        let official = format!("postgres:{POSTGRES_MAJOR}");
        for image in [built, official.clone()] {
            if docker.inspect_image(&image).await.is_ok() {
                return Ok(Some(image));
            }
        }
        say(&format!("pulling {official}"));
        Ok(pulled(&docker).await.then_some(official))
    })
}

async fn engine() -> Option<Docker> {
    let docker = Docker::connect_with_defaults().ok()?;
    let ping = tokio::time::timeout(ANSWER_DEADLINE, docker.ping()).await;
    matches!(ping, Ok(Ok(_))).then_some(docker)
}

async fn pulled(docker: &Docker) -> bool {
    let options = CreateImageOptionsBuilder::new().from_image("postgres").tag(POSTGRES_MAJOR).build();
    let pull = docker.create_image(Some(options), None, None).try_for_each(|_| async { Ok(()) });
    matches!(tokio::time::timeout(PULL_DEADLINE, pull).await, Ok(Ok(())))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
