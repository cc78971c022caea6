//! What is compared of each kind of object.

use crate::engine::catalog::{
    Column, Constraint, Extension, Function, Grant, Index, Policy, Publication, Relation, RelationKind, Schema,
    Sequence, Statistics, Trigger, Type,
};
use crate::event::Property;

/// A property and its value; none = not set.
pub(super) type Value = (Property, Option<String>);

/// An object with properties that are compared one by one.
pub(super) trait Described {
    /// The whole object without its name, told when it comes or goes; empty where its kind says it all.
    fn definition(&self) -> String;

    /// The same properties in the same order for every object of the type.
    fn properties(&self) -> Vec<Value>;

    fn privileges(&self) -> &[Grant] {
        &[]
    }

    /// Holds all privileges without a grant.
    fn owner(&self) -> Option<&str> {
        None
    }

    /// Comes and goes with the same object of a parent table.
    fn inherited(&self) -> bool {
        false
    }
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn validity(valid: bool) -> Option<String> {
    text(if valid { "valid" } else { "not valid" })
}

impl Described for Schema {
    fn definition(&self) -> String {
        if self.owner.is_empty() { String::new() } else { format!("AUTHORIZATION {}", self.owner) }
    }

    fn properties(&self) -> Vec<Value> {
        vec![
            (Property::Owner, text(&self.owner)),
            (Property::Collation, self.collation.clone()),
            (Property::Comment, self.comment.clone()),
        ]
    }

    fn privileges(&self) -> &[Grant] {
        &self.privileges
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }
}

impl Described for Relation {
    fn definition(&self) -> String {
        let kind = match self.kind {
            RelationKind::Table | RelationKind::PartitionedTable | RelationKind::View => None,
            RelationKind::ForeignTable | RelationKind::MaterializedView => Some(self.kind.name()),
        };
        let parts = [kind, self.partition.as_deref(), self.definition.as_deref().map(str::trim)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn properties(&self) -> Vec<Value> {
        vec![
            (Property::Kind, text(self.kind.name())),
            (Property::Definition, self.definition.clone()),
            (Property::Valid, validity(self.valid)),
            (Property::Persistence, text(&self.persistence)),
            (Property::StorageEngine, self.storage_engine.clone()),
            (Property::Collation, self.collation.clone()),
            (Property::Partition, self.partition.clone()),
            (Property::Options, self.options.clone()),
            (Property::RowSecurity, self.row_security.clone()),
            (Property::Owner, text(&self.owner)),
            (Property::Comment, self.comment.clone()),
        ]
    }

    fn privileges(&self) -> &[Grant] {
        &self.privileges
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }
}

impl Described for Column {
    fn definition(&self) -> String {
        let mut parts = vec![self.type_name.clone()];
        parts.extend(self.collation.as_ref().map(|collation| format!("COLLATE {collation}")));
        parts.extend(self.generated.as_ref().map(|expression| format!("GENERATED ALWAYS AS {expression}")));
        parts.extend(self.identity.as_ref().map(|when| match when.as_str() {
            "auto_increment" => "AUTO_INCREMENT".to_owned(),
            when => format!("GENERATED {} AS IDENTITY", when.to_uppercase()),
        }));
        parts.extend(self.default.as_ref().map(|default| format!("DEFAULT {default}")));
        if self.nullable != "NULL" {
            parts.push(self.nullable.clone());
        }
        parts.extend(self.place.clone());
        parts.join(" ")
    }

    fn properties(&self) -> Vec<Value> {
        vec![
            (Property::Type, text(&self.type_name)),
            (Property::Collation, self.collation.clone()),
            (Property::Default, self.default.clone()),
            (Property::Identity, self.identity.clone()),
            (Property::Generated, self.generated.clone()),
            (Property::Nullable, text(&self.nullable)),
            (Property::Options, self.options.clone()),
            (Property::Comment, self.comment.clone()),
        ]
    }

    fn inherited(&self) -> bool {
        self.inherited
    }
}

impl Described for Constraint {
    fn definition(&self) -> String {
        self.definition.clone()
    }

    fn properties(&self) -> Vec<Value> {
        vec![
            (Property::Definition, text(&self.definition)),
            (Property::Valid, validity(self.valid)),
            (Property::Comment, self.comment.clone()),
        ]
    }

    fn inherited(&self) -> bool {
        self.inherited
    }
}

impl Described for Index {
    /// With its validity: a build that was cut off leaves an index that is there and serves nobody.
    fn definition(&self) -> String {
        let invalid = if self.valid { "" } else { " INVALID" };
        format!("{}{invalid}", self.definition)
    }

    fn properties(&self) -> Vec<Value> {
        vec![
            (Property::Definition, text(&self.definition)),
            (Property::Valid, validity(self.valid)),
            (Property::Options, self.options.clone()),
            (Property::Comment, self.comment.clone()),
        ]
    }

    fn inherited(&self) -> bool {
        self.inherited
    }
}

/// Triggers, event triggers, rules and events.
impl Described for Trigger {
    fn definition(&self) -> String {
        self.definition.clone()
    }

    fn properties(&self) -> Vec<Value> {
        vec![
            (Property::Definition, text(&self.definition)),
            (Property::Enabled, text(&self.enabled)),
            (Property::Options, self.options.clone()),
            (Property::Comment, self.comment.clone()),
        ]
    }

    fn inherited(&self) -> bool {
        self.inherited
    }
}

impl Described for Policy {
    fn definition(&self) -> String {
        self.definition.clone()
    }

    fn properties(&self) -> Vec<Value> {
        vec![(Property::Definition, text(&self.definition)), (Property::Comment, self.comment.clone())]
    }
}

impl Described for Statistics {
    fn definition(&self) -> String {
        self.definition.clone()
    }

    fn properties(&self) -> Vec<Value> {
        vec![
            (Property::Definition, text(&self.definition)),
            (Property::Options, self.options.clone()),
            (Property::Comment, self.comment.clone()),
        ]
    }
}

impl Described for Sequence {
    fn definition(&self) -> String {
        format!("AS {}, {}", self.type_name, self.options)
    }

    fn properties(&self) -> Vec<Value> {
        vec![
            (Property::Type, text(&self.type_name)),
            (Property::Options, text(&self.options)),
            (Property::OwnedBy, self.owned_by.clone()),
            (Property::Persistence, text(&self.persistence)),
            (Property::Owner, text(&self.owner)),
            (Property::Comment, self.comment.clone()),
        ]
    }

    fn privileges(&self) -> &[Grant] {
        &self.privileges
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }
}

impl Described for Function {
    fn definition(&self) -> String {
        self.definition.clone()
    }

    fn properties(&self) -> Vec<Value> {
        vec![
            (Property::Kind, text(&self.kind)),
            (Property::Definition, text(&self.definition)),
            (Property::Options, self.options.clone()),
            (Property::Owner, text(&self.owner)),
            (Property::Comment, self.comment.clone()),
        ]
    }

    fn privileges(&self) -> &[Grant] {
        &self.privileges
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }
}

impl Described for Type {
    fn definition(&self) -> String {
        self.definition.clone()
    }

    fn properties(&self) -> Vec<Value> {
        vec![
            (Property::Definition, text(&self.definition)),
            (Property::Owner, text(&self.owner)),
            (Property::Comment, self.comment.clone()),
        ]
    }

    fn privileges(&self) -> &[Grant] {
        &self.privileges
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }
}

impl Described for Extension {
    fn definition(&self) -> String {
        format!("VERSION {} SCHEMA {}", self.version, self.schema)
    }

    fn properties(&self) -> Vec<Value> {
        vec![(Property::Version, text(&self.version)), (Property::Options, Some(format!("SCHEMA {}", self.schema)))]
    }
}

impl Described for Publication {
    fn definition(&self) -> String {
        self.definition.clone()
    }

    fn properties(&self) -> Vec<Value> {
        vec![
            (Property::Definition, text(&self.definition)),
            (Property::Owner, text(&self.owner)),
            (Property::Comment, self.comment.clone()),
        ]
    }
}
