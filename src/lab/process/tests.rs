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

/// A shell leaves programs that it starts in the background with signals ignored, and they must not leave their children so.
#[test]
fn a_child_takes_signals_that_this_program_was_made_to_ignore() {
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", "trap '' INT QUIT; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", "lab::process::tests::a_process_is_known_until_it_ends_and_no_longer"])
        .output()
        .expect("a shell runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
