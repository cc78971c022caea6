//! Two servers that write to each other: a publication and a subscription each, which takes nothing that came to the other from elsewhere
//! (chapter "Logical Replication" of the manual; `origin = none` came with version 16).

use std::sync::Arc;

use postgres_protocol::escape::escape_literal as literal;

use super::replica::RETRY_WHILE_PREPARING_MS;
use super::{ATTEMPT_DEADLINE, Server, sql, within};
use crate::engine::endpoint::Endpoint;
use crate::engine::host::Host;
use crate::engine::postgres::connect::connect;
use crate::engine::postgres::names::quote;
use crate::engine::postgres::replication::pair::{PUBLICATION, SLOT, SUBSCRIPTION};
use crate::engine::server::{self, Server as _, ServerError};
use crate::engine::subscription::Feed;

/// By which the other knows it.
const NAME: &str = "rehearsal pair";

/// A server from which rows come by a subscription.
pub(super) struct Followed {
    pub host: Arc<dyn Host>,
    /// The database there.
    pub database: String,
    pub subscription: String,
    /// By which it knows this one.
    pub name: String,
}

impl Server {
    /// Takes from the other every row of its database that is written from here on. Both hold the same now.
    ///
    /// # Errors
    /// Either server refuses.
    pub(super) async fn subscribe(&self, peer: &dyn server::Server) -> Result<(), ServerError> {
        self.write_password_file(peer.password()).await?;
        publish(peer).await?;
        publish(self).await?;
        let what = "subscribe to the other of its pair";
        let superuser = self.address().await?;
        let (host, database) = (Arc::clone(peer.host()), self.wanted.database.clone());
        let followed = Followed { host, database, subscription: SUBSCRIPTION.to_owned(), name: NAME.to_owned() };
        let connection = self.followed_conninfo(&followed).await?;
        within(what, async {
            let session = connect(&superuser, ATTEMPT_DEADLINE).await.map_err(sql(what))?;
            // A subscription makes its slot, which cannot be taken back with a transaction: each statement is alone.
            let statements = [
                format!("ALTER SYSTEM SET wal_retrieve_retry_interval = {RETRY_WHILE_PREPARING_MS}"),
                "SELECT pg_catalog.pg_reload_conf()".to_owned(),
                format!(
                    "CREATE SUBSCRIPTION {SUBSCRIPTION} CONNECTION {} PUBLICATION {PUBLICATION}
                     WITH (origin = none, copy_data = false, slot_name = {SLOT})",
                    literal(&connection)
                ),
            ];
            for statement in &statements {
                session.client.batch_execute(statement).await.map_err(sql(what))?;
            }
            Ok(())
        })
        .await?;
        let _ = self.followed.set(followed);
        Ok(())
    }

    /// Tells the subscription where the other is, which may have been started anew elsewhere; one that the plan dropped is not made again.
    pub(super) async fn find_followed(&self, followed: &Followed) -> Result<(), ServerError> {
        let what = "find the server that it subscribes to";
        let (superuser, connection) = (self.address().await?, self.followed_conninfo(followed).await?);
        let name = &followed.subscription;
        within(what, async {
            let session = connect(&superuser, ATTEMPT_DEADLINE).await.map_err(sql(what))?;
            let there = "SELECT 1 FROM pg_catalog.pg_subscription WHERE subname = $1 AND subconninfo <> $2";
            let moved = session.client.query_opt(there, &[name, &connection]).await.map_err(sql(what))?;
            if moved.is_some() {
                let alter = format!("ALTER SUBSCRIPTION {} CONNECTION {}", quote(name), literal(&connection));
                session.client.batch_execute(&alter).await.map_err(sql(what))?;
            }
            Ok(())
        })
        .await
    }

    /// A subscription begins to work as soon as the server is up, with the address that it had.
    pub(super) async fn disable_subscription(&self) -> Result<(), ServerError> {
        let Some(followed) = self.followed.get() else { return Ok(()) };
        let what = "disable its subscription";
        let superuser = self.address().await?;
        within(what, async {
            let session = connect(&superuser, ATTEMPT_DEADLINE).await.map_err(sql(what))?;
            let disable = format!("ALTER SUBSCRIPTION {} DISABLE", quote(&followed.subscription));
            session.client.batch_execute(&disable).await.map_err(sql(what))
        })
        .await
    }

    /// As it was before [`Server::disable_subscription`], from wherever the other is now.
    pub(super) async fn enable_subscription(
        &self,
        other: &dyn server::Server,
        feed: Option<&Feed>,
    ) -> Result<(), ServerError> {
        self.write_password_file(other.password()).await?;
        let (host, database) = (Arc::clone(other.host()), other.wanted().database.clone());
        let followed = match feed {
            None => Followed { host, database, subscription: SUBSCRIPTION.to_owned(), name: NAME.to_owned() },
            Some(feed) => {
                Followed { host, database, subscription: feed.publication.clone(), name: feed.subscriber.clone() }
            }
        };
        let followed = self.followed.get_or_init(|| followed);
        self.find_followed(followed).await?;
        let what = "enable its subscription";
        let superuser = self.address().await?;
        within(what, async {
            let session = connect(&superuser, ATTEMPT_DEADLINE).await.map_err(sql(what))?;
            let enable = format!("ALTER SUBSCRIPTION {} ENABLE", quote(&followed.subscription));
            session.client.batch_execute(&enable).await.map_err(sql(what))
        })
        .await
    }

    pub(super) async fn followed_conninfo(&self, followed: &Followed) -> Result<String, ServerError> {
        let (host, port) = followed.host.peer_address().await?;
        let database = followed.database.replace('\\', r"\\").replace('\'', r"\'");
        Ok(format!("{} dbname='{database}'", self.conninfo(&host, port, &followed.name)))
    }
}

/// Every table of its database, where it does not yet.
async fn publish(server: &dyn server::Server) -> Result<(), ServerError> {
    let what = "publish the tables of a pair";
    let superuser = server.address().await?;
    within(what, async {
        let session = connect(&superuser, ATTEMPT_DEADLINE).await.map_err(sql(what))?;
        let there = "SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = $1";
        if session.client.query_opt(there, &[&PUBLICATION]).await.map_err(sql(what))?.is_some() {
            return Ok(());
        }
        let create = format!("CREATE PUBLICATION {PUBLICATION} FOR ALL TABLES");
        session.client.batch_execute(&create).await.map_err(sql(what))
    })
    .await
}

/// Published tables of which the server refuses to update or delete rows, 55000 (chapter "Logical Replication", "Publication"): those with
/// neither a primary key, nor another index or the whole row as their replica identity.
pub async fn without_identity(superuser: &Endpoint, publication: &str) -> Result<Vec<String>, ServerError> {
    let what = "read which published tables have a replica identity";
    // A key that is checked only at the end of a transaction identifies nothing.
    let asked = "SELECT CASE schemaname WHEN 'public' THEN tablename::text ELSE schemaname || '.' || tablename END
        FROM pg_catalog.pg_publication_tables
        JOIN pg_catalog.pg_namespace AS schema ON schema.nspname = schemaname
        JOIN pg_catalog.pg_class AS class ON class.relnamespace = schema.oid AND class.relname = tablename
        WHERE pg_publication_tables.pubname = $1 AND relreplident <> 'f'
        AND EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pg_publication.pubname = $1 AND (pubupdate OR pubdelete))
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_index
            WHERE indrelid = class.oid AND indisvalid AND indimmediate
            AND CASE relreplident WHEN 'd' THEN indisprimary WHEN 'i' THEN indisreplident ELSE false END)
        ORDER BY 1";
    within(what, async {
        let session = connect(superuser, ATTEMPT_DEADLINE).await.map_err(sql(what))?;
        let rows = session.client.query(asked, &[&publication]).await.map_err(sql(what))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    })
    .await
}
