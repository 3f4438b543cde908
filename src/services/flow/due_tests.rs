//! Tests of when a flow is looked at, and of what was left behind.

use super::super::heal;
use super::*;
use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::terminal::{Change, Source, Status, Terminal};
use crate::paths::Home;
use crate::tmux::Tmux;

struct Lab {
    _dir: tempfile::TempDir,
    cx: Context,
    store: Store,
}

fn lab() -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("state")).unwrap();
    let store = Store::open_or_create(&home).unwrap();
    let cx = Context::new(home, Tmux::at(dir.path().join("no-server"))).unwrap();
    Lab {
        _dir: dir,
        cx,
        store,
    }
}

impl Lab {
    fn write<T>(&mut self, body: impl FnOnce(&Tx<'_>) -> T) -> T {
        self.store
            .write(Durability::Process, Budget::Call, |tx| {
                Ok::<_, crate::store::Error>(body(tx))
            })
            .unwrap()
    }

    fn due_at(&mut self) -> Option<Timestamp> {
        self.write(|tx| tx.due_at(DueKind::Flow, "f").unwrap())
    }

    /// A run that goes on in a living terminal.
    fn run(&mut self) -> (i64, Terminal) {
        let terminal = Terminal::sample(TerminalId::from_bytes([1; 4]));
        let now = fate::moment();
        let id = self.write(|tx| {
            tx.insert_terminal(&terminal).unwrap();
            let id = tx.enter_run("f", now.wall, None).unwrap().unwrap();
            tx.claim_run(id, None, now.wall, &now.after_ms(60_000))
                .unwrap();
            let end = now.after_ms(3_600_000);
            tx.begin_run(id, &terminal.id, MessageId(7), &end).unwrap();
            id
        });
        (id, terminal)
    }
}

#[test]
fn a_run_that_waits_for_a_flow_that_is_gone_is_skipped_once() {
    let mut lab = lab();
    let id = lab.write(|tx| tx.enter_run("f", clock::now(), None).unwrap().unwrap());
    heal(&mut lab.store).unwrap();
    assert!(lab.due_at().is_some());
    due(&lab.cx, &mut lab.store, "f").unwrap();
    let run = lab.write(|tx| tx.run(id).unwrap().unwrap());
    assert_eq!(
        (run.outcome, run.reason.as_deref()),
        (Outcome::Skipped, Some(REMOVED))
    );
    assert_eq!(lab.due_at(), None, "nobody looks again");
}

#[test]
fn the_end_of_a_terminal_is_not_put_off_by_whoever_looked_before_it() {
    let mut lab = lab();
    let (_, terminal) = lab.run();
    arm(&lab.cx, &mut lab.store, "f").unwrap();
    let later = clock::after_ms(clock::now(), LOOK_MS / 2);
    assert!(lab.due_at().is_some_and(|at| at > later));
    // It ends after this look at the flow, and before the next time is set.
    lab.write(|tx| {
        let now = clock::now();
        let change = Change {
            status: Status::Exited,
            reason: "gone".to_owned(),
        };
        tx.set_state(&terminal.id, &change, Source::Process, now)
            .unwrap();
        super::super::ended(tx, &terminal, now).unwrap();
    });
    arm(&lab.cx, &mut lab.store, "f").unwrap();
    assert!(lab.due_at().is_some_and(|at| at <= clock::now()));
}

#[test]
fn a_terminal_that_was_asked_to_end_is_closed_by_whoever_looks_next() {
    let mut lab = lab();
    let (id, terminal) = lab.run();
    lab.write(|tx| {
        let run = tx.run(id).unwrap().unwrap();
        replace(tx, &[run], clock::now(), clock::now()).unwrap();
    });
    let soon = clock::after_ms(clock::now(), STARTING_MS);
    assert!(lab.due_at().is_some_and(|at| at <= soon));
    // What was due is lost, too.
    lab.write(|tx| tx.clear_due(DueKind::Flow, "f").unwrap());
    heal(&mut lab.store).unwrap();
    assert!(lab.due_at().is_some());
    due(&lab.cx, &mut lab.store, "f").unwrap();
    let (run, closed) = lab.write(|tx| {
        let run = tx.run(id).unwrap().unwrap();
        (run, tx.terminal(&terminal.id).unwrap().unwrap())
    });
    assert_eq!(closed.state.status, Status::Exited);
    assert!(!run.closing && run.outcome == Outcome::Failed);
    assert_eq!(lab.due_at(), None);
}

#[test]
fn a_server_that_is_gone_costs_those_who_look_nothing() {
    let mut lab = lab();
    let server = lab.cx.tmux.socket().to_path_buf();
    let flow = Flow {
        name: "f".to_owned(),
        path: "/f.md".into(),
        sha256: String::new(),
        project: None,
        cwd: "/".into(),
        server: server.clone(),
        schedule: "0 0 * * *".to_owned(),
        timezone: "UTC".to_owned(),
        profile: "developer".to_owned(),
        provider: None,
        session: "s".to_owned(),
        script: None,
        overlap: Overlap::Skip,
        catch_up: CatchUp::One,
        jitter_ms: 0,
        timeout_ms: 60_000,
        enabled: true,
        next_slot: Some(clock::after_ms(clock::now(), 60_000)),
    };
    lab.write(|tx| tx.put_flow(&flow).unwrap());
    for _ in 0..5 {
        crate::services::recover::rearm(&lab.cx, &mut lab.store).unwrap();
    }
    assert!(lab.due_at().is_some());
    let armed = lab.write(|tx| tx.arm(&server.to_string_lossy(), clock::now()).unwrap());
    assert!(
        matches!(armed, crate::store::Arm::Set { generation: 1, .. }),
        "nobody tried before: {armed:?}"
    );
}
