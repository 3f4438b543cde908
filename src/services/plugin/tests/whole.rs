//! A server that was loaded and unloaded is as before, and what is the user's stays.

use super::*;

#[test]
fn a_plain_server_is_as_before() {
    let mut lab = Lab::new("");
    lab.identity();
    lab.load();
    let status = lab.status();
    assert!(status.loaded && status.segment && status.missing_hooks.is_empty());
    assert_eq!(status.key.as_deref(), Some("a"));
    assert_eq!(status.shadows, []);
    assert!(lab.get("status-right").starts_with(SEGMENT));
    assert_eq!(lab.get("@conductor_live"), "0");
    let notes = lab.say(&["list-keys", "-N", "-T", "conductor"]);
    for key in keys::KEYS {
        assert!(notes.contains(key.note), "{notes}");
    }
}

#[test]
fn a_full_configuration_is_as_before() {
    let mut lab = Lab::new(
        "set-hook -g pane-exited 'display-message one'\n\
         set-hook -ga pane-exited 'display-message two'\n\
         set-hook -ga window-layout-changed 'run-shell -b \"true #{hook_window}\"'\n\
         set-hook -g client-attached { display-message a ; display-message b }\n\
         set-hook -g 'after-new-window[1728]' 'display-message near'\n\
         set-hook -g 'after-new-window[1730]' 'display-message near'\n\
         bind-key -N mine a display-message a\nbind-key A display-message A\n\
         bind-key -T conductor s display-message mine\n\
         set -g status-right-length 77\nset -g @conductor-key a\nset -g @conductor_theirs x\n\
         set -g @conductor-status on\n",
    );
    lab.identity();
    let report = lab.load();
    assert_eq!(report.key.as_deref(), Some("g"));
    assert_eq!(report.taken_keys, ["prefix a", "prefix A", "conductor s"]);
}

#[test]
fn the_users_token_is_where_the_segment_stands() {
    for option in ["status-left", "status-right"] {
        for value in [
            format!("{TOKEN} x"),
            format!("x {TOKEN}"),
            format!("{TOKEN}{TOKEN}"),
        ] {
            let mut lab = Lab::new("");
            lab.set(option, &value);
            lab.identity();
            lab.load();
            assert_eq!(lab.get(option), value.replace(TOKEN, SEGMENT));
            let both = lab.get("status-left") + &lab.get("status-right");
            assert_eq!(both.matches(SEGMENT).count(), value.matches(TOKEN).count());
        }
    }
}

#[test]
fn odd_status_lines_survive() {
    let mut lab = Lab::new("");
    for value in [
        "ends with ;",
        "ends with \\;",
        ";",
        "",
        "-g",
        "\" ' \\ $HOME \\$HOME \\\\$_ ${X} `id` ~ $(id) $",
        "#{pane_title} #(echo hi) ##{x} #[fg=red]a,b}",
        "%H:%M %% 100%",
        "line\nbreak\n",
        "tab\tünïcode ⏳ 日本 \u{1f600}",
        "#{?client_prefix,#[reverse]P#[noreverse],} #{l:#{x}}",
    ] {
        lab.set("status-right", value);
        lab.identity();
        lab.load();
        assert_eq!(lab.get("status-right"), format!("{SEGMENT}{value}"));
        lab.unload();
        assert_eq!(lab.get("status-right"), value);
    }
}

#[test]
fn status_off_leaves_the_status_line_alone() {
    let mut lab = Lab::new("");
    let before = lab.get("status-right");
    lab.load();
    lab.set("@conductor-status", "off");
    assert!(!lab.load().segment);
    assert_eq!(lab.get("status-right"), before);
    lab.unload();
    lab.set("status-right", TOKEN);
    lab.identity();
}

#[test]
fn what_the_user_changes_meanwhile_stays() {
    let mut lab = Lab::new("");
    lab.load();
    let line = lab.get("status-right");
    lab.set("status-right", &format!("theme {line} end;"));
    lab.set("status-right-length", "123");
    lab.say(&["bind-key", "a", "display-message", "mine"]);
    lab.say(&[
        "bind-key",
        "-T",
        "conductor",
        "n",
        "display-message",
        "mine",
    ]);
    lab.say(&["set-hook", "-g", "pane-died[1729]", "display-message mine"]);
    lab.say(&["set-hook", "-g", "pane-exited", "display-message mine"]);
    lab.load();
    assert_eq!(lab.status().key.as_deref(), Some("g"));
    assert_eq!(lab.status().foreign_hooks, ["pane-died"]);
    assert_eq!(lab.status().taken_keys, ["prefix a", "conductor n"]);
    assert_eq!(lab.get("status-right"), format!("theme {line} end;"));
    lab.unload();
    let all = lab.all().join("\n");
    assert!(!all.contains("@conductor_"), "{all}");
    assert_eq!(
        lab.get("status-right"),
        format!("theme {} end;", &line[SEGMENT.len()..])
    );
    assert_eq!(lab.get("status-right-length"), "123");
    for mine in [
        "pane-died[1729] display-message mine",
        "pane-exited[0] display-message mine",
    ] {
        assert!(all.contains(mine), "{mine}");
    }
    assert_eq!(
        all.lines()
            .filter(|line| line.starts_with("bind-key") && line.ends_with("message mine"))
            .count(),
        2
    );
}

#[test]
fn the_key_after_the_prefix_follows_the_users_wish() {
    let mut lab = Lab::new("");
    let before = lab.all();
    lab.load();
    for (wish, key) in [
        ("M-;", "M-;"),
        ("M-\"", "M-\""),
        ("C-\\", "C-\\"),
        ("\\", "\\"),
        ("^x", "C-x"),
        ("no such key", "g"),
        ("\"", "g"),
        ("g", "g"),
        ("-", "g"),
        ("€", "€"),
    ] {
        lab.set("@conductor-key", wish);
        assert_eq!(lab.load().key.as_deref(), Some(key), "{wish}");
        let listed = lab.say(&["list-keys"]);
        assert_eq!(listed.matches("switch-client -T conductor").count(), 1);
        assert!(!listed.contains("probe"));
    }
    lab.say(&["set-option", "-gu", "@conductor-key"]);
    lab.unload();
    lab.same(&before, "before");
    // The user's own binding to our table is not ours.
    lab.say(&["bind-key", "a", "switch-client", "-T", "conductor"]);
    lab.identity();
}

#[test]
fn bindings_that_are_listed_and_sourced_again_keep_our_notes() {
    let mut lab = Lab::new("");
    lab.load();
    let notes = lab.say(&["list-keys", "-N"]);
    assert!(notes.contains("Agent Conductor"), "{notes}");
    let file = lab.dir.path().join("listed.conf");
    fsx::write_atomic(&file, lab.say(&["list-keys"]).as_bytes()).unwrap();
    lab.say(&["source-file", file.to_str().unwrap()]);
    assert!(!lab.say(&["list-keys", "-N"]).contains("Agent Conductor"));
    lab.load();
    let again = lab.say(&["list-keys", "-N"]);
    for note in ["Agent Conductor", "Answer what agents ask for"] {
        assert!(again.contains(note), "{again}");
    }
    lab.unload();
    assert!(!lab.say(&["list-keys"]).contains("conductor"));
}

#[test]
fn what_a_version_before_listened_to_and_bound_goes_with_the_next_load() {
    let mut lab = Lab::new("");
    let before = lab.all();
    lab.load();
    let loaded = lab.all();
    let line = "(exec #{q:@conductor_hook} old) >/dev/null 2>&1 || :";
    let body = format!("run-shell -b \"{line}\"");
    lab.say(&["set-hook", "-g", "after-resize-pane[1729]", &body]);
    lab.say(&[
        "set-hook",
        "-g",
        "after-resize-pane[5]",
        "display-message mine",
    ]);
    lab.say(&["bind-key", "-T", "conductor", "Q", "run-shell", "-b", line]);
    lab.say(&[
        "bind-key",
        "-T",
        "conductor",
        "Z",
        "display-message",
        "mine",
    ]);
    lab.load();
    let hooks = lab.say(&["show-hooks", "-g"]);
    assert!(
        !hooks.contains("resize-pane[1729]") && hooks.contains("resize-pane[5]"),
        "{hooks}"
    );
    let keys = lab.say(&["list-keys"]);
    assert!(
        !keys.contains(" old)") && keys.contains("display-message mine"),
        "{keys}"
    );
    lab.say(&["set-hook", "-gu", "after-resize-pane[5]"]);
    lab.say(&["unbind-key", "-T", "conductor", "Z"]);
    lab.same(&loaded, "loaded");
    lab.unload();
    lab.same(&before, "before");
}

#[test]
fn an_offer_does_not_take_a_users_place() {
    const PLACE: &str = "client-session-changed[1731]";
    let mut lab = Lab::new("");
    lab.load();
    lab.tmux.offer(3).unwrap();
    lab.tmux.offer(4).unwrap();
    let hooks = || lab.say(&["show-hooks", "-g", "client-session-changed"]);
    assert!(hooks().contains("4 ended agents"), "{}", hooks());
    lab.tmux.withdraw_offer().unwrap();
    lab.say(&["set-hook", "-g", PLACE, "display-message mine"]);
    lab.tmux.offer(3).unwrap();
    lab.tmux.withdraw_offer().unwrap();
    assert!(
        hooks().contains(&format!("{PLACE} display-message mine")),
        "{}",
        hooks()
    );
}

#[test]
fn a_hook_that_a_set_hook_without_index_deleted_is_put_back() {
    let mut lab = Lab::new("");
    assert_eq!(mend(&lab.tmux).unwrap(), Vec::<&str>::new(), "not loaded");
    lab.load();
    let before = lab.all();
    assert_eq!(mend(&lab.tmux).unwrap(), Vec::<&str>::new());
    lab.say(&["set-hook", "-g", "pane-exited", "display-message mine"]);
    lab.say(&["set-hook", "-g", "client-attached", "display-message mine"]);
    lab.say(&["set-option", "-g", DIRTY, "1"]);
    assert_eq!(
        lab.status().missing_hooks,
        ["pane-exited", "client-attached"]
    );
    assert_eq!(mend(&lab.tmux).unwrap(), ["pane-exited", "client-attached"]);
    assert!(lab.status().missing_hooks.is_empty());
    assert_eq!(lab.get(DIRTY), "0");
    lab.say(&["set-hook", "-gu", "pane-exited[0]"]);
    lab.say(&["set-hook", "-gu", "client-attached[0]"]);
    lab.same(&before, "before");
}

#[test]
fn sessions_that_hide_ours_are_named() {
    let mut lab = Lab::new("");
    lab.say(&["new-session", "-d", "-s", "it's mine; ok", "sleep 1000"]);
    lab.say(&[
        "set-hook",
        "-t",
        "it's mine; ok",
        "client-attached",
        "display-message x",
    ]);
    lab.say(&[
        "set-hook",
        "-t",
        "it's mine; ok",
        "pane-exited",
        "display-message x",
    ]);
    lab.say(&["set-option", "-t", "it's mine; ok", "status-right", "x"]);
    lab.identity();
    lab.load();
    assert!(!lab.status().segment_hidden);
    lab.say(&[
        "set-option",
        "-g",
        "status-format[0]",
        "#{status-left} mine",
    ]);
    assert!(lab.status().segment_hidden);
    lab.say(&[
        "set-option",
        "-g",
        "status-format[1]",
        "#{@conductor_segment}",
    ]);
    assert!(!lab.status().segment_hidden);
    let mut names: Vec<_> = lab.status().shadows.into_iter().map(|s| s.name).collect();
    names.sort();
    assert_eq!(names, ["client-attached", "pane-exited", "status-right"]);
    assert!(
        lab.status()
            .shadows
            .iter()
            .all(|shadow| shadow.session == "it's mine; ok")
    );
}

#[test]
fn another_database_still_takes_everything_out() {
    let mut lab = Lab::new("");
    let before = lab.all();
    lab.load();
    lab.home = Home::at(lab.dir.path().join("other")).unwrap();
    lab.store = Store::open_or_create(&lab.home).unwrap();
    assert!(lab.status().other_home.is_some());
    lab.unload();
    lab.same(&before, "before");
}

#[test]
fn a_binary_with_a_line_break_in_its_path_is_refused() {
    let mut lab = Lab::new("");
    let before = lab.all();
    lab.binary = PathBuf::from("/tmp/a\nb");
    assert!(load(&mut lab.store, &lab.tmux, &lab.home, &lab.binary).is_err());
    lab.same(&before, "before");
}

#[test]
fn loads_at_once_are_one_load() {
    let mut lab = Lab::new("");
    let before = lab.all();
    lab.load();
    let once = lab.all();
    lab.unload();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (tmux, home, binary) = (&lab.tmux, &lab.home, &lab.binary);
            scope.spawn(move || {
                let mut store = Store::open(home).unwrap();
                load(&mut store, tmux, home, binary).unwrap();
            });
        }
    });
    lab.same(&once, "once");
    lab.unload();
    lab.same(&before, "before");
}

#[test]
fn a_server_without_sessions_is_loaded_too() {
    let mut lab = Lab::new("set -s exit-empty off\n");
    lab.say(&["kill-session"]);
    lab.identity();
    lab.load();
    assert_eq!(lab.status().shadows, []);
}
