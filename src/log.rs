//! Logging: to journald with fields when it answers, else to a file that stays small. Never to the terminal.

use crate::clock;
use crate::domain::text::one_line;
use crate::fsx;
use crate::paths::{self, Home};
use fs2::FileExt;
use once_cell::sync::OnceCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

/// Size above which the log file is renamed, in bytes; one old file is kept.
const MAX_FILE: u64 = 1024 * 1024;

/// Under which target each entry of the audit log is said; journald gets it whatever the filter.
pub const AUDIT: &str = "conductor::audit";

/// Starts logging for this process. `CONDUCTOR_LOG` is the filter; without it warnings and errors are logged. A log that cannot be
/// written is never fatal.
pub fn start(home: &Home) {
    let filter = paths::env(paths::name::LOG)
        .map(|text| {
            text.replace("store=", "conductor::store=")
                .replace("tmux=", "conductor::tmux=")
        })
        .and_then(|text| text.parse::<Targets>().ok())
        .unwrap_or_else(|| Targets::new().with_default(Level::WARN));
    let _ = tracing::subscriber::set_global_default(Lazy {
        filter,
        file: home.own_log(),
        log: OnceCell::new(),
    });
}

/// Opens the log at the first entry: processes are short, and most log nothing.
struct Lazy {
    filter: Targets,
    file: PathBuf,
    log: OnceCell<Box<dyn Subscriber + Send + Sync>>,
}

impl Lazy {
    fn log(&self) -> &(dyn Subscriber + Send + Sync) {
        self.log.get_or_init(|| {
            let filter = self.filter.clone();
            if let Ok(journal) = tracing_journald::layer() {
                let filter = filter.with_target(AUDIT, Level::INFO);
                let journal = journal.with_syslog_identifier("conductor-hook".to_owned());
                return Box::new(tracing_subscriber::registry().with(filter).with(journal));
            }
            let layer = tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_timer(Clock)
                .with_writer(LogFile(self.file.clone()));
            Box::new(tracing_subscriber::registry().with(filter).with(layer))
        })
    }
}

impl Subscriber for Lazy {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let audit = metadata.target() == AUDIT && *metadata.level() <= Level::INFO;
        audit
            || self
                .filter
                .would_enable(metadata.target(), metadata.level())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let own = Layer::<Registry>::max_level_hint(&self.filter)?;
        Some(own.max(LevelFilter::INFO))
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        self.log().new_span(attributes)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.log().record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.log().record_follows_from(span, follows);
    }

    fn event(&self, event: &Event<'_>) {
        // Where there is no journal, entries of the audit log are not for the file.
        if self.log().enabled(event.metadata()) {
            self.log().event(event);
        }
    }

    fn enter(&self, span: &Id) {
        self.log().enter(span);
    }

    fn exit(&self, span: &Id) {
        self.log().exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.log().clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.log().try_close(id)
    }
}

struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        write!(w, "{}", clock::now())
    }
}

/// Opens the file at each line: processes are short, and most log nothing.
struct LogFile(PathBuf);

struct Line {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            path: self.0.clone(),
            bytes: Vec::new(),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = one_line(String::from_utf8_lossy(&self.bytes).trim_end());
        let _ = append(&self.path, &text);
    }
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = open(path)?;
    if file.metadata()?.len() > MAX_FILE {
        make_room(path, &file)?;
        file = open(path)?;
    }
    file.write_all(format!("{text}\n").as_bytes())
}

fn open(path: &Path) -> io::Result<File> {
    match fsx::open_append(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The state directory itself is made by commands, never by a log line.
            let Some(dir) = path
                .parent()
                .filter(|dir| dir.parent().is_some_and(Path::exists))
            else {
                return Err(error);
            };
            fsx::create_private_dir(dir)?;
            fsx::open_append(path)
        }
        other => other,
    }
}

/// Renames the full log, once however many find it full: the lock is the full file's own, so whoever comes later finds another one there.
fn make_room(path: &Path, full: &File) -> io::Result<()> {
    full.lock_exclusive()?;
    let held = full.metadata()?;
    let renamed = match std::fs::symlink_metadata(path) {
        Ok(there) if (there.dev(), there.ino()) == (held.dev(), held.ino()) => {
            std::fs::rename(path, path.with_extension("log.1"))
        }
        // Whoever renamed it has not made the next one yet.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    FileExt::unlock(full)?;
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_writers_rename_a_full_log_once_and_lose_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("conductor.log");
        let lines = usize::try_from(MAX_FILE).unwrap() * 3 / 2 / 1_000;
        std::thread::scope(|scope| {
            for writer in 0..10 {
                let path = &path;
                scope.spawn(move || {
                    for number in 0..lines / 10 {
                        let text = format!("{writer} {number} {}", "x".repeat(1_000));
                        append(path, &text).unwrap();
                    }
                });
            }
        });
        let count = |name: &str| {
            let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
            assert!(text.lines().all(|line| line.len() > 1_000), "whole lines");
            text.lines().count()
        };
        let older = count("conductor.log.1");
        assert_eq!(older + count("conductor.log"), lines / 10 * 10);
        assert!(
            older > lines / 2,
            "it was full when it was renamed: {older}"
        );
    }

    #[test]
    fn what_others_wrote_stays_on_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("conductor.log");
        let mut line = LogFile(path.clone()).make_writer();
        line.write_all(b"one \x1b[31mred\ntwo\r\n").unwrap();
        drop(line);
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.contains('\x1b'), "{text:?}");
    }
}
