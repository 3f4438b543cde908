//! A turn: from a submitted prompt to the agent's answer.

use super::answers;
use super::dialog::Verdict;
use super::draft::Submission;
use super::host::{Ending, Host, Mode};
use super::script::{self, Directive};
use crate::clock::Deadline;
use crate::domain::text::body_lines;
use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

/// How many streamed lines are said between two looks at the keyboard.
const STREAM_STEP: u32 = 200;

/// How the lines of a prompt ended.
enum End {
    /// All were played.
    Done,
    /// The turn failed: the error, the text shown, and until when a limit holds.
    Failed(String, String, Option<Timestamp>),
    /// The person interrupted it, or the program ends.
    Stopped,
}

/// The tool whose use a dialog of its own asks about.
const DIALOG: &str = "Dialog";

impl Host {
    /// Says lines: they are shown and are part of the answer.
    pub(super) fn say(&mut self, text: &str) {
        self.screen.say(text);
        self.said.extend(text.split('\n').map(str::to_owned));
    }

    /// Plays one prompt to its end.
    pub(super) fn turn(&mut self, submission: Submission) {
        if submission.is_exit() {
            self.ending = Some(Ending::BY_PERSON);
            return;
        }
        self.interrupted = false;
        self.said.clear();
        self.screen.say(&format!("> {}", submission.shown()));
        self.enter(Mode::Working);
        let prompt = submission.text();
        let outcomes = self.fire("UserPromptSubmit", "", &json!({"prompt": prompt}));
        if self.stopped() {
            return self.interrupt();
        }
        let answer = answers::prompt(&outcomes);
        if let Some(reason) = answer.block {
            self.screen.say(&format!("blocked: {reason}"));
            self.draft.restore(submission);
            return;
        }
        let mut texts = vec![prompt];
        for context in answer.contexts {
            self.note("context", "prompt_hook", &context);
            texts.push(context);
        }
        let mut active = false;
        loop {
            let end = self.play(&texts);
            let answer = self.said.join("\n");
            match end {
                End::Stopped => return self.interrupt(),
                End::Failed(error, shown, limit) => {
                    self.screen.say(&shown);
                    self.note("answer", "stop_failure", &answer);
                    let mut fields = json!({"error": error, "last_assistant_message": shown});
                    if let Some(until) = limit {
                        fields["limit_until"] = json!(until);
                    }
                    self.fire("StopFailure", &error, &fields);
                    return;
                }
                End::Done => {
                    self.note("answer", "stop", &answer);
                    let fields = json!({"stop_hook_active": active,
                        "last_assistant_message": answer, "background_tasks": []});
                    let outcomes = self.fire("Stop", "", &fields);
                    if self.stopped() {
                        return self.interrupt();
                    }
                    let Some(reason) = answers::stop(&outcomes) else {
                        return;
                    };
                    self.note("context", "stop_hook", &reason);
                    self.screen.say(&format!(
                        "> (stop hook, {} characters)",
                        reason.chars().count()
                    ));
                    self.said.clear();
                    texts = vec![reason];
                    active = true;
                }
            }
        }
    }

    /// Ends an interrupted turn: no hook is told.
    fn interrupt(&mut self) {
        self.settle();
        if self.ending.is_none() {
            self.screen.say("interrupted");
            let answer = self.said.join("\n");
            self.note("answer", "interrupted", &answer);
        }
    }

    fn play(&mut self, texts: &[String]) -> End {
        for line in texts.iter().flat_map(|text| body_lines(text)) {
            match script::parse(line) {
                Directive::Blank => {}
                Directive::Say(text) => self.say(&text),
                Directive::Run(command) => self.run_command(&command),
                Directive::Mcp(tool, arguments) => self.call_mcp(&tool, &arguments),
                Directive::BadMcp(error) => self.say(&format!("error: {error}")),
                Directive::Sleep(span) => {
                    let deadline = Deadline::after(span);
                    while !deadline.passed() && !self.stopped() {
                        self.pump(&[], deadline);
                    }
                }
                Directive::Dialog(text) => {
                    let input = json!({"text": text});
                    let fields = json!({"tool_name": DIALOG, "tool_input": input});
                    match self.ask(&text, (DIALOG, &input)) {
                        Verdict::Yes => {
                            self.say("dialog: yes");
                            self.fire("PostToolUse", DIALOG, &fields);
                        }
                        Verdict::No(_) => {
                            self.say("dialog: no");
                            self.fire("PermissionDenied", DIALOG, &fields);
                        }
                        Verdict::Cut => return End::Stopped,
                    }
                }
                Directive::Stream(lines) => {
                    for n in 1..=lines {
                        self.say(&format!("line {n}"));
                        if n % STREAM_STEP == 0 {
                            self.pump(&[], Deadline::after(std::time::Duration::ZERO));
                            if self.stopped() {
                                break;
                            }
                        }
                    }
                }
                Directive::Limit(until) => {
                    let shown = format!("Usage limit reached, until {until}");
                    return End::Failed("usage_limit".into(), shown, Some(until));
                }
                Directive::Error(text) => {
                    let shown = format!("error: {text}");
                    return End::Failed(text, shown, None);
                }
                Directive::Exit(code) => {
                    self.ending.get_or_insert(Ending {
                        reason: "other",
                        code,
                        hurry: false,
                    });
                }
                Directive::Crash => {
                    let _ = kill(Pid::this(), Signal::SIGKILL);
                }
            }
            if self.stopped() {
                return End::Stopped;
            }
        }
        End::Done
    }
}
