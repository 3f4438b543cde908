//! The cursor is always on somebody, and nothing is decided more easily here than in the popup.

use super::*;
use crate::domain::approval::ApprovalKind;
use crate::domain::terminal::Role;
use crate::ui::dashboard::{Ask, draw};
use popup::tests::{CODES, approval, item};
use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

const LOOK: Look = Look {
    colour: true,
    unicode: true,
};

fn id(number: u8) -> TerminalId {
    TerminalId::from_bytes([number; 4])
}

fn agent(number: u8, status: Status, asks: &[i64]) -> Agent {
    Agent {
        id: id(number),
        server: None,
        session: format!("s{}", number % 3),
        window: format!("w{number}"),
        profile: "developer".into(),
        provider: "demo".into(),
        role: Role::Worker,
        status,
        since_ms: 0,
        doing: "the turn ended".into(),
        unread: 0,
        asks: asks
            .iter()
            .map(|id| Ask {
                id: ApprovalId(*id),
                what: "Bash: rm -rf build".into(),
            })
            .collect(),
    }
}

fn team() -> Vec<Agent> {
    vec![
        agent(3, Status::Idle, &[]),
        agent(6, Status::Waiting, &[1]),
        agent(4, Status::Working, &[]),
        agent(5, Status::Exited, &[]),
        agent(7, Status::Error, &[]),
    ]
}

fn model() -> Model {
    let mut model = Model::new(LOOK);
    model.resize((100, 30));
    model.update(team());
    frame(&mut model);
    model
}

/// Draws it, as the program does after each key.
fn frame(model: &mut Model) -> String {
    let (columns, rows) = model.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
    draw(&model.view(), &mut buffer);
    let rows = buffer.content().chunks(usize::from(columns));
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n")
        .collect()
}

fn press(model: &mut Model, keys: &str) -> Wish {
    let mut wish = Wish::Nothing;
    for c in keys.chars() {
        wish = model.key(&Key::Char(c));
        frame(model);
    }
    wish
}

fn open(model: &mut Model, presence: Presence) {
    assert_eq!(press(model, "na"), Wish::Read(ApprovalId(1)));
    model.read(|request| request.open(item(approval(1, presence, 1)), CODES.to_vec()));
}

#[test]
fn the_cursor_stays_with_its_agent() {
    let mut model = model();
    assert_eq!(model.chosen().unwrap().id, id(3));
    press(&mut model, "n");
    assert_eq!(model.chosen().unwrap().id, id(6));
    let mut agents = team();
    agents.insert(0, agent(9, Status::Idle, &[]));
    model.update(agents);
    assert_eq!(model.chosen().unwrap().id, id(6));
    model.update(vec![agent(9, Status::Idle, &[])]);
    assert_eq!(model.chosen().unwrap().id, id(9), "its neighbour");
    model.update(Vec::new());
    assert_eq!(model.chosen(), None);
    assert_eq!(press(&mut model, "amxcr"), Wish::Nothing);
}

#[test]
fn the_next_one_that_needs_somebody_is_found_around_the_end() {
    let mut model = model();
    let mut seen = Vec::new();
    for _ in 0..3 {
        press(&mut model, "n");
        seen.push(model.chosen().unwrap().id.clone());
    }
    assert_eq!(seen, [id(6), id(7), id(6)]);
    model.update(vec![agent(3, Status::Idle, &[])]);
    press(&mut model, "n");
    assert!(frame(&mut model).contains("no agent needs you"));
}

#[test]
fn the_filter_and_ended_ones() {
    let mut model = model();
    assert!(!frame(&mut model).contains("w5"));
    press(&mut model, "e");
    assert!(frame(&mut model).contains("w5"));
    press(&mut model, "/W5");
    assert!(!frame(&mut model).contains("w4"));
    assert_eq!(model.chosen().unwrap().id, id(5));
    model.key(&Key::Enter);
    assert_eq!(press(&mut model, "r"), Wish::Resume(id(5)));
    assert_eq!(press(&mut model, "m"), Wish::Nothing, "it has ended");
    assert_eq!(model.key(&Key::Esc), Wish::Nothing, "drops the filter");
    assert!(frame(&mut model).contains("w4"));
    assert_eq!(model.key(&Key::Esc), Wish::Leave);
}

#[test]
fn a_message_has_lines_and_a_receiver() {
    let mut model = model();
    press(&mut model, "nmone");
    model.key(&Key::AltEnter);
    press(&mut model, "q");
    // Whoever is under the cursor by now, the message is for whom it was begun.
    model.update(vec![
        agent(3, Status::Idle, &[]),
        agent(6, Status::Idle, &[]),
    ]);
    model.select(Some(0));
    assert_eq!(
        model.key(&Key::Enter),
        Wish::Send(id(6), "one\nq".to_owned())
    );
    press(&mut model, "m ");
    assert_eq!(model.key(&Key::Enter), Wish::Nothing, "nothing to send");
    model.key(&Key::Esc);
    assert!(frame(&mut model).contains("nothing was sent"));
}

#[test]
fn an_agent_is_ended_by_y_alone() {
    let mut model = model();
    assert_eq!(press(&mut model, "c"), Wish::Nothing);
    assert!(frame(&mut model).contains("end w3 (03030303)?"));
    assert_eq!(model.key(&Key::Enter), Wish::Nothing);
    assert_eq!(press(&mut model, "cy"), Wish::Close(id(3)));
}

#[test]
fn a_no_takes_a_word() {
    let mut model = model();
    press(&mut model, "nxuse make");
    let Wish::Decide(answer) = model.key(&Key::Enter) else {
        panic!("nothing was decided");
    };
    assert!(!answer.yes && answer.id == ApprovalId(1));
    assert_eq!(answer.reason.as_deref(), Some("use make"));
    assert_eq!(press(&mut model, "x"), Wish::Nothing);
    assert_eq!(model.key(&Key::Esc), Wish::Nothing, "nothing was decided");
}

#[test]
fn a_yes_takes_the_code_and_the_mouse_breaks_none() {
    let mut model = model();
    open(&mut model, Presence::Challenge);
    frame(&mut model);
    press(&mut model, "a");
    model.key(&Key::Focus(false));
    model.key(&Key::Mouse(Mouse {
        act: MouseAct::Click,
        column: 3,
        row: 3,
    }));
    let Wish::Decide(answer) = press(&mut model, "b") else {
        panic!("nothing was decided");
    };
    assert!(answer.yes && answer.shown == Presence::Challenge);
    press(&mut model, "q");
    let mut unseen = self::model();
    open(&mut unseen, Presence::Caller);
    assert_eq!(
        unseen.key(&Key::Char('y')),
        Wish::Nothing,
        "typed before it was drawn"
    );
}

#[test]
fn a_click_takes_the_agent_under_it() {
    let mut model = model();
    let screen = frame(&mut model);
    let row = screen.lines().position(|line| line.contains("w7")).unwrap();
    let at = |act, column, row| Key::Mouse(Mouse { act, column, row });
    let row = u16::try_from(row).unwrap();
    model.key(&at(MouseAct::Click, 5, row + 1));
    assert_eq!(model.chosen().unwrap().id, id(7), "its second line");
    model.key(&at(MouseAct::WheelUp, 5, 2));
    assert_ne!(model.chosen().unwrap().id, id(7));
    model.key(&at(MouseAct::Click, 99, 2));
    model.key(&at(MouseAct::WheelDown, 99, 2));
    assert_eq!(model.detail_top, 1);
}

fn any_key() -> impl Strategy<Value = Key> {
    let act = prop::sample::select(vec![
        MouseAct::Click,
        MouseAct::WheelUp,
        MouseAct::WheelDown,
    ]);
    prop_oneof![
        3 => prop::sample::select("abcefghmnptuvwxz".chars().collect::<Vec<_>>()).prop_map(Key::Char),
        4 => prop::sample::select("jkgGaxmcrn/e?qsry \t".chars().collect::<Vec<_>>()).prop_map(Key::Char),
        1 => any::<char>().prop_map(Key::Char),
        1 => any::<String>().prop_map(Key::Paste),
        2 => prop::sample::select(vec![Key::Enter, Key::Esc, Key::Backspace, Key::KillLine, Key::CtrlC, Key::CtrlD, Key::AltEnter, Key::Focus(true), Key::Other]),
        2 => prop::sample::select(vec![Move::Up, Move::Down, Move::Left, Move::PageUp, Move::PageDown, Move::Home, Move::End]).prop_map(Key::Move),
        1 => (act, 0u16..130, 0u16..50).prop_map(|(act, column, row)| Key::Mouse(Mouse { act, column, row })),
    ]
}

proptest! {
    #[test]
    fn no_keys_say_yes_without_the_code(
        keys in prop::collection::vec(any_key(), 0..80),
        lines in 1usize..40,
        size in (1u16..120, 1u16..50),
        challenge in any::<bool>(),
        begun in any::<bool>(),
        others in 0u8..30,
    ) {
        let presence = if challenge { Presence::Challenge } else { Presence::Caller };
        let mut request = approval(1, presence, lines);
        request.kind = ApprovalKind::Tool;
        let mut model = Model::new(LOOK);
        model.resize(size);
        let mut agents = team();
        agents.extend((0..others).map(|n| agent(n + 20, Status::ALL[usize::from(n) % 8], &[])));
        model.update(agents.clone());
        frame(&mut model);
        if begun {
            open(&mut model, presence);
        }
        let mut codes = Vec::new();
        let mut end = false;
        for (at, key) in keys.iter().enumerate() {
            let screen = frame(&mut model);
            end |= size.0 < 13 || screen.contains("the end of ap");
            if at % 7 == 6 {
                model.update(agents[usize::from(others) % 3..].to_vec());
            }
            if let Key::Char(c) = key {
                codes.push(c.to_ascii_lowercase());
            }
            match model.key(key) {
                Wish::Read(id) => {
                    prop_assert_eq!(id, ApprovalId(1));
                    model.read(|it| it.open(item(request.clone()), CODES.to_vec()));
                    codes.clear();
                    end = false;
                }
                Wish::Decide(answer) if answer.yes => {
                    prop_assert!(end && model.reading().is_some());
                    prop_assert_eq!(answer.shown, presence);
                    if challenge {
                        let typed: Vec<char> = codes.iter().rev().filter(|c| c.is_ascii_alphabetic()).take(2).copied().collect();
                        prop_assert!(CODES.iter().any(|code| typed == [code[1], code[0]]), "{typed:?}");
                    } else {
                        prop_assert_eq!(key, &Key::Char('y'));
                    }
                    model.back();
                }
                _ => {}
            }
            let visible = model.visible();
            match model.chosen() {
                Some(_) => prop_assert!(visible.iter().any(|at| model.is_selected(*at))),
                None => prop_assert!(visible.is_empty()),
            }
        }
    }
}
