//! Baselines: the stopped clusters of whole topologies, kept below the base for later labs to begin with.
//!
//! One is a folder named after its key, moved there as a whole once it is complete. Natively it holds the clusters; those of containers lie
//! on volumes that it names. A lab that began with one says so in its own folder, so that nobody removes it under the lab.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::lease::{Base, remove_folder};
use super::{CopyKind, LabError, LabHandle, LabHost, LabKind, Place, blocking, docker, joined};

/// Below the base.
const FOLDER: &str = "cache";
/// What a baseline is, in its folder; there from the moment at which the folder has its name.
const MANIFEST: &str = "baseline.json";
/// In a baseline's folder: its time is when it was last used.
const USED: &str = "used";
/// In a baseline's folder: a server did not start from it. Whoever uses it keeps it, and nobody else begins with it.
const DAMAGED: &str = "damaged";
/// In a lab's folder: the key of the baseline that it uses.
pub(super) const USES: &str = "uses";
/// Ending of a folder that is being removed: keys have no dot.
const GONE: &str = ".gone";
/// In a lab's folder, while it makes one.
const DRAFT: &str = "_baseline";

/// Smaller clusters are copied: nothing of them is then copied while a plan is timed.
pub(super) const OVERLAY_BYTES_MIN: u64 = 256 << 20;

/// A node's cluster in a baseline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub bytes: u64,
    place: StoredPlace,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredPlace {
    /// In the baseline's folder.
    Folder(String),
    Volume(String),
}

/// A baseline that the lab uses: it stays as long as the lab does.
#[derive(Debug, Clone)]
pub struct Baseline {
    folder: PathBuf,
    pub manifest: Manifest,
}

/// What a baseline is. Readable by its owner alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the machine, when it was made: nothing waits until all of it is on the disk, so that it does not outlive this.
    boot: String,
    pub made: jiff::Timestamp,
    pub lab: LabKind,
    pub bytes: u64,
    /// For people: "postgres 15, 2 nodes, shop.sql".
    pub what: String,
    volumes: BTreeSet<String>,
    /// Whoever made it reads this again.
    pub content: serde_json::Value,
}

/// A baseline as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub key: String,
    /// None of one that cannot be read.
    pub manifest: Option<Manifest>,
    pub used: SystemTime,
    /// A lab began with it that is still there.
    pub in_use: bool,
    /// A run can begin with it: it is whole, and of this start of the machine.
    pub usable: bool,
}

impl Listed {
    pub fn bytes(&self) -> u64 {
        self.manifest.as_ref().map_or(0, |manifest| manifest.bytes)
    }
}

/// Which of the baselines that nobody uses are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    All,
    /// The longest unused, until all together take no more.
    ToBytes(u64),
    UnusedFor(Duration),
    /// Those that no run can begin with. They go with any others.
    Unusable,
}

/// One in the making. Nobody sees it before it is published, and what is not published goes with the lab.
pub struct Draft {
    lab: LabHandle,
    folder: PathBuf,
    volumes: BTreeSet<String>,
    bytes: u64,
}

impl LabHandle {
    /// The baseline of that key, if there is one. From now on the lab uses it.
    ///
    /// # Errors
    /// The base's folder cannot be read or written.
    pub async fn baseline(&self, key: &str) -> Result<Option<Baseline>, LabError> {
        let (lease, key) = (Arc::clone(&self.lease), key.to_owned());
        blocking(move || {
            let _lock = lease.base().lock()?;
            let folder = lease.base().path().join(FOLDER).join(&key);
            let Some(manifest) = usable(&folder) else { return Ok(None) };
            use_it(&folder, lease.folder(), &key)?;
            Ok(Some(Baseline { folder, manifest }))
        })
        .await
    }

    /// A baseline in the making.
    ///
    /// # Errors
    /// The lab's folder cannot be written to.
    pub async fn draft(&self) -> Result<Draft, LabError> {
        let folder = self.folder().join(DRAFT);
        let made = folder.clone();
        blocking(move || make_private(&made)).await?;
        Ok(Draft { lab: self.clone(), folder, volumes: BTreeSet::new(), bytes: 0 })
    }

    /// A host that begins with a clone of what a baseline holds.
    ///
    /// # Errors
    /// As [`LabHandle::host`]; or the baseline lacks it.
    pub async fn host_of(
        &self,
        name: &str,
        software: &crate::engine::software::Software,
        baseline: &Baseline,
        stored: &Stored,
    ) -> Result<Arc<dyn LabHost>, LabError> {
        let place = match &stored.place {
            StoredPlace::Folder(folder) => Place::Stored(baseline.folder.join(folder), stored.bytes),
            StoredPlace::Volume(volume) => Place::StoredVolume(volume.clone(), stored.bytes),
        };
        self.make(name, software, Some(place)).await
    }
}

impl Draft {
    /// Copies the data of a host, whose server must be stopped. It belongs to the baseline once it is added.
    ///
    /// # Errors
    /// The disk is full, or a file cannot be read.
    pub async fn store(&self, host: &Arc<dyn LabHost>, node: &str, data: &str) -> Result<(CopyKind, Stored), LabError> {
        let (host, data, node, to) = (Arc::clone(host), data.to_owned(), node.to_owned(), self.folder.join(node));
        // Whoever stops waiting for it does not want it.
        let stop = CancellationToken::new();
        let _unwanted = stop.clone().drop_guard();
        let copied = joined(self.lab.work.spawn(async move { host.store(&data, &to, &stop).await })).await?;
        let place = match copied.place {
            Place::Volume(volume) => StoredPlace::Volume(volume),
            _ => StoredPlace::Folder(node),
        };
        Ok((copied.kind, Stored { bytes: copied.bytes, place }))
    }

    pub fn add(&mut self, stored: Stored) -> Stored {
        if let StoredPlace::Volume(volume) = &stored.place {
            self.volumes.insert(volume.clone());
        }
        self.bytes += stored.bytes;
        stored
    }

    /// Makes it the baseline of that key, and the lab uses it. Where somebody else was quicker, theirs stays and the lab keeps this one for
    /// itself.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn publish(self, key: &str, what: String, content: serde_json::Value) -> Result<Baseline, LabError> {
        let (made, lab) = (jiff::Timestamp::now(), self.lab.kind);
        let manifest = Manifest { boot: boot(), made, lab, bytes: self.bytes, what, volumes: self.volumes, content };
        let (lease, draft, key) = (Arc::clone(&self.lab.lease), self.folder, key.to_owned());
        // The lab's end waits for it, and takes nothing away that has just become the baseline's.
        let publishing = self.lab.work.spawn_blocking(move || {
            write(&draft, &manifest)?;
            let _lock = lease.base().lock()?;
            let cache = lease.base().path().join(FOLDER);
            make_private(&cache)?;
            let folder = cache.join(&key);
            if usable(&folder).is_some() || used(lease.base())?.contains(&key) {
                return Ok(Baseline { folder: draft, manifest });
            }
            // Of no use to anybody. Its volumes are nobody's then, and are reaped.
            take(&folder, &lease.folder().join(format!("{key}{GONE}")))?;
            fs::rename(&draft, &folder).map_err(|source| could_not("make", &folder, source))?;
            use_it(&folder, lease.folder(), &key)?;
            Ok(Baseline { folder, manifest })
        });
        joined(publishing).await
    }
}

/// Whether there is one of that key, made since the machine was started. Somebody may remove it at any time.
pub fn has(base: &Base, key: &str) -> bool {
    usable(&base.path().join(FOLDER).join(key)).is_some()
}

/// Nobody begins with a baseline any more of which something is missing. It goes once no lab uses it.
///
/// # Errors
/// The base's folder cannot be written to.
pub async fn condemn(base: &Base, key: &str) -> Result<(), LabError> {
    let (here, key) = (base.clone(), key.to_owned());
    blocking(move || {
        let _lock = here.lock()?;
        let folder = here.path().join(FOLDER).join(&key);
        match File::create(folder.join(DAMAGED)) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(could_not("mark", &folder, source)),
            _ => Ok(()),
        }
    })
    .await?;
    prune(base, Prune::Unusable).await.map(drop)
}

/// All baselines of this base, the last used first.
///
/// # Errors
/// The folder cannot be read.
pub async fn list(base: &Base) -> Result<Vec<Listed>, LabError> {
    let base = base.clone();
    blocking(move || {
        let _lock = base.lock()?;
        listed(&base)
    })
    .await
}

/// Removes baselines that no lab uses. Gives those that are gone.
///
/// # Errors
/// One could not be removed.
pub async fn prune(base: &Base, which: Prune) -> Result<Vec<Listed>, LabError> {
    let here = base.clone();
    let (pruned, volumes) = blocking(move || {
        let cache = here.path().join(FOLDER);
        let (mut pruned, mut volumes) = (Vec::new(), BTreeSet::new());
        let lock = here.lock()?;
        for baseline in chosen(listed(&here)?, which) {
            // Another of that key may still be on its way out.
            let gone = cache.join(format!("{}.{:08x}{GONE}", baseline.key, rand::random::<u32>()));
            volumes.extend(take(&cache.join(&baseline.key), &gone)?);
            pruned.push(baseline);
        }
        drop(lock);
        clear(&here);
        Ok((pruned, volumes))
    })
    .await?;
    if let Err(error) = remove_volumes(&volumes).await {
        // Nothing names them any more, so that whoever reaps next tries again.
        tracing::warn!(%error, "volumes of baselines that are gone could not be removed");
    }
    Ok(pruned)
}

/// Removes what somebody was removing who was killed meanwhile. What cannot be removed is logged and tried again by the next.
pub(super) fn clear(base: &Base) {
    let entries = fs::read_dir(base.path().join(FOLDER)).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(GONE)) {
        if let Err(error) = remove_folder(&entry.path()) {
            tracing::warn!(%error, "a baseline that is gone could not be removed");
        }
    }
}

/// Volumes that baselines of this base name.
pub(super) fn volumes(base: &Base) -> BTreeSet<String> {
    let manifests = keys(&base.path().join(FOLDER)).into_values().filter_map(|folder| read(&folder));
    manifests.flat_map(|manifest| manifest.volumes).collect()
}

/// Of these, the last used first, those that are to go.
fn chosen(listed: Vec<Listed>, which: Prune) -> Vec<Listed> {
    let (mut kept_bytes, mut full) = (0, false);
    let goes = move |baseline: &Listed| {
        let goes = match which {
            Prune::All => true,
            Prune::ToBytes(most) => {
                full |= kept_bytes + baseline.bytes() > most;
                full
            }
            Prune::UnusedFor(time) => baseline.used.elapsed().is_ok_and(|unused| unused >= time),
            Prune::Unusable => false,
        };
        let goes = (goes || !baseline.usable) && !baseline.in_use;
        if !goes {
            kept_bytes += baseline.bytes();
        }
        goes
    };
    listed.into_iter().filter(goes).collect()
}

/// The caller holds the base's lock.
fn listed(base: &Base) -> Result<Vec<Listed>, LabError> {
    let used = used(base)?;
    let mut listed: Vec<Listed> = keys(&base.path().join(FOLDER))
        .into_iter()
        .map(|(key, folder)| {
            let time = fs::metadata(folder.join(USED)).and_then(|found| found.modified());
            let in_use = used.contains(&key);
            let (used, usable) = (time.unwrap_or(SystemTime::UNIX_EPOCH), usable(&folder).is_some());
            Listed { key, manifest: read(&folder), used, in_use, usable }
        })
        .collect();
    listed.sort_by_key(|baseline| std::cmp::Reverse(baseline.used));
    Ok(listed)
}

/// Keys of the baselines that labs began with. The caller holds the base's lock.
fn used(base: &Base) -> Result<BTreeSet<String>, LabError> {
    Ok(base.folders()?.iter().filter_map(|lab| fs::read_to_string(lab.join(USES)).ok()).collect())
}

/// Of one that a run can begin with.
fn usable(folder: &Path) -> Option<Manifest> {
    read(folder).filter(|manifest| manifest.boot == boot() && !folder.join(DAMAGED).exists())
}

fn keys(cache: &Path) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let named = folders.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    named.filter(|(key, _)| !key.ends_with(GONE)).collect()
}

fn read(folder: &Path) -> Option<Manifest> {
    serde_json::from_slice(&fs::read(folder.join(MANIFEST)).ok()?).ok()
}

fn write(folder: &Path, manifest: &Manifest) -> Result<(), LabError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.join(MANIFEST);
    let written = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(&serde_json::to_vec(manifest)?)?;
        File::create(folder.join(USED)).map(drop)
    };
    written().map_err(|source: std::io::Error| could_not("write", &path, source))
}

/// Another each time that the machine is started; empty where nobody tells.
fn boot() -> String {
    let told = fs::read_to_string("/proc/sys/kernel/random/boot_id").or_else(|_| {
        let asked = std::process::Command::new("sysctl").args(["-n", "kern.boottime"]).output()?;
        String::from_utf8(asked.stdout).map_err(std::io::Error::other)
    });
    told.unwrap_or_default().trim().to_owned()
}

/// The caller holds the base's lock.
fn use_it(baseline: &Path, lab: &Path, key: &str) -> Result<(), LabError> {
    let uses = lab.join(USES);
    fs::write(&uses, key).map_err(|source| could_not("write", &uses, source))?;
    let touched = File::create(baseline.join(USED)).and_then(|file| file.set_modified(SystemTime::now()));
    touched.map_err(|source| could_not("use", baseline, source))
}

/// Takes a baseline's name away: it is `gone`, and no baseline any more. Gives its volumes. The caller holds the base's lock.
fn take(folder: &Path, gone: &Path) -> Result<BTreeSet<String>, LabError> {
    let volumes = read(folder).map(|manifest| manifest.volumes).unwrap_or_default();
    match fs::rename(folder, gone) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(could_not("remove", folder, source)),
        _ => Ok(volumes),
    }
}

async fn remove_volumes(volumes: &BTreeSet<String>) -> Result<(), LabError> {
    if volumes.is_empty() { Ok(()) } else { docker::remove_volumes(volumes).await }
}

/// Only who cloned from it reads it, as the user of the program.
fn make_private(folder: &Path) -> Result<(), LabError> {
    use std::os::unix::fs::DirBuilderExt;
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => Err(could_not("make", folder, source)),
        _ => Ok(()),
    }
}

fn could_not(what: &str, path: &Path, source: std::io::Error) -> LabError {
    LabError::io(format!("{what} {}", path.display()), source)
}

/// How a lab made a clone: of the kinds of [`CopyKind`], with the bytes that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cloned {
    pub kind: CopyKind,
    pub bytes: u64,
}

#[cfg(test)]
mod tests;
