//! The shell scripts that install, go back, take out, and make a release; with small programs in place of the real ones.
//! No network, no compiler: releases come from a directory, and are signed with keys made here.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot read or start is its failure"
)]

mod place;
mod workflows;

use place::{Place, VERSION, released};

/// What somebody does to a release.
type Forge = fn(&Place);

#[test]
fn a_signed_release_is_installed_and_taken_out_exactly() {
    let place = Place::new();
    place.release(VERSION);
    let prefix = place.path("prefix");
    place.write("prefix/share/man/man1/other.1", "somebody's");
    place.write("prefix/share/zsh/site-functions/_conductor", "somebody's");
    let before = place.tree("prefix");
    let install = ["--release", "--prefix", &prefix];
    let said = place.run("install.sh", &install).done();
    assert!(said.contains("Verified: signed by ED25519"), "{said}");
    assert!(
        said.contains("_conductor is somebody else's; it stays"),
        "{said}"
    );
    assert_eq!(place.version("plugin/bin/conductor-hook"), VERSION);
    assert_eq!(place.version("prefix/bin/conductor"), VERSION);
    for file in [
        "man/man1/conductor-hook.1",
        "man/man5/conductor-flow.5",
        "bash-completion/completions/conductor",
        "bash-completion/completions/conductor-hook",
        "zsh/site-functions/_conductor-hook",
        "fish/vendor_completions.d/conductor.fish",
    ] {
        assert!(
            place
                .read(&format!("prefix/share/{file}"))
                .contains("made by"),
            "{file}"
        );
    }
    let once = place.tree("");
    place.run("install.sh", &install).done();
    assert_eq!(place.tree(""), once, "twice is once");

    place.write("prefix/share/man/man5/conductor-flow.5", "changed by hand");
    let said = place.run("uninstall.sh", &[]).done();
    assert!(
        said.contains("conductor-flow.5 was not installed from here any more"),
        "{said}"
    );
    assert!(!place.has("plugin/bin"));
    std::fs::remove_file(place.path("prefix/share/man/man5/conductor-flow.5")).unwrap();
    std::fs::remove_dir(place.path("prefix/share/man/man5")).unwrap();
    std::fs::remove_dir(place.path("prefix/bin")).ok();
    assert_eq!(place.tree("prefix"), before);
}

#[test]
fn what_is_not_signed_as_it_is_installs_nothing() {
    let forged: [(&str, Forge); 8] = [
        ("is not by a signer", |place| {
            place.append("SHA256SUMS", "\n");
        }),
        ("is not by a signer", |place| place.sign_with("stranger")),
        ("is not by a signer", |place| {
            place.write(&released("SHA256SUMS.sig"), "nonsense");
        }),
        ("is not what was signed", |place| {
            place.append(&place.archive(), "x");
        }),
        ("does not name", |place| {
            place.write(&released("SHA256SUMS"), "0000  other.tar.gz\n");
            place.sign_with("key");
        }),
        ("says that it is 9.9.9", |place| {
            place.release_saying(VERSION, "9.9.9");
        }),
        ("cannot download", |place| {
            std::fs::remove_file(place.path(&released("SHA256SUMS.sig"))).unwrap();
        }),
        ("names nobody who may sign", |place| {
            place.write("plugin/scripts/allowed_signers", "# nobody yet\n");
        }),
    ];
    for (why, forge) in forged {
        let place = Place::new();
        place.release(VERSION);
        forge(&place);
        let said = place.run("install.sh", &["--release"]).refused();
        assert!(said.contains(why), "{why}: {said}");
        assert!(!place.has("plugin/bin/conductor-hook"), "{why}");
    }
}

#[test]
fn only_safe_addresses_and_versions_are_asked_for() {
    let mut place = Place::new();
    place.release(VERSION);
    for version in ["../../x", "-x", "1;id"] {
        let said = place
            .run("install.sh", &[&format!("--release={version}")])
            .refused();
        assert!(said.contains("is no version"), "{said}");
    }
    place.releases = "http://example.invalid".to_owned();
    let said = place.run("install.sh", &["--release"]).refused();
    assert!(said.contains("is no https address"), "{said}");
}

#[test]
fn a_key_for_something_else_signs_no_release() {
    let place = Place::new();
    place.release(VERSION);
    let signers = place.read("plugin/scripts/allowed_signers");
    place.write(
        "plugin/scripts/allowed_signers",
        &signers.replace("namespaces=\"agent-conductor\"", "namespaces=\"git\""),
    );
    let said = place.run("install.sh", &["--release"]).refused();
    assert!(said.contains("is not by a signer"), "{said}");
}

#[test]
fn an_upgrade_is_one_step_and_can_be_taken_back_once() {
    let place = Place::new();
    for version in [VERSION, "0.2.0"] {
        place.release(version);
    }
    let prefix = place.path("prefix");
    place
        .run("install.sh", &["--release", "--prefix", &prefix])
        .done();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let user = scope.spawn(|| {
            let mut calls = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let version = place.version("plugin/bin/conductor");
                assert!([VERSION, "0.2.0"].contains(&version.as_str()), "{version}");
                calls += 1;
            }
            calls
        });
        place
            .run("install.sh", &["--release=0.2.0", "--prefix", &prefix])
            .done();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(user.join().unwrap() > 5);
    });
    assert_eq!(place.version("prefix/bin/conductor-hook"), "0.2.0");
    assert!(
        place
            .read("prefix/share/man/man1/conductor-hook.1")
            .contains("0.2.0")
    );

    place.write("newer-state", "");
    let said = place.run("install.sh", &["--rollback"]).refused();
    assert!(
        said.contains("cannot read the state that the newer version has written"),
        "{said}"
    );
    assert_eq!(place.version("plugin/bin/conductor-hook"), "0.2.0");
    std::fs::remove_file(place.path("newer-state")).unwrap();

    place.run("install.sh", &["--rollback"]).done();
    for binary in ["plugin/bin/conductor-hook", "prefix/bin/conductor-hook"] {
        assert_eq!(place.version(binary), VERSION);
    }
    assert!(
        place
            .read("prefix/share/man/man1/conductor-hook.1")
            .contains(VERSION)
    );
    let said = place.run("install.sh", &["--rollback"]).refused();
    assert!(said.contains("there is no earlier binary"), "{said}");
    place.run("uninstall.sh", &[]).done();
    assert!(!place.has("plugin/bin") && !place.has("prefix/bin/conductor-hook"));
}

#[test]
fn an_older_release_looks_at_the_state_first() {
    let place = Place::new();
    for version in [VERSION, "0.2.0"] {
        place.release(version);
    }
    place.write("newer-state", "");
    let older = format!("--release={VERSION}");
    let unreadable = "cannot read the state that the newer version has written";
    let said = place.run("install.sh", &[&older]).refused();
    assert!(said.contains(unreadable), "nothing is installed: {said}");
    place.run("install.sh", &["--release=0.2.0"]).done();
    let said = place.run("install.sh", &[&older]).refused();
    assert!(said.contains(unreadable), "{said}");
    assert_eq!(place.version("plugin/bin/conductor-hook"), "0.2.0");
    std::fs::remove_file(place.path("newer-state")).unwrap();
    place.run("install.sh", &[&older]).done();
    assert_eq!(place.version("plugin/bin/conductor-hook"), VERSION);
}

#[test]
fn somebody_elses_program_in_a_prefix_is_not_replaced() {
    let place = Place::new();
    for version in [VERSION, "0.2.0"] {
        place.release(version);
    }
    let prefix = place.path("prefix");
    place.write("prefix/bin/conductor-hook", "somebody's");
    let install = ["--release", "--prefix", &prefix];
    let said = place.run("install.sh", &install).refused();
    assert!(
        said.contains("conductor-hook is somebody else's; nothing was installed"),
        "{said}"
    );
    assert!(!place.has("plugin/bin/conductor-hook"));
    assert_eq!(place.tree("prefix"), ["prefix/bin/conductor-hook"]);
    assert_eq!(place.read("prefix/bin/conductor-hook"), "somebody's");

    std::fs::remove_file(place.path("prefix/bin/conductor-hook")).unwrap();
    place.run("install.sh", &install).done();
    place
        .run("install.sh", &["--release=0.2.0", "--prefix", &prefix])
        .done();
    place.write("prefix/bin/conductor-hook", "replaced by hand");
    let said = place.run("install.sh", &["--rollback"]).done();
    assert!(said.contains("is somebody else's by now"), "{said}");
    assert_eq!(place.version("plugin/bin/conductor-hook"), VERSION);
    place.run("uninstall.sh", &[]).done();
    assert_eq!(place.read("prefix/bin/conductor-hook"), "replaced by hand");
}

#[test]
fn going_back_can_be_done_again_where_it_broke_off() {
    let place = Place::new();
    for version in [VERSION, "0.2.0"] {
        place.release(version);
    }
    let prefix = place.path("prefix");
    for release in ["--release", "--release=0.2.0"] {
        place
            .run("install.sh", &[release, "--prefix", &prefix])
            .done();
    }
    let man = place.path("prefix/share/man");
    std::fs::rename(&man, place.path("man")).unwrap();
    place.write("prefix/share/man", "in the way");
    place.run("install.sh", &["--rollback"]).refused();
    std::fs::remove_file(&man).unwrap();
    std::fs::rename(place.path("man"), &man).unwrap();
    place.run("install.sh", &["--rollback"]).done();
    for binary in ["plugin/bin/conductor-hook", "prefix/bin/conductor-hook"] {
        assert_eq!(place.version(binary), VERSION);
    }
    assert!(!place.has("plugin/bin/.conductor-hook.previous"));
}

#[test]
fn a_plugin_that_cannot_be_written_installs_into_a_prefix() {
    let place = Place::new();
    place.release(VERSION);
    place.write(
        "plugin/bin",
        "in the way, as a directory without the right to write is",
    );
    let said = place.run("install.sh", &["--release"]).refused();
    assert!(
        said.contains("cannot be written") && said.contains("--prefix"),
        "{said}"
    );
    let prefix = place.path("prefix");
    let said = place
        .run("install.sh", &["--release", "--prefix", &prefix])
        .done();
    assert!(
        said.contains("will take the binary from the PATH"),
        "{said}"
    );
    assert_eq!(place.version("prefix/bin/conductor"), VERSION);
    place.run("uninstall.sh", &["--prefix", &prefix]).done();
    assert!(
        place.tree("prefix").is_empty(),
        "{:?}",
        place.tree("prefix")
    );
}

#[test]
fn without_a_release_it_builds_and_a_failed_build_replaces_nothing() {
    let place = Place::new();
    place.write("plugin/scripts/allowed_signers", "");
    let said = place.run("install.sh", &["--yes"]).done();
    assert!(said.contains("Building conductor-hook"), "{said}");
    assert_eq!(place.version("plugin/bin/conductor-hook"), VERSION);
    place.write("build-fails", "");
    let said = place.run("install.sh", &["--source"]).refused();
    assert!(said.contains("the build failed"), "{said}");
    assert_eq!(place.version("plugin/bin/conductor-hook"), VERSION);
}

#[test]
fn on_another_system_it_says_so_and_does_nothing() {
    let place = Place::new();
    place.release(VERSION);
    place.program(
        "path/uname",
        "#!/bin/sh\ncase $1 in -m) echo arm64 ;; *) echo Darwin ;; esac\n",
    );
    for way in ["--yes", "--source", "--release"] {
        let said = place.run("install.sh", &[way]).refused();
        assert!(
            said.contains("is for Linux and does not run on Darwin"),
            "{way}: {said}"
        );
        assert_eq!(
            said.lines().count(),
            2,
            "{way}: a sentence and a hint: {said}"
        );
    }
    assert!(!place.has("plugin/bin"));
}

#[test]
fn an_installation_that_ends_early_leaves_nothing() {
    let place = Place::new();
    place.release(VERSION);
    let before = place.everything();
    place.write("build-fails", "");
    place.run("install.sh", &["--source"]).refused();
    std::fs::remove_file(place.path("build-fails")).unwrap();
    assert_eq!(place.everything(), before, "a first one that fails");

    // One that is ended by a signal in the middle of its work.
    let archiver = place.path("path/tar");
    for (signal, code) in [
        ("HUP", 129),
        ("INT", 130),
        ("QUIT", 131),
        ("PIPE", 141),
        ("TERM", 143),
    ] {
        place.program("path/tar", &format!("#!/bin/sh\nkill -{signal} $PPID\n"));
        let said = place.run("install.sh", &["--release"]);
        assert_eq!(said.code(), Some(code), "{signal}");
        std::fs::remove_file(&archiver).unwrap();
        assert_eq!(place.everything(), before, "{signal}");
    }

    place.write("build-is-stopped", "");
    let stopped = place.path("stopped");
    let script = place.path("plugin/scripts/install.sh");
    place.program(
        "plugin/scripts/quietly",
        &format!("#!/bin/sh\nexec '{script}' --source >'{stopped}' 2>&1\n"),
    );
    place.run("quietly", &[]).refused();
    assert_eq!(
        place.left_running(),
        [""; 0],
        "what tells of the build ends"
    );
}

#[test]
fn purging_removes_the_state_and_never_under_living_agents() {
    let place = Place::new();
    place.release(VERSION);
    place.run("install.sh", &["--release"]).done();
    place.write("home/.conductor/db/conductor.db", "");
    place.write("home/.conductor/setup/gemini", "");
    place.write("agents-run", "");
    let said = place.run("uninstall.sh", &["--purge"]).refused();
    assert!(said.contains("agents run; nothing was removed"), "{said}");
    assert!(place.has("plugin/bin/conductor-hook"));
    std::fs::remove_file(place.path("agents-run")).unwrap();
    place.run("uninstall.sh", &["--purge"]).done();
    let undone = place.read("undone");
    assert_eq!(
        undone,
        "claude_code\ncodex\ngemini\nopencode\nkiro_cli\nq_cli\n"
    );
    assert!(place.tree("home").is_empty(), "{:?}", place.tree("home"));
    place.write("home/notes/x", "");
    let said = place.run_with(
        "uninstall.sh",
        &["--purge"],
        &[("CONDUCTOR_HOME", &place.path("home/notes"))],
    );
    assert!(said.refused().contains("is no state directory"));
    assert!(place.has("home/notes/x"));
}

#[test]
fn purging_takes_only_what_is_ours() {
    let place = Place::new();
    place.release(VERSION);
    place.run("install.sh", &["--release"]).done();
    let purge = |home: &str| {
        place.run_with(
            "uninstall.sh",
            &["--purge"],
            &[("CONDUCTOR_HOME", &place.path(home))],
        )
    };
    // Another program's directory may have a file of this name.
    place.write("home/other/config.toml", "somebody's");
    assert!(
        purge("home/other")
            .refused()
            .contains("is no state directory")
    );
    // No other writing of the user's directory, or of one above it, gets past the test.
    place.write("home/db/conductor.db", "");
    std::os::unix::fs::symlink(place.path("home"), place.path("link")).unwrap();
    for home in ["home/", "home/.", "home/other/..", "link", "link/"] {
        assert!(
            purge(home).refused().contains("is no state directory"),
            "{home}"
        );
    }
    assert!(place.has("home/db/conductor.db") && place.has("home/other/config.toml"));
    assert!(
        place.has("plugin/bin/conductor-hook"),
        "nothing was removed"
    );

    for file in [
        "db/conductor.db",
        "agent-context/mine.md",
        "thesis.tex",
        ".git/config",
    ] {
        place.write(&format!("work/{file}"), "");
    }
    let said = purge("work").done();
    for stays in ["thesis.tex", ".git"] {
        assert!(
            said.contains(&place.path(&format!("work/{stays}"))),
            "{said}"
        );
    }
    assert_eq!(place.tree("work"), ["work/.git/config", "work/thesis.tex"]);
}

#[test]
fn the_plugin_is_taken_out_of_every_server_before_anything_goes() {
    let place = Place::new();
    place.release(VERSION);
    place.run("install.sh", &["--release"]).done();
    place.write("out-of-reach", "");
    let said = place.run("uninstall.sh", &[]).refused();
    assert!(
        said.contains("unload the plugin from /elsewhere") && said.contains("nothing was removed"),
        "{said}"
    );
    assert!(place.has("plugin/bin/conductor-hook"));
    std::fs::remove_file(place.path("out-of-reach")).unwrap();
    let said = place.run("uninstall.sh", &[]).done();
    for server in ["/one", "/other"] {
        assert!(
            said.contains(&format!("unloaded from {server}\n")),
            "{said}"
        );
    }
}

#[test]
fn only_the_timer_of_this_state_directory_is_removed() {
    let place = Place::new();
    place.release(VERSION);
    let service = |home: &str| {
        let home = place.path(home);
        format!(
            "Environment=\"PATH=/then\"\nExecStart=\"/then\" \"--home\" \"{home}\" \"-S\" \"/then\" \"tick\"\n"
        )
    };
    let timer = "[Timer]\nOnCalendar=minutely\n";
    let plist = "home/Library/LaunchAgents/conductor-tick.plist";
    let units = "home/.config/systemd/user";
    let both = |name: &str, home: &str| {
        place.write(&format!("{units}/{name}.timer"), timer);
        place.write(&format!("{units}/{name}.service"), &service(home));
    };
    both("conductor-tick-0a1b2c3d", "elsewhere");
    both("conductor-ticket", "home/.conductor");
    place.write(plist, "<string>somebody's</string>\n");
    let others = place.tree("home");

    place.run("install.sh", &["--release"]).done();
    both("conductor-tick", "somebody's");
    let with_foreign = place.tree("home");
    let said = place.run("uninstall.sh", &[]).done();
    assert!(said.contains("the timer stays"), "{said}");
    assert_eq!(place.tree("home"), with_foreign);

    place.run("install.sh", &["--release"]).done();
    both("conductor-tick", "home/.conductor");
    place.run("uninstall.sh", &[]).done();
    assert_eq!(place.tree("home"), others);
}

#[test]
fn the_steps_of_a_release_check_what_they_need() {
    let place = Place::new();
    let said = place.run("release", &["check", VERSION]).refused();
    assert!(said.contains("names no repository"), "{said}");
    place.write(
        "plugin/Cargo.toml",
        &place.read("plugin/Cargo.toml").replace(
            "[package]",
            "[package]\nrepository = \"https://example.invalid/x\"",
        ),
    );
    let said = place.run("release", &["check", VERSION]).done();
    assert!(said.contains("is ready"), "{said}");
    let said = place.run("release", &["check", "0.2.0"]).refused();
    assert!(said.contains("Cargo.toml says version"), "{said}");
    let notes = place.run("release", &["notes", VERSION]).done();
    assert!(
        notes.starts_with("### Added\n") && !notes.contains("\n## "),
        "{notes}"
    );

    place.release(VERSION);
    let said = place
        .run("release", &["formula", &place.path(&released(""))])
        .refused();
    assert!(said.contains("SHA256SUMS names no archive for"), "{said}");
    let sums: String = ["x86_64", "aarch64"]
        .map(|machine| {
            format!("{machine}5um  agent-conductor-{VERSION}-{machine}-unknown-linux-gnu.tar.gz\n")
        })
        .concat();
    place.write(&released("SHA256SUMS"), &sums);
    let formula = place
        .run("release", &["formula", &place.path(&released(""))])
        .done();
    assert!(formula.contains("sha256 \"aarch645um\""), "{formula}");
    let code = formula.split_once('\n').unwrap().1;
    assert!(!code.contains('@'), "all is filled in: {formula}");
}

/// A start of tmux runs conductor.tmux: nothing in it may build or reach the network.
#[test]
fn the_plugins_entry_starts_neither_a_build_nor_a_download() {
    let entry = include_str!("../../conductor.tmux");
    let code: String = entry
        .lines()
        .filter(|l| !l.trim_start().starts_with('#'))
        .collect();
    for word in [
        "curl",
        "wget",
        "cargo build",
        "git ",
        "fetch",
        "install.sh'\"",
        "sh -c",
    ] {
        assert!(!code.contains(word), "{word}");
    }
}
