//! Names, ids and paths: what is accepted can stand in a path, a tmux target and a header, and leads nowhere else.

use crate::engine::{Target, Trail};
use conductor::domain::flow::{cron, span};
use conductor::domain::ids::{ApprovalId, MessageId, Name, NoteId, TerminalId};
use conductor::domain::policy::Policy;
use conductor::domain::policy::paths::{PathPattern, View, glob, normal};
use conductor::profiles::policy_sight::Disk;
use conductor::tmux::{PaneId, Version, locate};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use tempfile::TempDir;

/// A directory with links that lead out of it.
pub(crate) struct Names {
    _dir: TempDir,
    inside: PathBuf,
}

impl Names {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let inside = root.join("project");
        fs::create_dir_all(inside.join("src/deep")).unwrap();
        fs::create_dir_all(root.join("other")).unwrap();
        for file in ["project/a", "project/src/b", "other/secret"] {
            fs::write(root.join(file), "x").unwrap();
        }
        symlink("/etc", inside.join("out")).unwrap();
        symlink("../other", inside.join("near")).unwrap();
        symlink("src", inside.join("in")).unwrap();
        symlink("nowhere", inside.join("dangling")).unwrap();
        symlink("loop", inside.join("loop")).unwrap();
        Self { _dir: dir, inside }
    }

    /// A path that is said to lie inside the directory does, as far as the disk goes.
    fn path(&self, text: &str, trail: &mut Trail) -> Result<(), String> {
        let policy = Policy {
            home: Some(self.inside.join("../other")),
            ..Policy::default()
        };
        let disk = Disk::with_path("/usr/bin:/bin");
        let mut view = View::new(&policy, &disk, self.inside.clone());
        view.cwds = vec![self.inside.clone()];
        for tilde in [false, true] {
            let inside = view.inside(text, tilde);
            trail.passes((tilde, inside, text.contains("..")));
            if !inside {
                continue;
            }
            if tilde && text.starts_with('~') {
                return Err(format!("{text:?} counts as inside, from another home"));
            }
            let mut real = self.inside.join(text);
            // The longest beginning that exists says where it leads.
            loop {
                if let Ok(there) = real.canonicalize() {
                    if !there.starts_with(&self.inside) {
                        return Err(format!(
                            "{text:?} counts as inside, and leads to {}",
                            there.display()
                        ));
                    }
                    break;
                }
                if real.symlink_metadata().is_ok_and(|m| m.is_symlink()) {
                    return Err(format!("{text:?} counts as inside, over a link to nothing"));
                }
                if !real.pop() {
                    break;
                }
            }
        }
        let clean = normal(Path::new(text));
        if clean
            .components()
            .any(|part| matches!(part, Component::ParentDir | Component::CurDir))
        {
            return Err(format!("normal leaves dots: {}", clean.display()));
        }
        Ok(())
    }
}

fn names(text: &str, trail: &mut Trail) -> Result<(), String> {
    if let Ok(name) = Name::parse(text) {
        trail.passes("name");
        let dir = Path::new("/a/b");
        let file = dir.join(format!("{name}.md"));
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if file.parent() != Some(dir)
            || name.as_str() != text
            || !(1..=64).contains(&text.len())
            || !text.chars().all(plain)
            || text.starts_with(['_', '-'])
        {
            return Err(format!("{text:?} is taken for a name"));
        }
    }
    if TerminalId::parse(text).is_ok()
        && (text.len() != 8 || !text.chars().all(|c| "0123456789abcdef".contains(c)))
    {
        return Err(format!("{text:?} is taken for a terminal"));
    }
    let ids = [
        ("", MessageId::parse(text).map(|id| id.0).ok()),
        ("", ApprovalId::parse(text).map(|id| id.0).ok()),
        ("note-", NoteId::parse(text).map(|id| id.0).ok()),
    ];
    for (front, id) in ids {
        let Some(id) = id else { continue };
        trail.passes(("id", front));
        let rest = text.strip_prefix(front).unwrap_or(text);
        let digits = rest.strip_prefix('#').unwrap_or(rest);
        if id < 1 || digits.trim_start_matches('0') != id.to_string() {
            return Err(format!("{text:?} is taken for number {id}"));
        }
    }
    if let Some(pane) = PaneId::parse(text) {
        trail.passes("pane");
        let digits = text.strip_prefix('%').unwrap_or_default();
        if digits.parse() != Ok(pane.number()) || digits.starts_with('+') {
            return Err(format!("{text:?} is taken for pane {pane}"));
        }
    }
    trail.passes(("version", Version::parse(text).works()));
    if let Ok(tmux) = locate(None, Some(text)) {
        trail.passes("socket");
        let socket = tmux.socket_text();
        let last = Path::new(&socket)
            .file_name()
            .and_then(|name| name.to_str());
        // `.` and `..` name directories, which no server listens at.
        if !matches!(text, "." | "..") && last != Some(text) || socket.chars().any(char::is_control)
        {
            return Err(format!("socket {text:?} is {socket:?}"));
        }
    }
    Ok(())
}

fn times(text: &str, trail: &mut Trail) -> Result<(), String> {
    match span::parse(text) {
        Ok(ms) => {
            trail.passes("span");
            if !(0..=span::LONGEST_MS).contains(&ms) {
                return Err(format!("{text:?} is {ms} ms"));
            }
            span::show(ms);
        }
        Err(why) => trail.says(&why),
    }
    match cron::Schedule::parse(text) {
        Ok(schedule) => {
            trail.passes("cron");
            if cron::Schedule::parse(schedule.text()) != Ok(schedule.clone()) {
                return Err(format!("{text:?} changes with each reading"));
            }
            let zone = conductor::clock::now().to_zoned(jiff::tz::TimeZone::UTC);
            let next =
                conductor::domain::flow::next::next(&schedule, zone.time_zone(), zone.timestamp());
            if next.is_some_and(|next| next <= zone.timestamp()) {
                return Err(format!("{text:?} is due in the past"));
            }
            trail.passes(next.is_some());
        }
        Err(why) => trail.says(&why.to_string()),
    }
    Ok(())
}

impl Target for Names {
    fn seeds(&self) -> Vec<Vec<u8>> {
        [
            "developer",
            "0123abcd",
            "#12",
            "note-7",
            "%3",
            "next-3.8",
            "3.3a",
            "../x",
            "src/../a",
            "out/passwd",
            "near/secret",
            "in/b",
            "dangling/x",
            "loop/x",
            "~/x",
            "~",
            "./a",
            "/etc/passwd",
            "src/deep/../../..",
            "*/5 * * * *",
            "0 9 * * mon-fri",
            "@daily",
            "0 0 30 2 *",
            "1h30m",
            "90s",
            "500ms",
            "2d",
            "**/*.rs",
            "src/*.{rs,toml}",
            "[a-z]?*",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    fn dictionary(&self) -> Vec<Vec<u8>> {
        [
            "../",
            "./",
            "/",
            "//",
            "~",
            "~root",
            "out",
            "near",
            "in",
            "dangling",
            "loop",
            "src",
            "deep",
            ".",
            "..",
            "*",
            "**",
            "?",
            "[",
            "]",
            "{",
            "}",
            "0",
            "9223372036854775807",
            "9223372036854775808",
            "4294967295",
            "note-",
            "#",
            "%",
            "@",
            "$",
            "-",
            "_",
            ",",
            "/2",
            "1-5",
            "mon",
            "jan",
            "@hourly",
            "@yearly",
            "ms",
            "h",
            "m",
            "d",
            "w",
            "\u{e9}",
            "\u{202e}",
            "/proc/self/cwd",
            "/proc/self/root/etc",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    fn check(&mut self, input: &[u8], trail: &mut Trail) -> Result<(), String> {
        let text = String::from_utf8_lossy(input).into_owned();
        names(&text, trail)?;
        times(&text, trail)?;
        self.path(&text, trail)?;
        // A pattern and a name, one line each: no pattern may take for ever.
        let (pattern, name) = text.split_once('\n').unwrap_or((&text, &text));
        let policy = Policy::default();
        let disk = Disk::with_path("/bin");
        let view = View::new(&policy, &disk, self.inside.clone());
        let pattern_of = PathPattern::new(pattern);
        for loose in [false, true] {
            let hit = glob(pattern, name, loose);
            trail.passes((
                "glob",
                hit,
                pattern_of.matches(&normal(Path::new(name)), &view, loose),
            ));
            let plain = !pattern.contains(['*', '?', '[', ']', '{', '}', '\\', '!']);
            if plain && pattern.is_ascii() && !loose && hit != (pattern == name) {
                return Err(format!("{pattern:?} on {name:?} says {hit}"));
            }
        }
        Ok(())
    }
}
