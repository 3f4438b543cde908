//! The inbox without a terminal.

use super::*;
use crate::domain::note::tests::sample;
use crate::domain::note::{Note, NoteStatus};
use proptest::prelude::*;

fn question(id: i64, body: &str, options: &[&str]) -> Letter {
    Letter::Note(Note {
        id: NoteId(id),
        body: body.into(),
        ..sample(options)
    })
}

fn model(letters: Vec<Letter>) -> Model {
    let mut model = Model::new();
    model.update(letters, 60_000);
    model
}

fn text(model: &mut Model, size: (usize, usize)) -> String {
    let rows = model.draw(size);
    assert!(rows.len() <= size.1);
    let rows: Vec<String> = rows.iter().map(Row::text).collect();
    rows.join("\n")
}

fn press(model: &mut Model, keys: &str) -> Vec<Wish> {
    keys.chars().map(|c| model.key(&Key::Char(c))).collect()
}

#[test]
fn a_question_is_read_and_answered_in_several_lines() {
    let mut model = model(vec![
        question(1, "Which\nbranch?", &[]),
        question(2, "x", &[]),
    ]);
    let screen = text(&mut model, (80, 24));
    assert!(
        screen.starts_with(
            "inbox: 2 for you, 0 more\n> question  developer 01010101       1m  Which⏎branch?"
        ),
        "{screen}"
    );
    assert_eq!(model.key(&Key::Enter), Wish::Seen(NoteId(1)));
    let screen = text(&mut model, (80, 24));
    assert!(
        screen.contains("question 1 from developer 01010101, 1m ago\nWhich\nbranch?\n"),
        "{screen}"
    );
    model.key(&Key::Char('r'));
    assert_eq!(
        model.key(&Key::Enter),
        Wish::Nothing,
        "nothing is written yet"
    );
    press(&mut model, "main q");
    model.key(&Key::AltEnter);
    model.key(&Key::Paste("or\nelse".into()));
    let screen = text(&mut model, (80, 24));
    assert!(
        screen.contains("to developer 01010101:\n> main q \n")
            || screen.contains("> main q\n> or\n> else "),
        "{screen}"
    );
    assert_eq!(
        model.key(&Key::Enter),
        Wish::Answer(NoteId(1), "main q\nor\nelse".into())
    );
    model.sent();
    assert_eq!(model.key(&Key::Char('q')), Wish::Leave, "back in the list");
}

#[test]
fn what_is_refused_stays_in_the_box_and_is_for_what_it_was_begun_for() {
    let open = || question(1, "Which?", &["main"]);
    let mut model = model(vec![open()]);
    press(&mut model, "ryes");
    let answer = Wish::Answer(NoteId(1), "yes".into());
    assert_eq!(model.key(&Key::Enter), answer);
    model.say("refused");
    let screen = text(&mut model, (80, 24));
    assert!(
        screen.contains("> yes") && screen.contains("refused"),
        "{screen}"
    );
    // Somebody else answers it meanwhile: what was begun as an answer is no message before the person is told.
    let Letter::Note(mut answered) = open() else {
        unreachable!()
    };
    answered.status = NoteStatus::Answered;
    answered.answer = Some("no".into());
    model.update(vec![Letter::Note(answered)], 60_000);
    assert_eq!(model.key(&Key::Enter), Wish::Nothing);
    let screen = text(&mut model, (80, 24));
    assert!(screen.contains("answered already: Enter again"), "{screen}");
    let agent = TerminalId::from_bytes([1; 4]);
    let message = Wish::Send(agent.clone(), "yes".into());
    assert_eq!(model.key(&Key::Enter), message);
    // A box that is opened now is for a message.
    model.key(&Key::Esc);
    press(&mut model, "rmore");
    let message = Wish::Send(agent, "more".into());
    assert_eq!(model.key(&Key::Enter), message);
    // A refused option leaves the page open as well.
    model.update(vec![open()], 60_000);
    model.key(&Key::Esc);
    let option = Wish::Answer(NoteId(1), "main".into());
    assert_eq!(press(&mut model, "11"), [option.clone(), option]);
}

#[test]
fn an_option_is_one_key_and_esc_sends_nothing() {
    let mut model = model(vec![question(1, "Which?", &["main", "other"])]);
    assert_eq!(press(&mut model, "r")[0], Wish::Seen(NoteId(1)));
    assert_eq!(press(&mut model, "2x"), [Wish::Nothing, Wish::Nothing]);
    assert_eq!(model.key(&Key::Esc), Wish::Nothing);
    assert!(text(&mut model, (80, 24)).contains("nothing was sent"));
    assert_eq!(press(&mut model, "3"), [Wish::Nothing], "no such option");
    assert_eq!(
        press(&mut model, "2"),
        [Wish::Answer(NoteId(1), "other".into())]
    );
}

#[test]
fn a_click_chooses_and_a_second_one_opens() {
    let mut model = model((1..=3).map(|id| question(id, "x", &[])).collect());
    text(&mut model, (80, 24));
    let click = |row| {
        Key::Mouse(Mouse {
            act: MouseAct::Click,
            column: 4,
            row,
        })
    };
    assert_eq!(model.key(&click(0)), Wish::Nothing);
    assert_eq!(model.key(&click(3)), Wish::Nothing);
    assert_eq!(model.key(&click(9)), Wish::Nothing);
    assert_eq!(model.key(&click(3)), Wish::Seen(NoteId(3)));
    let wheel = Key::Mouse(Mouse {
        act: MouseAct::WheelDown,
        column: 0,
        row: 0,
    });
    assert_eq!(model.key(&wheel), Wish::Nothing);
    assert!(text(&mut model, (80, 24)).contains("question 3"));
}

#[test]
fn the_cursor_stays_with_its_letter() {
    let mut model = model(vec![question(1, "x", &[]), question(2, "y", &[])]);
    model.key(&Key::Char('j'));
    model.update(
        vec![
            question(3, "new", &[]),
            question(1, "x", &[]),
            question(2, "y", &[]),
        ],
        0,
    );
    assert_eq!(model.key(&Key::Char('s')), Wish::Seen(NoteId(2)));
    model.update(Vec::new(), 0);
    assert_eq!(model.key(&Key::Enter), Wish::Nothing);
    assert!(text(&mut model, (80, 24)).starts_with("nothing is in your inbox"));
}

proptest! {
    #[test]
    fn no_text_leaves_the_screen(body in any::<String>(), typed in any::<String>(), columns in 0..60_usize, lines in 0..20_usize) {
        let mut model = model(vec![question(1, &body, &[&body])]);
        model.draw((columns, lines));
        model.key(&Key::Char('r'));
        model.key(&Key::Paste(typed));
        for _ in 0..2 {
            for row in model.draw((columns, lines)) {
                let text = row.text();
                prop_assert!(unicode_width::UnicodeWidthStr::width(&*text) <= columns.max(1) + 1);
                prop_assert!(!text.contains(|c: char| c.is_control()), "{:?}", text);
            }
            model.key(&Key::Esc);
        }
    }
}
