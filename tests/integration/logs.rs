//! `logs -f` from the outside.

use crate::support::World;

#[test]
fn a_log_is_followed_to_its_end() {
    let world = World::new();
    let id = world.agent();
    let follow = ["logs", &id, "-f"];
    let text = world.run(follow).start();
    let document = world.run(follow).arg("--json").start();
    let answer = "the answer is 4711";
    world.ask(&id, "RUN printf 'the ''answer is'' %s\\n' 4711");
    world.run(["close", &id]).ok();
    let said = text.done().ok();
    assert_eq!(said.matches(answer).count(), 1, "{said}");
    let safe = |c: char| c == '\n' || c == '\t' || !c.is_control();
    assert!(said.chars().all(safe), "{said:?}");
    let document = document.done().json();
    let output = document["output"].as_str().unwrap();
    assert_eq!(output.matches(answer).count(), 1, "{document}");
}
