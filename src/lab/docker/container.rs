//! One container as a host.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{Mount, MountType, MountVolumeOptions, NetworkSettings, PortBinding};
use bollard::query_parameters::UploadToContainerOptionsBuilder;
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use super::archive::Archive;
use super::clone::{CLONE_WHAT, STORED, copied};
use super::exec::{Attached, Inside, Run, Sink};
use super::{call, derived, engine, failed, has_volume, overlay, remove_container, remove_volume, says_disk_full};
use crate::engine::host::{Exec, ExecOutput, Host, HostError, Listen, StopMode};
use crate::engine::software::{BESIDE, Software};
use crate::lab::baseline::{Cloned, OVERLAY_BYTES_MIN};
use crate::lab::lease::Lease;
use crate::lab::native::last_lines;
use crate::lab::process::describe_signal;
use crate::lab::{Copied, CopyKind, LabError, LabHost, Place};

/// Everything of ours in a container lies here, on a volume: a server's writes do not go through the layers of an image, as in production.
pub(super) const FOLDER: &str = "/rehearsal";
const SCRIPT_DEADLINE: Duration = Duration::from_secs(60);
const START_DEADLINE: Duration = Duration::from_secs(120);
/// Of uploads and copies, which move whole databases.
pub(super) const BULK_DEADLINE: Duration = Duration::from_secs(3600);
/// Parallel queries share memory there; Docker's own 64 MiB are soon too little.
const SHARED_MEMORY_BYTES: u64 = 1 << 30;

/// The container's main process. Ends if nobody takes the leash within a minute: whoever made it was killed before they could.
const MAIN: &str = r#"
trap 'exit 0' TERM
sleep 60 & wait $!
[ -e "/tmp/leash-$1" ] || exit 1
while :; do sleep 86400 & wait $!; done
"#;

/// Holds the container: when its input ends without the word, so does the main process.
const LEASH: &str = r#"
: >"/tmp/leash-$1"
echo held
read -r word
[ "$word" = keep ] || kill -TERM 1
"#;

/// Finds the server's folder and account, and makes ours. Answers version, user, user id, group id and the paths of the programs in the
/// server's folder and beside it, a line each.
const PREPARE: &str = r#"
server=$1 user=$2 folder=$3 beside=$4; shift 4
id -u "$user" >/dev/null 2>&1 || user=nobody
found=
for place in "$@"; do [ -x "$place/$server" ] && { found=$place; break; }; done
[ -n "$found" ] || { path=$(command -v "$server") && found=$(dirname "$(readlink -f "$path")"); }
[ -n "$found" ] || { echo "no $server in it" >&2; exit 1; }
mkdir -p "$folder/s" && chown "$user" "$folder" "$folder/s" && chmod 700 "$folder" "$folder/s" || exit 1
"$found/$server" --version && echo "$user" && id -u "$user" && id -g "$user" || exit 1
for program in "$found"/*; do [ -f "$program" ] && echo "$program"; done
for place in $beside; do for program in "$found/$place"/*; do [ -f "$program" ] && echo "$program"; done; done
:
"#;

const START: &str = r#"echo $$ >"$0.pid"; exec "$@" >>"$0.log" 2>&1 </dev/null"#;

/// A container, and the server that runs in it.
pub struct DockerHost {
    software: Software,
    pub(super) inside: Inside,
    /// Its drop removes the container; none once that was done or is not wanted.
    container: Mutex<Option<ContainerAsync<GenericImage>>>,
    leash: tokio::sync::Mutex<Option<Attached>>,
    pub(super) image: String,
    lab: String,
    pub(super) labels: HashMap<String, String>,
    name: String,
    /// Of a host that began with a copy or an overlay; others have a volume without a name, which goes with the container.
    volumes: Vec<String>,
    /// How many copies of it were made: each has a volume of its own.
    copies: AtomicU32,
    /// For what it stores in a baseline.
    labels_of_baseline: HashMap<String, String>,
    cloned: Option<Cloned>,
    prepared: Prepared,
    /// The engine's name for the running server.
    server: tokio::sync::Mutex<Option<String>>,
    outlives: AtomicBool,
}

impl DockerHost {
    /// Starts a container, takes its leash, and prepares it for the server. An image that is being built for it is given up on `stop`.
    pub async fn create(
        lease: &Lease,
        name: &str,
        software: &Software,
        from: Option<Place>,
        stop: &CancellationToken,
    ) -> Result<DockerHost, LabError> {
        let docker = engine().await?;
        let image = derived::image_with(&docker, lease, name, software, stop).await?;
        let labels = owned(lease.labels());
        let name_of_container = container_name(lease.id(), name);
        let start = async |mounts| {
            let (name, port) = (name_of_container.clone(), Some(software.port));
            start_container(&docker, Wanted { image: &image, name, labels: &labels, port, mounts }).await
        };
        let mut volumes = Vec::new();
        let mut cloned = None;
        let (container, inside, leash) = match from {
            Some(Place::Volume(volume)) => {
                volumes.push(volume.clone());
                start(vec![mount(Some(volume), FOLDER, &labels)]).await?
            }
            Some(Place::StoredVolume(stored, bytes)) => {
                // The engine would make an empty one.
                if !has_volume(&docker, &stored).await? {
                    return Err(LabError::NotStored { what: format!("volume {stored}") });
                }
                let mut overlaid = None;
                if bytes >= OVERLAY_BYTES_MIN {
                    let started = async {
                        volumes = overlay::volume_of(&docker, &stored, &name_of_container, &labels).await?;
                        start(vec![mount(Some(name_of_container.clone()), FOLDER, &labels)]).await
                    };
                    overlaid = match started.await {
                        Ok(started) => Some(started),
                        Err(error) => {
                            tracing::debug!(%error, "no overlay; files are copied");
                            remove_container(&docker, &name_of_container).await?;
                            None
                        }
                    };
                }
                match overlaid {
                    Some(started) => {
                        cloned = Some(Cloned { kind: CopyKind::Overlay, bytes });
                        started
                    }
                    None => {
                        let there = mount(Some(stored), STORED, &labels);
                        let there = Mount { read_only: Some(true), ..there };
                        let started = start(vec![mount(None, FOLDER, &labels), there]).await?;
                        let (kind, bytes) = tokio::select! {
                            copied = copied(&started.1, CLONE_WHAT, STORED, FOLDER) => copied?,
                            () = stop.cancelled() => return Err(failed(CLONE_WHAT, "nobody wants it any more")),
                        };
                        cloned = Some(Cloned { kind, bytes });
                        started
                    }
                }
            }
            _ => start(vec![mount(None, FOLDER, &labels)]).await?,
        };
        let prepared = prepare(&inside, &image, software).await?;
        Ok(DockerHost {
            software: software.clone(),
            inside,
            container: Mutex::new(Some(container)),
            leash: tokio::sync::Mutex::new(Some(leash)),
            image,
            lab: lease.id().to_owned(),
            labels,
            labels_of_baseline: owned(lease.labels_of_baseline()),
            cloned,
            name: name.to_owned(),
            volumes,
            copies: AtomicU32::new(0),
            prepared,
            server: tokio::sync::Mutex::new(None),
            outlives: AtomicBool::new(false),
        })
    }

    async fn network(&self) -> Result<NetworkSettings, HostError> {
        let found = self.inside.docker.inspect_container(&self.inside.container, None).await;
        let found =
            found.map_err(|error| host_failed("could not ask for the container's address".to_owned(), error))?;
        Ok(found.network_settings.unwrap_or_default())
    }

    fn server_files(&self) -> String {
        format!("{FOLDER}/server")
    }

    async fn exit_of(&self, id: &str) -> Option<String> {
        match self.inside.exit_code(id).await {
            Ok(None) => None,
            Ok(Some(code)) if code > 128 => Some(describe_signal(i32::try_from(code - 128).unwrap_or(0))),
            Ok(Some(code)) => Some(format!("exit status: {code}")),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {
                Some("its container is gone".to_owned())
            }
            Err(error) => {
                tracing::debug!(%error, "could not ask about a server");
                None
            }
        }
    }

    /// Sends a signal to the server alone.
    async fn signal(&self, signal: &str) -> Result<(), HostError> {
        let pid_file = format!("{}.pid", self.server_files());
        self.inside.script(r#"kill -s "$1" "$(cat "$2")""#, &[signal, &pid_file], SCRIPT_DEADLINE).await.map(|_| ())
    }

    /// Uploads a tar archive into the folder `to`.
    async fn upload(&self, to: &str, archive: Archive) -> Result<(), HostError> {
        let (reader, writer) = tokio::io::duplex(256 * 1024);
        let ids = self.prepared.ids;
        let packing = tokio::spawn(archive.pack(writer, ids));
        let body = bollard::body_try_stream(ReaderStream::with_capacity(reader, 64 * 1024));
        let options = UploadToContainerOptionsBuilder::new().path(to).build();
        let docker = self.inside.docker.clone().with_timeout(BULK_DEADLINE);
        let what = || format!("could not copy to {to} in the container");
        let uploaded = docker.upload_to_container(&self.inside.container, Some(options), body).await;
        let packed = packing.await.map_err(std::io::Error::other).and_then(|packed| packed);
        // A failed upload breaks the pipe that is packed into, so its error is the cause.
        uploaded.map_err(|error| host_failed(what(), error))?;
        packed.map_err(|error| host_failed(what(), error))
    }
}

#[async_trait]
impl Host for DockerHost {
    async fn program(&self, name: &str) -> Result<String, HostError> {
        let is_it = |program: &&String| program.rsplit_once('/').is_some_and(|(_, file)| file == name);
        if let Some(program) = self.prepared.programs.iter().find(is_it) {
            return Ok(program.clone());
        }
        Err(HostError::NoProgram {
            program: name.to_owned(),
            engine: self.software.engine.name().to_owned(),
            version: self.software.version.clone(),
            hint: format!("image {} lacks it; use one with all of the server's programs", self.image),
        })
    }

    async fn exec_reading(
        &self,
        exec: &Exec,
        stdin: &mut (dyn AsyncRead + Send + Unpin),
        deadline: Duration,
    ) -> Result<ExecOutput, HostError> {
        let mut argv = vec![exec.program.as_str()];
        argv.extend(exec.args.iter().map(String::as_str));
        let env = [vec![("LANG".to_owned(), "C.UTF-8".to_owned())], exec.env.clone()].concat();
        let run = Run { user: &self.prepared.user, env: &env, argv };
        let mut stdout = Vec::new();
        let output = self.inside.run(&run, stdin, Sink::Memory(&mut stdout), deadline).await?;
        Ok(ExecOutput { stdout, ..output })
    }

    async fn start_server(&self, exec: &Exec) -> Result<(), HostError> {
        let mut server = self.server.lock().await;
        let files = self.server_files();
        let mut argv = vec!["sh", "-c", START, &files, &exec.program];
        argv.extend(exec.args.iter().map(String::as_str));
        let env = [vec![("LANG".to_owned(), "C.UTF-8".to_owned())], exec.env.clone()].concat();
        *server = Some(self.inside.detached(&self.prepared.user, &env, argv).await?);
        Ok(())
    }

    async fn stop_server(&self, mode: StopMode, deadline: Duration) -> Result<(), HostError> {
        let server = self.server.lock().await;
        let Some(id) = server.as_ref() else { return Ok(()) };
        if self.exit_of(id).await.is_some() {
            return Ok(());
        }
        self.signal(self.software.signals.of(mode).name()).await?;
        let ended = async {
            while self.exit_of(id).await.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(deadline, ended).await.is_err() {
            self.signal("KILL").await?;
            let last = self.log_tail(1).await.pop().unwrap_or_else(|| "nothing".to_owned());
            return Err(HostError::Deadline { what: "the server".to_owned(), deadline, last });
        }
        Ok(())
    }

    async fn server_exit(&self) -> Option<String> {
        let server = self.server.lock().await;
        self.exit_of(server.as_ref()?).await
    }

    async fn put(&self, local: &Path, path: &str) -> Result<(), HostError> {
        let (folder, name) = split(path);
        self.upload(folder, Archive::Local { from: local.to_owned(), name: name.to_owned() }).await
    }

    async fn write(&self, path: &str, content: &[u8]) -> Result<(), HostError> {
        let (folder, name) = split(path);
        self.upload(folder, Archive::Content { name: name.to_owned(), content: content.to_vec() }).await
    }

    async fn read_from(&self, path: &str, offset: u64) -> Result<Vec<u8>, HostError> {
        let from = format!("+{}", offset + 1);
        let run = Run { user: "0", env: &[], argv: vec!["tail", "-c", &from, path] };
        let mut content = Vec::new();
        let output = self.inside.run(&run, &mut tokio::io::empty(), Sink::Memory(&mut content), BULK_DEADLINE).await?;
        read_well(path, &output).map(|()| content)
    }

    async fn size(&self, path: &str) -> Result<u64, HostError> {
        let said = self.inside.script(r#"stat -c %s "$1""#, &[path], SCRIPT_DEADLINE).await?;
        number(&said, "a file's size")
    }

    async fn log_tail(&self, lines: usize) -> Vec<String> {
        let log = format!("{}.log", self.server_files());
        let said = self.inside.script(r#"tail -c 65536 "$1""#, &[&log], SCRIPT_DEADLINE).await;
        last_lines(said.unwrap_or_default().as_bytes(), lines)
    }

    fn folder(&self) -> String {
        FOLDER.to_owned()
    }

    fn listen(&self) -> Listen {
        Listen { address: "0.0.0.0".to_owned(), port: self.software.port, socket_dir: format!("{FOLDER}/s") }
    }

    async fn address(&self) -> Result<(String, u16), HostError> {
        let network = self.network().await?;
        network
            .ports
            .and_then(|mut ports| ports.remove(&format!("{}/tcp", self.software.port)).flatten())
            .and_then(|bindings| bindings.into_iter().find_map(|binding| binding.host_port?.parse().ok()))
            .map(|port| ("127.0.0.1".to_owned(), port))
            .ok_or_else(|| HostError::Failed { what: "the container publishes no port".to_owned(), source: None })
    }

    async fn peer_address(&self) -> Result<(String, u16), HostError> {
        let network = self.network().await?;
        let networks = network.networks.into_iter().flatten().map(|(_, network)| network);
        networks
            .filter_map(|network| network.ip_address)
            .find(|address| !address.is_empty())
            .map(|address| (address, self.software.port))
            .ok_or_else(|| HostError::Failed { what: "the container is on no network".to_owned(), source: None })
    }

    async fn free_bytes(&self) -> Result<u64, HostError> {
        let said = self.inside.script("stat -f -c '%a %S' \"$1\"", &[FOLDER], SCRIPT_DEADLINE).await?;
        let (blocks, size) = said.trim().split_once(' ').unwrap_or_default();
        Ok(number(blocks, "free blocks")?.saturating_mul(number(size, "the size of a block")?))
    }
}

#[async_trait]
impl LabHost for DockerHost {
    async fn fetch(&self, path: &str, local: &Path) -> Result<(), HostError> {
        let could_not = |error: std::io::Error| host_failed(format!("could not write {}", local.display()), error);
        let mut file = tokio::fs::File::create(local).await.map_err(could_not)?;
        let run = Run { user: "0", env: &[], argv: vec!["cat", path] };
        let output = self.inside.run(&run, &mut tokio::io::empty(), Sink::File(&mut file), BULK_DEADLINE).await?;
        read_well(path, &output)
    }

    async fn outlive(&self) -> Result<bool, HostError> {
        if let Some(mut leash) = self.leash.lock().await.take() {
            let let_go = async {
                leash.input.write_all(b"keep\n").await?;
                leash.input.flush().await?;
                while self.inside.exit_code(&leash.id).await.map_err(std::io::Error::other)?.is_none() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Ok::<_, std::io::Error>(())
            };
            let what = || "could not let go of the container".to_owned();
            match tokio::time::timeout(SCRIPT_DEADLINE, let_go).await {
                Ok(done) => done.map_err(|error| host_failed(what(), error))?,
                Err(error) => return Err(host_failed(what(), error)),
            }
        }
        self.outlives.store(true, Ordering::Relaxed);
        if let Some(container) = self.container.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Its drop would remove the container, and there is no other way to keep it from doing so.
            std::mem::forget(container);
        }
        Ok(false)
    }

    async fn copy(&self, _folder: &str, stop: &CancellationToken) -> Result<Copied, LabError> {
        let nth = self.copies.fetch_add(1, Ordering::Relaxed) + 1;
        let volume = container_name(&self.lab, &format!("{}-copy-{nth}", self.name));
        self.copied_to(volume, &self.labels, stop).await
    }

    async fn store(&self, _folder: &str, _to: &Path, stop: &CancellationToken) -> Result<Copied, LabError> {
        let volume = container_name(&self.lab, &format!("{}-baseline", self.name));
        self.copied_to(volume, &self.labels_of_baseline, stop).await
    }

    fn cloned(&self) -> Option<Cloned> {
        self.cloned
    }

    async fn destroy(&self) -> Result<(), LabError> {
        if let Some(container) = self.container.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Removed below, by a way that knows that it may be gone already.
            std::mem::forget(container);
        }
        remove_container(&self.inside.docker, &self.inside.container).await?;
        self.leash.lock().await.take();
        for volume in &self.volumes {
            remove_volume(&self.inside.docker, volume).await?;
        }
        Ok(())
    }
}

/// What a container has for us.
struct Prepared {
    /// Paths of the server's programs.
    programs: Vec<String>,
    user: String,
    ids: (u64, u64),
}

/// A container to be started.
pub(super) struct Wanted<'a> {
    pub image: &'a str,
    /// Also names the leash.
    pub name: String,
    pub labels: &'a HashMap<String, String>,
    /// Where its server will listen.
    pub port: Option<u16>,
    pub mounts: Vec<Mount>,
}

/// With its leash in our hands.
pub(super) async fn start_container(
    docker: &Docker,
    wanted: Wanted<'_>,
) -> Result<(ContainerAsync<GenericImage>, Inside, Attached), LabError> {
    let Wanted { image, name, labels, port, mounts } = wanted;
    let (repository, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
    let mut request = GenericImage::new(repository, tag).with_entrypoint("/bin/sh");
    if let Some(port) = port {
        request = request.with_exposed_port(port.tcp());
    }
    let request = request
        .with_cmd(["-c", MAIN, "sh", &name])
        .with_user("0")
        .with_container_name(&name)
        .with_labels(labels)
        .with_shm_size(SHARED_MEMORY_BYTES)
        .with_startup_timeout(START_DEADLINE)
        .with_host_config_modifier(move |host| {
            let loopback = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
            let published = port.map(|port| (format!("{port}/tcp"), Some(vec![loopback])));
            host.publish_all_ports = Some(false);
            host.port_bindings = Some(published.into_iter().collect());
            host.auto_remove = Some(true);
            host.mounts = Some(mounts.clone());
        });
    let container = request.start().await.map_err(|source| failed(&format!("start a container of {image}"), source))?;
    let inside = Inside { docker: docker.clone(), container: container.id().to_owned() };
    let leash = take_leash(&inside, &name).await?;
    Ok((container, inside, leash))
}

fn owned(labels: impl IntoIterator<Item = (&'static str, String)>) -> HashMap<String, String> {
    labels.into_iter().map(|(label, value)| (label.to_owned(), value)).collect()
}

/// A volume in a container, empty where it has no name: such a one goes when its container does.
pub(super) fn mount(volume: Option<String>, target: &str, labels: &HashMap<String, String>) -> Mount {
    Mount {
        target: Some(target.to_owned()),
        source: volume,
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            labels: Some(labels.clone()),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}

/// Of a container, or of a volume that outlives the one it was copied from.
fn container_name(lab: &str, name: &str) -> String {
    format!("rehearsal-{lab}-{name}")
}

async fn take_leash(inside: &Inside, container: &str) -> Result<Attached, LabError> {
    use futures::StreamExt;
    let what = "take the container's leash";
    let run = Run { user: "0", env: &[], argv: vec!["sh", "-c", LEASH, "sh", container] };
    let mut leash = call(what, inside.attached(&run)).await?;
    // Held once it said so.
    match tokio::time::timeout(SCRIPT_DEADLINE, leash.output.next()).await {
        Ok(Some(Ok(_))) => Ok(leash),
        Ok(Some(Err(source))) => Err(failed(what, source)),
        Ok(None) => Err(failed(what, "the container ended")),
        Err(_) => Err(LabError::Deadline { what: what.to_owned(), deadline: SCRIPT_DEADLINE }),
    }
}

async fn prepare(inside: &Inside, image: &str, software: &Software) -> Result<Prepared, LabError> {
    let bad = |found: String| LabError::BadImage {
        image: image.to_owned(),
        engine: software.engine.name(),
        version: software.version.clone(),
        found,
    };
    let places: Vec<String> =
        software.places.iter().map(|place| place.of(software.series()).to_string_lossy().into_owned()).collect();
    let beside = BESIDE.join(" ");
    let mut arguments = vec![software.server, software.user, FOLDER, &beside];
    arguments.extend(places.iter().map(String::as_str));
    let said = inside.script(PREPARE, &arguments, SCRIPT_DEADLINE).await.map_err(|error| bad(error.to_string()))?;
    let lines: Vec<&str> = said.lines().collect();
    let [version, user, uid, gid, ref programs @ ..] = lines[..] else { return Err(bad(said)) };
    match (software.parse_version)(version) {
        Some(found) if software.accepts(&found) => {}
        _ => return Err(bad(version.to_owned())),
    }
    Ok(Prepared {
        programs: programs.iter().map(|name| (*name).to_owned()).collect(),
        user: user.to_owned(),
        ids: (number(uid, "a user id")?, number(gid, "a group id")?),
    })
}

fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None => ("/", path),
    }
}

pub(super) fn number(text: &str, what: &str) -> Result<u64, HostError> {
    text.trim().parse().map_err(|error: std::num::ParseIntError| host_failed(format!("{text:?} is not {what}"), error))
}

fn read_well(path: &str, output: &ExecOutput) -> Result<(), HostError> {
    if output.status == 0 {
        return Ok(());
    }
    Err(HostError::Failed { what: format!("could not read {path}: {}", output.stderr.trim_end()), source: None })
}

fn host_failed(what: String, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> HostError {
    let source = source.into();
    if says_disk_full(&source.to_string()) {
        return HostError::DiskFull { at: what };
    }
    HostError::Failed { what, source: Some(source) }
}
