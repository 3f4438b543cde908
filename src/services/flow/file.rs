//! A flow's file and its script: read, checked, trusted, and held to the bytes that were accepted.

use super::super::context::Context;
use super::super::policy;
use super::super::profile::{self, Trusted};
use super::{held, origin};
use crate::clock;
use crate::domain::flow::{CatchUp, Flow, Overlap, Script};
use crate::domain::policy::{Action, Call};
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::paths::{self, Home};
use crate::profiles::finding;
use crate::profiles::flow_file::{self, FlowFile};
use crate::profiles::front_matter;
use crate::profiles::project::sha256;
use crate::providers::Catalogue;
use crate::store::Store;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Largest script, in bytes.
const MAX_SCRIPT: usize = 64 * 1024 * 1024;

/// A flow as it was accepted, with what its script runs: the very bytes that were compared.
#[derive(Debug)]
pub(super) struct Accepted {
    /// The prompt before it is filled.
    pub(super) prompt: String,
    /// The program of its script, where that is held: the file, open, and what is in it.
    pub(super) program: Option<(File, Vec<u8>)>,
    /// What an interpreter runs for it.
    pub(super) files: Vec<(PathBuf, Vec<u8>)>,
}

/// A file that can be added.
#[derive(Debug)]
pub(super) struct Read {
    /// The flow, switched on.
    pub(super) flow: Flow,
    /// What somebody should look at.
    pub(super) warnings: Vec<String>,
}

fn bytes(path: &Path, limit: usize) -> Result<Vec<u8>> {
    opened(path, limit).map(|(_, bytes)| bytes)
}

/// A regular file, and what is in it.
fn opened(path: &Path, limit: usize) -> Result<(File, Vec<u8>)> {
    let shown = one_line(&path.to_string_lossy());
    let failed = |e: std::io::Error| Failure::failed(format!("read {shown}: {e}"));
    let mut file = fsx::open_regular(path)
        .map_err(failed)?
        .ok_or_else(|| Failure::not_found(format!("there is no file {shown}")))?;
    let bytes = fsx::read_limited(&mut file, limit)
        .map_err(failed)?
        .ok_or_else(|| Failure::failed(format!("read {shown}: it is larger than {limit} bytes")))?;
    Ok((file, bytes))
}

/// Reads the flow at `path` and checks all that it names.
pub(super) fn read(cx: &Context, store: &mut Store, path: &Path) -> Result<Read> {
    let shown = one_line(&path.to_string_lossy());
    let given = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let path = std::fs::canonicalize(path).map_err(|e| {
        Failure::not_found(format!("read the flow {shown}: {e}"))
            .hint("name its file: `conductor-hook flow add FILE`")
    })?;
    let bytes = bytes(&path, flow_file::MAX_BYTES)?;
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let (file, findings) = flow_file::read(&bytes, stem);
    if let Some(failure) = finding::failure(format!("read the flow {shown}"), &findings) {
        return Err(failure);
    }
    let sha256 = sha256(&bytes);
    let project = origin::project_of(&cx.home, &given, &path)?;
    let trusted = Trusted::of(store)?;
    if let Some(root) = &project
        && !trusted.holds(&path, &sha256)
    {
        return Err(origin::untrusted(&path, root));
    }
    let mut strange = Vec::new();
    let mut script = match &file.script {
        Some(argv) => {
            let origins = (&cx.home, project.as_deref(), &trusted);
            Some(script(argv, &path, origins, &mut strange)?)
        }
        None => None,
    };
    let cwd = directory(&file, &path, project.as_deref())?;
    if let Some(script) = &mut script {
        script.files = interpreted(cx, script, &cwd, &trusted, &mut strange)?;
    }
    let flow = flow(cx, file, path, sha256, project, cwd, script)?;
    let what = |failure: Failure| failure.context(format!("add the flow {}", flow.name));
    profile::load(cx, store, &flow.cwd, &flow.profile).map_err(what)?;
    if let Some(provider) = &flow.provider {
        Catalogue::of(&cx.home).get(provider).map_err(what)?;
    }
    let mut warnings: Vec<String> = findings.iter().map(ToString::to_string).collect();
    warnings.extend(strange);
    Ok(Read { flow, warnings })
}

fn flow(
    cx: &Context,
    file: FlowFile,
    path: PathBuf,
    sha256: String,
    project: Option<PathBuf>,
    cwd: PathBuf,
    script: Option<Script>,
) -> Result<Flow> {
    let (Some(name), Some(schedule), Some(profile)) = (file.name, file.schedule, file.profile)
    else {
        return Err(Failure::failed("the flow is not whole"));
    };
    let name = name.to_string();
    let short: String = name.chars().take(59).collect();
    let session = file
        .session
        .map_or_else(|| format!("flow-{short}"), |session| session.to_string());
    let plain = |path: &Path| {
        path.to_str()
            .is_some_and(|p| !p.chars().any(char::is_control))
    };
    if !plain(&path) || !plain(&cwd) {
        return Err(Failure::refused(format!(
            "the flow {name} lies in a directory with a name that tmux cannot take"
        )));
    }
    Ok(Flow {
        path,
        sha256,
        project,
        cwd,
        server: cx.tmux.socket().to_path_buf(),
        schedule: schedule.text().to_owned(),
        timezone: file.timezone.unwrap_or_else(clock::system_zone),
        profile: profile.to_string(),
        provider: file.provider,
        session,
        script,
        overlap: file.overlap.unwrap_or(Overlap::Skip),
        catch_up: file.catch_up.unwrap_or(CatchUp::One),
        jitter_ms: file.jitter_ms,
        timeout_ms: file.timeout_ms,
        enabled: true,
        next_slot: None,
        name,
    })
}

/// Reads the file of an accepted flow again, for a run: nothing that was accepted may have changed.
pub(super) fn accepted(store: &mut Store, flow: &Flow) -> Result<Accepted> {
    let again = format!(
        "look at it, then `conductor-hook flow add {}`",
        one_line(&flow.path.to_string_lossy())
    );
    let changed = |what: &str| {
        Failure::refused(format!("its {what} was changed since `flow add`")).hint(again.clone())
    };
    let bytes = bytes(&flow.path, flow_file::MAX_BYTES)?;
    if sha256(&bytes) != flow.sha256 {
        return Err(changed("file"));
    }
    let trusted = Trusted::of(store)?;
    if let Some(root) = &flow.project
        && !trusted.holds(&flow.path, &flow.sha256)
    {
        return Err(origin::untrusted(&flow.path, root));
    }
    let mut program = None;
    let mut files = Vec::new();
    if let Some(script) = &flow.script {
        if let Some(accepted) = &script.sha256 {
            let found = opened(&script.program, MAX_SCRIPT)?;
            if sha256(&found.1) != *accepted {
                return Err(changed("script"));
            }
            program = Some(found);
        }
        for (path, accepted) in &script.files {
            let found = self::bytes(path, MAX_SCRIPT)?;
            if sha256(&found) != *accepted {
                let shown = one_line(&path.to_string_lossy());
                return Err(changed(&format!("script {shown}")));
            }
            files.push((path.clone(), found));
        }
    }
    // These bytes were looked at when they were accepted.
    let document = front_matter::parse(&bytes)
        .map_err(|fault| Failure::failed(format!("read its file: {fault}")))?;
    Ok(Accepted {
        prompt: document.body,
        program,
        files,
    })
}

/// Finds the program of a script: a path, relative to the flow's file; a name beside that file; else a program along `PATH`.
fn script(
    argv: &[String],
    flow: &Path,
    (home, project, trusted): (&Home, Option<&Path>, &Trusted),
    strange: &mut Vec<String>,
) -> Result<Script> {
    let word = argv.first().map_or("", String::as_str);
    let shown = one_line(word);
    let beside = expand(word, flow.parent().unwrap_or(Path::new("/")));
    if !word.contains('/') && !beside.is_file() {
        let program = paths::find_program(word, None).ok_or_else(|| {
            Failure::not_found(format!("find the script {shown}: there is no such program"))
                .hint("give its path, absolute or relative to the flow's file")
        })?;
        return Ok(Script {
            argv: argv.to_vec(),
            program,
            sha256: None,
            files: Vec::new(),
        });
    }
    let program = std::fs::canonicalize(&beside)
        .map_err(|e| Failure::not_found(format!("find the script {shown}: {e}")))?;
    let text = program.to_string_lossy().into_owned();
    if paths::find_program(&text, None).is_none() {
        return Err(
            Failure::refused(format!("the script {shown} cannot be executed"))
                .hint(format!("chmod +x {text}")),
        );
    }
    let bytes = bytes(&program, MAX_SCRIPT)?;
    let hash = sha256(&bytes);
    let own = origin::project_of(home, &beside, &program)?;
    let theirs = own.or_else(|| project.map(Path::to_path_buf));
    if let Some(root) = theirs
        && program.starts_with(&root)
        && !trusted.holds(&program, &hash)
    {
        return Err(origin::untrusted(&program, &root));
    }
    if held::is_copied(&bytes) {
        strange.extend(held::asks_place(&program, &bytes));
    }
    Ok(Script {
        argv: argv.to_vec(),
        program,
        sha256: Some(hash),
        files: Vec::new(),
    })
}

/// The files besides its program that the script runs, as in `python3 check.py`, by what the policy knows of interpreters.
fn interpreted(
    cx: &Context,
    script: &Script,
    cwd: &Path,
    trusted: &Trusted,
    strange: &mut Vec<String>,
) -> Result<Vec<(PathBuf, String)>> {
    let action = Action::Shell {
        command: shell_words::join(&script.argv),
    };
    let call = Call {
        tool: "",
        action: &action,
        cwd,
        start: None,
        profile: "",
        agent_asks: false,
        allows_edits: false,
    };
    policy::judge_call(&cx.home, &call, None)
        .ruling
        .scripts
        .into_iter()
        .filter(|path| *path != script.program)
        .map(|given| {
            let path = std::fs::canonicalize(&given).unwrap_or_else(|_| given.clone());
            let bytes = bytes(&path, MAX_SCRIPT)?;
            let hash = sha256(&bytes);
            if let Some(root) = origin::project_of(&cx.home, &given, &path)?
                && !trusted.holds(&path, &hash)
            {
                return Err(origin::untrusted(&path, &root));
            }
            strange.extend(held::asks_place(&path, &bytes));
            Ok((path, hash))
        })
        .collect()
}

/// Where the agent works: `cwd`, else the project, else where `flow add` is called.
fn directory(file: &FlowFile, path: &Path, project: Option<&Path>) -> Result<PathBuf> {
    let base = project.or_else(|| path.parent()).unwrap_or(Path::new("/"));
    let dir = match &file.cwd {
        Some(cwd) => expand(cwd, base),
        None => match project {
            Some(root) => root.to_path_buf(),
            None => paths::working_directory()?,
        },
    };
    let shown = one_line(&dir.to_string_lossy());
    let dir = std::fs::canonicalize(&dir)
        .map_err(|e| Failure::not_found(format!("use the directory {shown}: {e}")))?;
    if dir.is_dir() {
        Ok(dir)
    } else {
        Err(Failure::usage(format!("{shown} is not a directory")))
    }
}

fn expand(text: &str, base: &Path) -> PathBuf {
    match (text.strip_prefix("~/"), paths::user_home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => base.join(text),
    }
}
