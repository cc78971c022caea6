//! Steps that change where users are sent: the list is written for programs, users are told, and the step waits until everybody who
//! obeys is where the list says.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::{sleep, timeout};

use super::failure::Failure;
use super::routes::{Routes, obeying};
use super::step::{Cut, Ended, Runner, Running};
use crate::engine::server;
use crate::engine::waits::{Client, Waits};
use crate::event::Event;
use crate::scenario::{Refusal, Routing};
use crate::topology::{Node, Topology};

/// The list, in the run's folder.
const FILE: &str = "routing.json";

/// For everybody to go where they are sent, where the step has no timeout; who keeps a transaction open as long as that has it beside.
const MOVES: Duration = Duration::from_secs(30);

/// Between two looks at who is still there.
const POLL: Duration = Duration::from_millis(20);

/// For a node to let somebody in, and to answer.
const ANSWERS: Duration = Duration::from_secs(5);

/// What is wrong with a change.
enum Unfit {
    Refused(Refusal),
    /// Why the node that users would be sent to is none for them.
    Unready(String),
}

pub(super) async fn take_out(runner: &Runner<'_>, running: &Running<'_>, nodes: &[String]) -> Result<Ended, Cut> {
    let Some(routes) = runner.routes() else { return Ok(nobody()) };
    let mut routing = routes.routing();
    let changed = match routing.take_out(nodes) {
        Ok(()) => serving(runner, &routes.routing(), &routing, nodes).await,
        Err(refusal) => Err(Unfit::Refused(refusal)),
    };
    let (what, without_side) = match changed {
        Ok(()) => {
            let moved = publish(runner, running, routes, routing).await?;
            if moved.error.is_none() {
                routes.are_left(nodes);
            }
            return Ok(moved);
        }
        Err(Unfit::Unready(what)) => (what, true),
        Err(Unfit::Refused(refusal)) => (refusal.to_string(), refusal.is_without_side()),
    };
    if without_side {
        let (step, role, nodes, what) = (running.index, running.role, nodes.to_vec(), what.clone());
        runner.events.send(Event::RoutingRefused { step, role, nodes, what });
    }
    Ok(Ended::failed(what))
}

pub(super) async fn put_back(runner: &Runner<'_>, running: &Running<'_>, nodes: &[String]) -> Result<Ended, Cut> {
    let Some(routes) = runner.routes() else { return Ok(nobody()) };
    for name in nodes {
        if !answers(runner.node(name)).await {
            return Ok(Ended::failed(format!("{name} does not answer, and stays out")));
        }
    }
    // Who cannot be asked says nothing, and holds nobody up for long.
    if timeout(ANSWERS, routes.were_looked_at(nodes)).await.is_err() {
        tracing::debug!("nobody looked who was on a node that was out");
    }
    let mut routing = routes.routing();
    routing.put_back(nodes);
    publish(runner, running, routes, routing).await
}

pub(super) async fn route(
    runner: &Runner<'_>,
    running: &Running<'_>,
    writers: &[String],
    readers: &[String],
) -> Result<Ended, Cut> {
    let Some(routes) = runner.routes() else { return Ok(nobody()) };
    let mut routing = routes.routing();
    if let Err(refusal) = routing.route(writers, readers) {
        return Ok(Ended::failed(refusal.to_string()));
    }
    for name in writers.iter().chain(readers) {
        if !answers(runner.node(name)).await {
            return Ok(Ended::failed(format!("{name} does not answer, and nobody is sent there")));
        }
    }
    publish(runner, running, routes, routing).await
}

/// Before there are users, nobody is sent anywhere.
fn nobody() -> Ended {
    Ended::failed("nobody is sent anywhere before the plan begins")
}

/// Whether the writers of the shards that these nodes are of can take the writes.
async fn serving(runner: &Runner<'_>, before: &Routing, after: &Routing, nodes: &[String]) -> Result<(), Unfit> {
    let touched = after
        .shards
        .iter()
        .zip(after.writers())
        .filter(|(shard, _)| shard.masters.iter().any(|master| nodes.contains(master) && !before.is_out(master)));
    for (_, writer) in touched {
        let node = runner.node(writer);
        let endpoint = node.endpoint();
        let takes_writes = timeout(ANSWERS, server::takes_writes(&endpoint));
        let what = match (node.is_up().await, takes_writes.await) {
            (true, Ok(Ok(true))) => continue,
            (true, Ok(Ok(false))) => "takes no writes",
            _ => "does not answer",
        };
        return Err(Unfit::Unready(format!("{writer}, which would take its place, {what}")));
    }
    Ok(())
}

async fn answers(node: &Node) -> bool {
    node.is_up().await && matches!(timeout(ANSWERS, Waits::connect(&node.endpoint())).await, Ok(Ok(_)))
}

/// Puts the list in force, and waits until everybody who obeys it has gone where it says.
async fn publish(runner: &Runner<'_>, running: &Running<'_>, routes: &Routes, routing: Routing) -> Result<Ended, Cut> {
    // Programs first: a probe's move is the first that anybody sees of it.
    write(runner.folder, &routing, runner.topology).map_err(|error| Cut::Harness(not_written(&error)))?;
    runner.events.send(Event::Routed { step: running.index, role: running.role, routing: routing.clone() });
    routes.set(routing);
    let within = MOVES + runner.scenario.probes.open_transaction.unwrap_or_default();
    let (began, mut still) = (Instant::now(), None);
    tokio::select! {
        () = moved(runner, routes, &mut still) => Ok(Ended::default()),
        () = running.cancel.cancelled() => Err(still.map_or(Cut::Cancelled, Cut::Late)),
        () = sleep(within), if running.step.timeout.is_none() => {
            let who = still.unwrap_or_else(|| "no node has said who is there".to_owned());
            Ok(Ended::failed(format!("after {:.1?} {who}", began.elapsed())))
        }
    }
}

/// Waits until nobody who obeys the list is where it does not lead; who is, at the last look, stands in `still`.
async fn moved(runner: &Runner<'_>, routes: &Routes, still: &mut Option<String>) {
    let routing = routes.routing();
    let names = routes.nodes();
    let mut nodes: Vec<(&Node, Option<Waits>)> = names.iter().map(|name| (runner.node(name), None)).collect();
    loop {
        let mut found = None;
        for (node, waits) in &mut nodes {
            // Nobody is on a server that has ended.
            if !node.is_up().await {
                continue;
            }
            match clients(node, waits).await {
                Some(clients) => found = found.or_else(|| astray(&routing, node.name(), &clients)),
                None => found = found.or_else(|| Some(format!("{} does not say who is there", node.name()))),
            }
        }
        *still = found;
        if still.is_none() {
            return;
        }
        sleep(POLL).await;
    }
}

/// Who is on the node; none where that could not be asked.
async fn clients(node: &Node, waits: &mut Option<Waits>) -> Option<Vec<Client>> {
    let open = match waits.take() {
        Some(open) => open,
        None => timeout(ANSWERS, Waits::connect(&node.endpoint())).await.ok()?.ok()?,
    };
    let clients = open.clients().await.ok()?;
    *waits = Some(open);
    Some(clients)
}

/// The first of them whose address leads elsewhere.
fn astray(routing: &Routing, node: &str, clients: &[Client]) -> Option<String> {
    let is_astray =
        |client: &&Client| obeying(&client.application).is_some_and(|address| !routing.leads_to(&address, node));
    let client = clients.iter().find(is_astray)?;
    Some(format!("a session of the {} is still on {node}", client.application))
}

/// Writes the list for programs, as it is when the plan begins.
///
/// # Errors
/// The run's folder cannot be written to.
pub(super) fn begin(folder: &Path, routing: &Routing, topology: &Topology) -> Result<(), Failure> {
    write(folder, routing, topology).map_err(|error| not_written(&error))
}

fn not_written(error: &io::Error) -> Failure {
    let what = format!("the routing list could not be written: {error}");
    Failure::Harness { what, hint: Some("use --out for a folder on another disk".to_owned()), log: Vec::new() }
}

/// What programs find the list by: a file, which is replaced as a whole, and the nodes that were out when the program began.
pub(super) fn environment(folder: &Path, routing: &Routing) -> [(&'static str, String); 2] {
    let file = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()).join(FILE);
    [("REHEARSAL_ROUTING", file.display().to_string()), ("REHEARSAL_OUT", routing.out.join(","))]
}

fn write(folder: &Path, routing: &Routing, topology: &Topology) -> io::Result<()> {
    let shards =
        routing.shards.iter().zip(routing.writers()).map(
            |(shard, writer)| json!({ "writer": writer, "readers": routing.readers_of(shard), "nodes": shard.nodes }),
        );
    let address = |node: &Node| {
        let at = node.endpoint();
        (node.name().to_owned(), json!({ "host": at.host, "port": at.port, "out": routing.is_out(node.name()) }))
    };
    let nodes: serde_json::Map<String, serde_json::Value> = topology.nodes().iter().map(address).collect();
    let list = json!({ "out": routing.out, "shards": shards.collect::<Vec<_>>(), "nodes": nodes });
    let file: PathBuf = folder.join(FILE);
    let readable = std::fs::Permissions::from_mode(0o644);
    let mut new = tempfile::Builder::new().permissions(readable).tempfile_in(folder)?;
    writeln!(new, "{list:#}")?;
    new.persist(file).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Route;

    #[test]
    fn whoever_obeys_and_is_elsewhere_is_waited_for() {
        let nodes: Vec<String> = ["a", "b"].map(str::to_owned).to_vec();
        let route = Route { masters: nodes.clone(), readers: vec!["b".to_owned()], nodes };
        let mut routing = Routing::new(vec![route]);
        let check = |routing: &Routing, node: &str, application: &str, expected: bool| {
            let client = Client { pid: 7, application: application.to_owned(), user: "app".to_owned() };
            assert_eq!(astray(routing, node, &[client]).is_some(), expected, "{application} on {node}");
        };
        check(&routing, "a", "rehearsal probe", false);
        check(&routing, "b", "rehearsal probe", true);
        check(&routing, "b", "rehearsal probe of readers", false);
        routing.take_out(&["a".to_owned()]).expect("b is in");
        check(&routing, "a", "rehearsal probe", true);
        check(&routing, "a", "rehearsal reader", true);
        check(&routing, "a", "rehearsal probe of side:a", true);
        check(&routing, "a", "rehearsal probe at a", false);
        check(&routing, "a", "mysql", false);
        check(&routing, "b", "rehearsal probe", false);
    }
}
