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

/// Before a consumer's name, where its environment says how its sessions call themselves.
const CONSUMER: &str = "rehearsal consumer ";

/// Of a longer name, this is what Postgres keeps, in bytes.
const APPLICATION_MAX: usize = 63;

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
    /// Sessions of such programs that the server was still at when the program ended.
    behind: BTreeMap<String, Vec<i32>>,
    /// Where nodes are that came back from a restart.
    moved: BTreeMap<String, (String, u16)>,
    /// Programs kept running beside the nodes.
    consumers: Vec<String>,
}

#[derive(Debug, Clone)]
struct Place {
    login: Endpoint,
    superuser: Endpoint,
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
    /// Whoever looks at that server asks by this login.
    pub superuser: Endpoint,
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
        let (places, left, guests, behind, moved, consumers) = Default::default();
        let state = State { routing, places, left, guests, behind, moved, consumers };
        Routes { state: Arc::new(Mutex::new(state)), changes: watch::Sender::new(0), looks: watch::Sender::new(0) }
    }

    /// With these programs kept running beside the nodes.
    #[must_use]
    pub fn with_consumers(self, consumers: Vec<String>) -> Routes {
        self.state().consumers = consumers;
        self
    }

    /// The consumer whose session that is, by how it calls itself or by its login.
    pub fn consumer(&self, application: &str, login: &str) -> Option<String> {
        let state = self.state();
        let is_its = |(position, name): &(usize, &String)| {
            let called = consumer_application(name);
            application == &called[..called.floor_char_boundary(APPLICATION_MAX)] || login == consumer_login(*position)
        };
        state.consumers.iter().enumerate().find(is_its).map(|(_, name)| name.clone())
    }

    /// From now on users can be sent to that node, with the application's login there.
    pub fn let_in(&self, node: &str, login: &Endpoint, superuser: &Endpoint, observing: &Observing) {
        let (login, superuser) = (login.clone(), superuser.named("rehearsal"));
        let place = Place { login, superuser, owners: observing.owners.clone(), blockers: observing.blockers.clone() };
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

    /// The server of that node is about to end: none of its sessions outlives that.
    pub fn ends(&self, node: &str) {
        self.state().behind.remove(node);
    }

    /// That node is back, and there from now on.
    pub fn is_at(&self, node: &str, endpoint: &Endpoint) {
        self.state().moved.insert(node.to_owned(), (endpoint.host.clone(), endpoint.port));
    }

    /// A login on that node, where the node is now.
    pub fn at(&self, node: &str, login: &Endpoint) -> Endpoint {
        self.state().at(node, login)
    }

    /// Of the sessions that are on that node, those that programs of the plan left there; the others of those have ended.
    pub fn behind(&self, node: &str, there: &[i32]) -> Vec<i32> {
        let mut state = self.state();
        let Some(behind) = state.behind.get_mut(node) else { return Vec::new() };
        behind.retain(|pid| there.contains(pid));
        behind.clone()
    }

    pub fn is_invited(&self, node: &str, login: &str) -> bool {
        self.state().guests.get(node).is_some_and(|logins| logins.iter().any(|invited| invited == login))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn at(&self, node: &str, login: &Endpoint) -> Endpoint {
        match self.moved.get(node) {
            Some((host, port)) => Endpoint { host: host.clone(), port: *port, ..login.clone() },
            None => login.clone(),
        }
    }
}

impl Guest<'_> {
    pub fn is_left(&self) -> bool {
        self.routes.is_left(&self.node)
    }

    /// The program has ended, and these sessions go on without it.
    pub fn leaves(&self, pids: Vec<i32>) {
        self.routes.state().behind.entry(self.node.clone()).or_default().extend(pids);
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
        let Place { login, superuser, owners, blockers } = state.places.get(&node)?.clone();
        let login = state.at(&node, &login).named(&application(address));
        let superuser = state.at(&node, &superuser);
        Some(Target { login, superuser, node, owners, blockers })
    }

    /// Whether whoever is on that node by that address may stay.
    pub fn leads_to(&self, address: &Address, node: &str) -> bool {
        self.routes.state().routing.leads_to(address, node)
    }

    /// The shard's, from 1; none where the topology has no shards.
    pub fn number(&self) -> Option<u32> {
        let several = self.routes.state().routing.shards.len() > 1;
        several.then(|| u32::try_from(self.shard + 1).unwrap_or(u32::MAX))
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

/// How a consumer's sessions call themselves, where its environment says so.
pub fn consumer_application(name: &str) -> String {
    format!("{CONSUMER}{name}")
}

/// The login of the consumer at that position, where nothing else tells whose a session is.
pub fn consumer_login(position: usize) -> String {
    format!("rehearsal_consumer_{}", position + 1)
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
    application.starts_with("rehearsal") && ![AT, CONSUMER].iter().any(|other| application.starts_with(other))
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

    fn routes() -> Routes {
        let nodes = vec!["a".to_owned()];
        let route = crate::scenario::Route { masters: nodes.clone(), readers: Vec::new(), nodes };
        Routes::new(Routing::new(vec![route]))
    }

    #[test]
    fn a_consumer_is_known_by_its_name_or_its_login() {
        let long = "x".repeat(60);
        let routes = routes().with_consumers(vec!["feed".to_owned(), long.clone()]);
        let check = |application: &str, login: &str, expected: Option<&str>| {
            assert_eq!(routes.consumer(application, login).as_deref(), expected, "{application} as {login}");
        };
        check(&consumer_application("feed"), "postgres", Some("feed"));
        check(&consumer_application(&long)[..63], "postgres", Some(&long));
        check("mysql", &consumer_login(1), Some(&long));
        check("rehearsal consumer feed2", "postgres", None);
        check("mysql", "root", None);
        assert!(!is_own(&consumer_application("feed")), "it is seen where it should not be");
    }

    #[test]
    fn what_a_program_left_behind_is_the_plan_s_to_its_end() {
        let routes = routes();
        let guest = routes.invite("a", &["app".to_owned()]);
        guest.leaves(vec![7, 8]);
        drop(guest);
        assert!(!routes.is_invited("a", "app"));
        assert_eq!(routes.behind("a", &[7, 9]), [7]);
        assert!(routes.behind("a", &[8, 9]).is_empty(), "the number is another's by now");
        routes.invite("a", &[]).leaves(vec![9]);
        routes.ends("a");
        assert!(routes.behind("a", &[9]).is_empty());
    }

    #[test]
    fn a_node_that_came_back_elsewhere_is_found_there() {
        let (user, password, database, application) = Default::default();
        let engine = crate::engine::EngineKind::Postgres;
        let login = Endpoint { engine, host: "127.0.0.1".to_owned(), port: 1, database, user, password, application };
        let routes = routes();
        assert_eq!(routes.at("a", &login).port, 1);
        routes.is_at("a", &Endpoint { port: 2, ..login.clone() });
        assert_eq!((routes.at("a", &login).port, routes.at("b", &login).port), (2, 1));
    }
}
