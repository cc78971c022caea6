//! Where users are sent: who takes the writes and the reads of each shard, and which nodes are out.
//!
//! Pure. The plan is held against it before anything starts, the run keeps one while it goes on, and each change of it is an event.

use serde::{Deserialize, Serialize};

use super::{Node, Topology};

/// The routing list: what users, probes and programs that obey it go by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Routing {
    /// In their order; one where the topology has no shards.
    pub shards: Vec<Route>,
    /// Nodes that nobody is sent to, in the order in which they were taken out.
    pub out: Vec<String>,
}

/// Where one shard's users are sent, those who are out apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Route {
    /// Who can take the writes: one node, or the two of a pair. The first that is not out does.
    pub masters: Vec<String>,
    /// Who takes the reads that need not be of this moment. Where all are out, the writer does.
    pub readers: Vec<String>,
    /// All nodes of the shard.
    pub nodes: Vec<String>,
}

/// Whom a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Address {
    /// The writer of its shard, whichever node that is.
    #[default]
    Writer,
    /// One of the readers that are in.
    Readers,
    /// A side of its shard while that is in, else the writer.
    Side(String),
    /// The writer of that shard, from 1.
    Shard(u32),
    /// A node by its own address, whether it is out or not.
    Node(String),
}

impl Address {
    /// As `on` says it.
    pub fn words(&self) -> String {
        match self {
            Address::Writer => "writer".to_owned(),
            Address::Readers => "readers".to_owned(),
            Address::Side(side) => format!("side:{side}"),
            Address::Shard(shard) => format!("shard:{shard}"),
            Address::Node(node) => node.clone(),
        }
    }

    /// Whether the routing list decides where it leads.
    pub fn obeys(&self) -> bool {
        !matches!(self, Address::Node(_))
    }

    pub fn is_writer(&self) -> bool {
        *self == Address::Writer
    }
}

/// Why the list stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("with {node} out as well, both sides of the shard would be out: {other} is already")]
    BothSides { node: String, other: String },
    #[error("both sides of one shard would be out: {node} and {other}")]
    AtOnce { node: String, other: String },
    #[error("nobody could stand in for {node}, which has no peer to take the writes")]
    Alone { node: String },
    #[error("{node} is a replica, and takes no writes")]
    Replica { node: String },
    #[error("{node} is out")]
    Out { node: String },
    #[error("{node} and {other} are of one shard, which has one writer")]
    TwoWriters { node: String, other: String },
}

impl Refusal {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Refusal::BothSides { .. } => "put the other side back first",
            Refusal::AtOnce { .. } => "take out one side, put it back, and then the other",
            Refusal::Alone { .. } => "give it a peer, or say in the limits how long users may be without it",
            Refusal::Replica { .. } => "name the writer, or its peer",
            Refusal::Out { .. } => "put it back first",
            Refusal::TwoWriters { .. } => "name one node a shard",
        }
    }

    /// The shard would have nobody to take its writes.
    pub fn is_without_side(&self) -> bool {
        matches!(self, Refusal::BothSides { .. } | Refusal::AtOnce { .. } | Refusal::Alone { .. })
    }
}

impl Routing {
    /// As production has it when the plan begins: nobody is out, the first of each pair takes the writes, all others the reads. A logical
    /// subscriber has users of its own.
    pub fn of(topology: &Topology) -> Routing {
        let shards = topology.writers().map(|writer| {
            let of_shard = || topology.nodes.iter().filter(|node| node.shard == writer.shard);
            let reads = |node: &&Node| node.name != writer.name && node.subscribes.is_none();
            Route {
                masters: std::iter::once(&writer.name).chain(writer.peers.first()).cloned().collect(),
                readers: of_shard().filter(reads).map(|node| node.name.clone()).collect(),
                nodes: of_shard().map(|node| node.name.clone()).collect(),
            }
        });
        Routing::new(shards.collect())
    }

    /// `shards` has at least one, each with at least one master.
    pub fn new(shards: Vec<Route>) -> Routing {
        Routing { shards, out: Vec::new() }
    }

    pub fn is_out(&self, node: &str) -> bool {
        self.out.iter().any(|out| out == node)
    }

    /// Who takes the writes of each shard.
    pub fn writers(&self) -> impl Iterator<Item = &str> {
        self.shards.iter().map(|shard| self.writer_of(shard))
    }

    /// Whether users are on that node to write.
    pub fn is_writer(&self, node: &str) -> bool {
        self.writers().any(|writer| writer == node)
    }

    /// Who takes the reads of each shard; never nobody.
    pub fn readers_of<'r>(&'r self, shard: &'r Route) -> Vec<&'r str> {
        let readers: Vec<&str> =
            shard.readers.iter().map(String::as_str).filter(|reader| !self.is_out(reader)).collect();
        if readers.is_empty() { vec![self.writer_of(shard)] } else { readers }
    }

    /// The node to which an address leads in that shard, from 0; of several readers the `nth`. None where it leads to no node of it.
    pub fn target(&self, address: &Address, shard: usize, nth: usize) -> Option<&str> {
        let route = self.shards.get(shard)?;
        match address {
            Address::Writer => Some(self.writer_of(route)),
            Address::Readers => {
                let readers = self.readers_of(route);
                readers.get(nth % readers.len()).copied()
            }
            Address::Side(side) => {
                let node = route.nodes.iter().find(|node| is_side(node, side))?;
                Some(if self.is_out(node) { self.writer_of(route) } else { node })
            }
            Address::Shard(number) => (*number as usize == shard + 1).then(|| self.writer_of(route)),
            Address::Node(name) => route.nodes.iter().find(|node| *node == name).map(String::as_str),
        }
    }

    /// Whether an address leads to that node in any shard.
    pub fn leads_to(&self, address: &Address, node: &str) -> bool {
        (0..self.shards.len()).any(|shard| self.leads_in(shard, address, node))
    }

    /// Whether it does in that one, from 0.
    pub fn leads_in(&self, shard: usize, address: &Address, node: &str) -> bool {
        match address {
            Address::Readers => self.shards.get(shard).is_some_and(|route| self.readers_of(route).contains(&node)),
            address => self.target(address, shard, 0) == Some(node),
        }
    }

    /// The shard that a node is of, from 0.
    pub fn shard_of(&self, node: &str) -> Option<usize> {
        self.shards.iter().position(|shard| shard.nodes.iter().any(|of_shard| of_shard == node))
    }

    /// Nobody is sent to these nodes from now on. A writer's peer takes over.
    ///
    /// # Errors
    /// A shard would have nobody who takes its writes; nothing is changed.
    pub fn take_out(&mut self, nodes: &[String]) -> Result<(), Refusal> {
        for shard in &self.shards {
            let named = |node: &&String| nodes.contains(node);
            if shard.masters.iter().any(|node| !nodes.contains(node) && !self.is_out(node)) {
                continue;
            }
            let Some(node) = shard.masters.iter().find(|node| named(node) && !self.is_out(node)) else { continue };
            let Some(other) = shard.masters.iter().find(|other| *other != node) else {
                return Err(Refusal::Alone { node: node.clone() });
            };
            let (node, other) = (node.clone(), other.clone());
            return Err(match self.is_out(&other) {
                true => Refusal::BothSides { node, other },
                false => Refusal::AtOnce { node, other },
            });
        }
        let (known, out): (Vec<String>, &mut Vec<String>) = (self.out.clone(), &mut self.out);
        out.extend(nodes.iter().filter(|node| !known.contains(node)).cloned());
        Ok(())
    }

    /// These nodes are served by again: the first of a pair takes the writes as it did before.
    pub fn put_back(&mut self, nodes: &[String]) {
        self.out.retain(|out| !nodes.contains(out));
    }

    /// The writer of each shard that one of `writers` is of, and its readers where `readers` names any of it.
    ///
    /// # Errors
    /// One of them is out or takes no writes; nothing is changed.
    pub fn route(&mut self, writers: &[String], readers: &[String]) -> Result<(), Refusal> {
        if let Some(node) = writers.iter().chain(readers).find(|node| self.is_out(node)) {
            return Err(Refusal::Out { node: node.clone() });
        }
        let mut shards = self.shards.clone();
        for shard in &mut shards {
            let mut named = writers.iter().filter(|node| shard.nodes.contains(node));
            if let Some(writer) = named.next() {
                if let Some(other) = named.next() {
                    return Err(Refusal::TwoWriters { node: writer.clone(), other: other.clone() });
                }
                let Some(at) = shard.masters.iter().position(|master| master == writer) else {
                    return Err(Refusal::Replica { node: writer.clone() });
                };
                shard.masters[..=at].rotate_right(1);
            }
            let theirs: Vec<String> = readers.iter().filter(|node| shard.nodes.contains(node)).cloned().collect();
            if !theirs.is_empty() {
                shard.readers = theirs;
            }
        }
        self.shards = shards;
        Ok(())
    }

    fn writer_of<'r>(&'r self, shard: &'r Route) -> &'r str {
        // One of them is always in: whatever would leave none is refused.
        shard.masters.iter().find(|node| !self.is_out(node)).unwrap_or(&shard.masters[0])
    }
}

/// Whether a node is that side of its shard: `a`, or `a.1` of a topology with shards.
fn is_side(node: &str, side: &str) -> bool {
    node.strip_prefix(side).is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('.').is_some_and(|shard| shard.chars().all(|c| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(nodes: &[&str]) -> Vec<String> {
        nodes.iter().map(|node| (*node).to_owned()).collect()
    }

    /// Two shards, each a pair with a replica.
    fn pairs() -> Routing {
        let shard = |number: usize| Route {
            masters: names(&["a", "b"]).iter().map(|node| format!("{node}.{number}")).collect(),
            readers: vec![format!("b.{number}"), format!("r.{number}")],
            nodes: names(&["a", "b", "r"]).iter().map(|node| format!("{node}.{number}")).collect(),
        };
        Routing::new(vec![shard(1), shard(2)])
    }

    #[track_caller]
    fn writers(routing: &Routing, expected: &[&str]) {
        assert_eq!(routing.writers().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn subscribers_are_no_readers() {
        let scenario = crate::outcome::sample::scenario("a feed");
        let mut topology = scenario.topology;
        let primary = topology.nodes[0].clone();
        let subscribes =
            Some(crate::scenario::Subscribes { to: "primary".into(), publication: "feed".into(), tables: Vec::new() });
        topology.nodes.push(Node { name: "standby".into(), replicates: Some("primary".into()), ..primary.clone() });
        topology.nodes.push(Node { name: "warehouse".into(), subscribes, ..primary });
        let routing = Routing::of(&topology);
        assert_eq!(routing.shards[0].readers, ["standby"]);
        assert_eq!(routing.shards[0].nodes, ["primary", "standby", "warehouse"]);
        assert!(!routing.leads_to(&Address::Readers, "warehouse"));
        assert!(routing.leads_to(&Address::Node("warehouse".into()), "warehouse"));
    }

    #[test]
    fn a_writers_peer_takes_over_until_it_is_back() {
        let mut routing = pairs();
        writers(&routing, &["a.1", "a.2"]);
        routing.take_out(&names(&["a.1"])).expect("b.1 is in");
        writers(&routing, &["b.1", "a.2"]);
        assert!(routing.is_writer("b.1") && !routing.is_writer("a.1") && routing.is_out("a.1"));
        routing.put_back(&names(&["a.1"]));
        writers(&routing, &["a.1", "a.2"]);
        assert_eq!(routing, pairs());
    }

    #[test]
    fn no_shard_is_left_without_a_side() {
        #[track_caller]
        fn check(out: &[&str], then: &[&str], expected: &str) {
            let mut routing = pairs();
            routing.take_out(&names(out)).expect("the first is taken out");
            let before = routing.clone();
            let refused = routing.take_out(&names(then)).expect_err("a side is left");
            assert_eq!(refused.to_string(), expected);
            assert!(refused.is_without_side());
            assert_eq!(routing, before);
        }
        check(&["a.1"], &["b.1"], "with b.1 out as well, both sides of the shard would be out: a.1 is already");
        check(
            &["a.1", "a.2"],
            &["r.1", "b.2"],
            "with b.2 out as well, both sides of the shard would be out: a.2 is already",
        );
        check(&["b.2"], &["a.1", "b.1"], "both sides of one shard would be out: a.1 and b.1");
        let mut lone =
            Routing::new(vec![Route { masters: names(&["p"]), readers: names(&["r"]), nodes: names(&["p", "r"]) }]);
        let refused = lone.take_out(&names(&["p"])).expect_err("it has no peer");
        assert_eq!(refused.to_string(), "nobody could stand in for p, which has no peer to take the writes");
        lone.take_out(&names(&["r"])).expect("a replica may go");
        let shards = lone.shards.clone();
        assert_eq!(lone.readers_of(&shards[0]), ["p"]);
        lone.take_out(&names(&["r"])).expect("it is out already");
        assert_eq!(lone.out, ["r"]);
    }

    #[test]
    fn sides_are_taken_out_in_different_shards() {
        let mut routing = pairs();
        routing.take_out(&names(&["a.1", "b.2"])).expect("each shard keeps a side");
        writers(&routing, &["b.1", "a.2"]);
    }

    #[test]
    fn who_writes_can_be_said() {
        let mut routing = pairs();
        routing.route(&names(&["b.1"]), &names(&["a.1"])).expect("it is of the pair");
        writers(&routing, &["b.1", "a.2"]);
        assert_eq!(routing.target(&Address::Readers, 0, 5), Some("a.1"));
        assert_eq!(routing.target(&Address::Readers, 1, 1), Some("r.2"));
        routing.take_out(&names(&["b.1"])).expect("a.1 is in");
        writers(&routing, &["a.1", "a.2"]);
        routing.put_back(&names(&["b.1"]));
        writers(&routing, &["b.1", "a.2"]);
        let refused = |routing: &mut Routing, writers: &[&str], readers: &[&str]| {
            routing.route(&names(writers), &names(readers)).expect_err("refused").to_string()
        };
        assert_eq!(refused(&mut routing, &["r.1"], &[]), "r.1 is a replica, and takes no writes");
        assert_eq!(refused(&mut routing, &["a.1", "b.1"], &[]), "a.1 and b.1 are of one shard, which has one writer");
        routing.take_out(&names(&["r.2"])).expect("a replica may go");
        assert_eq!(refused(&mut routing, &[], &["r.2"]), "r.2 is out");
    }

    #[test]
    fn where_an_address_leads() {
        #[track_caller]
        fn check(out: &[&str], address: Address, expected: [Option<&str>; 2]) {
            let mut routing = pairs();
            routing.take_out(&names(out)).expect("a side is left");
            let leads = [0, 1].map(|shard| routing.target(&address, shard, 0));
            assert_eq!(leads, expected, "{address:?}");
        }
        check(&[], Address::Writer, [Some("a.1"), Some("a.2")]);
        check(&["a.1"], Address::Writer, [Some("b.1"), Some("a.2")]);
        check(&["b.1"], Address::Readers, [Some("r.1"), Some("b.2")]);
        check(&["b.1", "r.1"], Address::Readers, [Some("a.1"), Some("b.2")]);
        check(&["b.1"], Address::Side("b".into()), [Some("a.1"), Some("b.2")]);
        check(&["a.2"], Address::Shard(2), [None, Some("b.2")]);
        check(&["a.1"], Address::Node("a.1".into()), [Some("a.1"), None]);
        assert!(is_side("a", "a") && is_side("a.12", "a") && !is_side("ab", "a") && !is_side("a.x", "a"));
    }
}
