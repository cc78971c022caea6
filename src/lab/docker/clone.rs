//! What a container has on its volume, copied to another: the state before a plan, a baseline, a clone of one.

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use super::container::{BULK_DEADLINE, DockerHost, FOLDER, Wanted, mount, number, start_container};
use super::exec::Inside;
use super::{call, create_volume, failed, remove_container, remove_volume};
use crate::lab::{Copied, CopyKind, LabError, Place};

/// Where a copy is made, in a container that is there for that alone.
const COPY: &str = "/rehearsal-copy";
const COPY_WHAT: &str = "keep the state of a container";
/// Where a container has the baseline that it begins with.
pub(super) const STORED: &str = "/rehearsal-baseline";
pub(super) const CLONE_WHAT: &str = "clone a baseline";
/// What is of a server's life and not of its data; below [`FOLDER`].
const OF_LIFE: &str = "log server.log server.pid";

/// Copies one folder into another, but for what is of a server's life, blocks shared where their file system can. Answers how, and the size
/// in KiB.
const COPYING: &str = r#"
from=$1 to=$2 without=$3 how=reflink
file=$(find "$from" -type f -size +0 -print -quit)
cp --reflink=always "$file" "$to/.block" 2>/dev/null || how=files
rm -f "$to/.block"
case $how in
reflink) cp -a --reflink=always "$from/." "$to" ;;
files) cp -a "$from/." "$to" ;;
esac || exit 1
for each in $without; do rm -rf "${to:?}/$each" || exit 1; done
echo $how && du -sk "$to" | cut -f1
"#;

impl DockerHost {
    /// To a new volume, with these labels, which is gone again where it fails.
    pub(super) async fn copied_to(
        &self,
        volume: String,
        labels: &HashMap<String, String>,
        stop: &CancellationToken,
    ) -> Result<Copied, LabError> {
        let docker = &self.inside.docker;
        create_volume(docker, &volume, labels).await?;
        let copied = tokio::select! {
            copied = self.copy_to(&volume) => copied,
            () = stop.cancelled() => Err(failed(COPY_WHAT, "nobody wants it any more")),
        };
        if copied.is_err() {
            let cleared = async {
                remove_container(docker, &volume).await?;
                remove_volume(docker, &volume).await
            };
            // Why there is no copy says more; the lab's end clears away what is left.
            if let Err(error) = cleared.await {
                tracing::warn!(%error, volume, "could not clear away a copy");
            }
        }
        let (kind, bytes) = copied?;
        Ok(Copied { kind, bytes, place: Place::Volume(volume) })
    }

    /// In a container of its own, which has both volumes: what runs can be given no other. How it was copied, and its bytes.
    async fn copy_to(&self, volume: &str) -> Result<(CopyKind, u64), LabError> {
        let inspected = call(COPY_WHAT, self.inside.docker.inspect_container(&self.inside.container, None)).await?;
        let ours = inspected.mounts.into_iter().flatten().find(|mount| mount.destination.as_deref() == Some(FOLDER));
        let ours = ours.and_then(|mount| mount.name).ok_or_else(|| failed(COPY_WHAT, "its volume has no name"))?;
        let wanted = Wanted {
            image: &self.image,
            name: volume.to_owned(),
            labels: &self.labels,
            port: None,
            mounts: vec![mount(Some(ours), FOLDER, &self.labels), mount(Some(volume.to_owned()), COPY, &self.labels)],
        };
        let (container, inside, _leash) = start_container(&self.inside.docker, wanted).await?;
        let copied = copied(&inside, COPY_WHAT, FOLDER, COPY).await;
        // Removed below, by a way that waits until it is gone.
        std::mem::forget(container);
        remove_container(&inside.docker, &inside.container).await?;
        copied
    }
}

/// Copies a folder of a container into another. How, and its bytes.
pub(super) async fn copied(inside: &Inside, what: &str, from: &str, to: &str) -> Result<(CopyKind, u64), LabError> {
    let said = inside.script(COPYING, &[from, to, OF_LIFE], BULK_DEADLINE).await;
    let said = said.map_err(|error| failed(what, error))?;
    let (how, kilobytes) = said.trim().split_once('\n').unwrap_or_default();
    let kind = if how == "reflink" { CopyKind::Reflink } else { CopyKind::Files };
    Ok((kind, number(kilobytes, "a folder's size")?.saturating_mul(1024)))
}
