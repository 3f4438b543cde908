//! Nobody says yes by accident, and a yes is what was shown.

use super::*;
use crate::domain::ids::TerminalId;
use crate::domain::policy::Risk;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;

pub(in crate::commands) const CODES: [Code; 3] = [['a', 'b'], ['c', 'e'], ['f', 'g']];

pub(in crate::commands) fn approval(id: i64, presence: Presence, lines: usize) -> Approval {
    let command = vec!["echo one"; lines].join("\n");
    Approval {
        id: ApprovalId(id),
        terminal: Some(TerminalId::from_bytes([1; 4])),
        kind: ApprovalKind::Tool,
        tool: Some("Bash".into()),
        input: json!({"command": command}),
        command,
        cwd: None,
        digest: "d".into(),
        text_digest: None,
        rule: None,
        risk: Risk::High,
        presence,
        why: String::new(),
        complete: true,
        unclear: Vec::new(),
        scripts: Vec::new(),
        words: None,
        message: None,
        status: ApprovalStatus::Pending,
        requested_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::from_second(3_600).unwrap(),
        decided_at: None,
        decided_by: None,
        via: None,
        scope: None,
        reason: None,
        waiter: None,
        consumed_at: None,
        ran_at: None,
    }
}

pub(in crate::commands) fn item(approval: Approval) -> Item {
    Item {
        approval,
        who: Some("developer in work".into()),
    }
}

/// A popup that shows one request, drawn once.
fn reading(approval: Approval) -> Model {
    let mut model = Model::new(false, Scope::Once);
    model.open(item(approval), CODES.to_vec());
    model.rows();
    model
}

fn press(model: &mut Model, keys: &str) -> Wish {
    let mut wish = Wish::Nothing;
    for c in keys.chars() {
        wish = model.key(&Key::Char(c));
        model.rows();
        if wish != Wish::Nothing {
            break;
        }
    }
    wish
}

fn yes(scope: Scope, shown: Presence) -> Wish {
    Wish::Decide(Answer {
        id: ApprovalId(1),
        yes: true,
        scope,
        reason: None,
        shown,
    })
}

fn text(model: &mut Model) -> String {
    let rows: Vec<String> = model.rows().iter().map(Row::render).collect();
    rows.join("\n")
}

#[test]
fn a_long_name_of_a_session_leaves_room_for_what_is_asked() {
    let mut item = item(approval(1, Presence::Caller, 1));
    item.who = Some(format!("developer in {}", "x".repeat(200)));
    let mut model = Model::new(true, Scope::Once);
    model.update(vec![item], 0);
    let shown = text(&mut model);
    assert!(
        shown.contains("developer in xx") && shown.contains("echo one"),
        "{shown}"
    );
}

#[test]
fn the_code_counts_only_after_the_end_was_shown() {
    let mut model = reading(approval(1, Presence::Challenge, 60));
    assert!(!text(&mut model).contains("type ab"));
    assert_eq!(press(&mut model, "ab"), Wish::Nothing);
    assert!(text(&mut model).contains("read to the end first"));
    model.key(&Key::Move(Move::End));
    assert!(text(&mut model).contains("type ab to approve this once"));
    assert_eq!(
        press(&mut model, "ab"),
        yes(Scope::Once, Presence::Challenge)
    );
}

#[test]
fn paging_shows_every_row() {
    let mut model = reading(approval(1, Presence::Challenge, 200));
    let mut seen = String::new();
    while !text(&mut model).contains("type ab") {
        seen.push_str(&text(&mut model));
        seen.push('\n');
        assert_eq!(press(&mut model, " "), Wish::Nothing);
    }
    seen.push_str(&text(&mut model));
    for line in 1..=200 {
        assert!(
            seen.contains(&format!("{line:3} │ ")),
            "line {line} was never shown"
        );
    }
}

#[test]
fn a_wrong_code_is_followed_by_another_and_three_end_it() {
    let mut model = reading(approval(1, Presence::Challenge, 1));
    assert_eq!(press(&mut model, "ba"), Wish::Nothing);
    assert!(text(&mut model).contains("type ce"));
    assert_eq!(
        press(&mut model, "ab"),
        Wish::Nothing,
        "the first code is used up"
    );
    assert_eq!(press(&mut model, "ab"), Wish::Close);
    let mut model = reading(approval(1, Presence::Challenge, 1));
    press(&mut model, "xx");
    assert_eq!(
        press(&mut model, "CE"),
        yes(Scope::Once, Presence::Challenge)
    );
}

#[test]
fn a_code_is_two_letters_in_a_row() {
    for between in [
        Key::Move(Move::Up),
        Key::Paste("b".into()),
        Key::Char('j'),
        Key::Char('y'),
        Key::Char('7'),
        Key::Enter,
        Key::Other,
    ] {
        let mut model = reading(approval(1, Presence::Challenge, 1));
        press(&mut model, "a");
        model.key(&between);
        assert_eq!(press(&mut model, "b"), Wish::Nothing, "{between:?}");
    }
    let mut model = reading(approval(1, Presence::Challenge, 1));
    press(&mut model, "ad");
    model.key(&Key::Esc);
    assert_eq!(press(&mut model, "b"), Wish::Nothing, "a comment between");
}

#[test]
fn a_screen_too_small_for_the_text_has_not_shown_it() {
    let mut model = Model::new(false, Scope::Once);
    model.resize((80, 1));
    model.open(item(approval(1, Presence::Caller, 1)), CODES.to_vec());
    model.rows();
    model.key(&Key::Move(Move::End));
    model.rows();
    assert_eq!(press(&mut model, "y"), Wish::Nothing);
    model.resize((80, 2));
    model.key(&Key::Move(Move::End));
    model.rows();
    assert_eq!(press(&mut model, "y"), yes(Scope::Once, Presence::Caller));
}

#[test]
fn a_key_is_enough_where_the_rule_says_so_and_only_there() {
    let mut model = reading(approval(1, Presence::Caller, 1));
    assert_eq!(press(&mut model, "y"), yes(Scope::Once, Presence::Caller));
    let mut model = reading(approval(1, Presence::Challenge, 1));
    assert_eq!(press(&mut model, "y"), Wish::Nothing);
    assert!(text(&mut model).contains("takes the code"));
}

#[test]
fn a_paste_decides_nothing() {
    let mut model = reading(approval(1, Presence::Challenge, 1));
    assert_eq!(model.key(&Key::Paste("ab".into())), Wish::Nothing);
    let mut model = reading(approval(1, Presence::Caller, 1));
    assert_eq!(model.key(&Key::Paste("y".into())), Wish::Nothing);
}

#[test]
fn the_codes_of_two_openings_differ() {
    let codes: BTreeSet<Code> = (0..100).map(|_| super::super::code().unwrap()).collect();
    assert!(codes.len() > 50, "{codes:?}");
    assert!(
        codes
            .iter()
            .flatten()
            .all(|c| LETTERS.contains(&(*c as u8)))
    );
}

#[test]
fn keys_before_the_first_look_mean_nothing() {
    let mut model = Model::new(false, Scope::Once);
    model.open(item(approval(1, Presence::Caller, 1)), CODES.to_vec());
    for c in ['y', 'd', 'q'] {
        assert_eq!(model.key(&Key::Char(c)), Wish::Nothing);
    }
    model.rows();
    assert_eq!(
        model.key(&Key::Char('y')),
        yes(Scope::Once, Presence::Caller)
    );
}

#[test]
fn the_reach_is_said_before_the_code() {
    let mut model = reading(approval(1, Presence::Challenge, 1));
    press(&mut model, "s");
    assert!(text(&mut model).contains("THE SAME AGAIN in this terminal"));
    assert_eq!(
        press(&mut model, "ab"),
        yes(Scope::Session, Presence::Challenge)
    );
    let mut model = reading(approval(1, Presence::Challenge, 1));
    press(&mut model, "sr");
    assert!(text(&mut model).contains("ALWAYS, by a new rule"));
    assert_eq!(
        press(&mut model, "rab"),
        yes(Scope::Once, Presence::Challenge)
    );
    let mut unclear = approval(1, Presence::Challenge, 1);
    unclear.complete = false;
    let mut model = reading(unclear);
    press(&mut model, "r");
    assert!(text(&mut model).contains("no rule can be made of it"));
    assert_eq!(
        press(&mut model, "ab"),
        yes(Scope::Once, Presence::Challenge)
    );
    let mut message = approval(1, Presence::Caller, 1);
    message.kind = ApprovalKind::Message;
    let mut model = reading(message);
    press(&mut model, "s");
    assert_eq!(press(&mut model, "y"), yes(Scope::Once, Presence::Caller));
}

#[test]
fn a_no_takes_a_comment_and_needs_no_reading() {
    let no = |reason: Option<&str>| {
        Wish::Decide(Answer {
            id: ApprovalId(1),
            yes: false,
            scope: Scope::Once,
            reason: reason.map(str::to_owned),
            shown: Presence::Caller,
        })
    };
    let mut model = reading(approval(1, Presence::Challenge, 90));
    press(&mut model, "duse make clean, qx");
    model.key(&Key::Backspace);
    model.key(&Key::Paste("\u{1b}[2J\nplease".into()));
    assert!(text(&mut model).contains("use make clean, q"));
    assert_eq!(
        model.key(&Key::Enter),
        no(Some("use make clean, q⟨U+001B⟩[2J⏎please"))
    );
    let mut model = reading(approval(1, Presence::Challenge, 90));
    press(&mut model, "dx");
    model.key(&Key::Esc);
    press(&mut model, "d");
    assert_eq!(model.key(&Key::Enter), no(None));
}

#[test]
fn what_somebody_else_decided_is_said_and_cannot_be_decided_again() {
    let mut model = reading(approval(1, Presence::Caller, 1));
    let mut denied = approval(1, Presence::Caller, 1);
    denied.status = ApprovalStatus::Denied;
    denied.decided_by = Some("human".into());
    model.refresh(&denied);
    assert!(text(&mut model).contains("approval 1 is denied now (by human)"));
    assert_eq!(press(&mut model, "yd"), Wish::Nothing);
    assert_eq!(press(&mut model, "q"), Wish::Close);
}

#[test]
fn the_list_keeps_its_place_and_opens_what_is_under_the_cursor() {
    let mut model = Model::new(true, Scope::Once);
    let of = |ids: &[i64]| {
        ids.iter()
            .map(|id| item(approval(*id, Presence::Caller, 2)))
            .collect()
    };
    model.update(of(&[1, 2, 3]), 60_000);
    press(&mut model, "jj");
    assert_eq!(model.key(&Key::Enter), Wish::Open(ApprovalId(3)));
    model.update(of(&[2, 3, 4]), 60_000);
    assert_eq!(model.key(&Key::Enter), Wish::Open(ApprovalId(3)));
    model.update(of(&[4]), 60_000);
    assert_eq!(model.key(&Key::Enter), Wish::Open(ApprovalId(4)));
    model.open(item(approval(4, Presence::Caller, 2)), CODES.to_vec());
    model.rows();
    assert_eq!(press(&mut model, "q"), Wish::Nothing, "back to the list");
    assert!(text(&mut model).contains("1 approval waits"));
    model.update(Vec::new(), 60_000);
    assert_eq!(model.key(&Key::Enter), Wish::Nothing);
    assert_eq!(press(&mut model, "q"), Wish::Close);
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        4 => prop::sample::select(LETTERS.to_vec()).prop_map(|byte| Key::Char(char::from(byte))),
        2 => prop::sample::select("srdyqjk ".chars().collect::<Vec<_>>()).prop_map(Key::Char),
        1 => any::<char>().prop_map(Key::Char),
        1 => any::<String>().prop_map(Key::Paste),
        2 => prop::sample::select(vec![Key::Enter, Key::Esc, Key::Backspace, Key::KillLine, Key::CtrlC, Key::CtrlD, Key::Other]),
        2 => prop::sample::select(vec![Move::Up, Move::Down, Move::PageUp, Move::PageDown, Move::Home, Move::End]).prop_map(Key::Move),
    ]
}

proptest! {
    #[test]
    fn no_keys_say_yes_without_the_end_and_the_code(
        keys in prop::collection::vec(any_key(), 0..60),
        lines in 1usize..80,
        columns in 1usize..120,
        rows in 1usize..50,
        challenge in any::<bool>(),
        listed in any::<bool>(),
    ) {
        let presence = if challenge { Presence::Challenge } else { Presence::Caller };
        let mut model = Model::new(listed, Scope::Once);
        model.update(vec![item(approval(1, presence, lines))], 5_000);
        model.resize((columns, rows));
        model.open(item(approval(1, presence, lines)), CODES.to_vec());
        let mut end = false;
        for (at, key) in keys.iter().enumerate() {
            let screen = model.rows();
            prop_assert!(screen.len() <= rows);
            end |= screen.iter().any(|row| row.text().contains("the end of ap") || columns < 13);
            match model.key(key) {
                Wish::Decide(answer) if answer.yes => {
                    prop_assert!(end);
                    prop_assert_eq!(answer.shown, presence);
                    if challenge {
                        let typed: Vec<char> = keys[..=at].iter().rev().filter_map(|key| match key {
                            Key::Char(c) if c.is_ascii_alphabetic() => Some(c.to_ascii_lowercase()),
                            _ => None,
                        }).take(2).collect();
                        prop_assert!(CODES.iter().any(|code| typed == [code[1], code[0]]), "{typed:?}");
                    }
                    break;
                }
                Wish::Decide(_) | Wish::Close => break,
                Wish::Open(id) => prop_assert_eq!(id, ApprovalId(1)),
                Wish::Nothing => {}
            }
        }
    }

    #[test]
    fn no_screen_holds_a_code_of_an_agent(command in any::<String>(), columns in 20usize..100, keys in prop::collection::vec(any_key(), 0..12)) {
        let mut one = approval(1, Presence::Challenge, 1);
        one.command.clone_from(&command);
        one.tool = Some(command.clone());
        let mut both = item(one);
        both.who = Some(command);
        let mut model = Model::new(true, Scope::Once);
        model.resize((columns, 24));
        model.update(vec![both.clone()], 0);
        let mut screens: Vec<String> = model.rows().iter().map(Row::render).collect();
        model.open(both, CODES.to_vec());
        for key in &keys {
            screens.extend(model.rows().iter().map(Row::render));
            model.key(key);
        }
        screens.extend(model.rows().iter().map(Row::render));
        for row in screens {
            let bare = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[7m", "\x1b[1;33m"].iter().fold(row, |row, code| row.replace(code, ""));
            prop_assert!(!bare.chars().any(crate::domain::text::is_unsafe), "{bare:?}");
        }
    }
}
