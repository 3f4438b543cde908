//! tmux-resurrect beside us: its hooks are run as its scripts run them, and its restore is mimicked. With `CONDUCTOR_TEST_RESURRECT`, the
//! directory of a real one, its own scripts save and restore.

use crate::delivery::bodies;
use crate::recovery::{kill_server, reload, talk};
use crate::support::{World, eventually, text};
use std::fs;

const SAVED: &str = "@resurrect-hook-post-save-layout";
const RESTORED: &str = "@resurrect-hook-post-restore-all";

/// What tmux-resurrect does, in the words of its scripts: it saves each pane with the command of its process's child, makes the panes
/// anew, types the commands that it shall restore, and gives its hooks to `eval`.
const SCRIPT: &str = r#"
set -u
d=$'\t'
file=$2
option() { tmux show-option -gqv "$1"; }
execute_hook() {
  local kind=$1 args="" hook
  shift
  hook=$(option "@resurrect-hook-$kind")
  [ $# -gt 0 ] && printf -v args "%q " "$@"
  [ -n "$hook" ] && eval "$hook $args"
}
last_resurrect_file() { echo "$file"; }
save() {
  tmux list-panes -a -F "pane${d}#{session_name}${d}#{window_index}${d}#{window_active}${d}:#{window_flags}${d}#{pane_index}${d}title${d}:#{pane_current_path}${d}#{pane_active}${d}#{pane_current_command}${d}#{pane_pid}" |
    while IFS=$d read -r kind session window active flags pane title dir pane_active command pid; do
      full=$(ps -ao ppid,args | sed "s/^ *//" | grep "^$pid " | cut -d' ' -f2-)
      echo "$kind$d$session$d$window$d$active$d$flags$d$pane$d$title$d$dir$d$pane_active$d$command$d:$full"
    done >"$file"
  tmux list-windows -a -F "window${d}#{session_name}${d}#{window_index}${d}:#{window_name}${d}#{window_active}${d}:#{window_flags}${d}#{window_layout}${d}:" >>"$file"
  execute_hook post-save-layout "$file"
}
restore() {
  grep '^pane' "$file" | while IFS=$d read -r kind session window active flags pane title dir rest; do
    dir=${dir#:}
    if tmux list-panes -t "$session:$window" -F '#{pane_index}' 2>/dev/null | grep -q "^$pane$"; then
      :
    elif tmux list-windows -t "$session" -F '#{window_index}' 2>/dev/null | grep -q "^$window$"; then
      tmux split-window -d -t "$session:$window" -c "$dir"
    elif tmux has-session -t "=$session" 2>/dev/null; then
      tmux new-window -d -t "$session:$window" -c "$dir"
    else
      tmux new-session -d -s "$session" -c "$dir"
    fi
  done
  # Every process is restored: @resurrect-processes ':all:'.
  awk 'BEGIN { FS="\t"; OFS="\t" } /^pane/ && $11 !~ "^:$" { print $2, $3, $6, $11; }' "$file" |
    while IFS=$d read -r session window pane full; do
      tmux send-keys -t "$session:$window.$pane" "${full#:}" C-m
    done
  execute_hook post-restore-all
}
"$1"
"#;

/// Lets the server run a step of the script, as a key of tmux-resurrect does.
fn resurrect(world: &World, step: &str) {
    let done = world.at("resurrect.done");
    let _ = fs::remove_file(&done);
    let (saved, dir) = (world.at("saved"), world.at("resurrect"));
    let (saved, dir) = (saved.display(), dir.display());
    let steps = match std::env::var("CONDUCTOR_TEST_RESURRECT") {
        Ok(real) if step == "save" => {
            format!("bash {real}/scripts/save.sh quiet && cp {dir}/last {saved}")
        }
        Ok(real) => format!("cat {saved} >{dir}/last && bash {real}/scripts/restore.sh"),
        Err(_) => {
            let script = world.write("resurrect.sh", SCRIPT);
            format!("bash {} {step} {saved}", script.display())
        }
    };
    let line = format!(
        "{{ {steps}; }} >{} 2>&1; touch {}",
        world.at("resurrect.log").display(),
        done.display()
    );
    world.tmux(["run-shell", "-b", &line]);
    eventually("tmux-resurrect is done", || done.exists().then_some(()));
}

/// The server is as tmux-resurrect's plugin leaves it.
fn load(world: &World) {
    let dir = world.at("resurrect").display().to_string();
    for (name, value) in [
        ("@resurrect-save-script-path", "/resurrect/save.sh"),
        ("@resurrect-dir", &dir),
        ("@resurrect-processes", ":all:"),
        ("@resurrect-capture-pane-contents", "on"),
    ] {
        world.tmux(["set-option", "-g", name, value]);
    }
}

/// A world in which tmux-resurrect is loaded.
fn world() -> World {
    let world = World::new();
    load(&world);
    world
}

fn option(world: &World, name: &str) -> String {
    world.tmux(["show-options", "-gq", name])
}

#[test]
fn agents_come_back_in_the_panes_that_were_restored() {
    let world = world();
    world.run(["plugin", "load"]).ok();
    let supervisor = world.agent();
    let worker = world
        .run(["worker", "work", "-p", "demo", "--split", "h"])
        .json();
    let worker = text(&worker["id"]);
    let other = world.run(["worker", "work", "-p", "demo"]).json();
    let other = text(&other["id"]);
    for id in [&worker, &other] {
        world.wait(id, "idle");
    }
    let agents = [&supervisor, &worker, &other];
    for id in agents {
        talk(&world, id);
    }
    resurrect(&world, "save");
    let saved = fs::read_to_string(world.at("saved")).unwrap();
    assert!(
        !saved.contains("conductor-hook"),
        "no command of an agent: {saved}"
    );
    assert_eq!(saved.matches("\nconductor\twork\t").count(), 3, "{saved}");
    let pane = text(&world.status(&worker)["pane"]);
    world.tmux(["copy-mode", "-t", &pane]);
    let kept = text(&world.send(&worker, "SAY kept")["id"]);
    kill_server(&world);
    world.start_server();
    load(&world);
    world.run(["plugin", "load"]).ok();
    resurrect(&world, "restore");
    for id in agents {
        // The hook does not wait for them.
        eventually("it is resumed", || {
            (world.status(id)["status"] == "idle").then_some(())
        });
        assert_eq!(world.status(id)["session"], "work");
    }
    world.message_becomes(&kept, "submitted");
    assert_eq!(bodies(&world, &worker), ["SAY hello", "SAY kept"]);
    let panes = world.tmux(["list-panes", "-s", "-t", "work", "-F", "#{@conductor_id}"]);
    let mut panes: Vec<&str> = panes.lines().collect();
    panes.sort_unstable();
    let mut ids = agents.map(String::as_str);
    ids.sort_unstable();
    assert_eq!(panes, ids, "in the restored panes, and no others");
    // Once more, where all live: nothing happens.
    resurrect(&world, "restore");
    assert_eq!(world.audited("terminal.resumed"), 3);
}

#[test]
fn a_restored_shell_is_not_taken_for_the_agent_and_work_in_it_is_left_alone() {
    let world = world();
    world.tmux(["set-option", "-g", "@conductor-resurrect", "off"]);
    world.run(["plugin", "load"]).ok();
    let id = world.agent();
    talk(&world, &id);
    let before = text(&world.status(&id)["pane"]);
    world.tmux(["copy-mode", "-t", &before]);
    let kept = text(&world.send(&id, "SAY kept")["id"]);
    resurrect(&world, "save");
    let saved = fs::read_to_string(world.at("saved")).unwrap();
    assert!(!saved.contains("\nconductor\t"), "{saved}");
    kill_server(&world);
    // Without its commands: what is typed into a restored shell is no business of ours.
    let bare: String = saved
        .lines()
        .map(|line| match line.rsplit_once('\t') {
            Some((front, _)) if line.starts_with("pane") => format!("{front}\t:\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    fs::write(world.at("saved"), bare).unwrap();
    reload(&world);
    load(&world);
    resurrect(&world, "restore");
    let pane = world.tmux(["list-panes", "-s", "-t", "work", "-F", "#{pane_id}"]);
    let screen = || world.tmux(["capture-pane", "-p", "-t", &pane]);
    let idle = screen();
    for _ in 0..3 {
        world.run(["tick"]).ok();
        world.run(["send", &id, "-m", "SAY x"]).fails(4);
        world.run(["adopt", &pane, "-p", "demo"]).fails(4);
    }
    assert_eq!(screen(), idle, "nothing is typed into a shell");
    assert_eq!(world.message(&kept)["status"], "queued");
    // Somebody works in it.
    world.tmux(["send-keys", "-t", &pane, "sleep 300", "Enter"]);
    eventually("the shell is busy", || {
        let name = world.tmux([
            "display-message",
            "-p",
            "-t",
            &pane,
            "#{pane_current_command}",
        ]);
        (name == "sleep").then_some(())
    });
    let restored = world.run(["plugin", "restored"]).json();
    assert_eq!(restored, serde_json::json!([]));
    world.tmux(["send-keys", "-t", &pane, "C-c"]);
    eventually("the shell is idle again", || {
        let restored = world.run(["plugin", "restored"]).json();
        (restored[0]["outcome"] == "resumed").then_some(())
    });
    assert_eq!(world.status(&id)["pane"], pane.as_str());
    world.message_becomes(&kept, "submitted");
}

#[test]
fn the_users_hooks_go_on_and_come_back_byte_for_byte() {
    let world = world();
    let said = world.at("said");
    let own = format!(
        "echo \"own $# $1 ; done\" >>'{}' # said\necho",
        said.display()
    );
    world.tmux(["set-option", "-g", SAVED, &own]);
    world.tmux(["set-option", "-g", RESTORED, ""]);
    let options = || world.tmux(["show-options", "-g"]);
    let before = options();
    for _ in 0..2 {
        world.run(["plugin", "load"]).ok();
    }
    assert_eq!(option(&world, SAVED).matches("plugin saved").count(), 1);
    assert_eq!(
        option(&world, RESTORED).matches("plugin restored").count(),
        1
    );
    let id = world.agent();
    resurrect(&world, "save");
    let last = fs::canonicalize(world.at("resurrect/last"));
    let file = last.unwrap_or_else(|_| world.at("saved"));
    let file = file.display();
    assert_eq!(
        fs::read_to_string(&said).unwrap(),
        format!("own 1 {file} ; done\n"),
        "{}",
        fs::read_to_string(world.at("resurrect.log")).unwrap()
    );
    let saved = fs::read_to_string(world.at("saved")).unwrap();
    assert!(saved.contains(&format!("\t{id}\n")), "{saved}");
    world.run(["close", &id]).ok();
    world.run(["plugin", "unload"]).ok();
    assert_eq!(options(), before);
    world.tmux(["set-option", "-g", "@conductor-resurrect", "off"]);
    world.run(["plugin", "load"]).ok();
    assert!(!options().contains("plugin saved"), "switched off");
    // Where it is not loaded, its options are not touched, unless the user says so.
    let other = World::new();
    other.run(["plugin", "load"]).ok();
    assert_eq!(option(&other, SAVED), "");
    other.tmux(["set-option", "-g", "@conductor-resurrect", "on"]);
    other.run(["plugin", "load"]).ok();
    assert!(option(&other, SAVED).contains("plugin saved"));
    other.run(["plugin", "unload"]).ok();
    assert_eq!(option(&other, SAVED), "");
}
