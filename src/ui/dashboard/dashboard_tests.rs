//! What a person sees, at several sizes, and that nothing an agent writes reaches the terminal as more than text.

use super::*;
use crate::ui::sheet::{Known, rows, tests::sample};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

const LOOK: Look = Look {
    colour: true,
    unicode: true,
};

const NOW: i64 = 7_200_000;

fn agent(number: u8, session: &str, window: &str, status: Status) -> Agent {
    Agent {
        id: TerminalId::from_bytes([number; 4]),
        server: Some("/tmp/tmux-1000/default".into()),
        session: session.into(),
        window: window.into(),
        profile: "developer".into(),
        provider: "claude_code".into(),
        role: if window == "conductor" {
            Role::Supervisor
        } else {
            Role::Worker
        },
        status,
        since_ms: NOW - i64::from(number) * 65_000,
        doing: "the turn ended".into(),
        unread: 0,
        asks: Vec::new(),
    }
}

fn team() -> Vec<Agent> {
    let mut conductor = agent(1, "work", "conductor", Status::Working);
    conductor.profile = "conductor".into();
    conductor.doing = "tool mcp__conductor__handoff is about to run".into();
    let mut developer = agent(2, "work", "developer", Status::Waiting);
    developer.asks = vec![Ask {
        id: ApprovalId(7),
        what: "Bash: rm -rf build".into(),
    }];
    developer.doing = "waits for approval 7: Bash: rm -rf build".into();
    developer.unread = 2;
    let mut reviewer = agent(3, "work", "日本語の窓", Status::Idle);
    reviewer.profile = "reviewer".into();
    let mut gone = agent(4, "other", "tester", Status::Exited);
    gone.doing = "the agent ended".into();
    vec![developer, conductor, reviewer, gone]
}

fn detail() -> Detail {
    Detail {
        facts: vec![
            ("is".into(), "waiting: asks for leave to use Bash".into()),
            ("believed".into(), "from event (confidence high)".into()),
            ("in".into(), "/home/ada/projects/engine".into()),
        ],
        queue: vec![
            "31 from conductor 01010101: when the build is clean, run the tests again (queued: DIALOG; retried by the answer to the dialog)".into(),
            "32 from human: thanks (queued: waits behind message 31)".into(),
        ],
        answer: Some("The build directory is stale.\nI shall remove it and build again.".into()),
    }
}

struct Scene {
    look: Look,
    agents: Vec<Agent>,
    tree: Vec<Branch>,
    detail: Detail,
    preview: Vec<String>,
    selected: Option<usize>,
    turned: bool,
}

impl Scene {
    fn of(agents: Vec<Agent>) -> Self {
        Self {
            look: LOOK,
            tree: branches(&agents, |_| true),
            selected: (!agents.is_empty()).then_some(0),
            agents,
            detail: detail(),
            preview: (1..=12)
                .map(|row| format!("row {row} of its screen"))
                .collect(),
            turned: false,
        }
    }

    fn view<'a>(&'a self, foot: Foot<'a>, over: Over<'a>) -> View<'a> {
        View {
            look: self.look,
            now_ms: NOW,
            agents: &self.agents,
            tree: &self.tree,
            selected: self.selected,
            top: 0,
            detail: self.selected.map(|_| &self.detail),
            detail_top: 0,
            preview: self.selected.map(|_| self.preview.as_slice()),
            turned: self.turned,
            filter: None,
            foot,
            over,
        }
    }

    fn keys(&self) -> View<'_> {
        self.view(
            Foot::Keys("Enter go there  a approve  q leave"),
            Over::Nothing,
        )
    }
}

fn drawn(view: &View<'_>, columns: u16, rows: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal
        .draw(|frame| draw(view, frame.buffer_mut()))
        .unwrap();
    terminal
}

#[test]
fn a_team_on_a_usual_terminal() {
    let scene = Scene::of(team());
    insta::assert_snapshot!(drawn(&scene.keys(), 80, 24).backend());
}

#[test]
fn a_team_on_a_large_terminal() {
    let scene = Scene::of(team());
    insta::assert_snapshot!(drawn(&scene.keys(), 120, 40).backend());
}

#[test]
fn a_team_on_a_small_terminal() {
    let mut scene = Scene::of(team());
    insta::assert_snapshot!(drawn(&scene.keys(), 40, 12).backend());
    scene.turned = true;
    insta::assert_snapshot!(drawn(&scene.keys(), 40, 12).backend());
}

#[test]
fn nobody_is_there() {
    let scene = Scene::of(Vec::new());
    insta::assert_snapshot!(drawn(&scene.keys(), 80, 8).backend());
}

#[test]
fn many_sessions_on_two_servers_without_unicode() {
    let mut agents = Vec::new();
    for number in 1..=12 {
        let session = format!("session{}", number % 4);
        let status = Status::ALL[usize::from(number) % 8];
        let mut agent = agent(number, &session, &format!("worker{number}"), status);
        if number > 8 {
            agent.server = Some("/tmp/other.sock".into());
        }
        agents.push(agent);
    }
    let mut scene = Scene::of(agents);
    scene.look.unicode = false;
    insta::assert_snapshot!(drawn(&scene.keys(), 80, 30).backend());
}

#[test]
fn a_request_is_drawn_over_it() {
    let scene = Scene::of(team());
    let known = Known {
        who: Some("developer in work".into()),
        now_ms: NOW,
    };
    let rows = rows(&sample("rm -rf build; echo a\u{202e}b"), &known, 80);
    let view = scene.view(Foot::Keys(""), Over::Sheet(rows));
    insta::assert_snapshot!(drawn(&view, 80, 24).backend());
}

#[test]
fn what_is_written_and_the_keys() {
    let scene = Scene::of(team());
    let text = "please look at this\nand that";
    let foot = Foot::Text {
        title: "to developer",
        text,
        cursor: text.len(),
    };
    insta::assert_snapshot!(drawn(&scene.view(foot, Over::Nothing), 80, 14).backend());
    let keys = vec![("j, Down", "the next agent"), ("q", "leave")];
    let view = scene.view(Foot::Keys("any key goes back"), Over::Help(keys));
    insta::assert_snapshot!(drawn(&view, 80, 6).backend());
}

#[test]
fn no_colour_is_used_where_none_is_wanted() {
    let mut scene = Scene::of(team());
    scene.look.colour = false;
    let terminal = drawn(&scene.keys(), 80, 24);
    let cells = terminal.backend().buffer().content();
    assert!(
        cells
            .iter()
            .all(|cell| cell.fg == ratatui::style::Color::Reset)
    );
}

/// Texts as agents, titles and file names may hold them.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just("\u{1b}]0;x\u{7}\u{1b}[2J$(touch PWNED)#(touch PWNED)".to_owned()),
        Just("\u{202e}evil\u{200b}\u{9b}31m".to_owned()),
        Just("👩‍👩‍👧‍👦日本e\u{301}\u{301}".to_owned()),
        Just("\n\r\t".to_owned()),
    ]
}

proptest! {
    #[test]
    fn whatever_is_shown_is_text_in_its_place(
        texts in prop::collection::vec(hostile(), 8),
        columns in 1u16..130,
        rows in 1u16..45,
        turned in any::<bool>(),
        foot in 0usize..4,
        cursor in any::<prop::sample::Index>(),
    ) {
        let mut agents = team();
        agents[0].window.clone_from(&texts[0]);
        agents[1].session.clone_from(&texts[1]);
        agents[1].doing.clone_from(&texts[2]);
        agents[0].asks[0].what.clone_from(&texts[3]);
        agents[2].server = Some(texts[4].clone());
        let mut scene = Scene::of(agents);
        scene.turned = turned;
        scene.detail.answer = Some(texts[5].clone());
        scene.detail.queue[0].clone_from(&texts[6]);
        scene.preview[3].clone_from(&texts[7]);
        let mut at = cursor.index(texts[7].len() + 1);
        while !texts[7].is_char_boundary(at) {
            at -= 1;
        }
        let foot = match foot {
            0 => Foot::Keys("keys"),
            1 => Foot::Note(&texts[0]),
            2 => Foot::Question(&texts[1]),
            _ => Foot::Text { title: &texts[2], text: &texts[7], cursor: at },
        };
        let terminal = drawn(&scene.view(foot, Over::Nothing), columns, rows);
        for cell in terminal.backend().buffer().content() {
            prop_assert!(!cell.symbol().chars().any(crate::domain::text::is_unsafe), "{:?}", cell.symbol());
        }
    }
}
