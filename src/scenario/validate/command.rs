//! Programs: how they are called, where, and with which environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::expect::texts;
use super::{Check, is_variable};
use crate::scenario::grammar::CommandTable;
use crate::scenario::leaf::{AnyText, Text};
use crate::scenario::problem::{Mistake, url_passwords};
use crate::scenario::read::{Either, List, Map};
use crate::scenario::tree::{At, Place};
use crate::scenario::{Command, Invocation};

impl Check<'_> {
    pub(super) fn command(&mut self, found: At<Either<Text, Either<List<Text>, CommandTable>>>) -> Option<Command> {
        let At { value, at } = found;
        let table = match value {
            Either::A(text) => return self.plain_command(At { value: Either::A(text), at }),
            Either::B(Either::A(words)) => return self.plain_command(At { value: Either::B(words), at }),
            Either::B(Either::B(table)) => table,
        };
        let run = table.run.and_then(|run| self.invocation(run));
        let env = table.env.map(|env| self.env(env.value)).unwrap_or_default();
        let dir = match table.dir {
            None => Some(self.own_folder(at)),
            Some(dir) => self.folder(&dir),
        };
        Some(Command { run: run?, dir: dir?, env })
    }

    fn plain_command(&mut self, run: At<Either<Text, List<Text>>>) -> Option<Command> {
        let dir = self.own_folder(run.at);
        Some(Command { run: self.invocation(run)?, dir, env: BTreeMap::new() })
    }

    fn own_folder(&self, at: Place) -> PathBuf {
        self.problems.folder(at).to_owned()
    }

    fn invocation(&mut self, run: At<Either<Text, List<Text>>>) -> Option<Invocation> {
        match run.value {
            Either::A(Text(text)) => {
                self.said_to_program(&text, run.at);
                Some(Invocation::Shell(text))
            }
            Either::B(words) if words.is_empty() => {
                self.wrong(run.at, "an empty list", "a program and its arguments");
                None
            }
            Either::B(words) => {
                words.iter().for_each(|word| self.said_to_program(&word.value.0, word.at));
                Some(Invocation::Argv(texts(words)))
            }
        }
    }

    /// A program is where a server of the user's own would be named with its password; and then it would be in every report.
    fn said_to_program(&mut self, text: &str, at: Place) {
        self.references(text, at);
        for password in url_passwords(text) {
            let at = self.within(at, text, password);
            let form = "the name of an environment variable in its place".to_owned();
            self.problems.raise(at, Mistake::Secret { form });
        }
    }

    fn env(&mut self, env: Map<AnyText>) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        for (name, At { value: AnyText(value), at }) in env.0 {
            if !is_variable(&name.value) {
                self.wrong(name.at, format!("`{}`", name.value), "the name of an environment variable");
            }
            if self.variable(&value, at).is_none() {
                self.said_to_program(&value, at);
            }
            variables.insert(name.value, value);
        }
        variables
    }
}
