//! Volumes that begin as another, of which a file is copied when it is first written: the engine's own local driver mounts an overlay.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::VolumeCreateRequest;

use super::{call, create_volume, failed};
use crate::lab::LabError;

const WHAT: &str = "make an overlay of a volume";

/// Makes a volume, and two that hold what is written to it. Whether the engine can mount it shows when a container is started. Gives the
/// three, in the order in which they can be removed.
///
/// # Errors
/// The engine does not make them, or does not say where they lie.
pub async fn volume_of(
    docker: &Docker,
    stored: &str,
    name: &str,
    labels: &HashMap<String, String>,
) -> Result<Vec<String>, LabError> {
    let [upper, work] = ["upper", "work"].map(|part| format!("{name}-{part}"));
    for part in [&upper, &work] {
        create_volume(docker, part, labels).await?;
    }
    let (lower, above, scratch) =
        (place(docker, stored).await?, place(docker, &upper).await?, place(docker, &work).await?);
    let options = [
        ("type", "overlay".to_owned()),
        ("device", "overlay".to_owned()),
        ("o", format!("lowerdir={lower},upperdir={above},workdir={scratch}")),
    ];
    let request = VolumeCreateRequest {
        name: Some(name.to_owned()),
        labels: Some(labels.clone()),
        driver: Some("local".to_owned()),
        driver_opts: Some(options.map(|(option, value)| (option.to_owned(), value)).into()),
        ..VolumeCreateRequest::default()
    };
    call(WHAT, docker.create_volume(request)).await?;
    Ok(vec![name.to_owned(), upper, work])
}

/// Where the engine has a volume's files.
async fn place(docker: &Docker, volume: &str) -> Result<String, LabError> {
    let place = call(WHAT, docker.inspect_volume(volume)).await?.mountpoint;
    if place.is_empty() || place.contains([',', ':', '\\']) {
        return Err(failed(WHAT, format!("volume {volume} has no place that a mount's options can hold")));
    }
    Ok(place)
}
