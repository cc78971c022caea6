//! Images made from others, with packages added: built once, and found again by a name that tells what is in them.
//!
//! They stay, as those do that they are made from: nothing of a lab's is in them, and only whoever wants the disk removes them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    BuildImageOptionsBuilder, ContainerArchiveInfoOptionsBuilder, ListContainersOptionsBuilder,
};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{call, failed, image_for, remove_container};
use crate::engine::software::{Package, Part, Software};
use crate::lab::lease::Lease;
use crate::lab::{LabError, NotAdded, Outfit, within};

/// The label of every such image: what it is made from.
const LABEL: &str = "rehearsal.derived";
const PACKAGES_LABEL: &str = "rehearsal.packages";

/// Raised when [`INSTALL`] changes, so that what an older one made is not found any more.
const RECIPE: u32 = 1;

/// A package manager that says nothing for this long has no network.
const SILENCE_DEADLINE: Duration = Duration::from_secs(300);
const BUILD_DEADLINE: Duration = Duration::from_secs(3600);
/// For the engine to end what it was building.
const ABANDON_DEADLINE: Duration = Duration::from_secs(20);
const LINES_KEPT: usize = 12;

/// Before the lines in which [`INSTALL`] says what it begins.
const MARK: &str = "rehearsal: ";

/// With which the engine begins a line of its own about a container that it is done with.
const ENGINE_LINE: &str = "Removing intermediate container ";

/// Installs the packages before "--", then for each part behind it (its package, its name, its files, ":" between them) the package,
/// unless one of the files is there by then. Services are kept from starting, as in every build of an image.
const INSTALL: &str = r#"
exec 2>&1
mark="rehearsal: "
say() { echo "$mark$1"; }
say "apt-get update"
command -v apt-get || { echo "there is no apt-get in it"; exit 3; }
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
[ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made=$policy; }
apt-get -q -o APT::Update::Error-Mode=any update || exit
add() {
    say "apt-get install $*"
    apt-get -q -y -o Dpkg::Options::=--force-confold install --no-install-recommends "$@" || exit
}
there() { IFS=:; for file in $1; do [ -e "$file" ] && return; done; return 1; }
packages=
while [ "$1" != -- ]; do packages="$packages $1"; shift; done
shift
[ -z "$packages" ] || add $packages
while [ $# -gt 0 ]; do
    if ! (there "$3"); then
        (add "$1") || exit
        (there "$3") || { echo "$1 does not bring $2"; exit 4; }
    fi
    shift 3
done
say "apt-get clean"
[ -z "$made" ] || rm -f "$made"
apt-get clean && rm -rf /var/lib/apt/lists/*
"#;

/// What the image for a server has of what it is to have beside it, and what would be built. Builds nothing.
///
/// # Errors
/// No image is here and none could be pulled, or the engine does not say.
pub async fn outfit(lease: &Lease, software: &Software) -> Result<Outfit, LabError> {
    let docker = super::engine().await?;
    let base = image_for(software).await?;
    let Some(wish) = wish(&docker, lease, &base, software).await? else { return Ok(Outfit::Whole) };
    if is_here(&docker, &wish.image).await? {
        return Ok(Outfit::Whole);
    }
    let likely = wish.parts.iter().map(|part| part.package.clone());
    let packages = wish.packages.iter().cloned().chain(likely).collect();
    Ok(Outfit::ToBuild { base, packages })
}

/// The image for a server, with all that it is to have beside it. Built where it is not here yet; of the runs that want it at the same
/// time, the first builds it.
///
/// # Errors
/// [`LabError::NotAdded`] where a package manager refuses, [`LabError::BuildStopped`] on `stop`: nothing is left of the build then.
pub async fn image_with(
    docker: &Docker,
    lease: &Lease,
    node: &str,
    software: &Software,
    stop: &CancellationToken,
) -> Result<String, LabError> {
    let base = image_for(software).await?;
    let Some(wish) = wish(docker, lease, &base, software).await? else { return Ok(base) };
    if is_here(docker, &wish.image).await? {
        return Ok(wish.image);
    }
    let _alone = tokio::select! {
        alone = lease.lock_images() => alone?,
        () = stop.cancelled() => return Err(LabError::BuildStopped),
    };
    if !is_here(docker, &wish.image).await? {
        wish.build(docker, node, stop).await?;
    }
    Ok(wish.image)
}

/// An image to be made.
struct Wish {
    /// Its name.
    image: String,
    /// What it is made from, by name and by id.
    base: String,
    base_id: String,
    /// Sorted.
    packages: Vec<Package>,
    /// Those that the base lacks, sorted.
    parts: Vec<Part>,
}

/// None where the base has all.
async fn wish(docker: &Docker, lease: &Lease, base: &str, software: &Software) -> Result<Option<Wish>, LabError> {
    if software.packages.is_empty() && software.parts.is_empty() {
        return Ok(None);
    }
    let found = call("look at an image", docker.inspect_image(base)).await?;
    let base_id = found.id.unwrap_or_else(|| base.to_owned());
    let mut parts = lacking(docker, lease, &base_id, &software.parts).await?;
    parts.sort_by(|one, other| one.package.cmp(&other.package));
    let mut packages = software.packages.clone();
    packages.sort();
    if packages.is_empty() && parts.is_empty() {
        return Ok(None);
    }
    let image = image_name(software, &base_id, &packages, &parts);
    Ok(Some(Wish { image, base: base.to_owned(), base_id, packages, parts }))
}

/// Of these parts, those that an image has not. Looked for in a container that is never started.
async fn lacking(docker: &Docker, lease: &Lease, image: &str, parts: &[Part]) -> Result<Vec<Part>, LabError> {
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let what = "look into an image";
    let labels = lease.labels().map(|(name, value)| (name.to_owned(), value));
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec!["/bin/true".to_owned()]),
        labels: Some(labels.into()),
        ..ContainerCreateBody::default()
    };
    let container = call(what, docker.create_container(None, body)).await?.id;
    let mut lacking = Vec::new();
    let mut looked = Ok(());
    for part in parts {
        match call(what, has_any(docker, &container, &part.files)).await {
            Ok(true) => {}
            Ok(false) => lacking.push(part.clone()),
            Err(error) => {
                looked = Err(error);
                break;
            }
        }
    }
    remove_container(docker, &container).await?;
    looked.map(|()| lacking)
}

async fn has_any(docker: &Docker, container: &str, files: &[String]) -> Result<bool, Error> {
    for file in files {
        let options = ContainerArchiveInfoOptionsBuilder::new().path(file).build();
        match docker.get_container_archive_info(container, Some(options)).await {
            Ok(_) => return Ok(true),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

async fn is_here(docker: &Docker, image: &str) -> Result<bool, LabError> {
    call("look for an image", async {
        match docker.inspect_image(image).await {
            Ok(_) => Ok(true),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    })
    .await
}

/// "rehearsal/derived:postgres-17-0123456789abcdef". Another base, other packages or another recipe are another image.
fn image_name(software: &Software, base_id: &str, packages: &[Package], parts: &[Part]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{RECIPE}\n{base_id}\n"));
    for package in packages {
        hash.update(format!("package {package}\n"));
    }
    for Part { name, package, .. } in parts {
        hash.update(format!("{name} {package}\n"));
    }
    let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("rehearsal/derived:{}-{}-{hash}", software.engine.name(), software.version)
}

impl Wish {
    async fn build(&self, docker: &Docker, node: &str, stop: &CancellationToken) -> Result<(), LabError> {
        let what = self.what();
        tracing::info!(image = self.image, base = self.base, adding = what, "building an image");
        let (mut said, mut command) = (VecDeque::new(), "apt-get update".to_owned());
        let built = tokio::select! {
            built = self.stream(docker, &mut said, &mut command) => built,
            () = stop.cancelled() => Err(LabError::BuildStopped),
        };
        let error = match built {
            Ok(true) => return Ok(()),
            Ok(false) => self.not_added(node, command, said.into()),
            Err(error) => error,
        };
        // The engine ends a build that nobody listens to, and may not be done with that.
        if let Err(error) = self.abandon(docker).await {
            tracing::warn!(%error, image = self.image, "could not clear away a build");
        }
        Err(error)
    }

    /// Whether it was built; else its last lines and the command that failed are left in `said` and `command`.
    async fn stream(
        &self,
        docker: &Docker,
        said: &mut VecDeque<String>,
        command: &mut String,
    ) -> Result<bool, LabError> {
        let what = "build an image";
        let body = bollard::body_full(self.context().await?.into());
        let labels = HashMap::from([(LABEL, self.base.clone()), (PACKAGES_LABEL, self.list())]);
        let options = BuildImageOptionsBuilder::new()
            .t(&self.image)
            .labels(&labels)
            .networkmode("host")
            .rm(true)
            .forcerm(true)
            .nocache(true)
            .build();
        let docker = docker.clone().with_timeout(BUILD_DEADLINE);
        let mut output = std::pin::pin!(docker.build_image(options, None, Some(body)));
        let end = Instant::now() + BUILD_DEADLINE;
        let mut rest = String::new();
        loop {
            let (until, deadline) = deadline(Instant::now(), end);
            let piece = match tokio::time::timeout_at(until, output.next()).await {
                Ok(None) => return is_here(&docker, &self.image).await,
                Ok(Some(Ok(info))) => info.stream.unwrap_or_default(),
                // Of a command that failed: what it said of it stands before.
                Ok(Some(Err(Error::DockerStreamError { error }))) if error.contains("returned a non-zero code") => {
                    return Ok(false);
                }
                Ok(Some(Err(source))) => return Err(failed(what, source)),
                Err(_) => return Err(LabError::Deadline { what: format!("{command} in an image"), deadline }),
            };
            rest.push_str(&piece);
            while let Some(at) = rest.find('\n') {
                let line: String = rest.drain(..=at).collect();
                note(line.trim_end(), said, command);
            }
        }
    }

    /// A tar archive with a Dockerfile. One command, so that one that fails leaves no image of the steps before it.
    async fn context(&self) -> Result<Vec<u8>, LabError> {
        let mut words = vec!["/bin/sh".to_owned(), "-c".to_owned(), INSTALL.to_owned(), self.image.clone()];
        words.extend(self.packages.iter().map(Package::to_string));
        words.push("--".to_owned());
        for Part { name, files, package } in &self.parts {
            words.extend([package.to_string(), name.clone(), files.join(":")]);
        }
        let run = serde_json::Value::from(words);
        let dockerfile = format!("FROM {}\nRUN {run}\n", self.base_id);
        let packed = async {
            let mut builder = tokio_tar::Builder::new(Vec::new());
            let mut header = tokio_tar::Header::new_gnu();
            header.set_size(dockerfile.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, "Dockerfile", dockerfile.as_bytes()).await?;
            builder.into_inner().await
        };
        packed.await.map_err(|source| LabError::io("pack a Dockerfile", source))
    }

    /// Until no container is left in which this image was being built.
    async fn abandon(&self, docker: &Docker) -> Result<(), LabError> {
        within("the end of a build", ABANDON_DEADLINE, async {
            loop {
                let left = self.building(docker).await?;
                for container in &left {
                    remove_container(docker, container).await?;
                }
                if left.is_empty() {
                    return Ok(());
                }
            }
        })
        .await
    }

    async fn building(&self, docker: &Docker) -> Result<Vec<String>, LabError> {
        let filters = HashMap::from([("ancestor", vec![self.base_id.as_str()])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let found = call("list containers", docker.list_containers(Some(options))).await?;
        let ours = |container: &bollard::models::ContainerSummary| {
            container.command.as_ref().is_some_and(|command| command.contains(&self.image))
        };
        Ok(found.into_iter().filter(ours).filter_map(|container| container.id).collect())
    }

    fn not_added(&self, node: &str, command: String, said: Vec<String>) -> LabError {
        let part = self.parts.iter().find(|part| command == format!("apt-get install {}", part.package));
        let (what, hint) = match part {
            Some(part) => (
                part.name.clone(),
                format!("name the package that brings it: packages = [\"…\"] in [topology.nodes.{node}]"),
            ),
            None if command == "apt-get update" => {
                (self.what(), format!("see that containers reach the package sources of {}", self.base))
            }
            None => (self.what(), format!("see which packages there are for {}, and in which versions", self.base)),
        };
        let (node, base) = (node.to_owned(), self.base.clone());
        LabError::NotAdded(Box::new(NotAdded { node, what, base, command, said, hint }))
    }

    /// "extension unit", "packages a, b".
    fn what(&self) -> String {
        let packages = self.packages.iter().map(|package| format!("package {package}"));
        packages.chain(self.parts.iter().map(|part| part.name.clone())).collect::<Vec<_>>().join(", ")
    }

    fn list(&self) -> String {
        let parts = self.parts.iter().map(|part| part.package.to_string());
        self.packages.iter().map(Package::to_string).chain(parts).collect::<Vec<_>>().join(" ")
    }
}

/// Until when the next piece of a build's output is waited for, and what has passed then.
fn deadline(now: Instant, end: Instant) -> (Instant, Duration) {
    let silent = now + SILENCE_DEADLINE;
    if silent < end { (silent, SILENCE_DEADLINE) } else { (end, BUILD_DEADLINE) }
}

/// A line of a build: what it begins, or one of its last.
fn note(line: &str, said: &mut VecDeque<String>, command: &mut String) {
    if let Some(begun) = line.strip_prefix(MARK) {
        begun.clone_into(command);
        said.clear();
    } else if !line.is_empty() && !line.starts_with(ENGINE_LINE) {
        if said.len() == LINES_KEPT {
            said.pop_front();
        }
        said.push_back(line.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_after_what_is_in_it() {
        let software = crate::engine::server::software(crate::engine::EngineKind::Postgres, "17");
        let package = |text: &str| Package::parse(text).expect("a package");
        let part = |name: &str, of: &str| Part { name: name.to_owned(), files: Vec::new(), package: package(of) };
        let name = |base: &str, packages: &[Package], parts: &[Part]| image_name(&software, base, packages, parts);
        let one = name("sha256:a", &[package("x1"), package("x2")], &[]);
        assert!(one.starts_with("rehearsal/derived:postgres-17-"), "{one}");
        assert_eq!(one, name("sha256:a", &[package("x1"), package("x2")], &[]));
        let others = [
            name("sha256:b", &[package("x1"), package("x2")], &[]),
            name("sha256:a", &[package("x1")], &[]),
            name("sha256:a", &[package("x1=1"), package("x2")], &[]),
            name("sha256:a", &[package("x1")], &[part("extension x2", "x2")]),
        ];
        for (index, other) in others.iter().enumerate() {
            assert!(*other != one && !others[..index].contains(other), "{others:?}");
        }
    }

    #[test]
    fn the_deadline_that_passed_is_told() {
        let now = Instant::now();
        let end = |left: Duration| now + left;
        assert_eq!(deadline(now, end(BUILD_DEADLINE)), (now + SILENCE_DEADLINE, SILENCE_DEADLINE));
        assert_eq!(deadline(now, end(SILENCE_DEADLINE / 2)), (now + SILENCE_DEADLINE / 2, BUILD_DEADLINE));
    }

    #[test]
    fn the_last_lines_are_those_of_the_command_that_failed() {
        let (mut said, mut command) = (VecDeque::new(), String::new());
        for line in [
            "rehearsal: apt-get update",
            "Hit:1",
            "",
            "rehearsal: apt-get install x1",
            "E: Unable to locate package x1",
        ] {
            note(line, &mut said, &mut command);
        }
        assert_eq!(
            (command.as_str(), said),
            ("apt-get install x1", VecDeque::from(["E: Unable to locate package x1".to_owned()]))
        );
    }
}
