//! Against a real server; `CONDUCTOR_TEST_TMUX` names the binary that starts it, else `tmux`.

use super::*;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

const SOON: Duration = Duration::from_secs(20);

/// A private tmux server with one session `s` whose pane runs `cat`.
struct Server {
    binary: String,
    dir: tempfile::TempDir,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "tests choose the tmux binary")]
    fn start() -> Self {
        let binary = std::env::var("CONDUCTOR_TEST_TMUX").unwrap_or_else(|_| "tmux".into());
        let dir = tempfile::Builder::new().prefix("wire").tempdir().unwrap();
        let server = Self { binary, dir };
        server.exec(&["-f", "/dev/null", "new-session", "-d", "-s", "s", "cat"]);
        server
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    /// Runs the tmux binary.
    #[expect(
        clippy::disallowed_methods,
        reason = "the binary is what is compared with"
    )]
    fn exec(&self, args: &[&str]) -> Output {
        let output = std::process::Command::new(&self.binary)
            .arg("-S")
            .arg(self.path())
            .args(args)
            .current_dir(self.dir.path())
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .env_remove("TMUX_PANE")
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        Output {
            status: output.status.code().unwrap(),
            stdout: output.stdout,
            stderr: output.stderr,
        }
    }

    fn try_run(&self, args: &[&str], stdin: Option<&[u8]>) -> Result<Output, WireError> {
        run(&self.path(), &strings(args), stdin, SOON)
    }

    fn run(&self, args: &[&str]) -> Output {
        self.try_run(args, None).unwrap()
    }

    /// Runs `args`, which must succeed without a word on stderr.
    fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!((output.status, text(&output.stderr)), (0, ""), "{args:?}");
        text(&output.stdout).to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.exec(&["kill-server"]);
    }
}

fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(ToString::to_string).collect()
}

/// The words of a command list.
fn list(words: &str) -> Vec<&str> {
    words.split(' ').collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Bytes of every value in an order that does not repeat soon.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..size).map(|_| next()).collect()
}

#[test]
fn prints_what_the_binary_prints() {
    let server = Server::start();
    assert_eq!(server.text(&["display-message", "-p", "x"]), "x\n");
    let lists: [&[&str]; 10] = [
        &["display-message", "-p", "grüße → 漢字 #{session_name}"],
        &["display-message", "-p", ""],
        &["list-panes", "-a", "-F", "#{pane_id} #{pane_pid}"],
        &["show-options", "-g"],
        &["show-options", "-gv", "nonsense"],
        &["list-keys"],
        &["has-session", "-t", "=nobody"],
        &["no-such-command"],
        &["new-session", "-s", "attached"],
        &["attach-session", "-t", "s"],
    ];
    for list in lists {
        assert_eq!(server.run(list), server.exec(list), "{list:?}");
    }
}

#[test]
fn a_failing_command_gives_status_1_and_its_message() {
    let server = Server::start();
    let output = server.run(&["kill-session", "-t", "nobody"]);
    assert_eq!(
        (output.status, text(&output.stdout), text(&output.stderr)),
        (1, "", "can't find session: nobody\n")
    );
}

#[test]
fn a_list_runs_in_order_and_stops_at_a_failure() {
    let server = Server::start();
    let output = server.run(&list("display-message -p one ; display-message -p two ; select-pane -t %77 ; display-message -p three"));
    assert_eq!(
        (output.status, text(&output.stdout), text(&output.stderr)),
        (1, "one\ntwo\n", "can't find pane: %77\n")
    );
}

#[test]
fn options_formats_and_conditions_work() {
    let server = Server::start();
    assert_eq!(
        server.text(&["set-option", "-p", "-t", "s", "@id", "c-1 ü"]),
        ""
    );
    assert_eq!(
        server.text(&["show-options", "-pqv", "-t", "s", "@id"]),
        "c-1 ü\n"
    );
    for (id, answer) in [("c-1 ü", "yes\n"), ("c-2", "no\n")] {
        let test = format!("#{{==:#{{@id}},{id}}}");
        let list = [
            "if-shell",
            "-F",
            "-t",
            "s",
            &test,
            "display-message -p yes",
            "display-message -p no",
        ];
        assert_eq!(server.text(&list), answer);
    }
}

#[test]
fn stdin_and_stdout_are_byte_exact() {
    let server = Server::start();
    let fits = frame::ROOM - 4;
    for size in [1, 4096, fits - 1, fits, fits + 1, 100_000, 1 << 20] {
        let data = noise(size);
        let load = server
            .try_run(&["load-buffer", "-b", "b", "-"], Some(&data))
            .unwrap();
        assert_eq!(
            (load.status, load.stdout.len(), text(&load.stderr)),
            (0, 0, "")
        );
        let save = server.run(&["save-buffer", "-b", "b", "-"]);
        assert_eq!((save.status, text(&save.stderr)), (0, ""));
        assert!(save.stdout == data, "{size} bytes");
        let both = server
            .try_run(
                &list("display-message -p x ; load-buffer -b c - ; save-buffer -b c -"),
                Some(&data),
            )
            .unwrap();
        assert_eq!((both.status, text(&both.stderr)), (0, ""));
        assert!(
            both.stdout == [b"x\n", data.as_slice()].concat(),
            "{size} bytes"
        );
    }
}

#[test]
fn empty_stdin_makes_no_buffer_and_stdin_is_read_once() {
    let server = Server::start();
    for stdin in [None, Some(&b""[..])] {
        let load = server
            .try_run(&["load-buffer", "-b", "e", "-"], stdin)
            .unwrap();
        assert_eq!((load.status, load.stderr.len()), (0, 0));
        assert_eq!(server.run(&["save-buffer", "-b", "e", "-"]).status, 1);
    }
    let list = list("load-buffer -b a - ; load-buffer -b b -");
    let twice = server.try_run(&list, Some(b"x")).unwrap();
    // The order of the message's two parts depends on tmux's version.
    assert_eq!(twice.status, 1);
    assert!(text(&twice.stderr).contains("Bad file descriptor"));
}

#[test]
fn files_are_read_but_not_written() {
    let server = Server::start();
    let file = server.dir.path().join("file");
    let data = noise(300_000);
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .unwrap()
        .write_all(&data)
        .unwrap();
    let name = file.to_str().unwrap();
    assert_eq!(server.text(&["load-buffer", "-b", "f", name]), "");
    assert!(server.run(&["save-buffer", "-b", "f", "-"]).stdout == data);
    let refused = server.run(&["save-buffer", "-b", "f", "/tmp/conductor-never-written"]);
    assert_eq!(refused.status, 1);
    assert!(
        text(&refused.stderr).contains("Permission denied"),
        "{refused:?}"
    );
    assert!(!Path::new("/tmp/conductor-never-written").exists());
    let missing = server.run(&["load-buffer", "/nowhere/file"]);
    assert_eq!(missing, server.exec(&["load-buffer", "/nowhere/file"]));
    assert_eq!(server.run(&["load-buffer", "/dev/zero"]).status, 1);
    let list = ["source-file", "-"];
    let sourced = server
        .try_run(&list, Some(b"display-message -p sourced\n"))
        .unwrap();
    assert_eq!((sourced.status, text(&sourced.stdout)), (0, "sourced\n"));
}

#[test]
fn a_paste_arrives_in_the_pane() {
    let server = Server::start();
    let list = list("load-buffer -b p - ; paste-buffer -d -b p -t s ; send-keys -t s Enter");
    assert_eq!(
        server
            .try_run(&list, Some(b"hello from the wire"))
            .unwrap()
            .status,
        0
    );
    let end = Instant::now() + SOON;
    while server
        .text(&["capture-pane", "-p", "-t", "s"])
        .matches("hello from the wire")
        .count()
        < 2
    {
        assert!(Instant::now() < end);
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_foreground_shell_is_waited_for() {
    let server = Server::start();
    let file = server.dir.path().join("file");
    let slow = format!("sleep 0.1; pwd >{}", file.display());
    assert_eq!(server.text(&["run-shell", &slow]), "");
    let here = format!("{}\n", std::env::current_dir().unwrap().display());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), here);
    // tmux 3.3 to 3.4 show the output in a pane instead of printing it; what the binary gets is what we get.
    for shell in ["echo out", "echo out; exit 3", "seq 20000"] {
        let list = ["run-shell", shell];
        assert_eq!(server.run(&list), server.exec(&list), "{shell}");
    }
}

#[test]
fn a_client_that_leaves_while_it_sends_leaves_no_truncated_buffer() {
    let server = Server::start();
    let data = vec![b'x'; 64 << 20];
    let load = strings(&list("load-buffer -b t - ; set-option -g @after ran"));
    let mut sent = false;
    // On a busy machine the time may be over before anything is sent.
    for _ in 0..100 {
        let error = run(
            &server.path(),
            &load,
            Some(&data),
            Duration::from_millis(20),
        )
        .unwrap_err();
        assert!(matches!(error, WireError::TimedOut { .. }), "{error:?}");
        sent = error.may_have_run();
        if sent {
            break;
        }
    }
    assert!(sent);
    assert_eq!(server.run(&["save-buffer", "-b", "t", "-"]).status, 1);
    assert_eq!(server.text(&["show-options", "-gqv", "@after"]), "");
}

#[test]
fn the_client_is_never_attached_and_leaves_nothing() {
    let server = Server::start();
    let list = list("list-clients ; display-message -p #{client_pid}|#{session_attached}");
    assert_eq!(server.text(&list), "|0\n");
}

#[test]
fn two_hundred_in_a_row_and_fifty_at_once() {
    let server = Server::start();
    for round in 0..200 {
        let word = format!("round-{round}");
        assert_eq!(
            server.text(&["display-message", "-p", &word]),
            format!("{word}\n")
        );
    }
    thread::scope(|scope| {
        for thread in 0..50 {
            let server = &server;
            scope.spawn(move || {
                let word = format!("thread-{thread}");
                let data = noise(20_000 + thread);
                let list = [
                    "load-buffer",
                    "-b",
                    &word,
                    "-",
                    ";",
                    "save-buffer",
                    "-b",
                    &word,
                    "-",
                ];
                assert!(server.try_run(&list, Some(&data)).unwrap().stdout == data);
            });
        }
    });
}

#[test]
fn without_a_server_nothing_is_started() {
    let server = Server::start();
    let path = server.path();
    server.exec(&["kill-server"]);
    let end = Instant::now() + SOON;
    // The socket outlives kill-server for a moment.
    while UnixStream::connect(&path).is_ok() {
        assert!(Instant::now() < end);
        thread::sleep(Duration::from_millis(5));
    }
    let missing = server.dir.path().join("missing");
    for path in [&path, &missing, &PathBuf::from("/x".repeat(100))] {
        let error = run(path, &strings(&["new-session", "-d"]), None, SOON).unwrap_err();
        assert!(matches!(error, WireError::NoServer(_)), "{error:?}");
        assert!(!error.may_have_run());
        assert!(UnixStream::connect(path).is_err());
    }
}

#[test]
fn the_end_of_the_last_session_is_no_failure() {
    let server = Server::start();
    let list = list("kill-session -t s ; display-message -p after");
    let output = server.run(&list);
    assert_eq!((output.status, text(&output.stdout)), (0, "after\n"));
}

#[test]
fn a_server_that_goes_is_lost_and_not_a_success() {
    let server = Server::start();
    let list = ["display-message", "-p", "before", ";", "kill-server"];
    let error = server.try_run(&list, None).unwrap_err();
    assert!(
        matches!(
            &error,
            WireError::Lost {
                how: Loss::Shutdown,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(text(error.stdout()), "before\n");
    assert!(error.may_have_run());

    let server = Server::start();
    let pid = server.text(&["display-message", "-p", "#{pid}"]);
    let kill = format!("kill -9 {}", pid.trim());
    let error = server.try_run(&["run-shell", &kill], None).unwrap_err();
    assert!(
        matches!(
            &error,
            WireError::Lost {
                how: Loss::Closed,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn the_limit_is_the_servers_limit() {
    let server = Server::start();
    let fits = MAX_COMMAND - "set-option\0-g\0@z\0\0".len();
    let argv = |size| strings(&["set-option", "-g", "@z", &"z".repeat(size)]);
    let output = run(&server.path(), &argv(fits), None, SOON).unwrap();
    assert_eq!((output.status, text(&output.stderr)), (0, ""));
    assert_eq!(server.text(&["show-options", "-gv", "@z"]).len(), fits + 1);
    let error = run(&server.path(), &argv(fits + 1), None, SOON).unwrap_err();
    assert!(
        matches!(error, WireError::TooLong(size) if size == MAX_COMMAND + 1),
        "{error:?}"
    );
    assert!(!error.may_have_run());
    for argv in [strings(&[]), strings(&["display-message", "a\0b"])] {
        let error = run(&server.path(), &argv, None, SOON).unwrap_err();
        assert!(matches!(error, WireError::Unsupported(_)), "{error:?}");
    }
}

#[test]
fn waiting_ends_at_the_deadline() {
    let server = Server::start();
    let list = strings(&list(
        "display-message -p waiting ; wait-for never ; set-option -g @after ran",
    ));
    let start = Instant::now();
    let error = run(&server.path(), &list, None, Duration::from_millis(150)).unwrap_err();
    assert!(
        matches!(error, WireError::TimedOut { sent: true, .. }),
        "{error:?}"
    );
    assert_eq!(text(error.stdout()), "waiting\n");
    assert!((Duration::from_millis(150)..SOON / 2).contains(&start.elapsed()));
    // What the client no longer waits for is dropped with it.
    server.text(&["wait-for", "-S", "never"]);
    assert_eq!(server.text(&["show-options", "-gqv", "@after"]), "");
    let error = run(&server.path(), &list, None, Duration::ZERO).unwrap_err();
    assert!(
        matches!(error, WireError::TimedOut { sent: false, .. }),
        "{error:?}"
    );
    let forever = run(
        &server.path(),
        &strings(&["display-message", "-p", "x"]),
        None,
        Duration::MAX,
    );
    assert_eq!(forever.unwrap().stdout, b"x\n");
}
