//! Logging: to journald with fields when it answers, else to a file that stays small. Never to the terminal.

use crate::clock;
use crate::domain::text::one_line;
use crate::fsx;
use crate::paths::{self, Home};
use std::io::{self, Write};
use std::path::PathBuf;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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
        .unwrap_or_else(|| Targets::new().with_default(tracing::Level::WARN));
    if let Ok(journal) = tracing_journald::layer() {
        let filter = filter.with_target(AUDIT, tracing::Level::INFO);
        let _ = tracing_subscriber::registry()
            .with(filter)
            .with(journal.with_syslog_identifier("conductor-hook".to_owned()))
            .try_init();
        return;
    }
    let file = LogFile(home.own_log());
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_timer(Clock)
        .with_writer(file);
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init();
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

fn append(path: &PathBuf, text: &str) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|meta| meta.len() > MAX_FILE) {
        let _ = std::fs::rename(path, path.with_extension("log.1"));
    }
    let mut file = match fsx::open_append(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The state directory itself is made by commands, never by a log line.
            let Some(dir) = path
                .parent()
                .filter(|dir| dir.parent().is_some_and(std::path::Path::exists))
            else {
                return Err(error);
            };
            fsx::create_private_dir(dir)?;
            fsx::open_append(path)?
        }
        other => other?,
    };
    file.write_all(format!("{text}\n").as_bytes())
}
