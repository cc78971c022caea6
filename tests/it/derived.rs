//! Images with packages added, as the Docker lab builds them: once, and not by halves.

use std::collections::HashMap;

use bollard::Docker;
use bollard::query_parameters::{ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder};
use rehearsal::engine::EngineKind;
use rehearsal::engine::host::Exec;
use rehearsal::engine::server::{software, software_of};
use rehearsal::engine::software::Software;
use rehearsal::lab::{self, Base, Lab, LabError, LabKind, NotAdded, Outfit};
use rehearsal::scenario::{Extension, Node, Package};
use rehearsal::settings::LabChoice;

use crate::support::ci;

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);
const UNIT: &str = "postgresql-17-unit";

/// A lab of the test's own; nothing if this machine has no image of Postgres 17 and `CI` is not set.
struct Place {
    lab: Lab,
    docker: Docker,
    _folder: tempfile::TempDir,
    /// What is left over is counted on the whole engine, so one is open at a time.
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

impl Place {
    async fn open() -> Option<Place> {
        static ENGINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let alone = ENGINE.lock().await;
        let here = lab::choose(LabChoice::Docker, &[software(EngineKind::Postgres, "17")]).await;
        assert!(!ci() || here.is_ok(), "CI=true skips nothing: {here:?}");
        here.ok()?;
        let folder = tempfile::Builder::new().prefix("rd-").tempdir().expect("a temporary folder");
        let base = Base::at(&folder.path().join("base")).expect("a base");
        let lab = Lab::open(LabKind::Docker, "test-derived", &base).await.expect("opened");
        let docker = Docker::connect_with_defaults().expect("an engine");
        Some(Place { lab, docker, _folder: folder, _alone: alone })
    }

    /// Ids of images, by what their label says was added, or all that have no name.
    async fn images(&self, filter: (&str, &str)) -> Vec<String> {
        let filters = HashMap::from([(filter.0, vec![filter.1])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let mut ids: Vec<String> =
            self.docker.list_images(Some(options)).await.expect("listed").into_iter().map(|image| image.id).collect();
        ids.sort();
        ids
    }

    async fn with(&self, packages: &str) -> Vec<String> {
        self.images(("label", &format!("rehearsal.packages={packages}"))).await
    }

    /// Containers in which an image of this kind is being built.
    async fn builds(&self) -> Vec<String> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let found = self.docker.list_containers(Some(options)).await.expect("listed");
        let commands = found.into_iter().filter_map(|container| container.command);
        commands.filter(|command| command.contains("rehearsal/derived:postgres-17-")).collect()
    }

    async fn forget(&self, packages: &str) {
        for image in self.with(packages).await {
            let options = RemoveImageOptionsBuilder::new().force(true).build();
            self.docker.remove_image(&image, Some(options), None).await.expect("removed");
        }
    }
}

fn wanted(extensions: &[&str], packages: &[&str]) -> Software {
    let node = Node {
        shard: None,
        subscribes: None,
        name: "a".to_owned(),
        version: "17".to_owned(),
        settings: Default::default(),
        extensions: extensions.iter().map(|name| Extension { name: (*name).to_owned(), version: None }).collect(),
        packages: packages.iter().map(|package| Package::parse(package).expect("a package")).collect(),
        replicates: None,
        peers: Vec::new(),
    };
    software_of(EngineKind::Postgres, &node)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_image_lacks_is_built_once() {
    let Some(place) = Place::open().await else { return };
    place.forget(UNIT).await;
    let unit = wanted(&["hstore", "unit"], &[]);
    let outfit = lab::outfit(LabKind::Docker, "a", &unit).await.expect("looked at");
    let Outfit::ToBuild { base, packages } = outfit else { panic!("{outfit:?}") };
    assert!(base.ends_with("postgres:17"), "{base}");
    assert_eq!(packages, [Package::parse(UNIT).expect("a package")]);

    let handle = place.lab.handle();
    let (a, b) = tokio::join!(handle.host("a", &unit), handle.host("b", &unit));
    let built = place.with(UNIT).await;
    assert_eq!(built.len(), 1, "one for both: {built:?}");
    let there =
        Exec::new("/bin/sh").args(["-c", "cd /usr/share/postgresql/17/extension && ls unit.control hstore.control"]);
    for host in [a, b] {
        let output = host.expect("made").exec(&there, MINUTE).await.expect("run");
        assert_eq!(
            (output.status, String::from_utf8_lossy(&output.stdout).as_ref()),
            (0, "hstore.control\nunit.control\n")
        );
    }

    // By its name it is found again, whoever asks; what the base has asks for none.
    assert_eq!(lab::outfit(LabKind::Docker, "a", &unit).await.expect("looked at"), Outfit::Whole);
    handle.host("c", &unit).await.expect("made");
    assert_eq!(place.with(UNIT).await, built);
    assert_eq!(lab::outfit(LabKind::Docker, "a", &wanted(&["hstore"], &[])).await.expect("looked at"), Outfit::Whole);
    assert_eq!(place.builds().await, Vec::<String>::new());
    place.lab.close().await.expect("closed");
    let engine = Docker::connect_with_defaults().expect("an engine");
    assert!(engine.inspect_image(&built[0]).await.is_ok(), "it does not stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_package_manager_refuses_leaves_nothing() {
    let Some(place) = Place::open().await else { return };
    let nameless = place.images(("dangling", "true")).await;
    // What is wanted; what could not be added, the command, what was said of it, and what to do.
    let table = [
        (
            wanted(&["ugly_none"], &[]),
            "extension ugly_none",
            "apt-get install postgresql-17-ugly-none",
            "E: Unable to locate package postgresql-17-ugly-none",
            "name the package that brings it: packages = [\"…\"] in [topology.nodes.n]",
        ),
        (
            wanted(&[], &["ugly-none"]),
            "package ugly-none",
            "apt-get install ugly-none",
            "E: Unable to locate package ugly-none",
            "see which packages there are for ",
        ),
        (
            wanted(&["unit"], &["postgresql-17-unit=99.9"]),
            "package postgresql-17-unit=99.9, extension unit",
            "apt-get install postgresql-17-unit=99.9",
            "E: Version '99.9' for 'postgresql-17-unit' was not found",
            "in which versions",
        ),
        // A package that is there and brings something else.
        (
            wanted(&["all"], &["hostname"]),
            "extension all",
            "apt-get install postgresql-17-all",
            "E: Unable to locate package postgresql-17-all",
            "name the package",
        ),
    ];
    for (software, what, command, said, hint) in table {
        let error = place.lab.handle().host("n", &software).await.err().expect("it is refused");
        assert!(error.hint().is_some_and(|found| found.contains(hint)), "{:?}", error.hint());
        match &error {
            LabError::NotAdded(refused) => {
                let NotAdded { node, what: found, command: tried, said: lines, .. } = &**refused;
                assert_eq!((node.as_str(), found.as_str(), tried.as_str()), ("n", what, command));
                assert!(lines.last().is_some_and(|line| line.contains(said)), "{lines:?}");
            }
            other => panic!("{other:?}"),
        }
        assert!(error.to_string().contains(said), "{error}");
    }
    assert_eq!(place.builds().await, Vec::<String>::new());
    assert_eq!(place.images(("dangling", "true")).await, nameless);
    place.lab.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_nobody_waits_for_any_more_leaves_nothing() {
    let Some(place) = Place::open().await else { return };
    let packages = "ed hostname nano";
    place.forget(packages).await;
    let nameless = place.images(("dangling", "true")).await;
    {
        let (handle, software) = (place.lab.handle(), wanted(&[], &["hostname", "nano", "ed"]));
        let making = handle.host("n", &software);
        let under_way = async {
            while !place.builds().await.iter().any(|command| command.contains("nano")) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            made = making => panic!("it was made before anybody looked: {:?}", made.err()),
            seen = tokio::time::timeout(MINUTE, under_way) => seen.expect("it is built"),
        }
    }
    let Place { lab, docker, _folder, _alone } = place;
    lab.close().await.expect("closed");
    let base = Base::at(&_folder.path().join("base")).expect("a base");
    let lab = Lab::open(LabKind::Docker, "test-derived", &base).await.expect("opened");
    let place = Place { lab, docker, _folder, _alone };
    assert!(!place.builds().await.iter().any(|command| command.contains("nano")));
    assert_eq!(place.with(packages).await, Vec::<String>::new());
    assert_eq!(place.images(("dangling", "true")).await, nameless);
    place.lab.close().await.expect("closed");
}
