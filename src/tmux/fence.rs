//! The fence: one list of tmux commands that tests the pane, pastes, and writes a receipt, all in one step of the server.
//!
//! A helper may die anywhere: the pane's options `@conductor_seq` (number of the last paste) and `@conductor_entered` (number of the last
//! Enter) say what happened. The Enter is a timer in the server that makes the test again when it fires. `run-shell -C` expands formats
//! when it is queued, so what is to be tested when it fires has every `#` doubled, inside a quoted string.

use super::client::Tmux;
use super::command::{CommandList, quoted};
use super::error::Error;
use super::ids::PaneId;
use crate::domain::ids::TerminalId;
use crate::domain::message::GateReason;
use std::fmt::Write as _;

/// Foreground commands that are never an agent.
const SHELLS: &str = "^-?(sh|bash|zsh|fish|dash|ksh|tcsh|csh|nu|xonsh|pwsh)$";

/// The pane that a message is for, and what must be true of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The pane.
    pub pane: PaneId,
    /// The terminal it must belong to.
    pub id: TerminalId,
    /// The process that tmux must have started in it (a respawned pane keeps its options).
    pub pane_pid: Option<i32>,
    /// The foreground command that it must have.
    pub program: Option<String>,
    /// A row that must be on its screen: the provider's empty prompt (POSIX extended regular expression without `,`, `{`, `}`, `#`).
    pub prompt_row: Option<String>,
    /// Highest paste number that the database knows as settled.
    pub settled: i64,
    /// Whether the agent itself is a shell, as its person wished.
    pub shell: bool,
}

/// What came of a paste.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The text is in the pane and the Enter is on its way.
    Placed,
    /// Nothing was typed.
    Refused(GateReason),
}

/// The pane's receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipts {
    /// Number of the last paste.
    pub seq: i64,
    /// Number of the last Enter.
    pub entered: i64,
    /// Number of the last paste that was made impossible: it never happened, whatever the other two say.
    pub burnt: i64,
}

fn all(tests: &[String]) -> String {
    match tests {
        [] => "1".to_owned(),
        [last] => last.clone(),
        [first, rest @ ..] => format!("#{{&&:{first},{}}}", all(rest)),
    }
}

/// Whether a command of this name is a shell.
pub fn is_shell(name: &str) -> bool {
    regex_lite::Regex::new(SHELLS).is_ok_and(|shells| shells.is_match(name))
}

/// Whether a command's name can stand in a format as it is.
fn plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 32
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-'))
}

/// Whether a manifest's row pattern can stand in a format as it is.
pub fn row_is_usable(pattern: &str) -> bool {
    !pattern.is_empty() && !pattern.contains([',', '{', '}', '#', '\'', '"', '\\', '\n', ';', '%'])
}

impl Target {
    /// What must be true for a paste and for its Enter.
    fn standing(&self) -> Vec<String> {
        let mut tests = vec![
            format!("#{{==:#{{@conductor_id}},{}}}", self.id),
            "#{==:#{pane_dead}#{pane_in_mode}#{pane_input_off}#{pane_synchronized},0000}"
                .to_owned(),
            "#{==:#{@conductor_dialog},}".to_owned(),
        ];
        if !self.shell {
            tests.push(format!(
                "#{{!=:#{{m/r:{SHELLS},#{{pane_current_command}}}},1}}"
            ));
        }
        if let Some(pid) = self.pane_pid {
            tests.push(format!("#{{==:#{{pane_pid}},{pid}}}"));
        }
        if let Some(program) = self.program.as_deref().filter(|name| plain(name)) {
            tests.push(format!("#{{==:#{{pane_current_command}},{program}}}"));
        }
        tests
    }

    fn before_paste(&self, seq: i64, now: i64) -> String {
        let mut tests = self.standing();
        tests.push(format!("#{{e|<:#{{@conductor_seq}},{seq}}}"));
        tests.push(format!(
            "#{{||:#{{==:#{{@conductor_entered}},#{{@conductor_seq}}}},#{{e|<=:#{{@conductor_seq}},{}}}}}",
            self.settled
        ));
        if let Some(row) = &self.prompt_row {
            tests.push(format!("#{{!=:#{{C/r:{row}}},0}}"));
        }
        tests.push(quiet(now));
        all(&tests)
    }

    fn before_enter(&self, seq: i64) -> String {
        let mut tests = self.standing();
        tests.push(format!("#{{==:#{{@conductor_seq}},{seq}}}"));
        tests.push(format!("#{{e|<:#{{@conductor_entered}},{seq}}}"));
        all(&tests)
    }
}

/// Nobody typed into this very pane in the last second: it is not the one that keys go to, or no client is there, or none was active.
fn quiet(now: i64) -> String {
    format!(
        "#{{||:#{{!=:#{{window_active}}#{{pane_active}},11}},#{{||:#{{==:#{{session_attached}}#{{session_grouped}}#{{window_linked}},000}},#{{e|<:#{{session_activity}},{}}}}}}}",
        now - 1
    )
}

const REPORT: &str = "#{@conductor_id}\t#{pane_dead}\t#{pane_pid}\t#{pane_in_mode}\t#{pane_input_off}#{pane_synchronized}\t#{?#{==:#{@conductor_dialog},},0,1}\t#{@conductor_seq}\t#{@conductor_entered}\t#{pane_current_command}";

/// The list that pastes the text on standard input as number `seq`; `now` is in seconds since 1970, `enter_ms` the pause before Enter.
fn paste_list(target: &Target, seq: i64, now: i64, enter_ms: u32) -> CommandList {
    let pane = target.pane;
    let buffer = format!("conductor-{}-{seq}", target.id);
    // "No key since the paste": session_activity is filled in now (single #) and compared when the timer fires (##).
    let untouched = "##{||:##{!=:##{window_active}##{pane_active},11},##{==:##{session_activity},#{session_activity}}}";
    let doubled = target.before_enter(seq).replace('#', "##");
    let at_enter = format!("##{{&&:{doubled},{untouched}}}");
    let timer = format!(
        "if-shell -F -t '{pane}' '{at_enter}' 'send-keys -t {pane} Enter ; set-option -p -t {pane} @conductor_entered {seq}'"
    );
    let mut body = String::new();
    let _ = write!(
        body,
        "paste-buffer -p -r -d -b {buffer} -t '{pane}' ; set-option -p -t '{pane}' @conductor_seq {seq} ; \
         run-shell -b -d {}.{:03} -t '{pane}' -C {} ; display-message -p placed",
        enter_ms / 1000,
        enter_ms % 1000,
        quoted(&timer),
    );
    let row = target
        .prompt_row
        .as_deref()
        .map_or_else(|| "1".to_owned(), |row| format!("#{{C/r:{row}}}"));
    let refused = format!(
        "delete-buffer -b {buffer} ; display-message -p -t '{pane}' 'refused\t{row}\t{REPORT}'"
    );
    CommandList::new()
        .then(["load-buffer", "-b", &buffer, "-"])
        .then([
            "if-shell",
            "-F",
            "-t",
            &pane.to_string(),
            &target.before_paste(seq, now),
            &body,
            &refused,
        ])
}

/// Which reason the report of a refused paste gives.
fn reason(target: &Target, seq: i64, report: &str) -> Option<Outcome> {
    let fields: Vec<&str> = report.splitn(10, '\t').collect();
    let [
        row,
        id,
        dead,
        pid,
        mode,
        input,
        dialog,
        last,
        entered,
        command,
    ] = fields[..]
    else {
        return None;
    };
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    let (last, entered) = (number(last), number(entered));
    let refused = |reason| Some(Outcome::Refused(reason));
    if id != target.id.as_str() {
        return refused(GateReason::Reused);
    }
    if last >= seq {
        return Some(Outcome::Placed);
    }
    if dead != "0" {
        return refused(GateReason::Dead);
    }
    if target
        .pane_pid
        .is_some_and(|expected| pid != expected.to_string())
    {
        return refused(GateReason::Reused);
    }
    if mode != "0" {
        return refused(GateReason::CopyMode);
    }
    if input != "00" {
        return refused(GateReason::Synced);
    }
    if dialog != "0" {
        return refused(GateReason::Dialog);
    }
    if (is_shell(command) && !target.shell)
        || target
            .program
            .as_deref()
            .is_some_and(|name| plain(name) && name != command)
    {
        return refused(GateReason::Shell);
    }
    if entered != last && last > target.settled {
        return refused(GateReason::Unentered);
    }
    if row == "0" {
        return refused(GateReason::Draft);
    }
    refused(GateReason::UserTyping)
}

impl Tmux {
    /// Pastes one line as number `seq`, if everything that must be true is true in that very step of the server. Enter follows by a timer
    /// of the server. `now` is in seconds since 1970.
    pub fn fenced_paste(
        &self,
        target: &Target,
        seq: i64,
        line: &str,
        now: i64,
        enter_ms: u32,
    ) -> Result<Outcome, Error> {
        let list = paste_list(target, seq, now, enter_ms);
        let answer = self.try_run(&list, Some(line.as_bytes()))?;
        let text = answer.out.trim_end_matches('\n');
        if text == "placed" {
            return Ok(Outcome::Placed);
        }
        if let Some(report) = text.strip_prefix("refused\t") {
            return reason(target, seq, report).ok_or_else(|| Error::Unexpected {
                asked: "paste",
                answer: text.to_owned(),
            });
        }
        if answer.err.contains("can't find pane")
            || answer.err.contains("no server running")
            || answer.err.contains("error connecting")
        {
            return Ok(Outcome::Refused(GateReason::Dead));
        }
        Err(Error::Unexpected {
            asked: "paste",
            answer: format!("{text} {}", answer.err.trim()),
        })
    }

    /// The pane's receipts, if it is still the terminal's.
    pub fn receipts(&self, pane: PaneId, id: &TerminalId) -> Result<Option<Receipts>, Error> {
        let text = self.display(
            Some(pane),
            "#{@conductor_id}\t#{@conductor_seq}\t#{@conductor_entered}\t#{@conductor_burnt}",
        )?;
        let mut fields = text.split('\t');
        if fields.next() != Some(id.as_str()) {
            return Ok(None);
        }
        let mut number = || fields.next().and_then(|f| f.parse().ok()).unwrap_or(0);
        Ok(Some(Receipts {
            seq: number(),
            entered: number(),
            burnt: number(),
        }))
    }

    /// Sends the Enter of paste `seq` if it is still missing and nothing stands in its way; says whether it was sent.
    pub fn late_enter(&self, target: &Target, seq: i64) -> Result<bool, Error> {
        let pane = target.pane;
        let answer = self.try_run(
            &CommandList::new().then([
                "if-shell",
                "-F",
                "-t",
                &pane.to_string(),
                &target.before_enter(seq),
                &format!(
                    "send-keys -t '{pane}' Enter ; set-option -p -t '{pane}' @conductor_entered {seq} ; display-message -p entered"
                ),
                "display-message -p refused",
            ]),
            None,
        )?;
        Ok(answer.out.starts_with("entered"))
    }

    /// Presses Enter once more for paste `seq`, whose Enter the program swallowed while the text stands in its input box.
    pub fn second_enter(&self, target: &Target, seq: i64) -> Result<bool, Error> {
        let pane = target.pane;
        let mut tests = target.standing();
        tests.push(format!("#{{==:#{{@conductor_seq}},{seq}}}"));
        tests.push(format!("#{{==:#{{@conductor_entered}},{seq}}}"));
        tests.push(format!("#{{!=:#{{@conductor_second}},{seq}}}"));
        let answer = self.try_run(
            &CommandList::new().then([
                "if-shell",
                "-F",
                "-t",
                &pane.to_string(),
                &all(&tests),
                &format!(
                    "send-keys -t '{pane}' Enter ; set-option -p -t '{pane}' @conductor_second {seq} ; display-message -p entered"
                ),
                "display-message -p refused",
            ]),
            None,
        )?;
        Ok(answer.out.starts_with("entered"))
    }

    /// Makes sure that paste `seq` can never happen any more: true when it had not happened, false when it had.
    pub fn burn(&self, pane: PaneId, seq: i64) -> Result<bool, Error> {
        let answer = self.try_run(
            &CommandList::new().then([
                "if-shell",
                "-F",
                "-t",
                &pane.to_string(),
                &format!("#{{e|<:#{{@conductor_seq}},{seq}}}"),
                &format!(
                    "set-option -p -t '{pane}' @conductor_seq {seq} ; set-option -p -t '{pane}' @conductor_entered {seq} ; set-option -p -t '{pane}' @conductor_burnt {seq} ; display-message -p burnt"
                ),
                "display-message -p pasted",
            ]),
            None,
        )?;
        match answer.out.trim_end() {
            "burnt" => Ok(true),
            "pasted" => Ok(false),
            // A pane that is gone cannot be pasted into.
            _ if answer.err.contains("can't find pane") => Ok(true),
            other => Err(Error::Unexpected {
                asked: "burn",
                answer: format!("{other} {}", answer.err.trim()),
            }),
        }
    }

    /// Sets or clears the mark that a dialog is, or may be, open in the pane.
    pub fn mark_dialog(&self, pane: PaneId, open: bool) -> Result<(), Error> {
        let value = if open { "1" } else { "" };
        self.run(&CommandList::new().then([
            "set-option",
            "-p",
            "-t",
            &pane.to_string(),
            "@conductor_dialog",
            value,
        ]))
        .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            pane: PaneId::parse("%3").unwrap(),
            id: TerminalId::parse("0123abcd").unwrap(),
            pane_pid: Some(42),
            program: Some("claude".into()),
            prompt_row: Some("^❯.?.?$".into()),
            settled: 1,
            shell: false,
        }
    }

    #[test]
    fn whose_pane_it_is_and_what_is_open_in_it_is_tested_in_the_server() {
        let tests = all(&target().standing());
        for condition in [
            "#{==:#{@conductor_id},0123abcd}",
            "#{==:#{pane_pid},42}",
            "#{==:#{@conductor_dialog},}",
            "#{==:#{pane_dead}#{pane_in_mode}#{pane_input_off}#{pane_synchronized},0000}",
            "#{!=:#{m/r:^-?(sh|bash|",
            "#{==:#{pane_current_command},claude}",
        ] {
            assert!(tests.contains(condition), "{condition} is not in {tests}");
        }
        let paste = target().before_paste(5, 1000);
        for condition in [
            "#{!=:#{C/r:^❯.?.?$},0}",
            "#{e|<:#{@conductor_seq},5}",
            "#{==:#{@conductor_entered},#{@conductor_seq}}",
            &quiet(1000),
        ] {
            assert!(paste.contains(condition), "{condition} is not in {paste}");
        }
        let enter = target().before_enter(5);
        for condition in [
            "#{==:#{@conductor_seq},5}",
            "#{e|<:#{@conductor_entered},5}",
        ] {
            assert!(enter.contains(condition), "{condition} is not in {enter}");
        }
        for list in [&paste, &enter] {
            for test in target().standing() {
                assert!(list.contains(&test), "{test} is not in {list}");
            }
        }
    }

    fn outcome(report: &str) -> Option<Outcome> {
        reason(&target(), 5, report)
    }

    #[test]
    fn every_reason_is_told_from_the_report() {
        use GateReason::{
            CopyMode, Dead, Dialog, Draft, Reused, Shell, Synced, Unentered, UserTyping,
        };
        for (report, expected) in [
            ("3\tffffffff\t0\t42\t0\t00\t0\t1\t1\tclaude", Reused),
            ("3\t0123abcd\t1\t42\t0\t00\t0\t1\t1\tclaude", Dead),
            ("3\t0123abcd\t0\t43\t0\t00\t0\t1\t1\tclaude", Reused),
            ("3\t0123abcd\t0\t42\t1\t00\t0\t1\t1\tclaude", CopyMode),
            ("3\t0123abcd\t0\t42\t0\t01\t0\t1\t1\tclaude", Synced),
            ("3\t0123abcd\t0\t42\t0\t00\t1\t1\t1\tclaude", Dialog),
            ("3\t0123abcd\t0\t42\t0\t00\t0\t1\t1\tbash", Shell),
            ("3\t0123abcd\t0\t42\t0\t00\t0\t1\t1\tvi\tm", Shell),
            ("3\t0123abcd\t0\t42\t0\t00\t0\t4\t3\tclaude", Unentered),
            ("0\t0123abcd\t0\t42\t0\t00\t0\t1\t0\tclaude", Draft),
            ("3\t0123abcd\t0\t42\t0\t00\t0\t4\t4\tclaude", UserTyping),
        ] {
            assert_eq!(
                outcome(report),
                Some(Outcome::Refused(expected)),
                "{report}"
            );
        }
        assert_eq!(
            outcome("3\t0123abcd\t0\t42\t0\t00\t0\t5\t4\tclaude"),
            Some(Outcome::Placed),
            "pasted before"
        );
        assert_eq!(outcome("nonsense"), None);
    }

    #[test]
    fn only_ids_numbers_and_manifest_rows_stand_in_the_list() {
        let mut hostile = target();
        hostile.program = Some("a'; kill-server ; '".into());
        let list = paste_list(&hostile, 5, 1000, 300);
        assert!(
            !list
                .argv()
                .iter()
                .any(|argument| argument.contains("kill-server"))
        );
        assert!(list.bytes() < CommandList::MAX_BYTES);
        assert!(!row_is_usable("a'b") && !row_is_usable("") && row_is_usable("^demo>.?$"));
    }

    #[test]
    fn what_is_tested_when_the_timer_fires_has_doubled_signs() {
        let list = paste_list(&target(), 5, 1000, 300);
        let body = list
            .argv()
            .iter()
            .find(|argument| argument.starts_with("paste-buffer"))
            .unwrap();
        let inner = body.split("-C ").nth(1).unwrap();
        assert!(
            inner.contains("##{==:##{session_activity},#{session_activity}}"),
            "no key since the paste: {inner}"
        );
        let single = inner.replace("##", "");
        assert_eq!(
            single.matches('#').count(),
            1,
            "only session_activity is filled in at paste time: {inner}"
        );
    }
}
