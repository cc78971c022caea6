//! The folder that holds labs, and the leases in it: a lab is alive as long as its lease file is locked.
//!
//! A lock tells more than a process id: it is freed by the kernel whichever way its holder ends, and means the same in every
//! namespace that sees the folder.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::Access;
use serde::{Deserialize, Serialize};

use super::native::overlay;
use super::{LabError, LabKind};
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;

/// The environment variable that names the base folder.
pub const VARIABLE: &str = "REHEARSAL_LAB_DIR";

const LEASE: &str = "lease";
const LOCK_DEADLINE: Duration = Duration::from_secs(10);

const NOT_OWN: &str = "it is not a folder of this user's own";

/// Longest path of a Unix socket on every system, less the longest name that a lab puts behind the base.
const BASE_LENGTH_MAX: usize = 103 - "/xxxxxxxx/s99/.s.PGSQL.65535".len();

/// The folder under which all labs of a user lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    path: PathBuf,
    /// Random; stands in the labels of containers, which outlive this folder's view of the machine.
    id: String,
}

impl Base {
    /// The base of this user: `REHEARSAL_LAB_DIR`, or a folder of this user's own under the system's temporary one.
    ///
    /// # Errors
    /// It cannot be made, belongs to somebody else, or its path is too long for a socket.
    pub fn open() -> Result<Base, LabError> {
        Base::at(&configured())
    }

    /// As [`Base::open`], at a given path.
    ///
    /// # Errors
    /// As there.
    pub fn at(path: &Path) -> Result<Base, LabError> {
        let path = short_enough(path)?;
        let bad = |why: String| LabError::BadBase { path: path.clone(), why };
        if let Err(source) = DirBuilder::new().mode(0o711).create(&path)
            && source.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(bad(source.to_string()));
        }
        let found = fs::symlink_metadata(&path).map_err(|source| bad(source.to_string()))?;
        if !is_own_folder(&found) {
            return Err(bad(NOT_OWN.to_owned()));
        }
        // Servers run as another user, who must be able to pass through whatever the umask.
        if found.mode() & 0o111 != 0o111 {
            fs::set_permissions(&path, Permissions::from_mode(found.mode() | 0o111))
                .map_err(|source| bad(source.to_string()))?;
        }
        let mut base = Base { path, id: String::new() };
        let _lock = base.lock()?;
        base.id = base.read_or_make_id()?;
        Ok(base)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the folder lies in memory, as the system's temporary one often does: nothing there waits for a disk.
    pub fn is_in_memory(&self) -> bool {
        is_in_memory(&self.path)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Every lab under this base, oldest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<Vec<LabInfo>, LabError> {
        let _lock = self.lock()?;
        let mut labs: Vec<LabInfo> = self.folders()?.iter().map(|folder| Examined::of(folder).info).collect();
        labs.sort_by_key(|lab| lab.lease.as_ref().map(|lease| lease.started));
        Ok(labs)
    }

    /// Held while a lab is being made and while others are looked at, so that nobody sees half a lab.
    pub(super) fn lock(&self) -> Result<File, LabError> {
        let path = self.path.join("lock");
        let io = |source| LabError::io(format!("lock {}", path.display()), source);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(io)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(source)) => return Err(io(source)),
                Err(TryLockError::WouldBlock) if began.elapsed() > LOCK_DEADLINE => {
                    return Err(LabError::Deadline {
                        what: format!("the lock {}", path.display()),
                        deadline: LOCK_DEADLINE,
                    });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// The labs' folders; the caller holds the lock.
    pub(super) fn folders(&self) -> Result<Vec<PathBuf>, LabError> {
        let io = |source| LabError::io(format!("read {}", self.path.display()), source);
        let mut folders = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_type().map_err(io)?.is_dir() && entry.file_name().to_str().is_some_and(is_id) {
                folders.push(entry.path());
            }
        }
        Ok(folders)
    }

    fn read_or_make_id(&self) -> Result<String, LabError> {
        let path = self.path.join("id");
        match fs::read_to_string(&path) {
            Ok(id) if !id.is_empty() => Ok(id),
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(LabError::io(format!("read {}", path.display()), source))
            }
            _ => {
                let id = format!("{:016x}", rand::random::<u64>());
                fs::write(&path, &id).map_err(|source| LabError::io(format!("write {}", path.display()), source))?;
                Ok(id)
            }
        }
    }
}

/// The base folder as [`Base::open`] would find or make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    pub path: PathBuf,
    pub exists: bool,
    pub free_bytes: u64,
    pub in_memory: bool,
}

/// Looks at the base folder, and makes nothing.
///
/// # Errors
/// Labs cannot be held there.
pub fn look() -> Result<Ground, LabError> {
    look_at(&configured())
}

fn look_at(path: &Path) -> Result<Ground, LabError> {
    let path = short_enough(path)?;
    let bad = |why: String| LabError::BadBase { path: path.clone(), why };
    let exists = match fs::symlink_metadata(&path) {
        Ok(found) if !is_own_folder(&found) => return Err(bad(NOT_OWN.to_owned())),
        Ok(_) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(source) => return Err(bad(source.to_string())),
    };
    // Of a folder that is not there, the one in which it would be made.
    let there = if exists { &path } else { path.parent().unwrap_or(&path) };
    let refused = |source: rustix::io::Errno| bad(std::io::Error::from(source).to_string());
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(refused)?;
    let space = rustix::fs::statvfs(there).map_err(refused)?;
    // Of what the kernel only shows as files, as below /proc, nothing is free either.
    let free_bytes = space.f_bavail * space.f_frsize;
    if free_bytes == 0 {
        return Err(LabError::DiskFull { what: format!("hold labs in {}", path.display()) });
    }
    let in_memory = is_in_memory(there);
    Ok(Ground { path, exists, free_bytes, in_memory })
}

fn configured() -> PathBuf {
    std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map_or_else(
        || std::env::temp_dir().join(format!("rehearsal-{}", rustix::process::geteuid().as_raw())),
        PathBuf::from,
    )
}

/// The path in full, if sockets in it can have one.
fn short_enough(path: &Path) -> Result<PathBuf, LabError> {
    let path = std::path::absolute(path).map_err(|source| LabError::io("find the lab folder", source))?;
    if path.as_os_str().len() > BASE_LENGTH_MAX {
        let why = format!("its path is longer than {BASE_LENGTH_MAX} bytes, too long for a socket in it");
        return Err(LabError::BadBase { path, why });
    }
    Ok(path)
}

fn is_own_folder(found: &fs::Metadata) -> bool {
    found.is_dir() && found.uid() == rustix::process::geteuid().as_raw()
}

/// One lab as found.
#[derive(Debug, Clone, PartialEq)]
pub struct LabInfo {
    /// The lab's own name, that of its folder.
    pub id: String,
    pub folder: PathBuf,
    pub state: LabState,
    /// What its lease says; none if a kill cut that short.
    pub lease: Option<LeaseData>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabState {
    /// Its run is going on.
    Live,
    /// Its run ended without clearing away.
    Stale,
    /// Left running on purpose.
    Kept,
}

/// What a lease file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseData {
    pub run: String,
    pub kind: LabKind,
    pub pid: u32,
    /// Name of the machine.
    pub machine: String,
    /// Which process ids `pid` is one of.
    pub namespace: String,
    pub started: jiff::Timestamp,
    /// Of a kept lab.
    pub kept: Option<Vec<LeasedNode>>,
}

/// How to reach a node of a kept lab; the password is in a file of the lab's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasedNode {
    pub name: String,
    #[serde(default = "postgres")]
    pub engine: EngineKind,
    pub host: String,
    pub port: u16,
    pub user: String,
    pub database: String,
}

impl LeasedNode {
    /// Without its password, which no lease holds.
    pub fn endpoint(&self) -> Endpoint {
        let LeasedNode { engine, port, .. } = *self;
        let (host, user, database) = (self.host.clone(), self.user.clone(), self.database.clone());
        Endpoint { engine, host, port, user, database, password: String::new(), application: String::new() }
    }

    /// `postgresql://user@host:port/database`. Holds no password.
    pub fn url(&self) -> String {
        self.endpoint().url_without_password()
    }
}

/// A lease that names no engine is of the time when there was one.
fn postgres() -> EngineKind {
    EngineKind::Postgres
}

/// A lease held.
#[derive(Debug)]
pub struct Lease {
    base: Base,
    id: String,
    folder: PathBuf,
    /// Locked as long as it is open.
    file: Mutex<Option<File>>,
    data: LeaseData,
}

impl Lease {
    pub(super) fn take(base: &Base, kind: LabKind, run: &str) -> Result<Lease, LabError> {
        let _lock = base.lock()?;
        let id = new_id();
        let folder = base.path.join(&id);
        let io = |source| LabError::io(format!("make {}", folder.display()), source);
        DirBuilder::new().mode(0o711).create(&folder).map_err(io)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o711)).map_err(io)?;
        let path = folder.join(LEASE);
        let mut file =
            OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&path).map_err(io)?;
        file.try_lock().map_err(|error| io(error.into()))?;
        let data = LeaseData {
            run: run.to_owned(),
            kind,
            pid: std::process::id(),
            machine: machine(),
            namespace: super::process::namespace(),
            started: jiff::Timestamp::now(),
            kept: None,
        };
        write(&mut file, &data).map_err(io)?;
        Ok(Lease { base: base.clone(), id, folder, file: Mutex::new(Some(file)), data })
    }

    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Labels for whatever of this lab lives outside its folder.
    pub(super) fn labels(&self) -> [(&'static str, String); 5] {
        self.labels_as("rehearsal.lab")
    }

    /// Labels for a part of a baseline, which may outlive the lab that makes it.
    pub(super) fn labels_of_baseline(&self) -> Vec<(&'static str, String)> {
        let place = self.base.path.to_string_lossy().into_owned();
        self.labels_as("rehearsal.baseline").into_iter().chain([("rehearsal.place", place)]).collect()
    }

    fn labels_as(&self, maker: &'static str) -> [(&'static str, String); 5] {
        [
            (maker, self.id.clone()),
            ("rehearsal.base", self.base.id.clone()),
            ("rehearsal.run", self.data.run.clone()),
            ("rehearsal.machine", self.data.machine.clone()),
            ("rehearsal.namespace", self.data.namespace.clone()),
        ]
    }

    /// Held while an image is built that others may want as well, of all the labs of this base by one at a time.
    ///
    /// # Errors
    /// The base cannot be written to. There is no deadline: who holds it has one.
    pub(super) async fn lock_images(&self) -> Result<File, LabError> {
        let path = self.base.path.join("images.lock");
        let io = |source| LabError::io(format!("lock {}", path.display()), source);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(io)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(source)) => return Err(io(source)),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Removes the folder and gives the lease up.
    pub(super) fn end(&self) -> Result<(), LabError> {
        remove_folder(&self.folder)?;
        self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }

    /// Marks the lab as kept and gives the lease up.
    pub(super) fn keep(&self, nodes: Vec<LeasedNode>) -> Result<(), LabError> {
        let Some(mut file) = self.file.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        let data = LeaseData { kept: Some(nodes), ..self.data.clone() };
        write(&mut file, &data).map_err(|source| LabError::io(format!("keep {}", self.folder.display()), source))
    }
}

/// A lab looked at; its lease is locked by us as long as this lives, if nobody else held it.
pub(super) struct Examined {
    pub info: LabInfo,
    _held: Option<File>,
}

impl Examined {
    pub fn of(folder: &Path) -> Examined {
        let id = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let info = |state, lease| LabInfo { id: id.clone(), folder: folder.to_owned(), state, lease };
        let mut file = match OpenOptions::new().read(true).write(true).open(folder.join(LEASE)) {
            Ok(file) => file,
            // A kill came between making the folder and making its lease, or in the midst of removing it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Examined { info: info(LabState::Stale, None), _held: None };
            }
            Err(_) => return Examined { info: info(LabState::Live, None), _held: None },
        };
        let mut text = String::new();
        let lease = file.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str::<LeaseData>(&text).ok());
        match file.try_lock() {
            Ok(()) => {
                let kept = lease.as_ref().is_some_and(|lease| lease.kept.is_some());
                let state = if kept { LabState::Kept } else { LabState::Stale };
                Examined { info: info(state, lease), _held: Some(file) }
            }
            Err(_) => Examined { info: info(LabState::Live, lease), _held: None },
        }
    }
}

/// Removes a folder with all that is in it; a server or copy that is just ending may still put files there for a moment.
pub(super) fn remove_folder(folder: &Path) -> Result<(), LabError> {
    overlay::unmount_below(folder);
    let began = Instant::now();
    loop {
        match fs::remove_dir_all(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(source) if began.elapsed() > Duration::from_secs(5) => {
                return Err(LabError::io(format!("remove {}", folder.display()), source));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Name of this machine, for people and labels.
pub(super) fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn write(file: &mut File, data: &LeaseData) -> std::io::Result<()> {
    let text = serde_json::to_vec(data)?;
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(&text)?;
    file.sync_data()
}

#[cfg(target_os = "linux")]
fn is_in_memory(path: &Path) -> bool {
    /// Of tmpfs and ramfs: manual page statfs(2).
    const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    // The type's width and sign differ between architectures.
    rustix::fs::statfs(path).is_ok_and(|found| IN_MEMORY.contains(&(found.f_type as u32 as u64)))
}

/// Elsewhere there is no such file system by default.
#[cfg(not(target_os = "linux"))]
fn is_in_memory(_path: &Path) -> bool {
    false
}

/// Eight letters and digits: short, since sockets lie below.
fn new_id() -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let random = rand::random::<u64>();
    (0..8).map(|at| char::from(DIGITS[(random >> (at * 5) & 31) as usize])).collect()
}

fn is_id(name: &str) -> bool {
    name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
