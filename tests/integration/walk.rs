//! A person who walks through views: what is on the screen is the same in every run, and is compared with what it was.

use crate::hostile::HOSTILE_COLOUR;
use crate::popup::Seat;
use crate::screen::Screen;
use crate::support::{World, eventually, text};
use crate::svg;
use regex_lite::{Captures, Regex};
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The version of tmux and the size of the terminal that the pictures in the documentation are of.
const PICTURED: (&str, (u16, u16)) = ("3.3a", (110, 34));

/// Ids as they are shown, in the order of the agents.
const IDS: [&str; 6] = [
    "7c1e90ab", "3f2a84d1", "91b06e5c", "d40c77f2", "5e8812b9", "0a6d3c47",
];

/// A person in front of a window that nothing changes, in a session of agents.
pub(crate) struct Walk {
    pub(crate) seat: Seat,
    /// Window and id of each agent.
    team: Vec<(String, String)>,
    size: (u16, u16),
    /// The screen when nothing is over it.
    base: String,
    version: String,
    /// When a view was opened last.
    opened: Cell<Instant>,
    /// Snapshots that a version of tmux has for itself, by the version's beginning.
    own: Own,
}

/// A version's beginning and the names of the snapshots that it has for itself.
pub(crate) type Own = &'static [(&'static str, &'static [&'static str])];

impl Walk {
    /// Launches the agents of the session `shop` in this world and attaches the person to it, at a window that shows `ground`.
    pub(crate) fn new(
        world: World,
        workers: &[&str],
        ground: &str,
        size: (u16, u16),
        own: Own,
    ) -> Self {
        let version = world.tmux(["-V"]).replace("tmux ", "");
        // Else tmux 3.2 gives a detached session another size than the others do. (With it the server of 3.3 dies at a new session.)
        if version.starts_with("3.2") {
            world.tmux(["set-option", "-g", "window-size", "manual"]);
        }
        let launched = world.launch_as("shop", workers);
        world.tmux(["set-option", "-gu", "window-size"]);
        let ids = [vec![launched.supervisor], launched.workers].concat();
        let team: Vec<(String, String)> = ids
            .into_iter()
            .map(|id| (text(&world.status(&id)["window"]), id))
            .collect();
        let shown = world.write("ground", ground);
        let line = format!("stty -echo; cat {}; exec sleep 3600", shown.display());
        world.tmux([
            "new-window",
            "-t",
            "shop:",
            "-n",
            "shell",
            "sh",
            "-c",
            &line,
        ]);
        let id = team[0].1.clone();
        Self {
            seat: Seat::attached(world, "shop", id, size),
            team,
            size,
            base: String::new(),
            version,
            opened: Cell::new(Instant::now()),
            own,
        }
    }

    pub(crate) fn world(&self) -> &World {
        &self.seat.world
    }

    /// The id of the agent in this window.
    #[track_caller]
    pub(crate) fn id(&self, window: &str) -> &str {
        let found = self.team.iter().find(|(name, _)| name == window);
        found.map(|(_, id)| id.as_str()).unwrap()
    }

    /// Types a line into the agent's own pane.
    pub(crate) fn types_to(&self, window: &str, line: &str) {
        let pane = text(&self.world().status(self.id(window))["pane"]);
        self.world().tmux(["send-keys", "-t", &pane, "-l", line]);
        self.world().tmux(["send-keys", "-t", &pane, "Enter"]);
    }

    /// The same, until the agent's turn is over.
    #[track_caller]
    pub(crate) fn turn_of(&self, window: &str, line: &str) {
        let id = self.id(window);
        let answers = || self.world().logged(id, &["answer"]).len();
        let before = answers();
        self.types_to(window, line);
        eventually("the turn is over", || (answers() > before).then_some(()));
        self.world().wait(id, "idle");
    }

    /// From now on the screen as it is is what a closed view leaves.
    pub(crate) fn begin(&mut self) {
        self.age();
        self.base = self.still();
    }

    /// Makes the terminal another size.
    pub(crate) fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
        self.seat.resize(size);
        eventually("the client has that size", || {
            let shown =
                self.world()
                    .tmux(["list-clients", "-F", "#{client_width} #{client_height}"]);
            (shown == format!("{} {}", size.0, size.1)).then_some(())
        });
        self.begin();
    }

    /// Opens a view by its key in our table, and waits until it shows `what`.
    #[track_caller]
    pub(crate) fn opens(&self, key: &str, what: &str) -> String {
        self.age();
        self.seat.press(&["C-b"]);
        self.seat.press(&["a"]);
        eventually("the key table is open", || {
            let tables = self
                .world()
                .tmux(["list-clients", "-F", "#{client_key_table}"]);
            (tables == "conductor").then_some(())
        });
        let shown = self.then(key, what);
        self.opened.set(Instant::now());
        shown
    }

    /// Presses a key, and waits until the screen shows `what`.
    #[track_caller]
    pub(crate) fn then(&self, key: &str, what: &str) -> String {
        self.seat.press(&[key]);
        self.seat.shows(what)
    }

    /// Waits until `what` is nowhere on the screen.
    #[track_caller]
    pub(crate) fn shows_no(&self, what: &str) {
        eventually(&format!("{what} is gone"), || {
            (!self.seat.screen().contains(what)).then_some(())
        });
    }

    /// Waits until a popup of ours listens to keys.
    pub(crate) fn listens(&self) {
        let deaf = Duration::from_millis(700);
        std::thread::sleep(deaf.saturating_sub(self.opened.get().elapsed()));
    }

    /// Closes whatever is over the window, or in front of it.
    #[track_caller]
    pub(crate) fn leaves(&self) {
        eventually("the view is closed", || {
            self.world().try_tmux(["display-popup", "-C"]);
            self.world()
                .try_tmux(["kill-window", "-t", "shop:dashboard"]);
            if self.still() == self.base {
                return Some(());
            }
            self.seat.press(&["Escape"]);
            None
        });
    }

    /// The screen without what the status line counts, when it no longer changes.
    fn still(&self) -> String {
        let mut last = String::new();
        eventually("the screen is still", || {
            let now = self.seat.screen();
            let same = now == last;
            last = now;
            same.then_some(())
        });
        let (above, status) = last.trim_end().rsplit_once('\n').unwrap_or_default();
        let status = if status.starts_with('[') { "[" } else { status };
        format!("{}\n{status}", above.trim_end())
    }

    /// Makes everything that is stored some minutes old: the views tell ages.
    pub(crate) fn age(&self) {
        const AGES: &str = "
            UPDATE terminals SET status_since = NOW - (9 - substr(pane, 2)) * MINUTE, created_at = NOW - 60 * MINUTE + substr(pane, 2);
            UPDATE messages SET queued_at = NOW - (9 - id % 9) * MINUTE;
            UPDATE approvals SET requested_at = NOW - 4 * MINUTE, expires_at = NOW + 56 * MINUTE WHERE status = 'pending';
            UPDATE notes SET written_at = NOW - 2 * MINUTE;";
        let path = self.world().home().join("db/conductor.db");
        let database = rusqlite::Connection::open(path).unwrap();
        database.busy_timeout(Duration::from_secs(10)).unwrap();
        // A quarter of a minute more, so that no age is about to change.
        let now = "(CAST(unixepoch('subsec') * 1000 AS INTEGER) - 15000)";
        let ages = AGES.replace("NOW", now).replace("MINUTE", "60000");
        database.execute_batch(&ages).unwrap();
    }

    /// The screen, with fixed words of the same width for what differs from run to run.
    fn screen(&self) -> Screen {
        self.still();
        Screen::read(&self.fixed(&self.seat.outer(&["capture-pane", "-p", "-e"])))
    }

    fn fixed(&self, captured: &str) -> String {
        let mut shown = captured.to_owned();
        for ((_, id), fixed) in self.team.iter().zip(IDS) {
            shown = shown.replace(id, fixed);
        }
        let root = self.world().at("");
        let root = root.to_string_lossy();
        let root = root.trim_end_matches('/');
        for (place, fixed) in [
            (format!("{root}/project"), "/home/ada/shop"),
            (root.to_owned(), "/home/ada"),
        ] {
            shown = shown.replace(&place, &format!("{fixed:width$}", width = place.len()));
        }
        let code = Regex::new("type [a-z]{2} to approve").unwrap();
        let shown = code.replace_all(&shown, "type kf to approve");
        // Digests and ids that may be cut anywhere.
        let hex = Regex::new("(digest |session )([0-9a-f-]+)").unwrap();
        let shown = hex.replace_all(&shown, |found: &Captures<'_>| {
            let fixed = "8f14e45f-ceea-467a-9538-1dedd4bea254".repeat(2);
            let fixed = if &found[1] == "digest " {
                fixed.replace('-', "")
            } else {
                fixed
            };
            format!("{}{}", &found[1], &fixed[..found[2].len()])
        });
        // What is left of a session's id in the row below.
        let rest = Regex::new("[0-9a-f-]+( · /exit ends it)").unwrap();
        let shown = rest.replace_all(&shown, |found: &Captures<'_>| {
            let width = found[0].len() - found[1].len();
            format!(
                "{}{}",
                &"4a29c6e1-0b7d-4f35-8e62-d17f9b3c5a08"[36 - width..],
                &found[1]
            )
        });
        let date = Regex::new("[0-9]{4}-[0-9]{2}-[0-9]{2} ([0-9]{2}:[0-9]{2} UTC)").unwrap();
        date.replace_all(&shown, "2026-07-01 $1").into_owned()
    }

    /// On the screen is nothing but text in our styles, and nothing reached the terminal around it.
    #[track_caller]
    pub(crate) fn is_calm(&self) {
        let screen = self.screen();
        for cell in screen.rows.iter().flatten() {
            let style = cell.style;
            let colours = [style.fg, style.bg];
            assert!(
                !style.odd && !colours.contains(&HOSTILE_COLOUR),
                "{style:?}:\n{}",
                screen.text()
            );
        }
        let title = self.seat.outer(&["display-message", "-p", "#{pane_title}"]);
        assert!(!title.contains("owned"), "{title}");
        assert_eq!(self.seat.outer(&["list-buffers"]), "", "the clipboard");
    }

    /// Compares the screen with its snapshot. `INSTA_UPDATE=always` renews it.
    #[track_caller]
    pub(crate) fn snap(&self, name: &str) {
        let (columns, rows) = self.size;
        let mut name = format!("{name}_{columns}x{rows}");
        let own = self.own.iter().find(|(version, names)| {
            self.version.starts_with(version) && names.contains(&name.as_str())
        });
        if let Some((version, _)) = own {
            name = format!("{name}_tmux_{version}");
        }
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_snapshot_path("snapshots");
        settings.bind(|| insta::assert_snapshot!(name, self.screen().text()));
    }

    /// Compares the screen with its picture in the documentation. `CONDUCTOR_RENEW=1` renews it.
    #[track_caller]
    pub(crate) fn picture(&self, name: &str, title: &str) {
        if (self.version.as_str(), self.size) != PICTURED {
            return;
        }
        let svg = svg::picture(&self.screen(), self.size.0.into(), title);
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/screenshots/{name}.svg"));
        if std::env::var_os("CONDUCTOR_RENEW").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &svg).unwrap();
        }
        assert!(svg.len() < 60_000, "{name}: {} bytes", svg.len());
        assert_eq!(
            fs::read_to_string(&path).unwrap_or_default(),
            svg,
            "docs/screenshots/{name}.svg is stale: CONDUCTOR_RENEW=1 cargo test --test integration walks"
        );
    }
}
