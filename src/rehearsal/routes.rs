//! Where users are sent at this moment, and how they get there: set by the plan's steps, looked up by whoever plays a user.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::blockers::Blockers;
use super::observing::Observing;
use super::owners::Owners;
use crate::engine::endpoint::Endpoint;
use crate::scenario::{Address, Routing};

/// How sessions of those call themselves who ask for the writer, which is what most users do.
const PROBE: &str = "rehearsal probe";
pub const READER: &str = "rehearsal reader";

/// Before the address of whoever asks for another.
const OF: &str = "rehearsal probe of ";

/// Before a node's name, of those who have its own address.
const AT: &str = "rehearsal probe at ";

/// The list, and what is known of the nodes on it. Copies share one.
#[derive(Debug, Clone)]
pub struct Routes {
    state: Arc<Mutex<State>>,
    /// Counts the changes.
    changes: watch::Sender<u64>,
    /// Counts nodes that were left, and looks at those.
    looks: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    routing: Routing,
    /// Nodes that users may be sent to.
    places: BTreeMap<String, Place>,
    /// Nodes that are out, and that everybody who obeys has left; and whether somebody has looked since who is there all the same.
    left: BTreeMap<String, bool>,
    /// Logins of programs that the plan itself runs on a node at this moment.
    guests: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone)]
struct Place {
    login: Endpoint,
    owners: Owners,
    blockers: Blockers,
}

/// One shard's users.
#[derive(Debug, Clone)]
pub struct Lane {
    pub routes: Routes,
    /// From 0.
    pub shard: usize,
}

/// Where an address leads.
#[derive(Debug, Clone)]
pub struct Target {
    pub node: String,
    /// The application's login there.
    pub login: Endpoint,
    /// Whose session is whose there, and who is in whose way.
    pub owners: Owners,
    pub blockers: Blockers,
}

/// While it is held, the plan's own program is let in on a node whoever is out.
pub struct Guest<'r> {
    routes: &'r Routes,
    node: String,
}

impl Routes {
    pub fn new(routing: Routing) -> Routes {
        let (places, left, guests) = Default::default();
        let state = State { routing, places, left, guests };
        Routes { state: Arc::new(Mutex::new(state)), changes: watch::Sender::new(0), looks: watch::Sender::new(0) }
    }

    /// From now on users can be sent to that node, with the application's login there.
    pub fn let_in(&self, node: &str, login: &Endpoint, observing: &Observing) {
        let place =
            Place { login: login.clone(), owners: observing.owners.clone(), blockers: observing.blockers.clone() };
        self.state().places.insert(node.to_owned(), place);
    }

    pub fn routing(&self) -> Routing {
        self.state().routing.clone()
    }

    /// Nodes that users may be sent to.
    pub fn nodes(&self) -> Vec<String> {
        self.state().places.keys().cloned().collect()
    }

    /// Sends users by that list from now on, and tells them.
    pub fn set(&self, routing: Routing) {
        let mut state = self.state();
        state.left.retain(|node, _| routing.is_out(node));
        state.routing = routing;
        drop(state);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Everybody who obeys has left these nodes: whoever is seen there from now on does not.
    pub fn are_left(&self, nodes: &[String]) {
        let mut state = self.state();
        let out: Vec<String> = nodes.iter().filter(|node| state.routing.is_out(node)).cloned().collect();
        state.left.extend(out.into_iter().map(|node| (node, false)));
        drop(state);
        self.looks.send_modify(|looks| *looks += 1);
    }

    pub fn is_left(&self, node: &str) -> bool {
        self.state().left.contains_key(node)
    }

    /// Somebody has looked who is on that node since it was left.
    pub fn looked(&self, node: &str) {
        let first = self.state().left.get_mut(node).is_some_and(|looked| !std::mem::replace(looked, true));
        // Told once: it wakes the observers of all nodes, and each look costs their servers something.
        if first {
            self.looks.send_modify(|looks| *looks += 1);
        }
    }

    /// Until somebody has looked at each of these nodes that is left: however short it is out, who is there is seen.
    pub async fn were_looked_at(&self, nodes: &[String]) {
        let mut looks = self.looks();
        let unseen = || nodes.iter().any(|node| self.state().left.get(node) == Some(&false));
        while unseen() && looks.changed().await.is_ok() {}
    }

    /// Tells when a node was left, or looked at.
    pub fn looks(&self) -> watch::Receiver<u64> {
        self.looks.subscribe()
    }

    /// The plan runs a program on that node on purpose, with one of these logins.
    pub fn invite<'r>(&'r self, node: &str, logins: &[String]) -> Guest<'r> {
        self.state().guests.insert(node.to_owned(), logins.to_vec());
        Guest { routes: self, node: node.to_owned() }
    }

    pub fn is_invited(&self, node: &str, login: &str) -> bool {
        self.state().guests.get(node).is_some_and(|logins| logins.iter().any(|invited| invited == login))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.routes.state().guests.remove(&self.node);
    }
}

impl Lane {
    /// Of several nodes the `nth`; none where the address leads to no node of the shard that users may be sent to.
    pub fn target(&self, address: &Address, nth: usize) -> Option<Target> {
        let state = self.routes.state();
        let node = state.routing.target(address, self.shard, nth)?.to_owned();
        let Place { login, owners, blockers } = state.places.get(&node)?.clone();
        Some(Target { login: login.named(&application(address)), node, owners, blockers })
    }

    /// Whether whoever is on that node by that address may stay.
    pub fn leads_to(&self, address: &Address, node: &str) -> bool {
        self.routes.state().routing.leads_to(address, node)
    }

    /// Tells of every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.routes.changes.subscribe()
    }
}

/// How a session calls itself that a probe has by that address.
fn application(address: &Address) -> String {
    match address {
        Address::Writer => PROBE.to_owned(),
        Address::Node(node) => format!("{AT}{node}"),
        other => format!("{OF}{}", other.words()),
    }
}

/// The address by which a session came that goes by the list; none of all others.
pub fn obeying(application: &str) -> Option<Address> {
    match application {
        PROBE | READER => Some(Address::Writer),
        other => match other.strip_prefix(OF)? {
            "readers" => Some(Address::Readers),
            address => match address.split_once(':')? {
                ("side", side) => Some(Address::Side(side.to_owned())),
                ("shard", shard) => shard.parse().ok().map(Address::Shard),
                _ => None,
            },
        },
    }
}

/// Whether a session of that name is the tool's own, or that of somebody who goes by the list.
pub fn is_own(application: &str) -> bool {
    application.starts_with("rehearsal") && !application.starts_with(AT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_by_its_address() {
        let check = |address: Address, obeys: bool| {
            let name = application(&address);
            assert_eq!(obeying(&name), obeys.then_some(address));
            assert_eq!(is_own(&name), obeys, "{name}");
        };
        check(Address::Writer, true);
        check(Address::Readers, true);
        check(Address::Side("a".to_owned()), true);
        check(Address::Shard(2), true);
        check(Address::Node("a.1".to_owned()), false);
        assert_eq!(obeying(READER), Some(Address::Writer));
        assert_eq!(obeying("rehearsal observer"), None);
        assert!(is_own("rehearsal observer") && !is_own("mysql"));
    }
}
