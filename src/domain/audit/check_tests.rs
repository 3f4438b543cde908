//! Every way to change the log is found; nothing else is.

use super::*;
use crate::domain::audit::{Entry, Event};
use proptest::prelude::*;

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}

fn chain(length: usize) -> Vec<Stored> {
    let mut rows: Vec<Stored> = Vec::new();
    for n in 0..length {
        let detail = serde_json::json!({"n": n, "text": "a\nb"});
        let entry = Entry::after(
            rows.last().map(Stored::head).as_ref(),
            Timestamp::from_second(number(n)).unwrap(),
            Event {
                action: "approval.requested",
                subject: &n.to_string(),
                actor: "human",
                via: "cli",
                detail,
            },
        );
        rows.push(Stored::new(entry));
    }
    rows
}

fn text(rows: &[Stored]) -> Vec<u8> {
    rows.iter()
        .flat_map(|row| (row.line() + "\n").into_bytes())
        .collect()
}

/// The file holds `exported` rows by the database's word.
fn exported(rows: &[Stored], exported: usize) -> Exported {
    Exported {
        seq: number(exported),
        bytes: text(&rows[..exported]).len() as u64,
    }
}

fn check(rows: &[Stored], exported: Exported, file: &[u8], piece: usize) -> Report {
    check_with(rows.last().map(Stored::head), rows, exported, file, piece)
}

fn check_with(
    head: Option<Head>,
    rows: &[Stored],
    exported: Exported,
    file: &[u8],
    piece: usize,
) -> Report {
    let mut check = Check::new(head, Some(exported));
    for row in rows {
        check.row(row);
    }
    for piece in file.chunks(piece.max(1)) {
        check.bytes(piece);
    }
    check.finish()
}

/// Checks a file that was changed, all rows of which had been exported.
fn changed(rows: &[Stored], file: &[u8]) -> Finding {
    let report = check(rows, exported(rows, rows.len()), file, 4096);
    assert!(!report.ok);
    report.broken[0].clone()
}

fn lines(rows: &[Stored], order: &[usize]) -> Vec<u8> {
    order.iter().flat_map(|at| text(&rows[*at..=*at])).collect()
}

#[test]
fn a_whole_log_is_sound() {
    for length in 0..4 {
        let rows = chain(length);
        let report = check(&rows, exported(&rows, length), &text(&rows), 7);
        assert!(report.ok, "{report:?}");
        assert_eq!(report.warnings, Vec::<String>::new());
        assert_eq!((report.entries, report.pending), (number(length), 0));
    }
}

#[test]
fn what_is_wrong_is_named() {
    let rows = chain(5);
    let named = |file: &[u8]| {
        let finding = changed(&rows, file);
        (finding.seq, finding.line, finding.what)
    };
    let whole = text(&rows);
    assert_eq!(
        named(&lines(&rows, &[0, 2, 1, 3, 4])),
        (2, Some(2), What::Reordered)
    );
    assert_eq!(
        named(&lines(&rows, &[0, 1, 3, 4])),
        (3, Some(3), What::Missing)
    );
    assert_eq!(
        named(&lines(&rows, &[0, 1, 1, 2, 3, 4])),
        (3, Some(3), What::Added)
    );
    assert_eq!(named(&lines(&rows, &[0, 1, 2, 3])), (5, None, What::Cut));
    assert_eq!(named(&whole[..whole.len() - 1]), (5, Some(5), What::Cut));
    assert_eq!(named(b""), (1, None, What::Cut));
    let mut added = lines(&rows, &[0, 1]);
    added.extend_from_slice(b"{}\n");
    added.extend(lines(&rows, &[2, 3, 4]));
    assert_eq!(named(&added), (3, Some(3), What::Added));
    let mut behind = whole.clone();
    behind.extend_from_slice(b"x");
    assert_eq!(named(&behind), (6, Some(6), What::Added));
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    assert_eq!(named(&flipped), (3, Some(3), What::Changed));
}

#[test]
fn a_line_with_a_hash_of_its_own_is_told_from_a_damaged_one() {
    let rows = chain(3);
    let mut entry = rows[1].entry.clone();
    entry.actor = "somebody".into();
    let forged = Stored::new(entry);
    let mut file = lines(&rows, &[0]);
    file.extend_from_slice((forged.line() + "\n").as_bytes());
    file.extend(lines(&rows, &[2]));
    let finding = changed(&rows, &file);
    assert_eq!((finding.seq, finding.what), (2, What::Changed));
    assert!(finding.message.contains("rewritten"), "{finding:?}");
}

#[test]
fn the_database_is_checked_too() {
    let rows = chain(5);
    let whole = text(&rows);
    let all = exported(&rows, 5);
    let first = |rows: &[Stored]| {
        let report = check_with(chain(5).last().map(Stored::head), rows, all, &whole, 4096);
        assert!(!report.ok);
        (
            report.broken[0].seq,
            report.broken[0].place,
            report.broken[0].what,
        )
    };
    let mut one = rows.clone();
    one[2].entry.actor = "nobody".into();
    assert_eq!(first(&one), (3, Place::Database, What::Changed));
    // Rewritten with a hash that fits: the file knows better.
    one[2] = Stored::new(one[2].entry.clone());
    assert_eq!(first(&one), (3, Place::File, What::Changed));
    let mut less = rows.clone();
    less.remove(1);
    assert_eq!(first(&less), (2, Place::Database, What::Missing));
    assert_eq!(first(&rows[..4]), (5, Place::Database, What::Cut));
    assert_eq!(first(&[]), (1, Place::Database, What::Cut));
    assert_eq!(first(&chain(6)), (6, Place::Database, What::Added));
}

#[test]
fn a_database_and_a_file_that_were_rewritten_alike_are_found_by_the_chain() {
    let rows = chain(5);
    let head = rows.last().map(Stored::head);
    let found = |head: Option<Head>, rows: &[Stored]| {
        let report = check_with(head, rows, exported(rows, rows.len()), &text(rows), 4096);
        let first = report.broken.first();
        first.map(|finding| (finding.seq, finding.place, finding.what))
    };
    assert_eq!(found(head.clone(), &rows), None);
    let forge = |rows: &[Stored], at: usize| {
        let mut rows = rows.to_vec();
        rows[at].entry.actor = "nobody".into();
        rows[at] = Stored::new(rows[at].entry.clone());
        rows
    };
    // One entry with a hash that fits: the next one was written behind another.
    let one = forge(&rows, 2);
    let changed = |seq| Some((seq, Place::Database, What::Changed));
    assert_eq!(found(head.clone(), &one), changed(4));
    // All that follow too: the chain ended with another hash, which is anchored beside the table.
    let mut all = one;
    for at in 3..all.len() {
        let prev = all[at - 1].hash.clone();
        all[at].entry.prev = prev;
        all[at] = Stored::new(all[at].entry.clone());
    }
    assert_eq!(found(head, &all), changed(5));
    assert_eq!(found(None, &all), changed(5), "the anchor was removed");
    let mut longer = exported(&rows, 5);
    longer.bytes += 7;
    let report = check(&rows, longer, &text(&rows), 4096);
    assert_eq!(
        (report.broken[0].place, report.broken[0].what),
        (Place::File, What::Changed),
        "the database says another length"
    );
}

#[test]
fn an_interrupted_export_is_no_damage() {
    let rows = chain(4);
    let whole = text(&rows);
    let recorded = exported(&rows, 2);
    let start = usize::try_from(recorded.bytes).unwrap();
    for end in start..=whole.len() {
        let report = check(&rows, recorded, &whole[..end], 5);
        assert!(report.ok, "{end}: {report:?}");
        assert_eq!(report.warnings.is_empty(), end == start);
        assert_eq!(report.pending, 2);
    }
    let mut torn = whole[..start + 20].to_vec();
    torn[start + 10] ^= 1;
    assert!(!check(&rows, recorded, &torn, 5).ok);
}

#[test]
fn what_a_loss_of_power_leaves_is_said_with_what_becomes_of_it() {
    let rows = chain(4);
    let whole = text(&rows);
    for (recorded, wanted) in [(2, "7 zero bytes, as a loss of power"), (4, "7 zero bytes")] {
        let recorded = exported(&rows, recorded);
        let end = usize::try_from(recorded.bytes).unwrap();
        let found = check(&rows, recorded, &[&whole[..end], &[0; 7]].concat(), 5);
        let finding = &found.broken[0];
        assert!(!found.ok && finding.what == What::Added, "{finding:?}");
        assert!(finding.message.contains(wanted), "{finding:?}");
        assert!(finding.message.contains("audit.recovered"), "{finding:?}");
        let found = check(&rows, recorded, &[&whole[..end], b"\0x"].concat(), 5);
        let message = &found.broken[0].message;
        assert!(message.contains("2 bytes that are no entry"), "{message}");
    }
    // Where entries are lost, nothing mends it.
    let cut = [&whole[..whole.len() - 30], &[0; 7]].concat();
    let found = changed(&rows, &cut);
    assert!(found.what == What::Cut && !found.message.contains("audit.recovered"));
}

#[test]
fn a_clock_that_was_set_back_is_a_warning() {
    let mut rows = chain(2);
    let mut entry = rows[1].entry.clone();
    entry.at = "1969-12-31T00:00:00Z".into();
    rows[1] = Stored::new(entry);
    let report = check(&rows, exported(&rows, 2), &text(&rows), 4096);
    assert!(report.ok);
    assert!(
        report.warnings[0].starts_with("time goes backwards at entry 2"),
        "{report:?}"
    );
}

/// A change of a file.
#[derive(Debug, Clone)]
enum Change {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index, prop::sample::Index),
    End(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Swap(prop::sample::Index, prop::sample::Index),
    Copy(prop::sample::Index, prop::sample::Index),
    Drop(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 1u8..).prop_map(|(at, mask)| Change::Flip(at, mask)),
        (at(), at()).prop_map(|(from, to)| Change::Cut(from, to)),
        at().prop_map(Change::End),
        (at(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), Just(vec![b'\n'])).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), at()).prop_map(|(one, other)| Change::Swap(one, other)),
        (at(), at()).prop_map(|(line, to)| Change::Copy(line, to)),
        at().prop_map(Change::Drop),
    ]
}

fn apply(file: &mut Vec<u8>, change: &Change) {
    if file.is_empty() {
        return;
    }
    let split = |file: &[u8]| -> Vec<Vec<u8>> {
        file.split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect()
    };
    let mut lines = split(file);
    match change {
        Change::Flip(at, mask) => {
            let at = at.index(file.len());
            file[at] ^= mask;
            return;
        }
        Change::Cut(from, to) => {
            let (from, to) = (from.index(file.len()), to.index(file.len()));
            file.drain(from.min(to)..=from.max(to));
            return;
        }
        Change::End(at) => {
            file.truncate(at.index(file.len()));
            return;
        }
        Change::Insert(at, bytes) => {
            let at = at.index(file.len() + 1);
            file.splice(at..at, bytes.iter().copied());
            return;
        }
        Change::Swap(one, other) => {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            lines.swap(one, other);
        }
        Change::Copy(line, to) => {
            let line = lines[line.index(lines.len())].clone();
            lines.insert(to.index(lines.len() + 1), line);
        }
        Change::Drop(line) => {
            lines.remove(line.index(lines.len()));
        }
    }
    *file = lines.concat();
}

proptest! {
    #[test]
    fn every_change_of_the_file_is_found_and_nothing_else(
        length in 1usize..7,
        waiting in 0usize..3,
        changes in prop::collection::vec(change(), 0..3),
        piece in 1usize..600,
    ) {
        let rows = chain(length + waiting);
        let recorded = exported(&rows, length);
        let whole = text(&rows);
        let mut file = text(&rows[..length]);
        for change in &changes {
            apply(&mut file, change);
        }
        let sound = whole.starts_with(&file) && file.len() as u64 >= recorded.bytes;
        let report = check(&rows, recorded, &file, piece);
        prop_assert_eq!(report.ok, sound, "{:?}", report);
    }

    #[test]
    fn every_change_of_a_row_is_found(length in 1usize..6, at in any::<prop::sample::Index>(), field in 0usize..9, rehash in any::<bool>()) {
        let rows = chain(length);
        let file = text(&rows);
        let head = rows.last().map(Stored::head);
        let recorded = exported(&rows, length);
        let mut rows = rows;
        let row = &mut rows[at.index(length)];
        let entry = &mut row.entry;
        match field {
            0 => entry.seq += 1,
            1 => entry.at.push('0'),
            2 => entry.action.push('x'),
            3 => entry.subject.push('x'),
            4 => entry.actor.push('x'),
            5 => entry.via.push('x'),
            6 => entry.detail.push(' '),
            7 => entry.prev.replace_range(0..1, "f"),
            _ => row.hash.replace_range(0..1, "g"),
        }
        if rehash {
            *row = Stored::new(row.entry.clone());
        }
        prop_assume!(rows != chain(length));
        prop_assert!(!check_with(head, &rows, recorded, &file, 4096).ok);
    }

    #[test]
    fn no_bytes_and_no_rows_break_the_check(
        seqs in prop::collection::vec(any::<i64>(), 0..5),
        texts in prop::collection::vec(any::<String>(), 3),
        seq in any::<i64>(),
        bytes in any::<u64>(),
        file in any::<Vec<u8>>(),
        lines in prop::collection::vec("[\\{\\}\",:a-z0-9\\n]{0,40}", 0..6),
        piece in 1usize..20,
    ) {
        let rows: Vec<Stored> = seqs.iter().map(|seq| Stored {
            entry: Entry {
                seq: *seq,
                at: texts[0].clone(),
                action: texts[1].clone(),
                subject: texts[2].clone(),
                actor: texts[0].clone(),
                via: texts[1].clone(),
                detail: texts[2].clone(),
                prev: texts[0].clone(),
            },
            hash: texts[1].clone(),
        }).collect();
        let mut all = file;
        all.extend(lines.concat().into_bytes());
        let report = check_with(None, &rows, Exported { seq, bytes }, &all, piece);
        prop_assert_eq!(report.ok, report.broken.is_empty());
    }
}
