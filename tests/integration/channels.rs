//! Messages by an agent's own channel: a program of the agent that queues them, and a bell for a plugin that fetches them.

use crate::delivery::received;
use crate::failpoints::{LONG, all_arrive, arm, armed, sender_dies};
use crate::support::{BINARY, World, eventually, text};
use serde_json::Value;
use std::fs;

/// Starts the demo agent, or puts a line into its pane as if the agent itself had queued it.
const WRAPPER: &str = r#"
if [ "$1" != queue ]; then exec "$(dirname "$0")/conductor-demo" "$@"; fi
printf '%s\n' "$*" >>"$QUEUED"
[ ! -e "$QUEUED.broken" ] || exit 1
line=${4#--message=}
tmux() { command tmux -S "$CONDUCTOR_TMUX_SOCKET" "$@"; }
pane=$(tmux list-panes -a -F '#{@conductor_id} #{pane_id}' | sed -n "s/^$CONDUCTOR_TERMINAL_ID //p")
printf '%s' "$line" | tmux load-buffer -b "queue-$$" -
tmux paste-buffer -p -r -d -b "queue-$$" -t "$pane" \; send-keys -t "$pane" Enter
"#;

const WIRED: &str = r#"
[channel]
kind = "command"
args = ["queue", "--thread", "{agent_session}", "--message={line}"]
"#;

/// A world with a demo agent that has a channel, used `when` it says. Its hooks and timers die where [`arm`] says.
fn wired(when: &str) -> (World, String) {
    let world = World::new();
    world.run(["init"]).ok();
    std::os::unix::fs::symlink(BINARY, world.at("bin/conductor-demo")).unwrap();
    let program = world.script("bin/wired", WRAPPER);
    let demo = include_str!("../../agent_store/providers/demo.toml");
    let manifest = demo
        .replacen("name = \"demo\"", "name = \"wired\"", 1)
        .replacen("\"{self}\"", &format!("\"{}\"", program.display()), 1)
        + WIRED
        + &format!("when = \"{when}\"\n");
    world.write("state/providers/wired.toml", manifest);
    let failpoint = world.at("failpoint");
    world.tmux([
        "set-environment",
        "-g",
        "CONDUCTOR_FAILPOINT_FILE",
        &failpoint.to_string_lossy(),
    ]);
    let mut arguments = vec!["launch".to_owned(), "-p".to_owned(), "wired".to_owned()];
    for (name, file) in [
        ("CONDUCTOR_DEMO_LOG", "demo.log"),
        ("CONDUCTOR_FAILPOINT_FILE", "failpoint"),
        ("QUEUED", "queued"),
    ] {
        arguments.push("--env".to_owned());
        arguments.push(format!("{name}={}", world.at(file).display()));
    }
    let launched = world.run(arguments).json();
    let id = text(&launched["terminals"][0]["id"]);
    world.wait(&id, "idle");
    (world, id)
}

/// The command lines with which the agent's program was asked to queue a message.
fn queued(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.at("queued")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_channel_carries_lines_and_never_a_body() {
    let (world, id) = wired("always");
    let secret = world.send(&id, "SAY a secret body");
    let message = world.message_becomes(&text(&secret["id"]), "submitted");
    assert_eq!(
        (&message["transport"], &message["attempts"]),
        (&"api".into(), &1.into()),
        "{message}"
    );
    let session = text(&world.status(&id)["agent_session"]);
    let line = &queued(&world)[0];
    assert!(
        line.starts_with(&format!(
            "queue --thread {session} --message=[conductor #{} from ",
            text(&secret["id"])
        )),
        "{line}"
    );
    assert!(!line.contains("secret"), "{line}");
    world.wait(&id, "idle");
    assert_eq!(
        received(&world, &id, &text(&secret["id"])),
        ["SAY a secret body"]
    );
}

#[test]
fn a_channel_for_need_is_used_where_a_person_is_in_the_way() {
    let (world, id) = wired("blocked");
    let pasted = world.send(&id, "SAY pasted");
    let message = world.message_becomes(&text(&pasted["id"]), "submitted");
    assert_eq!(message["transport"], "paste");
    world.wait(&id, "idle");
    assert!(queued(&world).is_empty());
    let pane = text(&world.status(&id)["pane"]);
    // Keys go to several panes: a paste would.
    world.tmux(["set-option", "-w", "-t", &pane, "synchronize-panes", "on"]);
    let blocked = world.send(&id, "SAY by the channel");
    let message = world.message_becomes(&text(&blocked["id"]), "submitted");
    assert_eq!(message["transport"], "api", "{message}");
    assert_eq!(queued(&world).len(), 1);
}

#[test]
fn a_channel_that_fails_leaves_the_message_to_the_pane() {
    let (world, id) = wired("always");
    fs::write(world.at("queued.broken"), "").unwrap();
    let sent = world.send(&id, "SAY hello");
    let message = world.message_becomes(&text(&sent["id"]), "submitted");
    assert_eq!(message["transport"], "paste", "{message}");
    assert_eq!(message["again"], false, "{message}");
    assert_eq!(received(&world, &id, &text(&sent["id"])), ["SAY hello"]);
}

#[test]
fn a_channel_may_die_at_every_step() {
    for point in [
        "channel.before_claim",
        "channel.claimed",
        "channel.told",
        "channel.placed",
    ] {
        let (world, id) = wired("always");
        assert!(
            sender_dies(&world, &id, point, LONG),
            "{point} was never reached"
        );
        world.send(&id, "SAY after");
        all_arrive(&world, &id, point);
        // The timer that comes after a killed sender dies too.
        assert!(sender_dies(
            &world,
            &id,
            "send.accepted",
            "SAY a text of\nanother two"
        ));
        arm(&world, point);
        eventually("the timer died", || {
            world.run(["sessions"]).ok();
            (!armed(&world)).then_some(())
        });
        world.send(&id, "SAY after that");
        all_arrive(&world, &id, point);
    }
}

/// An agent in whose plugin nobody looks while the file `deaf` is there. It says what it was handed.
const BELLOWS: &str = r#"
hook() { printf '%s' "$2" | "$CONDUCTOR_HOOK" hook bellows "$1"; }
bell=$CONDUCTOR_HOME/run/$CONDUCTOR_TERMINAL_ID/bell
hook started '{"session_id":"s"}'
seen=0
while :; do
  size=0
  [ ! -e "$bell" ] || size=$(wc -c <"$bell")
  if [ -e "$HEARD.deaf" ]; then
    seen=$size
  elif [ "$size" != "$seen" ]; then
    seen=$size
    got=$(hook inbox '{"session_id":"s"}')
    body=${got#*'"text":"'}
    body=${body%'"}]}'}
    if [ "$body" != "$got" ]; then
      printf '%s\n' "$body" >>"$HEARD"
      hook prompt "{\"session_id\":\"s\",\"text\":\"$body\"}"
      hook idle '{"session_id":"s","answer":"done"}'
    fi
  fi
  sleep 0.05
done
"#;

/// A world with an agent that is rung for.
fn bellows() -> (World, String) {
    let world = World::new();
    world.run(["init"]).ok();
    let program = world.script("bin/bellows", BELLOWS);
    let manifest = include_str!("../../agent_store/providers/opencode.toml")
        .replacen("name = \"opencode\"", "name = \"bellows\"", 1)
        .replacen("aliases = [\"opencode_cli\"]", "aliases = []", 1)
        .replacen(
            "program = \"opencode\"",
            &format!("program = \"{}\"", program.display()),
            1,
        );
    world.write("state/providers/bellows.toml", manifest);
    let heard = format!("HEARD={}", world.at("heard").display());
    let launched = world
        .run(["launch", "-p", "bellows", "--env", &heard])
        .json();
    let id = text(&launched["terminals"][0]["id"]);
    world.wait(&id, "idle");
    (world, id)
}

/// Waits until a message is proven, while people come by.
#[track_caller]
fn proven(world: &World, id: &Value) -> Value {
    eventually("it is proven", || {
        world.run(["sessions"]).ok();
        let message = world.message(&text(id));
        (message["status"] == "submitted").then_some(message)
    })
}

#[test]
fn a_message_is_rung_for_again_until_it_is_fetched() {
    for dies in [false, true] {
        let (world, id) = bellows();
        let first = world.send(&id, "SAY first");
        assert_eq!(proven(&world, &first["id"])["transport"], "api");
        // Proven at the prompt; the turn goes on for a moment, and nothing is rung in it.
        world.wait(&id, "idle");
        fs::write(world.at("heard.deaf"), "").unwrap();
        if dies {
            assert!(sender_dies(&world, &id, "channel.rung", "SAY second"));
        } else {
            let sent = world.send(&id, "SAY second");
            assert_eq!(sent["status"], "queued");
        }
        let all = world.run(["inbox", &id]).json();
        let second = all
            .as_array()
            .unwrap()
            .iter()
            .find(|m| m["body"] == "SAY second")
            .unwrap()
            .clone();
        assert_eq!(
            (&second["status"], &second["attempts"]),
            (&"queued".into(), &0.into())
        );
        fs::remove_file(world.at("heard.deaf")).unwrap();
        let third = world.send(&id, "SAY third");
        for sent in [&second, &third] {
            let message = proven(&world, &sent["id"]);
            assert_eq!(
                (&message["transport"], &message["again"]),
                (&"api".into(), &false.into()),
                "{message}"
            );
        }
        let heard = fs::read_to_string(world.at("heard")).unwrap();
        let bodies: Vec<&str> = heard
            .lines()
            .map(|line| line.split_once("] ").unwrap().1)
            .collect();
        assert_eq!(bodies, ["SAY first", "SAY second", "SAY third"]);
    }
}
