//! What long work says on a person's terminal, and that it says nothing anywhere else.

use crate::support::{BINARY, World, eventually, quote};

#[test]
fn many_agents_are_counted_as_they_start_and_end_on_a_terminal_alone() {
    let world = World::new();
    let quiet = world.run([
        "launch",
        "-p",
        "demo",
        "--session",
        "quiet",
        "--with-worker",
        "developer",
    ]);
    let done = quiet.done();
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let command = |arguments: &str| {
        format!(
            "CONDUCTOR_HOME={} CONDUCTOR_TMUX_SOCKET={} NO_COLOR=1 {} {arguments} >/dev/null; echo over; sleep 100",
            quote(&world.home().to_string_lossy()),
            quote(&world.socket().to_string_lossy()),
            quote(BINARY)
        )
    };
    let said = |arguments: &str| {
        let line = command(arguments);
        let pane = world.tmux([
            "new-window",
            "-d",
            "-P",
            "-F",
            "#{pane_id}",
            "-t",
            "home:",
            &line,
        ]);
        eventually("the command is over", || {
            let screen = world.tmux(["capture-pane", "-p", "-t", &pane]);
            screen.contains("over").then_some(screen)
        })
    };
    let launch = "launch -p demo --session loud --with-worker developer --with-worker reviewer";
    let screen = said(launch);
    for line in [
        "1/3 started conductor ",
        "2/3 started developer ",
        "3/3 started reviewer ",
    ] {
        assert!(screen.contains(line), "{screen}");
    }
    let screen = said("shutdown --session loud --json --force");
    assert!(!screen.contains('/'), "{screen}");
    let screen = said("shutdown --session quiet --force");
    assert!(
        screen.contains("1/2 ended ") && screen.contains("2/2 ended "),
        "{screen}"
    );
}
