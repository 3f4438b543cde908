//! Timers of the tmux server: one is armed while something is due, and a superseded one ends inside the server without a process.
//!
//! Several state directories may share a server: each has its own generation, and its timers find it by options of its own.

use super::client::Tmux;
use super::command::CommandList;
use super::error::Error;
use crate::domain::audit::digest;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The part of a shell line that starts our helper from a tmux hook or key, for formats that are expanded when it runs. It takes
/// binary, home and socket from options and formats, quoted for the shell by tmux, and never prints or fails: output of a `run-shell`
/// opens a view over somebody's pane.
pub fn helper(arguments: &str) -> String {
    helper_by("@conductor_hook", "@conductor_home", arguments)
}

fn helper_by(hook: &str, home: &str, arguments: &str) -> String {
    format!(
        "(exec #{{q:{hook}}} --home #{{q:{home}}} -S #{{q:socket_path}} {arguments}) >/dev/null 2>&1 || :"
    )
}

/// Names of the options of the timers of the state directory `home`: binary, directory, generation, and that of the spool's timer.
pub fn timer_options(home: &Path) -> [String; 4] {
    let mark = &digest(home.as_os_str().as_bytes())[..8];
    ["hook", "home", "gen", "spool"].map(|what| format!("@conductor_{what}_{mark}"))
}

impl Tmux {
    /// Tells the server where our binary and our state are; every hook and key reads it from there.
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

    /// Arms the timer of `generation` for the state directory `home`: in `ms` milliseconds the server runs `tick`, unless a newer
    /// generation was armed meanwhile.
    pub fn arm_timer(
        &self,
        binary: &Path,
        home: &Path,
        generation: i64,
        ms: u64,
    ) -> Result<(), Error> {
        let [_, _, current, _] = timer_options(home);
        self.run(&timer_list(binary, home, (&current, generation), ms))
            .map(drop)
    }

    /// Makes the server run `tick` in `ms` milliseconds whatever else is armed, unless a later event is spooled meanwhile; `at` is the
    /// event's time.
    pub fn arm_spool(&self, binary: &Path, home: &Path, at: i64, ms: u64) -> Result<(), Error> {
        let [_, _, _, spool] = timer_options(home);
        self.run(&timer_list(binary, home, (&spool, at), ms))
            .map(drop)
    }

    /// Supersedes what is armed for `home`: it ends inside the server without starting anything.
    pub fn cancel_timer(&self, home: &Path, generation: i64) -> Result<(), Error> {
        let [_, _, current, _] = timer_options(home);
        let list = CommandList::new().then(["set-option", "-g", &current, &generation.to_string()]);
        self.run(&list).map(drop)
    }
}

fn timer_list(
    binary: &Path,
    home: &Path,
    (current, generation): (&str, i64),
    ms: u64,
) -> CommandList {
    let [hook_option, home_option, ..] = timer_options(home);
    // run-shell -C expands the string when it is queued, hence the doubled signs; if-shell -F does not expand its commands, and the inner
    // run-shell expands its own when it runs.
    let tick = helper_by(&hook_option, &home_option, "tick").replace('#', "##");
    let inner = format!("run-shell -b \\\"{tick}\\\"");
    // Helpers may arm in another order than they counted: an older generation that is written last must not silence the newest timer. An
    // option that was taken out silences all.
    let newest = format!("##{{&&:##{{{current}}},##{{e|<=:##{{{current}}},{generation}}}}}");
    let guarded = format!("if-shell -F '{newest}' \"{inner}\"");
    CommandList::new()
        .then(["set-option", "-g", &hook_option, &binary.to_string_lossy()])
        .then(["set-option", "-g", &home_option, &home.to_string_lossy()])
        .then(["set-option", "-g", current, &generation.to_string()])
        .then([
            "run-shell",
            "-b",
            "-d",
            &format!("{}.{:03}", ms / 1000, ms % 1000),
            "-C",
            &guarded,
        ])
}
