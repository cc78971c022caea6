//! What a task needs of the machine: finds what is missing and installs Debian's package for it, or says what to install.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::terminal::{agreed, say};

/// Something a task cannot do without.
pub struct Need {
    /// As a person knows it.
    name: &'static str,
    /// Debian's packages that bring it.
    packages: &'static [&'static str],
    found: fn() -> bool,
}

impl Need {
    pub fn is_here(&self) -> bool {
        (self.found)()
    }
}

/// The major version that the scenarios ask for.
pub const POSTGRES_MAJOR: &str = "15";

/// Server, client and contributed extensions: one package and what it depends on.
pub const POSTGRES: Need =
    Need { name: "Postgres 15", packages: &["postgresql-15"], found: || postgres_programs().is_some() };

/// The server and its client alone: with the whole package would come an account, and a server that starts by itself.
pub const MARIADB: Need = Need {
    name: "MariaDB 10.11",
    packages: &["mariadb-server-core", "mariadb-client-core"],
    found: || {
        let said = Command::new("/usr/sbin/mariadbd").arg("--version").output();
        said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(" 10.11."))
    },
};

/// Writes dumps of MariaDB and MySQL in a folder of files.
pub const MYDUMPER: Need = Need { name: "mydumper", packages: &["mydumper"], found: || on_path("mydumper") };

pub const GIT: Need = Need { name: "git", packages: &["git"], found: || on_path("git") };

pub const CHROMIUM: Need =
    Need { name: "Chromium", packages: &["chromium", "fonts-dejavu-core"], found: || chromium().is_some() };

pub const MMDEBSTRAP: Need = Need { name: "mmdebstrap", packages: &["mmdebstrap"], found: || on_path("mmdebstrap") };

/// Sees to it that everything needed is there.
///
/// # Errors
/// Something is missing and cannot be installed, or the person said no; the message says what to install.
pub fn provide(needs: &[&Need]) -> anyhow::Result<()> {
    let missing: Vec<&Need> = needs.iter().copied().filter(|need| !need.is_here()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|need| need.name).collect::<Vec<_>>().join(", ");
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages.iter().copied()).collect();
    let by_hand = format!("apt-get install {}", packages.join(" "));
    if !on_path("apt-get") {
        bail!("missing: {names}; install it (on Debian: {by_hand}), then run this again");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("missing: {names}; as root, run `{by_hand}`, then run this again");
    }
    if !agreed(&format!("missing: {names}. Install {}?", packages.join(" ")))? {
        bail!("missing: {names}; `{by_hand}` installs it");
    }
    say(&format!("installing {}", packages.join(" ")));
    if packages.iter().any(|package| package.starts_with("postgresql")) {
        leave_servers_stopped()?;
    }
    install(&packages)?;
    for need in missing {
        ensure!(need.is_here(), "{} was installed and is still not found", need.packages.join(" "));
    }
    Ok(())
}

/// Folder of Postgres 15's server programs, in the places where packages put them, else on the path.
pub fn postgres_programs() -> Option<PathBuf> {
    const PLACES: &[&str] = &[
        "/usr/lib/postgresql/15/bin",
        "/opt/homebrew/opt/postgresql@15/bin",
        "/usr/local/opt/postgresql@15/bin",
        "/Applications/Postgres.app/Contents/Versions/15/bin",
    ];
    let placed = PLACES.iter().map(PathBuf::from).find(|folder| folder.join("postgres").exists());
    placed.or_else(|| {
        let program = which::which("postgres").ok()?;
        let output = Command::new(&program).arg("--version").output().ok()?;
        let version = String::from_utf8_lossy(&output.stdout);
        let major = version.split_whitespace().last()?.split('.').next()?;
        (major == POSTGRES_MAJOR).then(|| program.parent().map(Path::to_path_buf))?
    })
}

fn chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| which::which(name).ok())
}

fn on_path(program: &str) -> bool {
    which::which(program).is_ok()
}

/// Debian's server package would make a cluster and start it; nothing here uses one. A file that is there is its owner's choice.
fn leave_servers_stopped() -> anyhow::Result<()> {
    let file = Path::new("/etc/postgresql-common/createcluster.conf");
    if file.exists() {
        return Ok(());
    }
    let folder = file.parent().expect("the path has a folder");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(file, "create_main_cluster = false\n"))
        .with_context(|| format!("could not write {}", file.display()))
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    apt_get(&["update", "-qq"])?;
    // A person's own package manager may hold the lock; and the file written above is to stay as it is.
    let options = ["-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confold"];
    let install = ["install", "-y", "-qq", "--no-install-recommends"];
    apt_get(&[&options[..], &install[..], packages].concat())
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("could not run apt-get")?;
    ensure!(
        output.status.success(),
        "apt-get {}: {}\n{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(())
}
