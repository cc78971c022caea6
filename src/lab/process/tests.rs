use super::*;

#[tokio::test]
async fn a_process_is_known_until_it_ends_and_no_longer() {
    let child = spawn(bare_command(Path::new("/bin/cat"), Path::new("/")), None, Some(Signal::KILL));
    // Standard input is null, so it ends by itself at once.
    let mut child = child.expect("spawned");
    child.wait().await.expect("ended");
    let mut command = bare_command(Path::new("/bin/cat"), Path::new("/"));
    command.stdin(Stdio::piped());
    let mut child = spawn(command, None, Some(Signal::KILL)).expect("spawned");
    let identity = child.id().and_then(Identity::of).expect("it runs");
    assert!(identity.alive());
    assert!(!Identity { started: "1".to_owned(), ..identity.clone() }.alive(), "another process of that number");
    assert!(!Identity { namespace: "elsewhere".to_owned(), ..identity.clone() }.alive());
    assert!(identity.end(Duration::from_secs(5)));
    assert_eq!(describe(child.wait().await.expect("ended")), "signal: 3 (SIGQUIT)");
    assert!(!identity.alive());
}
