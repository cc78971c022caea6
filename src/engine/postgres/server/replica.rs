//! A physical replica: made by base backup, started to stream (chapter "High Availability, Load Balancing, and Replication" of the
//! manual).

use std::sync::Arc;
use std::time::Duration;

use super::trouble::is_disk_full;
use super::{SUPERUSER, Server};
use crate::engine::host::{Exec, Host, HostError};
use crate::engine::server::{self, Server as _, ServerError, Wanted};

const BASE_BACKUP_DEADLINE: Duration = Duration::from_secs(3600);
/// How soon a replica looks again for who it lost, until the plan begins; the server's own five seconds hold from then on.
pub(super) const RETRY_WHILE_PREPARING_MS: u32 = 100;

/// What a physical replica streams from.
#[derive(Clone)]
pub(super) struct Upstream {
    host: Arc<dyn Host>,
    /// This replica's name there: of its slot, and of its session.
    name: String,
}

impl Server {
    /// Makes a physical replica of a server that runs, in the host's folder: a base backup, and a slot over there called after `name`.
    ///
    /// # Errors
    /// A setting is reserved, pg_basebackup is missing or fails, or the disk is full.
    pub async fn replicate(
        host: Arc<dyn Host>,
        wanted: Wanted,
        name: &str,
        upstream: &dyn server::Server,
    ) -> Result<Server, ServerError> {
        let server = Server::on_existing(host, wanted, upstream.password().to_owned())?;
        let upstream = Upstream { host: Arc::clone(upstream.host()), name: name.to_owned() };
        let server = Server { upstream: Some(upstream.clone()), ..server };
        server.base_backup(&upstream).await?;
        Ok(server)
    }

    /// The server of a clone, whose superuser has that password; of a replica, with its name and a clone of whom it replicates.
    ///
    /// # Errors
    /// As [`Server::on_existing`]; or the host cannot be written to.
    pub async fn on_clone(
        host: Arc<dyn Host>,
        wanted: Wanted,
        password: String,
        replicates: Option<(&str, &dyn server::Server)>,
    ) -> Result<Server, ServerError> {
        let server = Server::on_existing(host, wanted, password)?;
        let Some((name, upstream)) = replicates else { return Ok(server) };
        server.write_password_file(&server.password).await?;
        let upstream = Upstream { host: Arc::clone(upstream.host()), name: name.to_owned() };
        Ok(Server { upstream: Some(upstream), ..server })
    }

    /// What makes a server a replica, on its command line.
    pub(super) async fn replica_settings(&self) -> Result<Vec<(&'static str, String)>, ServerError> {
        let Some(upstream) = &self.upstream else { return Ok(Vec::new()) };
        let (host, port) = upstream.host.peer_address().await?;
        let name = &upstream.name;
        Ok(vec![("primary_conninfo", self.conninfo(&host, port, name)), ("primary_slot_name", slot(name))])
    }

    /// How libpq reaches another server, which knows this one by `name`.
    pub(super) fn conninfo(&self, host: &str, port: u16, name: &str) -> String {
        let passwords = self.password_file().replace('\\', r"\\").replace('\'', r"\'");
        format!("host={host} port={port} user={SUPERUSER} passfile='{passwords}' application_name='{name}'")
    }

    pub(super) async fn write_password_file(&self, password: &str) -> Result<(), ServerError> {
        let entry = format!("*:*:*:{SUPERUSER}:{password}\n");
        Ok(self.host.write(&self.password_file(), entry.as_bytes()).await?)
    }

    async fn base_backup(&self, upstream: &Upstream) -> Result<(), ServerError> {
        let program = self.host.program("pg_basebackup").await?;
        let (host, port) = upstream.host.peer_address().await?;
        self.write_password_file(&self.password).await?;
        let exec = Exec::new(&program).env("PGPASSFILE", &self.password_file()).args([
            "--host",
            &host,
            "--port",
            &port.to_string(),
            "--username",
            SUPERUSER,
            "--pgdata",
            &self.data(),
            "--wal-method=stream",
            "--checkpoint=fast",
            "--create-slot",
            "--slot",
            &slot(&upstream.name),
            "--no-sync",
            "--no-password",
        ]);
        let output = self.host.exec(&exec, BASE_BACKUP_DEADLINE).await?;
        if output.status != 0 {
            if is_disk_full(&output.stderr) {
                return Err(HostError::DiskFull { at: self.data() }.into());
            }
            return Err(ServerError::NotMade {
                program: "pg_basebackup",
                log: output.stderr.lines().map(str::to_owned).collect(),
            });
        }
        self.host.write(&format!("{}/standby.signal", self.data()), b"").await?;
        // Below the command line, so that a node's own setting wins.
        let quick = format!("wal_retrieve_retry_interval = {RETRY_WHILE_PREPARING_MS}\n");
        Ok(self.host.write(&format!("{}/postgresql.auto.conf", self.data()), quick.as_bytes()).await?)
    }

    pub(super) fn password_file(&self) -> String {
        format!("{}/pgpass", self.host.folder())
    }
}

/// A replica's slot: such a name has small letters, digits and underscores.
pub fn slot(name: &str) -> String {
    let fit = |each: char| if each.is_ascii_alphanumeric() { each.to_ascii_lowercase() } else { '_' };
    format!("rehearsal_{}", name.chars().map(fit).collect::<String>())
}
