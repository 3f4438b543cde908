//! `audit list`, `verify`, `export`.

use super::Door;
use crate::cli;
use crate::error::{Failure, Kind, Result};
use crate::services::audit as service;
use crate::store::AuditFilter;
use crate::ui::audit::{EntryView, csv_head, csv_record, json_entry, report, table};

pub(super) fn audit(door: &mut Door<'_>, command: &cli::Audit) -> Result<u8> {
    match command {
        cli::Audit::List {
            action,
            subject,
            limit,
        } => {
            let filter = AuditFilter {
                action: action.clone(),
                subject: subject.clone(),
                limit: Some(*limit),
            };
            let entries = service::list(&mut door.cx.existing_store()?, &filter)?;
            let views: Vec<EntryView> = entries.iter().map(EntryView::new).collect();
            door.print(&views, |views| table(views))?;
        }
        cli::Audit::Verify => {
            let found = service::verify(&door.cx.home)?;
            door.print(&found, report)?;
            if !found.ok {
                return Ok(Kind::Failed.exit_code());
            }
        }
        cli::Audit::Export { format } => export(door, *format)?,
    }
    Ok(0)
}

/// Prints every entry as it is read: a log may be larger than the memory.
fn export(door: &mut Door<'_>, format: Option<cli::AuditFormat>) -> Result<()> {
    let csv = match format {
        Some(cli::AuditFormat::Csv) if door.json => {
            return Err(Failure::usage("--json prints JSON, not CSV")
                .hint("leave --json or --format csv away"));
        }
        Some(cli::AuditFormat::Csv) => true,
        Some(cli::AuditFormat::Json) | None => false,
    };
    let mut store = door.cx.existing_store()?;
    let mut first = true;
    door.write(&if csv { csv_head() } else { "[".to_owned() })?;
    service::all(&mut store, |entry| {
        if csv {
            return door.write(&csv_record(entry));
        }
        let before = if std::mem::take(&mut first) { "" } else { "," };
        door.write(&format!("{before}{}", json_entry(entry)))
    })?;
    if !csv {
        door.write("]\n")?;
    }
    Ok(())
}
