//! What breaks around the program: disks, permissions, `/proc`, programs, clocks, paths. What cannot be done is refused with the reason,
//! nothing is lost, and nothing is allowed that needs a person.

use crate::clean::SmallDisk;
use crate::lifecycle::open_to_others;
use crate::mcp;
use crate::popup::Seat;
use crate::support::{BINARY, Done, World, eventually, quote, text};
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// High risk by itself asks for the popup's code: here the CLI decides everything but one program.
const BY_CALLER: &str = "version = 1\n[defaults]\npresence = \"caller\"\n[[rule]]\nid = \"coded\"\ndecision = \"ask\"\nprogram = \"mkfifo\"\npresence = \"challenge\"\n";

/// A shell in the tree of an agent that is busy all the time: what it runs needs no working state to be started.
pub(crate) struct Inside<'a> {
    world: &'a World,
    pub(crate) id: String,
    dir: PathBuf,
    count: Cell<u32>,
}

impl<'a> Inside<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        world.run(["init"]).ok();
        world.write("state/policy.toml", BY_CALLER);
        let id = world.agent();
        let dir = world.at("inside");
        fs::create_dir(&dir).unwrap();
        let script = "cd \"$1\" || exit 1
            touch ready
            while [ ! -e stop ]; do
              for run in *.run; do
                [ -e \"$run\" ] || continue
                n=${run%.run}
                mv \"$run\" \"$n.sh\"
                sh \"$n.sh\" >\"$n.out\" 2>\"$n.err\"
                echo $? >\"$n.new\"
                mv \"$n.new\" \"$n.code\"
              done
              sleep 0.02
            done";
        let script = world.script("bin/inside", script);
        let (script, place) = (script.to_string_lossy(), dir.to_string_lossy());
        let prompt = format!("RUN {} {}", quote(&script), quote(&place));
        world.run(["send", &id, "-m", "-"]).stdin(prompt).ok();
        world.approve_next(&id);
        eventually("the shell runs", || {
            dir.join("ready").exists().then_some(())
        });
        Self {
            world,
            id,
            dir,
            count: Cell::new(0),
        }
    }

    /// Runs `command` there.
    #[track_caller]
    pub(crate) fn shell(&self, command: &str) -> Done {
        let n = self.count.get();
        self.count.set(n + 1);
        let file = |end: &str| self.dir.join(format!("{n}.{end}"));
        fs::write(file("new"), command).unwrap();
        fs::rename(file("new"), file("run")).unwrap();
        let code = eventually("a command inside has ended", || {
            fs::read_to_string(file("code")).ok()
        });
        let read = |end: &str| fs::read_to_string(file(end)).unwrap();
        Done {
            code: code.trim().parse().unwrap(),
            stdout: read("out"),
            stderr: read("err"),
        }
    }

    /// Runs the hook of `event` with `input`; `before` stands before the program.
    #[track_caller]
    pub(crate) fn event(&self, before: &str, event: &str, input: &Value) -> Done {
        self.world.write("inside/input", input.to_string());
        self.shell(&format!("{before} {BINARY} hook demo {event} <input"))
    }

    /// Runs the hook of `event` for a call of `command`.
    #[track_caller]
    pub(crate) fn hook(&self, before: &str, event: &str, command: &str) -> Done {
        let input = json!({"tool_name": "Bash", "tool_input": {"command": command}, "tool_use_id": "t",
            "cwd": self.world.at("project")});
        self.event(before, event, &input)
    }

    /// What that hook answers.
    #[track_caller]
    fn answer(&self, before: &str, event: &str, command: &str) -> Value {
        let done = self.hook(before, event, command);
        if done.code == 2 {
            return json!("blocked");
        }
        assert_eq!(done.code, 0, "{done:?}");
        if done.stdout.is_empty() {
            return json!("silent");
        }
        let answer: Value = serde_json::from_str(&done.stdout).unwrap();
        let answer = &answer["hookSpecificOutput"];
        match &answer["decision"]["behavior"] {
            Value::Null => answer["permissionDecision"].clone(),
            dialog => dialog.clone(),
        }
    }

    /// Asks for leave to run `command`, as the agent does by its tool; the approval that waits.
    #[track_caller]
    pub(crate) fn requested(&self, before: &str, command: &str) -> String {
        let asked = json!({"command_text": command, "timeout": 0});
        let (failed, said) = self.tool(before, "request_approval", &asked);
        assert!(!failed, "{said}");
        let answer: Value = serde_json::from_str(&said).unwrap();
        text(&answer["approval_id"])
    }

    /// What the gate answers to a call of `command`.
    #[track_caller]
    pub(crate) fn gate(&self, before: &str, command: &str) -> Value {
        self.answer(before, "PreToolUse", command)
    }

    /// What a tool of the MCP server answers: the text, and whether it is an error.
    #[track_caller]
    pub(crate) fn tool(&self, before: &str, tool: &str, arguments: &Value) -> (bool, String) {
        let mut messages = mcp::opening();
        messages.push(mcp::call(2, tool, arguments));
        self.world.write("inside/input", mcp::lines(&messages));
        // A server whose client has gone gives no more answers.
        let done = self.shell(&format!(
            ": >answers; {{ cat input; n=0; while [ $n -lt 400 ] && ! grep -q '\"id\":2' answers; do sleep 0.05; n=$((n+1)); done; }} \\
             | {before} {BINARY} mcp >answers; code=$?; cat answers; exit $code"
        ));
        assert_eq!(done.code, 0, "the server ends as its client does: {done:?}");
        let answer = mcp::answer(&done.stdout, 2);
        let result = &answer["result"];
        (
            result["isError"] == true,
            text(&result["content"][0]["text"]),
        )
    }

    /// While the state cannot be written: whoever wants something stored is told so with `hint`, readers work, no call that needs a person
    /// is let through, and other hooks are no trouble to their callers.
    #[track_caller]
    fn stores_nothing(&self, hint: &str) {
        let world = self.world;
        for arguments in [
            &["send", &self.id, "-m", "SAY never"][..],
            &["launch", "-p", "demo", "--session", "more"],
            &["init"],
        ] {
            let error = world.run(arguments).fails(7);
            assert!(error.contains(hint), "{arguments:?}: {error}");
        }
        let told = world.run(["doctor", "--json"]).done();
        assert!(
            told.code == 1 && told.stdout.contains(hint),
            "doctor: {told:?}"
        );
        for arguments in [["sessions"], ["inbox"], ["approvals"]] {
            world.run(arguments).ok();
        }
        world.run(["audit", "verify"]).ok();
        assert_eq!(self.gate("", "mkfifo never"), "deny");
        // Where a person in the pane may answer too, the dialog is what is denied.
        assert_eq!(self.gate("", "touch never"), "ask");
        let dialog = self.answer("", "PermissionRequest", "touch never");
        assert_eq!(dialog, "deny");
        assert_eq!(self.gate("", "ls"), "allow", "no state is needed for it");
        let hook = self.shell(&format!("echo '{{}}' | {BINARY} hook demo Notification"));
        assert_eq!((hook.code, hook.stdout.as_str()), (0, ""), "{hook:?}");
        let request = json!({"command_text": "touch never", "timeout": 0});
        let (failed, said) = self.tool("", "request_approval", &request);
        assert!(failed && said.contains(hint), "{said}");
        assert!(
            !world
                .tmux(["list-sessions", "-F", "#{session_name}"])
                .contains("more")
        );
    }

    /// As before the fault.
    #[track_caller]
    fn works_again(&self, held: &str) {
        let world = self.world;
        assert_eq!(world.pending().len(), 1, "what waited still waits");
        world.run(["approve", held]).ok();
        let rows = world.run(["inbox"]).json();
        assert!(!rows.to_string().contains("SAY never"), "{rows}");
        assert_eq!(self.gate("", "touch never"), "ask");
        world.run(["audit", "verify"]).ok();
        world.run(["doctor", "--json"]).ok();
    }

    /// A message that waits for a person; its approval.
    fn held(&self) -> String {
        let asked = ["send", &self.id, "--require-approval", "-m", "SAY held"];
        self.world.run(asked).ok();
        text(&self.world.pending()[0]["id"])
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let _ = fs::write(self.dir.join("stop"), "");
    }
}

fn mounts(arguments: &[&str]) -> bool {
    let mut mount = Command::new("mount");
    let done = mount.args(arguments).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

pub(crate) fn not_run(what: &str) {
    eprintln!("NOT RUN: {what}");
}

pub(crate) fn fill(path: PathBuf) {
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    let mut ballast = file.unwrap();
    while ballast.write_all(&[b'x'; 4096]).is_ok() {}
}

/// As [`fill`], and what a helper that was at its end gives back meanwhile.
fn fill_for_good(path: &Path) {
    for _ in 0..5 {
        fill(path.to_owned());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn on_a_full_disk_nothing_is_stored_and_nothing_allowed() {
    let world = World::new();
    let Some(_disk) = SmallDisk::mount(&world) else {
        return not_run("no file system can be mounted");
    };
    let inside = Inside::new(&world);
    let held = inside.held();
    let ballast = world.at("state/ballast");
    fill_for_good(&ballast);
    inside.stores_nothing("free some space");
    let error = world.run(["approve", &held]).fails(7);
    assert!(error.contains("nothing was stored"), "{error}");
    fs::remove_file(ballast).unwrap();
    inside.works_again(&held);
}

#[test]
fn a_read_only_home_can_be_looked_at() {
    let world = World::new();
    let inside = Inside::new(&world);
    let held = inside.held();
    let home = world.home();
    let home = home.to_str().unwrap();
    if !mounts(&["--bind", home, home]) {
        return not_run("no file system can be mounted");
    }
    let read_only = mounts(&["-o", "remount,bind,ro", home]);
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert!(read_only);
        inside.stores_nothing("make the state directory writable");
        world.run(["approve", &held]).fails(7);
    }));
    assert!(
        Command::new("umount")
            .args(["-l", home])
            .status()
            .unwrap()
            .success()
    );
    checked.unwrap();
    inside.works_again(&held);
}

#[test]
fn a_popup_whose_yes_cannot_be_stored_says_so() {
    let world = World::new();
    let Some(disk) = SmallDisk::mount(&world) else {
        return not_run("no file system can be mounted");
    };
    drop(disk);
    let seat = Seat::at(world);
    // Mounted over what is there, which is moved: the disk is then filled.
    let (state, aside) = (seat.world.home(), seat.world.at("aside"));
    let asked = seat.asks("rm -rf build");
    let copy = |from: &PathBuf, to: &PathBuf| {
        let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
        seat.world
            .run_shell(&format!("cp -a {}/. {}", quote(&from), quote(&to)))
            .ok();
    };
    fs::create_dir(&aside).unwrap();
    copy(&state, &aside);
    let disk = SmallDisk::mount(&seat.world).unwrap();
    copy(&aside, &state);
    let ballast = state.join("ballast");
    fill_for_good(&ballast);
    seat.popup(&["C-b", "A"], "1 approval waits");
    seat.press(&["Enter"]);
    seat.shows("asked by");
    seat.press(&["End"]);
    let code = seat.code();
    seat.press(&[&code[0], &code[1]]);
    seat.shows("free some space");
    seat.press(&["q"]);
    fs::remove_file(ballast).unwrap();
    assert_eq!(seat.approval(&asked["id"])["status"], "pending");
    seat.world.run(["deny", &text(&asked["id"])]).ok();
    drop(disk);
}

#[test]
fn what_may_not_be_read_is_no_empty_state() {
    let world = World::new();
    let inside = Inside::new(&world);
    if !nix::unistd::geteuid().is_root() {
        return not_run("only root can become another user");
    }
    // Another user, who may start the program and see no more of the state than that it is there.
    let dir = world.at("").parent().unwrap().join("program");
    fs::create_dir_all(&dir).unwrap();
    world.run_shell(&format!(
        "chmod 755 {0} {0}/inside {0}/project; mkdir -p {0}/program; cp {BINARY} {0}/program/; chmod -R 755 {0}/program",
        world.at("").display()
    )).ok();
    let nobody = format!(
        "setpriv --reuid=65534 --regid=65534 --clear-groups {}/program/conductor-hook",
        world.at("").display()
    );
    for command in [
        "sessions",
        "inbox",
        "approvals",
        "send x -m y",
        "init",
        "audit verify",
    ] {
        let error = inside.shell(&format!("{nobody} {command}")).fails(7);
        assert!(error.contains("ermission denied"), "{command}: {error}");
        assert!(!error.contains("there is no state"), "{command}: {error}");
    }
    let input =
        json!({"tool_name": "Bash", "tool_input": {"command": "touch never"}, "tool_use_id": "t"});
    let denied = inside.shell(&format!("echo '{input}' | {nobody} hook demo PreToolUse"));
    assert!(denied.stdout.contains("\"deny\""), "{denied:?}");

    // A state directory of somebody else is not used, by root either.
    let home = world.home();
    let give = |uid: u32| std::os::unix::fs::chown(&home, Some(uid), None).unwrap();
    give(65534);
    let error = world.run(["sessions"]).fails(7);
    let gate = inside.gate("", "touch never");
    give(0);
    assert!(error.contains("belongs to another user"), "{error}");
    assert_eq!(gate, "deny");
    fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o770)).unwrap();
    let error = world.run(["send", &inside.id, "-m", "x"]).fails(7);
    assert!(error.contains("group or others may write"), "{error}");
}

#[test]
fn without_proc_nobody_is_anybody() {
    let world = World::new();
    let inside = Inside::new(&world);
    let bare = "unshare -m sh -c 'mount -t tmpfs none /proc && exec \"$@\"' sh";
    if inside.shell(&format!("{bare} true")).code != 0 {
        return not_run("no file system can be mounted");
    }
    for command in ["sessions", "send x -m y", "approve 1", "tick"] {
        let error = inside.shell(&format!("{bare} {BINARY} {command}")).fails(1);
        assert!(error.contains("hint: mount /proc"), "{command}: {error}");
    }
    assert_eq!(inside.gate(bare, "touch never"), "deny");
    // As an agent that was taken in: only its pane says that it is ours.
    let adopted = format!("{bare} env -u CONDUCTOR_TERMINAL_ID");
    assert_eq!(inside.gate(&adopted, "touch never"), "deny");
    let stranger = format!("{bare} env -u CONDUCTOR_TERMINAL_ID -u TMUX_PANE");
    assert_eq!(inside.gate(&stranger, "touch never"), "silent");
    assert_eq!(world.status(&inside.id)["status"], "working");
}

#[test]
fn a_gate_has_said_nothing_before_all_is_stored() {
    let world = World::new();
    let inside = Inside::new(&world);
    let asked = inside.requested("", "touch never");
    world.run(["approve", &asked]).ok();
    for (point, command) in [
        ("gate.consumed", "touch never"),
        ("gate.requested", "mkfifo never"),
        ("gate.before_print", "ls"),
    ] {
        let killed = format!("CONDUCTOR_FAILPOINT={point}");
        let done = inside.hook(&killed, "PreToolUse", command);
        assert_eq!((done.code, done.stdout.as_str()), (137, ""), "{point}");
    }
    let used = world.run(["approval", "show", &asked]).json();
    assert_eq!(used["status"], "consumed");
}

#[test]
fn a_gate_whose_state_was_taken_away_denies() {
    let world = World::new();
    let inside = Inside::new(&world);
    let (state, away) = (world.home(), world.at("away"));
    fs::rename(&state, &away).unwrap();
    let claimed = inside.gate("", "touch never");
    let adopted = inside.gate("env -u CONDUCTOR_TERMINAL_ID", "touch never");
    let stranger = inside.gate("env -u CONDUCTOR_TERMINAL_ID -u TMUX_PANE", "touch never");
    fs::rename(&away, &state).unwrap();
    assert_eq!((claimed, adopted), (json!("deny"), json!("deny")));
    assert_eq!(stranger, "silent", "who is not ours is let alone");
}

#[test]
fn audit_entries_reach_the_systems_log_and_a_file_stands_in_for_it() {
    let world = World::new();
    let inside = Inside::new(&world);
    // No journal listens here: warnings are in our own file.
    world.write("state/policy.toml", "no policy");
    let bare = "unshare -m sh -c 'mount -t tmpfs none /run && exec \"$@\"' sh";
    let mounted = inside.shell(&format!("{bare} true")).code == 0;
    let before = if mounted { bare } else { "" };
    inside.shell(&format!(
        "{before} sh -c 'echo {{ | {BINARY} hook demo PreToolUse'"
    ));
    let log = fs::read_to_string(world.at("state/logs/conductor.log")).unwrap();
    assert!(log.contains("read a hook's input"), "{log}");
    world.write("state/policy.toml", BY_CALLER);
    if !mounted {
        return not_run("no file system can be mounted");
    }
    let journal = world.at("journal");
    fs::create_dir(&journal).unwrap();
    let socket = std::os::unix::net::UnixDatagram::bind(journal.join("socket")).unwrap();
    socket.set_nonblocking(true).unwrap();
    let heard = || {
        let mut all = String::new();
        let mut bytes = vec![0; 65_536];
        while let Ok(length) = socket.recv(&mut bytes) {
            all += &String::from_utf8_lossy(&bytes[..length]);
        }
        all
    };
    let with = format!(
        "unshare -m sh -c 'mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind {} /run/systemd/journal && exec \"$@\"' sh",
        journal.display()
    );
    let asked = ["send", &inside.id, "--require-approval", "-m", "SAY held"];
    inside
        .shell(&format!("{with} {BINARY} {}", asked.map(quote).join(" ")))
        .ok();
    let entries = world.run(["audit", "list"]).json();
    let newest = entries.as_array().unwrap().last().unwrap().clone();
    let said = heard();
    assert!(
        said.contains(&text(&newest["hash"])) && said.contains("approval.requested"),
        "{said}"
    );
}

/// Puts a program called tmux before the real one.
fn other_tmux(world: &World, body: &str) -> String {
    let program = world.script("other/tmux", body);
    let dir = program.parent().unwrap().display().to_string();
    format!("{dir}:/usr/local/bin:/usr/bin:/bin")
}

#[test]
fn what_is_no_tmux_is_named_and_the_servers_own_program_used() {
    let world = World::new();
    let id = world.agent();
    let idle = World::without_tmux_server();
    for (n, body) in [
        "exit 0",
        "echo rubbish; exit 3",
        "kill -SEGV $$",
        "echo 'tmax 3.3a'",
        "head -c 10000000 /dev/zero | tr '\\0' y",
        "exec sleep 60",
    ]
    .into_iter()
    .enumerate()
    {
        let path = other_tmux(&world, body);
        let begun = Instant::now();
        let session = format!("s{n}");
        let launched = world
            .run(["launch", "-p", "demo", "--session", &session])
            .env("PATH", &path)
            .json();
        assert_eq!(launched["name"], session, "{body}");
        world
            .run(["send", &id, "-m", "SAY hello"])
            .env("PATH", &path)
            .ok();
        // Where no server runs there is no other program.
        for arguments in [&["launch", "-p", "demo"][..], &["doctor"]] {
            let done = idle.run(arguments).env("PATH", &path).done();
            let said = format!("{}{}", done.stdout, done.stderr);
            assert!(said.contains("is no tmux"), "{body}: {said}");
            assert_eq!(
                done.code,
                if arguments.len() == 1 { 1 } else { 6 },
                "{said}"
            );
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "{body}");
    }
    assert_eq!(idle.run(["sessions", "--all"]).json(), json!([]));
    world.run(["shutdown", "--all", "--force"]).ok();
}

#[test]
fn a_socket_of_somebody_else_is_refused() {
    let world = World::new();
    if !nix::unistd::geteuid().is_root() {
        return not_run("only root can become another user");
    }
    let id = world.agent();
    fs::set_permissions(
        world.at(""),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let socket = world.at("theirs.sock");
    let socket = socket.to_str().unwrap();
    let theirs = |arguments: &str| {
        world.run_shell(&format!(
            "HOME=/nowhere setpriv --reuid=65534 --regid=65534 --clear-groups tmux -S {socket} {arguments}"
        ))
    };
    theirs("-f /dev/null new-session -d -s theirs sleep 60").ok();
    for arguments in [
        &["launch", "-p", "demo", "--session", "in"][..],
        &["worker", "theirs", "-p", "demo"],
        &["plugin", "load"],
        &["adopt", "%0", "-p", "demo"],
    ] {
        let error = world.run(["-S", socket].iter().chain(arguments)).fails(6);
        assert!(error.contains("belongs to another user"), "{error}");
        assert!(error.contains("hint: "), "{error}");
    }
    // One that was ours and is now another's gets no text.
    world
        .run_shell(&format!(
            "tmux -S {} kill-server",
            quote(&world.socket().to_string_lossy())
        ))
        .ok();
    let _ = fs::remove_file(world.socket());
    fs::rename(socket, world.socket()).unwrap();
    world.run(["send", &id, "-m", "SAY secret"]).done();
    let socket = world.socket();
    let socket = socket.to_str().unwrap();
    let end = |arguments: &str| {
        world.run_shell(&format!(
            "HOME=/nowhere setpriv --reuid=65534 --regid=65534 --clear-groups tmux -S {socket} {arguments}"
        ))
    };
    let screen = end("capture-pane -p").stdout;
    let options = end("show-options -gq").stdout;
    end("kill-server").ok();
    assert!(!screen.contains("secret") && !options.contains("@conductor"));
}

/// A directory whose name is as bad as a name can be; what a shell or tmux would make of it leaves a file.
const ODD: &str = "a 'b' \"c\" $(touch ran) #(touch ran);é";

/// From the start of an agent to the end of its work: a message, a call that a person allows for always, a worker, tmux's own hooks.
#[track_caller]
fn all_works(world: &World) {
    world.run(["init"]).ok();
    world.write("state/policy.toml", BY_CALLER);
    world.run(["plugin", "load"]).ok();
    let id = world.agent();
    assert_eq!(world.ask(&id, "SAY grüße — 你好"), "grüße — 你好");
    world
        .run(["send", &id, "-m", "-"])
        .stdin("RUN touch made")
        .ok();
    let asked = world.asked(&id);
    world
        .run(["approve", &text(&asked["id"]), "--scope", "always"])
        .ok();
    world.wait(&id, "idle");
    assert!(world.at("project/made").exists());
    let called = world.mcp(&id, "list_terminals", &json!({}));
    assert!(called.is_ok(), "{called:?}");
    let worker = world.run(["worker", "work", "-p", "demo"]).json();
    let worker = text(&worker["id"]);
    world.wait(&worker, "idle");
    world.tmux(["kill-pane", "-t", &text(&world.status(&worker)["pane"])]);
    eventually("tmux's hook told of the end", || {
        let rows = rusqlite::Connection::open(world.at("state/db/conductor.db")).unwrap();
        let status = "SELECT status FROM terminals WHERE id = ?1";
        let status: String = rows.query_row(status, [&worker], |row| row.get(0)).unwrap();
        (status == "exited").then_some(())
    });
    world.run(["profile", "create", "mine"]).ok();
    let script =
        "---\nname: f\nschedule: \"0 0 1 1 *\"\nagent_profile: developer\nscript: s.sh\n---\nx\n";
    world.script("flows/s.sh", "echo '{\"execute\": false}'");
    let flow = world.write("flows/f.md", script);
    world.run(["flow", "add", &flow.to_string_lossy()]).ok();
    world.run(["flow", "run", "f"]).ok();
    let ran = world.run(["flow", "history", "f"]).json();
    assert_eq!(ran[0]["outcome"], "skipped", "{ran}");
    world.run(["audit", "verify"]).ok();
    world.run(["shutdown", "--all", "--force"]).ok();
    assert_eq!(open_to_others(&world.home()), Vec::<String>::new());
    for place in ["", "project", "user", "state", "tmux"] {
        assert!(!world.at(place).join("ran").exists(), "a name was run");
    }
}

#[test]
fn a_home_with_blanks_quotes_and_commands_in_its_name_works() {
    let world = World::inside(ODD);
    world.start_server();
    all_works(&world);
}

#[test]
fn a_path_of_two_hundred_characters_works() {
    let deep = "directory-with-a-long-name/".repeat(7);
    let world = World::inside(&format!("{deep}end"));
    assert!(world.home().to_string_lossy().len() >= 200);
    // A socket's own path has to be short: it is named when it is not.
    let error = world.run(["launch", "-p", "demo"]).fails(6);
    assert!(error.contains("too long"), "{error}");
    let short = tempfile::tempdir().unwrap();
    let world = world.with_socket(short.path().join("tmux.sock"));
    world.start_server();
    all_works(&world);
}

#[test]
fn masks_locales_and_directories_for_temporary_files_change_nothing() {
    let other_device = tempfile::tempdir_in("/dev/shm").ok();
    let other_device = other_device
        .as_ref()
        .map(|dir| dir.path().to_string_lossy());
    for (name, mask) in [
        (("LC_ALL", "C"), 0o077),
        (("TMPDIR", "/nowhere"), 0o000),
        (
            ("TMPDIR", other_device.as_deref().unwrap_or("/nowhere")),
            0o777,
        ),
    ] {
        let mut world = World::without_tmux_server();
        world.surround(name, mask);
        world.start_server();
        all_works(&world);
    }
}

/// Milliseconds from now to this moment of Unix time, and a second.
fn to(moment: i64) -> String {
    let now = jiff::Timestamp::now().as_millisecond();
    (moment + 1_000 - now).to_string()
}

#[test]
fn a_clock_in_1970_or_2100_allows_and_loses_nothing() {
    let world = World::new();
    let clock = |skew: &str| world.tmux(["set-environment", "-g", "CONDUCTOR_CLOCK_SKEW", skew]);
    world.run(["init"]).ok();
    world.write("state/policy.toml", BY_CALLER);
    let (past, future) = (to(0), to(4_102_444_800_000));
    let at = |skew: &str, arguments: &[&str]| {
        world
            .run(arguments)
            .env("CONDUCTOR_CLOCK_SKEW", skew)
            .done()
    };

    // A machine that starts without a clock: all is as ever, and stays so when the clock is set.
    clock(&past);
    let log = format!("CONDUCTOR_DEMO_LOG={}", world.at("demo.log").display());
    let launched = at(
        &past,
        &[
            "launch",
            "-p",
            "demo",
            "--session",
            "work",
            "--env",
            &log,
            "--json",
        ],
    )
    .json();
    let id = text(&launched["terminals"][0]["id"]);
    assert!(text(&launched["terminals"][0]["created_at"]).starts_with("1970-01-01"));
    at(&past, &["wait", &id, "--for", "idle", "--timeout", "20"]).ok();
    at(&past, &["send", &id, "-m", "SAY early", "--wait", "20"]).ok();
    world.message_becomes("1", "submitted");
    at(
        &past,
        &["send", &id, "--require-approval", "-m", "SAY held"],
    )
    .ok();
    let asked = text(&world.pending()[0]["id"]);
    // The clock is set: what was asked for in 1970 has run out, and nobody said yes to it.
    at("0", &["approve", &asked]).fails(4);
    let shown = world.run(["approval", "show", &asked]).json();
    assert_eq!(shown["status"], "expired", "{shown}");

    // A clock that jumps to 2100 and back.
    at(
        "0",
        &["send", &id, "--require-approval", "-m", "SAY held again"],
    )
    .ok();
    let asked = text(&world.pending()[0]["id"]);
    at(&future, &["approve", &asked]).fails(4);
    at(&future, &["tick"]).ok();
    at("0", &["approve", &asked]).fails(4);
    assert_eq!(
        at("0", &["inbox", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        3,
        "nothing is taken away"
    );
    at(&future, &["send", &id, "-m", "SAY late", "--wait", "20"]).ok();
    at(&past, &["send", &id, "-m", "SAY last", "--wait", "20"]).ok();
    world.message_becomes("5", "submitted");
    let said = world.logged(&id, &["prompt", "context"]).join("\n");
    assert!(
        said.contains("SAY late") && said.contains("SAY last") && !said.contains("held"),
        "{said}"
    );
    for skew in ["0", &past, &future] {
        at(skew, &["audit", "verify"]).ok();
        at(skew, &["sessions"]).ok();
        at(skew, &["inbox"]).ok();
    }
}
