//! Running the very bytes that were compared: whoever changes a file between the comparison and the start, or while it runs, changes nothing.
//!
//! A file that an interpreter reads is run from a private copy, because its interpreter opens it by a path once more; any other program is
//! run by the open file that was compared, whatever lies at its path by then.

use super::file::Accepted;
use crate::domain::flow::Script;
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::paths::{self, Home};
use crate::proc::{self, Identity, Process};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a file says that asks for its own place, by which it would find the copy. A bare `$0` is a record of awk, too.
const PLACE: [&str; 8] = [
    "\"$0\"",
    "${0",
    "dirname $0",
    "realpath $0",
    "readlink -f $0",
    "BASH_SOURCE",
    "__file__",
    "__dir__",
];

/// Whether a program of these bytes is run from a copy.
pub(super) fn is_copied(bytes: &[u8]) -> bool {
    bytes.starts_with(b"#!")
}

/// A warning about a file that is run from a copy and may look for what lies beside it.
pub(super) fn asks_place(path: &Path, bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let word = PLACE.iter().find(|word| text.contains(**word))?;
    Some(format!(
        "{} uses {word}: it is run from a copy, and ${} names the directory of the flow's file",
        one_line(&path.to_string_lossy()),
        paths::name::FLOW_DIR
    ))
}

/// Copies for one call; they are gone with it.
#[derive(Debug)]
struct Copies {
    dir: PathBuf,
    count: usize,
}

impl Copies {
    fn new(home: &Home) -> Result<Self> {
        sweep(&home.scripts());
        let own =
            Identity::own().ok_or_else(|| Failure::failed("read /proc/self: it is not there"))?;
        let dir = home.scripts().join(format!("{}-{}", own.pid, own.start));
        Ok(Self { dir, count: 0 })
    }

    fn add(&mut self, path: &Path, bytes: &[u8]) -> Result<PathBuf> {
        let shown = one_line(&path.to_string_lossy());
        let failed =
            |e: std::io::Error| Failure::state(format!("copy the script {shown}: {e}")).disk(&e);
        let dir = self.dir.join(self.count.to_string());
        self.count += 1;
        fsx::create_private_dir(&dir).map_err(failed)?;
        let copy = dir.join(path.file_name().unwrap_or_default());
        fsx::write_atomic_mode(&copy, bytes, 0o700).map_err(failed)?;
        Ok(copy)
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Removes the copies of helpers that were killed.
fn sweep(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split_once('-'));
        let owner = owner.and_then(|(pid, start)| Some((pid.parse().ok()?, start.parse().ok()?)));
        if owner.is_none_or(|(pid, start)| !Identity { pid, start }.alive()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A script that can be started.
#[derive(Debug)]
pub(super) struct Held {
    /// What starts it: this program, which becomes it.
    pub(super) command: Command,
    _copies: Copies,
}

/// Makes the script of an accepted flow ready.
pub(super) fn ready(
    (home, binary): (&Home, &Path),
    script: &Script,
    cwd: &Path,
    accepted: &Accepted,
) -> Result<Held> {
    let mut copies = Copies::new(home)?;
    let mut words: Vec<String> = Vec::new();
    let mut input = Stdio::null();
    let mut held = false;
    match &accepted.program {
        Some((_, bytes)) if is_copied(bytes) => {
            words.push(text(&copies.add(&script.program, bytes)?)?);
        }
        Some((file, _)) => {
            held = cfg!(target_os = "linux");
            if held {
                input = again(file, &script.program)?.into();
            }
            words.push(text(&script.program)?);
        }
        None => words.push(text(&script.program)?),
    }
    words.extend(script.argv.iter().skip(1).cloned());
    for (path, bytes) in &accepted.files {
        let copy = text(&copies.add(path, bytes)?)?;
        for word in words.iter_mut().skip(1) {
            if std::fs::canonicalize(cwd.join(&*word)).is_ok_and(|named| named == *path) {
                word.clone_from(&copy);
            }
        }
    }
    let mut command = proc::command(binary);
    command
        .arg("--home")
        .arg(home.root())
        .args(["run-script", "--parent", &std::process::id().to_string()])
        .args(held.then_some("--held"))
        .arg("--")
        .args(&words)
        .stdin(input);
    Ok(Held {
        command,
        _copies: copies,
    })
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::refused("its script has a name that is not UTF-8"))
}

/// Another descriptor of an open file.
fn again(file: &File, path: &Path) -> Result<File> {
    file.try_clone().map_err(|e| {
        let shown = one_line(&path.to_string_lossy());
        Failure::failed(format!("open its script {shown} again: {e}"))
    })
}

/// Becomes a script that [`ready`] made ready; returns only when that fails.
pub(super) fn become_script(parent: i32, held: bool, words: &[String]) -> Failure {
    let Some(program) = words.first() else {
        return Failure::usage("there is no program");
    };
    // Only a helper of ours asks for this.
    let helper = Process::own().zip(paths::own_binary().ok());
    if !helper.is_some_and(|(own, binary)| proc::runs_program(own.parent, &binary)) {
        return Failure::refused("`run-script` is called by the helper that starts a run");
    }
    let mut file = None;
    if held {
        match std::io::stdin().as_fd().try_clone_to_owned() {
            Ok(open) => file = Some(open),
            Err(error) => return Failure::failed(format!("start {program}: {error}")),
        }
    }
    let mut command = match &file {
        Some(file) => {
            use std::os::fd::AsRawFd;
            proc::command(format!("/proc/self/fd/{}", file.as_raw_fd()))
        }
        None => proc::command(program),
    };
    command.arg0(program).args(&words[1..]).stdin(Stdio::null());
    proc::exec_bound(command, parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_for_its_own_place_is_known() {
        let asks = |text: &str| asks_place(Path::new("/x.sh"), text.as_bytes()).is_some();
        for text in [
            "cd \"$(dirname \"$0\")\"",
            "cd $(dirname $0)/..",
            "here=${0%/*}",
            "here=${BASH_SOURCE[0]}",
            "os.path.dirname(__file__)",
        ] {
            assert!(asks(text), "{text}");
        }
        for text in ["awk '{print $0}'", "awk '$0 ~ /x/'", "echo $01"] {
            assert!(!asks(text), "{text}");
        }
    }

    #[test]
    fn a_program_is_handed_over_by_the_file_that_was_compared() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("s")).unwrap();
        let (program, binary) = (dir.path().join("say"), dir.path().join("binary"));
        fsx::write_atomic(&program, b"accepted").unwrap();
        // Stands for our binary: says its words and what it is handed.
        fsx::write_atomic_mode(&binary, b"#!/bin/sh\necho \"$@\"; cat\n", 0o700).unwrap();
        let file = fsx::open_regular(&program).unwrap().unwrap();
        let accepted = Accepted {
            prompt: String::new(),
            program: Some((file, b"accepted".to_vec())),
            files: Vec::new(),
        };
        fsx::write_atomic(&program, b"replaced").unwrap();
        let script = Script {
            argv: vec!["./say".to_owned(), "word".to_owned()],
            program: program.clone(),
            sha256: None,
            files: Vec::new(),
        };
        let mut held = ready((&home, &binary), &script, dir.path(), &accepted).unwrap();
        let said = held.command.output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        let words = format!(" --held -- {} word\naccepted", program.display());
        assert!(said.ends_with(&words), "{said}");
    }

    #[test]
    fn copies_of_those_that_are_gone_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("s")).unwrap();
        let left = home.scripts().join("999999999-1");
        fsx::create_private_dir(&left).unwrap();
        let mut copies = Copies::new(&home).unwrap();
        assert!(!left.exists());
        let copy = copies.add(Path::new("/a/x.sh"), b"#!/bin/sh\n").unwrap();
        let other = copies.add(Path::new("/b/x.sh"), b"other").unwrap();
        assert_ne!(copy, other);
        assert_eq!(fsx::read_file_limited(&copy, 100).unwrap(), b"#!/bin/sh\n");
        // Another helper leaves the copies of one that lives.
        sweep(&home.scripts());
        assert!(copy.exists());
        drop(copies);
        assert!(!copy.exists());
    }
}
