//! What is left, on the whole machine, of programs that ran in one folder: their lab's folder is `lab` in it, their temporary files
//! lie in `tmp`. Counted by tests and by `cargo xtask soak` alike.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
};

type Result<T> = std::result::Result<T, bollard::errors::Error>;

/// Between two counts.
const PAUSE: Duration = Duration::from_millis(50);

/// Counts until nothing is left, or the deadline has passed: what was left then.
///
/// # Errors
/// Counting failed.
pub fn within<E>(
    deadline: Duration,
    count: impl Fn() -> std::result::Result<Vec<String>, E>,
) -> std::result::Result<Vec<String>, E> {
    let began = Instant::now();
    loop {
        let left = count()?;
        if left.is_empty() || began.elapsed() > deadline {
            return Ok(left);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Everything, each by its kind and name. Without `docker` no Engine is asked.
///
/// # Errors
/// The Docker Engine did not answer.
pub fn left(folder: &Path, docker: bool) -> Result<Vec<String>> {
    let mut left = [processes(folder), sockets(folder), labs(folder)].concat();
    left.extend(entries(&folder.join("tmp")).into_iter().map(|name| format!("temporary {name}")));
    if let Some(label) = label(folder).filter(|_| docker) {
        left.extend(labelled(&label)?);
    }
    Ok(left)
}

/// Folders of runs, with their leases.
pub fn labs(folder: &Path) -> Vec<String> {
    let mut names = entries(&folder.join("lab"));
    names.retain(|name| !["cache", "id", "lock", "images.lock"].contains(&name.as_str()));
    let names = names.into_iter().map(|name| format!("lab {name}"));
    names.chain(baselines(folder).into_iter().map(|key| format!("baseline {key}"))).collect()
}

/// Keys of the baselines that are kept.
pub fn baselines(folder: &Path) -> Vec<String> {
    let mut keys = entries(&folder.join("lab/cache"));
    keys.retain(|key| key != "digests.json");
    keys
}

/// All processes of the machine that were started in the folder, whoever owns them: whose folder, arguments or environment name it.
pub fn processes(folder: &Path) -> Vec<String> {
    pids(folder)
        .into_iter()
        .map(|pid| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            format!("process {pid}: {}", String::from_utf8_lossy(&words).replace('\0', " "))
        })
        .collect()
}

pub fn pids(folder: &Path) -> Vec<i32> {
    let folder = folder.to_str().expect("paths here are text");
    let mut pids: Vec<i32> = entries(Path::new("/proc")).iter().filter_map(|name| name.parse().ok()).collect();
    pids.retain(|pid| {
        let own = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        let file = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let texts = [own.to_string_lossy().into_owned().into_bytes(), file("cmdline"), file("environ")];
        texts.iter().any(|text| String::from_utf8_lossy(text).contains(folder))
    });
    pids
}

/// Sockets with a path in the folder that somebody holds.
fn sockets(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().expect("paths here are text");
    let known = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let paths = known.lines().filter_map(|line| line.split_whitespace().nth(7));
    paths.filter(|path| path.contains(folder)).map(|path| format!("socket {path}")).collect()
}

/// What a lab in the folder labels its containers, images, networks and volumes with; None before the first one.
pub fn label(folder: &Path) -> Option<String> {
    let base = fs::read_to_string(folder.join("lab/id")).ok()?;
    Some(format!("rehearsal.base={base}"))
}

/// Everything that carries this label, by kind and id, images and containers that do not run included.
fn labelled(label: &str) -> Result<Vec<String>> {
    let mut found: Vec<String> = containers(label)?.into_iter().map(|id| format!("container {id}")).collect();
    let filters = filters(label);
    let images =
        ask(async |docker| docker.list_images(Some(ListImagesOptionsBuilder::new().filters(&filters).build())).await)?;
    found.extend(images.into_iter().map(|image| format!("image {}", image.id)));
    let networks = ask(async |docker| {
        docker.list_networks(Some(ListNetworksOptionsBuilder::new().filters(&filters).build())).await
    })?;
    found.extend(networks.into_iter().map(|network| format!("network {:?}", network.name)));
    let volumes = ask(async |docker| {
        docker.list_volumes(Some(ListVolumesOptionsBuilder::new().filters(&filters).build())).await
    })?;
    found.extend(volumes.volumes.unwrap_or_default().into_iter().map(|volume| format!("volume {}", volume.name)));
    Ok(found)
}

/// Ids of the containers that carry this label, whether they run or not.
///
/// # Errors
/// The Docker Engine did not answer.
pub fn containers(label: &str) -> Result<Vec<String>> {
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters(label)).build();
    let found = ask(async |docker| docker.list_containers(Some(options)).await)?;
    Ok(found.into_iter().filter_map(|container| container.id).collect())
}

fn filters(label: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![label.to_owned()])])
}

/// Asks the Docker Engine, from outside any runtime.
///
/// # Errors
/// It did not answer, or refused.
pub fn ask<T>(question: impl AsyncFnOnce(Docker) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { question(Docker::connect_with_defaults()?).await })
}

/// Names in a folder; none where it cannot be read.
pub fn entries(folder: &Path) -> Vec<String> {
    let Ok(found) = fs::read_dir(folder) else { return Vec::new() };
    found.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
