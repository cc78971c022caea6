//! How the tree is read into the grammar's tables: one definition of each table gives both its reader and its JSON Schema, so that
//! the two cannot part. A reader records every problem and goes on.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::problem::{Mistake, Problems};
use super::tree::{At, Node, Place, Table};

/// A form that a value in the file can have.
pub(super) trait Read: Sized + JsonSchema {
    /// The form in words: "a duration such as \"20ms\"".
    fn form() -> String;

    /// Whether a value of that TOML type can be meant for this form at all.
    fn fits(node: &Node) -> bool;

    /// None after recording why. Called only for what [`Read::fits`].
    fn read(node: At<Node>, problems: &mut Problems) -> Option<Self>;
}

/// Reads the value, or records that it is of another form.
pub(super) fn read<T: Read>(node: At<Node>, problems: &mut Problems) -> Option<At<T>> {
    let at = node.at;
    if T::fits(&node.value) {
        return T::read(node, problems).map(|value| At { value, at });
    }
    let hint = match node.value {
        Node::Integer(_) | Node::Float(_) => in_quotes::<T>(at, problems.written(at)),
        Node::Table(_) if T::fits(&Node::Array(Vec::new())) => {
            Some("a list of tables is written with two brackets, as in `[[step]]`".to_owned())
        }
        _ => None,
    };
    problems.raise(at, Mistake::WrongForm { found: node.value.kind().to_owned(), form: T::form(), hint });
    None
}

/// The advice to put a number in quotes, where that would help.
fn in_quotes<T: Read>(at: Place, number: &str) -> Option<String> {
    let text = Node::Text(number.to_owned());
    let fits = T::fits(&text) && T::read(At { value: text, at }, &mut Problems::default()).is_some();
    fits.then(|| format!("put it in quotes: \"{number}\""))
}

/// A list; what is wrong in it is left out, and recorded.
pub(super) type List<T> = Vec<At<T>>;

impl<T: Read> Read for Vec<At<T>> {
    fn form() -> String {
        format!("a list, each item {}", T::form())
    }

    fn fits(node: &Node) -> bool {
        matches!(node, Node::Array(_))
    }

    fn read(node: At<Node>, problems: &mut Problems) -> Option<Self> {
        let Node::Array(items) = node.value else { return None };
        Some(items.into_iter().filter_map(|item| read(item, problems)).collect())
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A table whose keys are names of the user's own, in the order of the file.
#[derive(Debug, Clone)]
pub(super) struct Map<T>(pub Vec<(At<String>, At<T>)>);

impl<T: Read> Read for Map<T> {
    fn form() -> String {
        format!("a table of names, each with {}", T::form())
    }

    fn fits(node: &Node) -> bool {
        matches!(node, Node::Table(_))
    }

    fn read(node: At<Node>, problems: &mut Problems) -> Option<Self> {
        let Node::Table(table) = node.value else { return None };
        let entry = |(key, value)| Some((key, read(value, problems)?));
        Some(Map(table.entries.into_iter().filter_map(entry).collect()))
    }
}

inline_schema!([T: JsonSchema] Map<T>, |generator| json!({
    "type": "object",
    "additionalProperties": generator.subschema_for::<T>(),
}));

/// One form or another, told apart by the value's TOML type.
#[derive(Debug, Clone)]
pub(super) enum Either<A, B> {
    A(A),
    B(B),
}

impl<A: Read, B: Read> Read for Either<A, B> {
    fn form() -> String {
        format!("{}, or {}", A::form(), B::form())
    }

    fn fits(node: &Node) -> bool {
        A::fits(node) || B::fits(node)
    }

    fn read(node: At<Node>, problems: &mut Problems) -> Option<Self> {
        if A::fits(&node.value) {
            A::read(node, problems).map(Either::A)
        } else {
            B::read(node, problems).map(Either::B)
        }
    }
}

inline_schema!([A: JsonSchema, B: JsonSchema] Either<A, B>, |generator| {
    let (a, b) = (generator.subschema_for::<A>(), generator.subschema_for::<B>());
    json!({ "anyOf": [a, b] })
});

impl<T: Read> Read for Box<T> {
    fn form() -> String {
        T::form()
    }

    fn fits(node: &Node) -> bool {
        T::fits(node)
    }

    fn read(node: At<Node>, problems: &mut Problems) -> Option<Self> {
        T::read(node, problems).map(Box::new)
    }
}

/// A table with a `name`.
#[derive(Debug, Clone)]
pub(super) struct Named<T>(pub T);

impl<T: Read> Read for Named<T> {
    fn form() -> String {
        T::form()
    }

    fn fits(node: &Node) -> bool {
        T::fits(node)
    }

    fn read(node: At<Node>, problems: &mut Problems) -> Option<Self> {
        if let Node::Table(table) = &node.value
            && !table.entries.iter().any(|(key, _)| key.value == "name")
        {
            problems.raise(node.at, Mistake::MissingKey { key: "name", table: "a step", form: "text".into() });
        }
        T::read(node, problems).map(Named)
    }
}

inline_schema!([T: JsonSchema] Named<T>, |generator| {
    let mut schema = generator.subschema_for::<T>();
    schema.insert("required".to_owned(), json!(["name"]));
    schema.to_value()
});

/// The keys of one table, taken one by one; what is left over at the end is unknown.
pub(super) struct Keys {
    title: &'static str,
    at: Place,
    table: Table,
    built: Vec<&'static str>,
    later: Vec<&'static str>,
    found: Vec<At<&'static str>>,
}

impl Keys {
    /// None if it is not a table.
    pub fn open(node: At<Node>, title: &'static str) -> Option<Keys> {
        let Node::Table(table) = node.value else { return None };
        let (built, later, found) = Default::default();
        Some(Keys { title, at: node.at, table, built, later, found })
    }

    /// None after recording that it is missing or wrong.
    pub fn required<T: Read>(&mut self, key: &'static str, problems: &mut Problems) -> Option<At<T>> {
        self.built.push(key);
        let Some((_, value)) = self.take(key) else {
            let (table, form) = (self.title, T::form());
            problems.raise(self.at, Mistake::MissingKey { key, table, form });
            return None;
        };
        read(value, problems)
    }

    /// None if it is not there, or after recording that it is wrong.
    pub fn optional<T: Read>(&mut self, key: &'static str, problems: &mut Problems) -> Option<At<T>> {
        self.built.push(key);
        let (_, value) = self.take(key)?;
        read(value, problems)
    }

    /// Checks the key's form if it is there, and records that it is not supported yet.
    pub fn later<T: Read>(&mut self, key: &'static str, problems: &mut Problems) {
        self.later.push(key);
        if let Some((name, value)) = self.take(key) {
            problems.raise(name, Mistake::NotSupportedYet { what: format!("`{key}` in {}", self.title) });
            read::<T>(value, problems);
        }
    }

    /// The known keys that were there; what is left over is recorded as unknown.
    pub fn close(self, problems: &mut Problems) -> Vec<At<&'static str>> {
        for (key, _) in self.table.entries {
            let (table, built, later) = (self.title, self.built.clone(), self.later.clone());
            problems.raise(key.at, Mistake::UnknownKey { key: key.value, table, built, later });
        }
        self.found
    }

    fn take(&mut self, key: &'static str) -> Option<(Place, At<Node>)> {
        let (name, value) = self.table.take(key)?;
        self.found.push(At { value: key, at: name.at });
        Some((name.at, value))
    }
}

/// A table that knows which of its keys the file gives.
pub(super) trait Found {
    /// The known keys that are there, rightly or wrongly, and where.
    fn found(&self) -> &[At<&'static str>];

    fn gives(&self, key: &str) -> bool {
        self.found().iter().any(|found| found.value == key)
    }
}

/// One key of a table, for the schema.
pub(super) struct KeySchema {
    key: &'static str,
    required: bool,
    schema: Schema,
}

impl KeySchema {
    /// `need` is the word before the field, `about` the lines of its comment.
    pub fn of<T: JsonSchema>(need: &str, field: &'static str, about: &[&str], generator: &mut SchemaGenerator) -> Self {
        let mut schema = generator.subschema_for::<T>();
        if !about.is_empty() {
            schema.insert("description".to_owned(), Value::String(about.concat().trim().to_owned()));
        }
        KeySchema { key: key_name(field), required: need == "required", schema }
    }
}

/// The schema of a table with these keys and no others.
pub(super) fn table_schema(about: &[&str], keys: Vec<KeySchema>) -> Schema {
    let required: Vec<_> = keys.iter().filter(|key| key.required).map(|key| key.key).collect();
    let properties: serde_json::Map<_, _> =
        keys.into_iter().map(|key| (key.key.to_owned(), key.schema.to_value())).collect();
    let mut schema = schemars::json_schema!({
        "description": about.concat().trim(),
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

/// The key as the file writes it: `as` for the field `r#as`.
pub(super) fn key_name(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// A schema that stands where it is used.
macro_rules! inline_schema {
    ([$($generics:tt)*] $type:ty, |$generator:ident| $schema:expr) => {
        impl<$($generics)*> schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema($generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::Schema::try_from($schema).expect("written as an object")
            }
        }
    };
}

/// A table of the grammar: its fields (`None` when the key is not there, or wrong), its reader and its schema.
///
/// Keys under `later` are of the grammar but not built yet: their form is checked, and they are refused by name. Keys under `form_only`
/// are checked for their form, and not kept.
macro_rules! table {
    (
        $(#[doc = $about:literal])*
        $name:ident $title:literal
        { $( $(#[doc = $doc:literal])* $need:ident $field:ident: $type:ty, )* }
        later { $( $(#[doc = $later_doc:literal])* $later:ident: $later_type:ty, )* }
        form_only { $( $(#[doc = $form_doc:literal])* $form_need:ident $form:ident: $form_type:ty, )* }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone)]
        pub(super) struct $name {
            $( $(#[doc = $doc])* pub $field: Option<At<$type>>, )*
            found: Vec<At<&'static str>>,
        }

        impl Found for $name {
            fn found(&self) -> &[At<&'static str>] {
                &self.found
            }
        }

        impl Read for $name {
            fn form() -> String {
                "a table".to_owned()
            }

            fn fits(node: &Node) -> bool {
                matches!(node, Node::Table(_))
            }

            fn read(node: At<Node>, problems: &mut Problems) -> Option<Self> {
                let mut keys = Keys::open(node, $title)?;
                $( let $field = keys.$need::<$type>(key_name(stringify!($field)), problems); )*
                $( keys.later::<$later_type>(key_name(stringify!($later)), problems); )*
                $( keys.$form_need::<$form_type>(key_name(stringify!($form)), problems); )*
                Some($name { $( $field, )* found: keys.close(problems) })
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let keys = vec![
                    $( KeySchema::of::<$type>(stringify!($need), stringify!($field), &[$($doc),*], generator), )*
                    $( KeySchema::of::<$later_type>(
                        "optional", stringify!($later), &["Not supported yet.", $($later_doc),*], generator,
                    ), )*
                    $( KeySchema::of::<$form_type>(
                        stringify!($form_need), stringify!($form), &[$($form_doc),*], generator,
                    ), )*
                ];
                table_schema(&[$($about),*], keys)
            }
        }
    };
    // The sections `later` and `form_only` may be left out.
    ( $(#[doc = $about:literal])* $name:ident $title:literal $keys:tt later $later:tt ) => {
        table! { $(#[doc = $about])* $name $title $keys later $later form_only {} }
    };
    ( $(#[doc = $about:literal])* $name:ident $title:literal form_only $form:tt ) => {
        table! { $(#[doc = $about])* $name $title {} later {} form_only $form }
    };
    ( $(#[doc = $about:literal])* $name:ident $title:literal $keys:tt ) => {
        table! { $(#[doc = $about])* $name $title $keys later {} form_only {} }
    };
}

pub(super) use {inline_schema, table};
