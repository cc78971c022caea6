//! Steps that change where users are sent, held against what the steps before them did; and whom a client asks for.

use super::{Check, On};
use crate::scenario::grammar::{OneOrMany, RouteTable, StepTable};
use crate::scenario::leaf::Text;
use crate::scenario::read::{Either, Found};
use crate::scenario::tree::{At, Place};
use crate::scenario::{Action, Address, Refusal, Routing, Step};

impl Check<'_> {
    /// The nodes that `take_out` or `put_back` names itself; none where that is left to the step's `on`.
    pub(super) fn named_nodes(&mut self, raw: &mut StepTable) -> Option<On> {
        let named = [&mut raw.take_out, &mut raw.put_back].into_iter().flatten().find_map(|given| {
            match std::mem::replace(&mut given.value, Either::A(true)) {
                Either::B(words) => Some(At { value: words, at: given.at }),
                Either::A(whether) => {
                    given.value = Either::A(whether);
                    None
                }
            }
        })?;
        if let Some(on) = raw.on.take() {
            self.clash(
                on.at,
                "`on` beside the nodes that the action names",
                "name them once: say `true` there, or leave `on` out",
            );
        }
        let On { nodes, .. } = self.on(named);
        Some(On { nodes, routed: false })
    }

    /// `take_out`, `put_back` or `route`. Each is one change however many nodes it is about, so it is told on the first of them.
    pub(super) fn routing_action(&mut self, raw: &mut StepTable, on: &[String]) -> Option<(Action, On)> {
        let nodes = on.to_vec();
        let action = if let Some(route) = raw.route.take() {
            if let Some(on) = raw.found().iter().find(|key| key.value == "on") {
                self.clash(on.at, "`on` beside `route`", "leave it out: `route` names its nodes");
            }
            self.route(route)?
        } else if let Some(take_out) = raw.take_out.take() {
            self.only_true(&take_out)?;
            Action::TakeOut { nodes }
        } else {
            self.only_true(&raw.put_back.take()?)?;
            Action::PutBack { nodes }
        };
        let first = match &action {
            Action::Route { writers, readers } => writers.iter().chain(readers).next()?.clone(),
            _ => on.first()?.clone(),
        };
        Some((action, On { nodes: vec![first], routed: false }))
    }

    fn only_true(&mut self, given: &At<Either<bool, OneOrMany>>) -> Option<()> {
        if matches!(given.value, Either::A(false)) {
            self.wrong(given.at, "`false`", "`true` for the step's own nodes, or the nodes");
            return None;
        }
        Some(())
    }

    fn route(&mut self, route: At<RouteTable>) -> Option<Action> {
        let At { value: table, at } = route;
        if table.found().is_empty() {
            self.wrong(at, "an empty table", "`writer`, `readers` or both");
            return None;
        }
        let writers = table.writer.map(|writer| self.on(writer).nodes).unwrap_or_default();
        let readers = table.readers.map(|readers| self.on(readers).nodes).unwrap_or_default();
        Some(Action::Route { writers, readers })
    }

    /// Takes up what a step of the plan does to the routing, and looks whether its undo could be done right after it.
    pub(super) fn reroute(&mut self, action: &Action, undo: &[Step], at: Place) {
        if let Err(refusal) = applied(action, &mut self.routing) {
            self.clash(at, refusal.to_string(), refusal.hint());
        }
        let mut undone = self.routing.clone();
        for step in undo {
            if let Err(refusal) = applied(&step.action, &mut undone) {
                self.clash(at, format!("undone, {refusal}"), refusal.hint());
            }
        }
    }

    /// Whom a client asks for; the writer where nothing is said.
    pub(super) fn address(&mut self, on: Option<At<OneOrMany>>, whose: &str) -> Address {
        let Some(At { value, at }) = on else { return Address::Writer };
        let word = match value {
            Either::A(Text(word)) => word,
            Either::B(words) => {
                let found = if words.is_empty() { "an empty list" } else { "a list" };
                self.wrong(
                    at,
                    found,
                    format!("one word for {whose}: \"writer\", \"readers\", \"side:NODE\", or a node's name"),
                );
                return Address::Writer;
            }
        };
        if word == "all" {
            self.not_yet(at, format!("`on = \"all\"` in {whose}"));
            return Address::Writer;
        }
        // Whatever is wrong with it.
        self.nodes_of(word.clone(), at);
        match word.split_once(':') {
            Some(("side", side)) => Address::Side(side.to_owned()),
            Some(("shard", shard)) => shard.parse().map_or(Address::Writer, Address::Shard),
            _ if word == "writer" => Address::Writer,
            _ if word == "readers" => Address::Readers,
            _ => Address::Node(word),
        }
    }
}

/// Does to the list what the action does, if anything.
fn applied(action: &Action, routing: &mut Routing) -> Result<(), Refusal> {
    match action {
        Action::TakeOut { nodes } => routing.take_out(nodes),
        Action::PutBack { nodes } => {
            routing.put_back(nodes);
            Ok(())
        }
        Action::Route { writers, readers } => routing.route(writers, readers),
        _ => Ok(()),
    }
}
