//! What the Docker Engine itself says of containers and images, and what is done to them behind the program's back.

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder, RemoveVolumeOptionsBuilder,
    TagImageOptionsBuilder,
};
use futures::{StreamExt, TryStreamExt};

use crate::leftovers::ask;

/// Whether an engine answers.
pub fn answers() -> bool {
    ask(async |docker| docker.ping().await).is_ok()
}

/// Addresses on which a container's ports are published.
pub fn published(container: &str) -> Vec<String> {
    let found = ask(async |docker| docker.inspect_container(container, None).await).expect("the container is there");
    let ports = found.network_settings.and_then(|network| network.ports).unwrap_or_default();
    ports.into_values().flatten().flatten().filter_map(|binding| binding.host_ip).collect()
}

/// Whether it was started and has not ended.
pub fn runs(container: &str) -> bool {
    let found = ask(async |docker| docker.inspect_container(container, None).await);
    found.is_ok_and(|found| found.state.and_then(|state| state.running) == Some(true))
}

pub fn kill(container: &str) {
    ask(async |docker| docker.kill_container(container, None).await).expect("it is killed");
}

/// Runs a shell's script in a container to its end; what it wrote.
pub fn shell(container: &str, script: &str) -> String {
    ask(async |docker| {
        let (cmd, attach_stdout) = (Some(vec!["sh", "-c", script]), Some(true));
        let options = CreateExecOptions { cmd, attach_stdout, ..CreateExecOptions::default() };
        let created = docker.create_exec(container, options).await?;
        let mut said = String::new();
        match docker.start_exec(&created.id, None::<StartExecOptions>).await? {
            // Where it ends the container, the stream may end with an error.
            StartExecResults::Attached { mut output, .. } => {
                while let Some(Ok(piece)) = output.next().await {
                    said += &piece.to_string();
                }
            }
            StartExecResults::Detached => {}
        }
        Ok(said)
    })
    .expect("the script is run")
}

/// For cleaning up: it may be gone.
pub fn remove_container(container: &str) {
    let options = RemoveContainerOptionsBuilder::new().force(true).build();
    let _ = ask(async |docker| docker.remove_container(container, Some(options)).await);
}

pub fn has_image(name: &str) -> bool {
    ask(async |docker| docker.inspect_image(name).await).is_ok()
}

/// An image of these files.
pub fn import(tar: Vec<u8>, repository: &str, tag: &str) {
    let options = CreateImageOptionsBuilder::new().from_src("-").repo(repository).tag(tag).build();
    ask(async |docker| {
        docker.create_image(Some(options), Some(bollard::body_full(tar.into())), None).try_collect::<Vec<_>>().await
    })
    .expect("an image");
}

pub fn tag(image: &str, repository: &str, tag: &str) {
    let options = TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
    ask(async |docker| docker.tag_image(image, Some(options)).await).expect("the image is here");
}

pub fn remove_volume(name: &str) {
    let options = RemoveVolumeOptionsBuilder::new().build();
    ask(async |docker| docker.remove_volume(name, Some(options)).await).expect("nobody uses it");
}

/// For cleaning up: it may be gone.
pub fn remove_image(name: &str) {
    let options = RemoveImageOptionsBuilder::new().build();
    let _ = ask(async |docker| docker.remove_image(name, Some(options), None).await);
}
