//! A server that takes some tables of another by logical replication (chapter "Logical Replication" of the manual).

use std::sync::Arc;

use postgres_protocol::escape::escape_literal as literal;

use super::pair::Followed;
use super::replica::{RETRY_WHILE_PREPARING_MS, slot};
use super::{ATTEMPT_DEADLINE, Server, sql, within};
use crate::engine::postgres::connect::connect;
use crate::engine::postgres::dump::major;
use crate::engine::postgres::names::quote;
use crate::engine::postgres::replication::{Heart, pair};
use crate::engine::postgres::restore;
use crate::engine::postgres::subscription::{publication, shape};
use crate::engine::server::{self, Server as _, ServerError};
use crate::engine::subscription::Feed;
use crate::scenario::Extension;

impl Server {
    /// Makes the publication and the tables where they are not there, and subscribes: their rows begin to be copied. Gives what to tell.
    ///
    /// # Errors
    /// Nothing is published, this server cannot hold it, or a server or program fails.
    pub(super) async fn subscribe_to(
        &self,
        publisher: &dyn server::Server,
        feed: &Feed,
        extensions: &[Extension],
    ) -> Result<Vec<String>, ServerError> {
        self.write_password_file(publisher.password()).await?;
        let (from, to) = (publisher.address().await?, self.address().await?);
        let mut notes: Vec<String> = publication::publish(&from, feed).await?.into_iter().collect();
        let tables = publication::tables(&from, &feed.publication).await?;
        let could_not = |source: restore::RestoreError| ServerError::Sql {
            what: "make the node's extensions".to_owned(),
            source: source.into(),
        };
        restore::create_extensions(&to, extensions).await.map_err(could_not)?;
        shape::make(&self.programs(publisher).await?, &from, &to, &tables).await?;
        for endpoint in [&from, &to] {
            // Replication does not carry it, and positions are asked for there.
            Heart::make(endpoint).await.map_err(sql("make the heartbeat"))?;
            pair::prepare_proof(endpoint).await.map_err(sql("prepare the proof"))?;
        }
        publication::publish_proof(&from, &feed.publication).await?;
        self.create_subscription(publisher, feed).await?;
        let unkeyed = super::pair::without_identity(&from, &feed.publication).await?;
        notes.extend(unkeyed.into_iter().map(|table| {
            let publication = &feed.publication;
            format!("table {table} has no key: updates and deletes of it are refused while publication {publication} holds it")
        }));
        Ok(notes)
    }

    async fn create_subscription(&self, publisher: &dyn server::Server, feed: &Feed) -> Result<(), ServerError> {
        let what = format!("subscribe to {}", feed.publication);
        let (superuser, name) = (self.address().await?, quote(&feed.publication));
        let followed = Followed {
            host: Arc::clone(publisher.host()),
            database: publisher.wanted().database.clone(),
            subscription: feed.publication.clone(),
            name: feed.subscriber.clone(),
        };
        let connection = self.followed_conninfo(&followed).await?;
        within(&what, async {
            let session = connect(&superuser, ATTEMPT_DEADLINE).await.map_err(sql(&what))?;
            // A subscription makes its slot, which cannot be taken back with a transaction: each statement is alone.
            let statements = [
                format!("ALTER SYSTEM SET wal_retrieve_retry_interval = {RETRY_WHILE_PREPARING_MS}"),
                "SELECT pg_catalog.pg_reload_conf()".to_owned(),
                format!(
                    "CREATE SUBSCRIPTION {name} CONNECTION {} PUBLICATION {name} WITH (slot_name = {})",
                    literal(&connection),
                    slot(&feed.subscriber)
                ),
            ];
            for statement in &statements {
                session.client.batch_execute(statement).await.map_err(sql(&what))?;
            }
            Ok(())
        })
        .await?;
        let _ = self.followed.set(followed);
        Ok(())
    }

    /// Those of the newer of the two: an older `pg_dump` does not read a newer server.
    async fn programs<'a>(&'a self, publisher: &'a dyn server::Server) -> Result<shape::Programs<'a>, ServerError> {
        let database = format!("dbname='{}'", self.wanted.database.replace('\\', r"\\").replace('\'', r"\'"));
        let password = publisher.password();
        if major(&self.wanted.version) >= major(&publisher.wanted().version) {
            let (host, port) = publisher.host().peer_address().await?;
            let conninfo = format!("{} {database}", self.conninfo(&host, port, "rehearsal replication"));
            return Ok(shape::Programs { host: self.host.as_ref(), conninfo, password });
        }
        let listen = publisher.host().listen();
        let conninfo =
            format!("host='{}' port={} user={} {database}", listen.socket_dir, listen.port, super::SUPERUSER);
        Ok(shape::Programs { host: publisher.host().as_ref(), conninfo, password })
    }
}
