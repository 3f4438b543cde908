//! `conductor-hook`: the one binary. See the library for everything.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    // One line instead of a backtrace, whatever RUST_BACKTRACE says: agents' shells set it, and a person needs the line.
    std::panic::set_hook(Box::new(|info| {
        use std::io::Write;
        let place = info
            .location()
            .map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        let text = format!("conductor-hook: internal error{place}; please report it\n");
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }));
    conductor::proc::private_umask();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if is_demo(&arguments) {
        return ExitCode::from(conductor::demo::run(arguments));
    }
    ExitCode::from(conductor::commands::run(&arguments))
}

/// Whether this process is to be the demo agent, or one of its children on the way to their program.
fn is_demo(arguments: &[OsString]) -> bool {
    let named = arguments
        .first()
        .and_then(|name| std::path::Path::new(name).file_name())
        .is_some_and(|name| name == conductor::demo::NAME);
    let child = arguments
        .get(1)
        .is_some_and(|word| word == "--unmask" || word == "--unmask-session");
    named || child
}
