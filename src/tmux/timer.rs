//! Timers of the tmux server: one is armed while something is due, and a superseded one ends inside the server without a process.

use super::client::Tmux;
use super::command::CommandList;
use super::error::Error;
use std::path::Path;

/// The part of a shell line that starts our helper from a tmux hook, key or timer, for formats that are expanded when it runs. It takes
/// binary, home and socket from options and formats, quoted for the shell by tmux, and never prints or fails: output of a `run-shell`
/// opens a view over somebody's pane.
pub fn helper(arguments: &str) -> String {
    format!(
        "(exec #{{q:@conductor_hook}} --home #{{q:@conductor_home}} -S #{{q:socket_path}} {arguments}) >/dev/null 2>&1 || :"
    )
}

impl Tmux {
    /// Tells the server where our binary and our state are; every hook, key and timer reads it from there.
    pub fn set_paths(binary: &Path, home: &Path) -> CommandList {
        CommandList::new()
            .then([
                "set-option",
                "-g",
                "@conductor_hook",
                &binary.to_string_lossy(),
            ])
            .then([
                "set-option",
                "-g",
                "@conductor_home",
                &home.to_string_lossy(),
            ])
    }

    /// Arms the timer of `generation`: in `ms` milliseconds the server runs `tick`, unless a newer generation was armed meanwhile.
    pub fn arm_timer(
        &self,
        binary: &Path,
        home: &Path,
        generation: i64,
        ms: u64,
    ) -> Result<(), Error> {
        self.run(&Self::set_paths(binary, home).append(timer_list(generation, ms)))
            .map(drop)
    }
}

impl Tmux {
    /// Supersedes what is armed: it ends inside the server without starting anything.
    pub fn cancel_timer(&self, generation: i64) -> Result<(), Error> {
        let generation = generation.to_string();
        let list = CommandList::new().then(["set-option", "-g", "@conductor_gen", &generation]);
        self.run(&list).map(drop)
    }
}

fn timer_list(generation: i64, ms: u64) -> CommandList {
    // run-shell -C expands the string when it is queued, hence the doubled signs; if-shell -F does not expand its commands, and the inner
    // run-shell expands its own when it runs.
    let inner = format!("run-shell -b \\\"{}\\\"", helper("tick").replace('#', "##"));
    let guarded = format!("if-shell -F '##{{==:##{{@conductor_gen}},{generation}}}' \"{inner}\"");
    CommandList::new()
        .then([
            "set-option",
            "-g",
            "@conductor_gen",
            &generation.to_string(),
        ])
        .then([
            "run-shell",
            "-b",
            "-d",
            &format!("{}.{:03}", ms / 1000, ms % 1000),
            "-C",
            &guarded,
        ])
}
