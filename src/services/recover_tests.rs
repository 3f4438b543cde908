//! What the comparison says, and what it sets right.

use super::*;
use crate::domain::handoff::Handoff;
use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::terminal::Root;
use crate::paths::Home;

#[test]
fn what_a_server_says_of_a_pane_is_held_against_what_was_registered() {
    let server = Server {
        socket: PathBuf::from("/s"),
        pid: 10,
        start: 100,
    };
    let (pane, pid) = (PaneId::parse("%3").unwrap(), 42);
    let mut terminal = Terminal::sample(TerminalId::from_bytes([1; 4]));
    terminal.server = Some(server.clone());
    terminal.pane = Some(pane.to_string());
    terminal.pane_pid = Some(pid);
    terminal.root = Some(Root {
        pid,
        start: proc::boot(),
    });
    let there = Pane {
        id: pane,
        pid,
        dead: false,
        dead_status: None,
        terminal: terminal.id.to_string(),
        piped: true,
        logged: true,
        session_id: "$1".to_owned(),
        session: "s".to_owned(),
        window: "w".to_owned(),
        spot: Spot::default(),
        elsewhere: Vec::new(),
    };
    let judged = |server: &Server, pane: &Pane, alive: bool| {
        let panes = Panes::There(server.clone(), by_id(vec![pane.clone()]));
        judge(&terminal, &panes, |_| alive, 0)
    };
    let ended = |truth| matches!(truth, Truth::Ended(_));
    let lost = |truth| matches!(truth, Truth::Lost(_));
    assert!(matches!(judged(&server, &there, true), Truth::Lives { .. }));
    // A server that was started since counts its panes anew.
    for (pid, start) in [(11, 100), (10, 101)] {
        let socket = server.socket.clone();
        let other = Server { socket, pid, start };
        assert!(lost(judged(&other, &there, true)), "{pid} {start}");
    }
    assert!(lost(judge(&terminal, &Panes::Gone, |_| true, 0)));
    let id = PaneId::parse("%4").unwrap();
    let (strange, respawned, dead) = (
        Pane {
            id,
            ..there.clone()
        },
        Pane {
            pid: 43,
            ..there.clone()
        },
        Pane {
            dead: true,
            ..there.clone()
        },
    );
    for pane in [strange, respawned, dead] {
        assert!(ended(judged(&server, &pane, true)), "{pane:?}");
    }
    assert!(ended(judged(&server, &there, false)), "its process is gone");
}

#[test]
fn an_answer_whose_due_time_is_lost_is_due_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("state")).unwrap();
    let mut store = Store::open_or_create(&home).unwrap();
    let cx = Context::new(home, Tmux::at(dir.path().join("no-server"))).unwrap();
    let now = clock::now();
    let id = |n: u8| TerminalId::from_bytes([n; 4]);
    let handoff = |n: u8, caller: u8| Handoff {
        id: format!("h-{n}"),
        caller: id(caller),
        worker: id(2),
        message: MessageId(i64::from(n)),
        fingerprint: String::new(),
        status: HandoffStatus::Running,
        answer: None,
        created_at: now,
        deadline_at: clock::after_ms(now, 600_000),
        answered_at: None,
        given: false,
        open: false,
        waiter: None,
    };
    store
        .write(Durability::Process, Budget::Call, |tx| {
            for n in [1, 2] {
                tx.insert_terminal(&Terminal::sample(id(n)))?;
            }
            // Answered; still running; reserved; answered for a caller that is gone.
            for (n, caller) in [(1, 1), (2, 1), (0, 1), (4, 9)] {
                tx.insert_handoff(&handoff(n, caller))?;
            }
            tx.answer_handoff("h-1", HandoffStatus::Done, "x", now)?;
            tx.answer_handoff("h-4", HandoffStatus::Error, "x", now)
        })
        .unwrap();
    rearm(&cx, &mut store).unwrap();
    let due: Vec<bool> = store
        .read(|tx| {
            ["h-1", "h-2", "h-0", "h-4"]
                .into_iter()
                .map(|id| tx.is_due(DueKind::Handoff, id))
                .collect::<Result<_, _>>()
        })
        .unwrap();
    assert_eq!(due, [true, false, false, false]);
}
