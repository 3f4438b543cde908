//! The key `s`: which profile, which agent program, where.

use super::{Item, offset, pages, room, show, walk};
use crate::cli;
use crate::commands::{Door, agents};
use crate::domain::ids::Name;
use crate::domain::note::excerpt;
use crate::domain::terminal::Role;
use crate::error::{Failure, Result};
use crate::services::find;
use crate::services::launch::{self, Wish};
use crate::services::spawn as service;
use crate::tmux::Viewer;
use std::path::PathBuf;

/// The profile of the shortest way.
const PROFILE: &str = "developer";

/// The word for the agent program that is taken where none is named; no name begins with a dot.
const USUAL: &str = ".";

/// `menu spawn CLIENT [PROFILE [PROGRAM [PLACE]]]`; each word that is left out is asked for.
pub(super) fn spawn(door: &mut Door<'_>, viewer: &Viewer, words: &[String]) -> Result<()> {
    let given: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with('+'))
        .collect();
    let tmux = &door.cx.tmux;
    let here = tmux.of_client(&viewer.name, "#{session_name}")?;
    let session = here.as_deref().unwrap_or_default();
    let cwd = match tmux.pane_of(&viewer.name)? {
        Some(pane) => tmux.directory_of(pane)?,
        None => PathBuf::new(),
    };
    let cwd = if cwd.as_os_str().is_empty() {
        crate::paths::working_directory()?
    } else {
        cwd
    };
    let name = |word: &str| Name::parse(word).map_err(find::invalid);
    match given[..] {
        [] => {
            let items = profiles(service::profiles(&door.cx, &cwd)?);
            let entries = pages(&items, offset(words), room(viewer, "spawn")?, "spawn");
            show(door, viewer, "Spawn an agent", &entries)
        }
        [profile] => {
            let mut store = door.cx.store()?;
            let profile = name(profile)?;
            let found = service::programs(&door.cx, &mut store, session, &profile, &cwd)?;
            let items = programs(&profile, &found);
            let menu = format!("spawn {profile}");
            let entries = pages(&items, offset(words), room(viewer, "spawn")?, &menu);
            show(
                door,
                viewer,
                &format!("Spawn {profile}: on what?"),
                &entries,
            )
        }
        [profile, program] => {
            let profile = name(profile)?;
            if program != USUAL {
                name(program)?;
            }
            let title = format!("Spawn {profile}: where?");
            let entries = pages(
                &places(&profile, program),
                0,
                room(viewer, "spawn")?,
                "spawn",
            );
            show(door, viewer, &title, &entries)
        }
        [profile, program, place, ..] => {
            let wish = Wish {
                profile: Some(profile.to_owned()),
                provider: (program != USUAL).then(|| program.to_owned()),
                cwd: Some(cwd),
                ..Wish::default()
            };
            start(door, viewer, session, wish, place)
        }
    }
}

fn profiles(found: Vec<service::Choice>) -> Vec<Item> {
    let usual = found.iter().any(|choice| choice.name.as_str() == PROFILE);
    let shortest = usual.then(|| {
        let text = format!("{PROFILE}, as usual, in a new window");
        Item::new(&text, &format!("spawn {PROFILE} {USUAL} window")).with_key('s')
    });
    let each = found.into_iter().map(|choice| {
        let about = excerpt(&choice.about, 50);
        let text = format!("{}: {about}", choice.name);
        let text = text.trim_end_matches([':', ' ']);
        Item::new(text, &format!("spawn {}", choice.name))
    });
    shortest.into_iter().chain(each).collect()
}

fn programs(profile: &Name, found: &[service::Program]) -> Vec<Item> {
    let of = |program: &service::Program| {
        let usual = if program.usual { " (as usual)" } else { "" };
        match &program.problem {
            Some(problem) => Item::words(problem),
            None => Item::new(
                &format!("{}{usual}", program.title),
                &format!("spawn {profile} {}", program.name),
            ),
        }
    };
    found.iter().map(of).collect()
}

fn places(profile: &Name, program: &str) -> Vec<Item> {
    [
        ("In a new window", "window", 'w'),
        ("Right of this pane", "right", 'r'),
        ("Below this pane", "below", 'b'),
        ("In a new session", "session", 'n'),
    ]
    .map(|(text, place, key)| {
        Item::new(text, &format!("spawn {profile} {program} {place}")).with_key(key)
    })
    .into()
}

/// Starts the agent in the directory of the pane that the client shows. The person stays, but for a new session.
fn start(
    door: &mut Door<'_>,
    viewer: &Viewer,
    session: &str,
    wish: Wish,
    place: &str,
) -> Result<()> {
    let split = match place {
        "window" | "session" => None,
        "right" => Some(cli::Split::H),
        "below" => Some(cli::Split::V),
        _ => return Err(Failure::usage("there is no such place")),
    };
    let cx = door.cx.clone();
    let mut store = cx.store()?;
    let id = if place == "session" {
        let plan = launch::plan(&cx, &mut store, &wish, PROFILE, Role::Supervisor)?;
        let (_, ids) = launch::session(&cx, &mut store, None, &[plan])?;
        ids.into_iter().next()
    } else {
        Some(agents::start_worker(
            &cx, &mut store, session, wish, "worker", split,
        )?)
    };
    let id = id.ok_or_else(|| Failure::failed("no agent was started"))?;
    let started = store.read(|tx| tx.terminal(&id))?;
    let started = started.ok_or_else(|| Failure::failed(format!("agent {id} is gone again")))?;
    if place == "session" {
        walk::go(door, viewer, &started)?;
    }
    let text = format!(
        "{} is started on {}",
        started.display_name(),
        started.provider
    );
    Ok(cx.tmux.tell(&viewer.name, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tmux::prompt::Entry;

    fn program(name: &str, usual: bool, problem: Option<&str>) -> service::Program {
        service::Program {
            name: Name::parse(name).unwrap(),
            title: name.to_uppercase(),
            usual,
            problem: problem.map(str::to_owned),
        }
    }

    #[test]
    fn the_shortest_way_is_one_key() {
        let choice = |name: &str, about: &str| service::Choice {
            name: Name::parse(name).unwrap(),
            about: about.to_owned(),
        };
        let items = profiles(vec![choice("developer", "Writes code."), choice("x", "")]);
        let entries = pages(&items, 0, 20, "spawn");
        assert_eq!(
            entries,
            [
                Entry::new(
                    "developer, as usual, in a new window",
                    "spawn developer . window"
                )
                .with_key('s'),
                Entry::new("developer: Writes code.", "spawn developer").with_key('a'),
                Entry::new("x", "spawn x").with_key('b'),
            ]
        );
        assert_eq!(profiles(vec![choice("x", "")]).len(), 1);
    }

    #[test]
    fn what_is_not_installed_says_why() {
        let found = [
            program("demo", true, None),
            program("codex", false, Some("CODEX is not installed")),
        ];
        let items = programs(&Name::parse("developer").unwrap(), &found);
        assert_eq!(
            pages(&items, 0, 20, "spawn developer"),
            [
                Entry::new("DEMO (as usual)", "spawn developer demo").with_key('a'),
                Entry::Words("CODEX is not installed".into()),
            ]
        );
    }
}
