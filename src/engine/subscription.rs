//! Logical replication of some tables of a database: what is published, and who subscribes. Postgres has it, the others do not.

use std::collections::BTreeMap;

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::subscription::{publication, synchronised};
use crate::engine::server::{BoxError, ServerError};

/// What is to be subscribed to, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// The name of the publication, and of the subscription to it.
    pub publication: String,
    /// "public.orders", or "public.*" for all of a schema; empty where the publication is taken as it is.
    pub tables: Vec<String>,
    /// By what name the publisher knows the subscriber.
    pub subscriber: String,
}

/// The tables of a publication, by their names as they print.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    pub tables: BTreeMap<String, PublishedTable>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishedTable {
    /// Those of its columns that go over.
    pub columns: Vec<String>,
    /// Why its rows are not the same on both sides, though all is well; none where they are.
    pub partly: Option<&'static str>,
}

impl Published {
    /// What two subscribers both get.
    #[must_use]
    pub fn and(mut self, other: &Published) -> Published {
        self.tables.retain(|name, table| {
            let Some(theirs) = other.tables.get(name) else { return false };
            table.columns.retain(|column| theirs.columns.contains(column));
            table.partly = table.partly.or(theirs.partly);
            true
        });
        self
    }
}

/// What a server publishes under that name; none where there is no such publication.
///
/// # Errors
/// The server refuses.
pub async fn published(publisher: &Endpoint, publication: &str) -> Result<Option<Published>, ServerError> {
    match publisher.engine {
        EngineKind::Postgres => publication::published(publisher, publication).await,
        // A scenario cannot ask for it.
        EngineKind::Mysql | EngineKind::Mariadb => Ok(None),
    }
}

/// What is not there yet of the rows that were there when a node subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub tables: Vec<String>,
    /// The copy of one of them is begun again and again.
    pub failing: bool,
}

/// A subscription's first copies.
pub struct Copies {
    copies: synchronised::Copies,
}

impl Copies {
    /// # Errors
    /// The driver's.
    pub async fn connect(subscriber: &Endpoint, subscription: &str) -> Result<Copies, BoxError> {
        Ok(Copies { copies: synchronised::Copies::connect(subscriber, subscription).await? })
    }

    /// # Errors
    /// The driver's.
    pub async fn missing(&mut self) -> Result<Missing, BoxError> {
        Ok(self.copies.missing().await?)
    }
}
