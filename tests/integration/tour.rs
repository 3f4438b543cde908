//! The tour in README.md, as it stands there, by a person at a shell in tmux: from the line in tmux.conf to the uninstallation.
//!
//! Two things are other than in the text: `/path/to/agent-conductor` is where the world has its copy of the plugin, and what
//! scripts/install.sh would put there (its own tests are in tests/scripts) is a link to the program under test.

use crate::guests::ALL;
use crate::popup::Seat;
use crate::support::{BINARY, World, eventually, quote};
use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PLACEHOLDER: &str = "/path/to/agent-conductor";

/// The blocks of code below a heading.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let (_, section) = readme.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section
        .split(&format!("```{language}\n"))
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// A line's command, and the words in backquotes that its comment promises.
fn read(line: &str) -> (&str, Vec<&str>) {
    let (command, comment) = line.split_once(" # ").unwrap_or((line, ""));
    (
        command.trim(),
        comment.split('`').skip(1).step_by(2).collect(),
    )
}

/// All that the server and its files show to somebody who looks.
fn seen(world: &World) -> Vec<String> {
    let mut seen: Vec<String> = ALL.iter().map(|command| world.tmux(*command)).collect();
    seen.push(world.run_shell("find ../user ../state 2>&1 | sort").ok());
    seen
}

/// A person types a line into the shell of the session `home`; what it printed, when it has succeeded.
fn types(seat: &Seat, line: &str, number: usize) -> String {
    let file = |name: &str| seat.world.at(&format!("tour-{number}.{name}"));
    let typed = format!(
        "{{ {line}; }} >{out} 2>&1; echo $? >{code}.new; mv {code}.new {code}",
        out = quote(&file("out").to_string_lossy()),
        code = quote(&file("code").to_string_lossy()),
    );
    seat.world.tmux(["send-keys", "-t", "home:", "-l", &typed]);
    seat.world.tmux(["send-keys", "-t", "home:", "Enter"]);
    let code = eventually(&format!("{line} has ended"), || {
        fs::read_to_string(file("code")).ok()
    });
    let said = fs::read_to_string(file("out")).unwrap();
    assert_eq!(code, "0\n", "{line}\n{said}");
    said
}

/// What the text below the tour says of the keys.
fn answers_by_keys(seat: &Seat) {
    seat.shows("⏳1");
    seat.popup(&["C-b", "A"], "1 approval waits for you");
    seat.press(&["Enter"]);
    let screen = seat.shows("asked by");
    assert!(screen.contains("1 │ rm -rf build"), "{screen}");
    std::thread::sleep(std::time::Duration::from_millis(700));
    let [one, two] = seat.code();
    seat.press(&[&one, &two]);
    seat.is_closed();
    seat.press(&["C-b", "L"]);
    eventually("the person is back", || {
        let client = ["list-clients", "-F", "#{client_session}"];
        (seat.world.tmux(client) == "home").then_some(())
    });
}

#[test]
fn the_tour_does_what_it_says() {
    let mut world = World::without_tmux_server();
    let home = world.home();
    world.surround(("CONDUCTOR_HOME", home.to_str().unwrap()), 0o022);
    let plugin = world.at("agent-conductor");
    fs::create_dir_all(plugin.join("bin")).unwrap();
    for name in ["scripts", "conductor.tmux", "Cargo.toml"] {
        let (from, to) = (
            Path::new(ROOT).join(name),
            plugin.to_string_lossy().into_owned(),
        );
        let copy = format!("cp -R {} {}", quote(&from.to_string_lossy()), quote(&to));
        world.run_shell(&copy).ok();
    }
    for link in [plugin.join("bin/conductor-hook"), world.at("bin/conductor")] {
        std::os::unix::fs::symlink(BINARY, link).unwrap();
    }
    world.start_server();
    let seat = Seat::attached(world, "home", String::new(), (110, 34));
    let world = &seat.world;
    let before = seen(world);

    let here = |text: &str| text.replace(PLACEHOLDER, &plugin.to_string_lossy());
    let install = blocks("Install", "tmux");
    world.write("tmux.conf", here(install.last().unwrap()));
    world.tmux(["source-file", &world.at("tmux.conf").to_string_lossy()]);
    assert!(world.tmux(["list-keys", "-T", "conductor"]).contains(" A "));

    let tour = blocks("Five minutes", "sh");
    let [tour, takes_out] = tour.as_slice() else {
        panic!("the tour, and how to take all out");
    };
    for (number, line) in tour.lines().enumerate() {
        let (command, promised) = read(line);
        if command.is_empty() || command.starts_with('#') {
            continue;
        }
        let said = types(&seat, command, number);
        for word in promised {
            let shown = |said: &str| said.contains(word);
            // A message that waits for its receiver's start is seen where it went.
            let later = || shown(&world.run(["inbox"]).ok());
            if !shown(&said) {
                assert_eq!(word, "placed", "{line}\n{said}");
                eventually(line, || later().then_some(()));
            }
        }
        if command.starts_with("conductor attach") {
            answers_by_keys(&seat);
        }
        if command == "ls" {
            assert_eq!(said, "", "{line}");
        }
    }
    let takes_out = here(takes_out.trim());
    let said = types(&seat, &takes_out, tour.lines().count());
    assert!(said.contains("Took the plugin out of tmux"), "{said}");
    fs::remove_dir(world.at("project/tour")).unwrap();
    assert_eq!(seen(world), before, "nothing is left");
    assert!(!plugin.join("bin").exists());
}
