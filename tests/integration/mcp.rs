//! The MCP tools, called by a demo agent as a real one calls them, and by hand from its process tree.

use crate::support::{BINARY, Process, World, eventually, quote, text};
use serde_json::{Value, json};
use std::fs;

pub(crate) fn call(id: u32, tool: &str, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

pub(crate) fn opening() -> Vec<Value> {
    vec![
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params":
            {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
    ]
}

pub(crate) fn lines(messages: &[Value]) -> String {
    messages
        .iter()
        .map(|message| format!("{message}\n"))
        .collect()
}

/// The answers on a server's output, by id.
pub(crate) fn answer(out: &str, id: u32) -> Value {
    out.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|message| message["id"] == id)
        .unwrap_or_else(|| panic!("no answer to {id}: {out}"))
}

fn living_agents(world: &World) -> Vec<Process> {
    world
        .processes()
        .into_iter()
        .filter(|p| p.command.starts_with("conductor-demo"))
        .collect()
}

/// Runs an MCP server in the agent's process tree: `first`, then `more` after half a second, until `answers` calls are answered.
pub(crate) fn by_hand(
    world: &World,
    agent: &str,
    first: &[Value],
    more: &[Value],
    answers: usize,
) -> String {
    let mut messages = opening();
    messages.extend_from_slice(first);
    let one = world.write("first.jsonl", lines(&messages));
    let two = world.write("more.jsonl", lines(more));
    let out = world.at("answers.jsonl");
    fs::write(&out, "").unwrap();
    let script = format!(
        "( cat {one}; sleep 0.5; cat {two}; n=0\n  while [ $(grep -c '\"id\":[2-9]' {out}) -lt {answers} ] && [ $n -lt 200 ]; do sleep 0.1; n=$((n+1)); done\n) | {BINARY} mcp >{out}",
        one = one.display(),
        two = two.display(),
        out = out.display(),
    );
    world.shell(agent, &script).ok();
    fs::read_to_string(out).unwrap()
}

#[test]
fn a_handoff_returns_the_answer_and_closes_the_worker() {
    let world = World::new();
    let supervisor = world.agent();
    let result = world
        .mcp(
            &supervisor,
            "handoff",
            &json!({"agent_profile": "developer", "message": "SAY the answer\nSAY in two lines"}),
        )
        .unwrap();
    assert_eq!(
        (&result["success"], &result["status"]),
        (&true.into(), &"done".into()),
        "{result}"
    );
    assert_eq!(result["output"], "the answer\nin two lines");
    let worker = text(&result["terminal_id"]);
    let status = world.status(&worker);
    assert_eq!(
        (
            &status["status"],
            &status["status_reason"],
            &status["profile"]
        ),
        (&"exited".into(), &"closed".into(), &"developer".into())
    );
    assert_eq!(status["caller"], supervisor.as_str());
    assert!(
        world
            .at(&format!("state/logs/terminal/{worker}.log"))
            .exists()
    );
    eventually("only the supervisor is left", || {
        (living_agents(&world).len() == 1 && world.helpers().is_empty()).then_some(())
    });
    assert!(
        world
            .processes()
            .iter()
            .filter(|p| p.command == "cat")
            .count()
            == 1,
        "one cat a logged pane: {:?}",
        world.processes()
    );
}

#[test]
fn a_worker_that_crashes_is_an_error() {
    let world = World::new();
    let supervisor = world.agent();
    let result = world
        .mcp(
            &supervisor,
            "handoff",
            &json!({"agent_profile": "developer", "message": "SLEEP 0.3\nCRASH"}),
        )
        .unwrap();
    assert_eq!(
        (&result["success"], &result["status"]),
        (&false.into(), &"error".into()),
        "{result}"
    );
    assert!(text(&result["output"]).contains("ended"), "{result}");
    assert_eq!(
        world.status(&text(&result["terminal_id"]))["status"],
        "exited"
    );
}

#[test]
fn a_worker_whose_turn_fails_is_an_error_and_stays() {
    let world = World::new();
    let supervisor = world.agent();
    let result = world
        .mcp(
            &supervisor,
            "handoff",
            &json!({"agent_profile": "developer", "message": "ERROR bad luck"}),
        )
        .unwrap();
    assert_eq!(
        (&result["success"], &result["status"]),
        (&false.into(), &"error".into()),
        "{result}"
    );
    assert!(text(&result["output"]).contains("bad luck"), "{result}");
    assert_eq!(
        world.status(&text(&result["terminal_id"]))["status"],
        "error"
    );
}

#[test]
fn a_worker_that_takes_too_long_stays() {
    let world = World::new();
    let supervisor = world.agent();
    let result = world
        .mcp(
            &supervisor,
            "handoff",
            &json!({"agent_profile": "developer", "message": "SLEEP 30", "timeout": 1}),
        )
        .unwrap();
    assert_eq!(
        (&result["success"], &result["status"]),
        (&false.into(), &"timeout".into()),
        "{result}"
    );
    assert_eq!(
        world.status(&text(&result["terminal_id"]))["status"],
        "working"
    );
}

#[test]
fn an_answer_that_is_waited_for_comes_once() {
    let world = World::new();
    let supervisor = world.agent();
    let running = world
        .mcp(&supervisor, "handoff", &json!({"agent_profile": "developer", "message": "SLEEP 1.5\nSAY late", "wait_seconds": 1}))
        .unwrap();
    assert_eq!(
        (&running["success"], &running["status"], &running["output"]),
        (&false.into(), &"running".into(), &Value::Null)
    );
    let handoff = json!({"handoff_id": running["handoff_id"]});
    let done = world.mcp(&supervisor, "wait_handoff", &handoff).unwrap();
    assert_eq!(
        (&done["status"], &done["output"]),
        (&"done".into(), &"late".into()),
        "{done}"
    );
    let again = world.mcp(&supervisor, "wait_handoff", &handoff).unwrap();
    assert_eq!(
        (&again["status"], &again["output"]),
        (&"done".into(), &Value::Null),
        "given once: {again}"
    );
    assert_eq!(
        world
            .run(["inbox", &supervisor])
            .json()
            .as_array()
            .unwrap()
            .len(),
        3,
        "only our own prompts"
    );
    let stranger = world.launch_as("other", &[]).supervisor;
    world.mcp(&stranger, "wait_handoff", &handoff).unwrap_err();
    world
        .mcp(
            &stranger,
            "wait_handoff",
            &json!({"handoff_id": "h-nothing"}),
        )
        .unwrap_err();
}

#[test]
fn an_answer_that_nobody_waits_for_comes_by_the_inbox_once() {
    let world = World::new();
    let supervisor = world.agent();
    let running = world
        .mcp(&supervisor, "handoff", &json!({"agent_profile": "developer", "message": "SLEEP 1\nSAY by mail", "wait_seconds": 0}))
        .unwrap();
    assert_eq!(running["status"], "running", "{running}");
    let mail = eventually("the answer came as a message", || {
        let all = world
            .run(["inbox", &supervisor, "--status", "submitted"])
            .json();
        all.as_array()
            .unwrap()
            .iter()
            .find(|m| m["sender"] == running["terminal_id"])
            .cloned()
    });
    assert!(text(&mail["body"]).ends_with("\nby mail"), "{mail}");
    world.wait(&supervisor, "idle");
    let again = world
        .mcp(
            &supervisor,
            "wait_handoff",
            &json!({"handoff_id": running["handoff_id"]}),
        )
        .unwrap();
    assert_eq!(again["output"], Value::Null, "given before: {again}");
    world.wait(&text(&running["terminal_id"]), "exited");
    let heard: Vec<String> = world
        .logged(&supervisor, &["context", "prompt"])
        .into_iter()
        .filter(|t| t.contains("by mail") && t.contains("Answer to handoff"))
        .collect();
    assert_eq!(heard.len(), 1, "{heard:?}");
}

#[test]
fn the_same_call_again_joins_the_worker_that_is_at_it() {
    let world = World::new();
    let supervisor = world.agent();
    let mut arguments =
        json!({"agent_profile": "developer", "message": "SLEEP 2\nSAY joined", "wait_seconds": 0});
    let running = world.mcp(&supervisor, "handoff", &arguments).unwrap();
    arguments["wait_seconds"] = 20.into();
    let done = world.mcp(&supervisor, "handoff", &arguments).unwrap();
    assert_eq!(
        (&done["handoff_id"], &done["terminal_id"]),
        (&running["handoff_id"], &running["terminal_id"])
    );
    assert_eq!(
        (&done["status"], &done["output"]),
        (&"done".into(), &"joined".into())
    );
    let fresh = world.mcp(&supervisor, "handoff", &arguments).unwrap();
    assert_ne!(
        fresh["terminal_id"], running["terminal_id"],
        "after the answer was given, the same call starts anew"
    );
}

#[test]
fn identical_calls_at_once_start_a_worker_each() {
    let world = World::new();
    let supervisor = world.agent();
    let arguments = json!({"agent_profile": "developer", "message": "SLEEP 1\nSAY twin"});
    let calls = [
        call(2, "handoff", &arguments),
        call(3, "handoff", &arguments),
    ];
    let out = by_hand(&world, &supervisor, &calls, &[], 2);
    let workers: Vec<Value> = [2, 3]
        .map(|id| {
            let result = answer(&out, id)["result"]["structuredContent"].clone();
            assert_eq!(result["output"], "twin", "{result}");
            result["terminal_id"].clone()
        })
        .to_vec();
    assert_ne!(workers[0], workers[1]);
}

#[test]
fn a_cancelled_call_ends_the_wait_and_the_answer_goes_to_the_inbox() {
    let world = World::new();
    let supervisor = world.agent();
    let arguments = json!({"agent_profile": "developer", "message": "SLEEP 2\nSAY uncancelled"});
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2, "reason": "esc"}});
    let ping = json!({"jsonrpc": "2.0", "id": 3, "method": "ping"});
    let out = by_hand(
        &world,
        &supervisor,
        &[call(2, "handoff", &arguments)],
        &[cancel, ping],
        1,
    );
    assert!(
        !out.contains("uncancelled") && !out.lines().any(|line| line.contains("\"id\":2,")),
        "{out}"
    );
    let mail = eventually("the answer came as a message", || {
        let all = world
            .run(["inbox", &supervisor, "--status", "submitted"])
            .json();
        all.as_array()
            .unwrap()
            .iter()
            .find(|m| text(&m["body"]).ends_with("\nuncancelled"))
            .cloned()
    });
    assert_eq!(
        world.status(&text(&mail["sender"]))["caller"],
        supervisor.as_str()
    );
}

#[test]
fn an_assigned_worker_reports_to_its_busy_supervisor() {
    let world = World::new();
    let supervisor = world.agent();
    let report = json!({"message": "SAY reported"});
    let assign =
        json!({"agent_profile": "reviewer", "message": format!("MCP send_message {report}")});
    let answer = world.ask(&supervisor, &format!("MCP assign {assign}\nSLEEP 2"));
    assert_eq!(
        answer, "reported",
        "the report was the last thing that the supervisor acted on"
    );
    let all = world.run(["inbox", &supervisor]).json();
    let report = &all[0];
    let worker = text(&report["sender"]);
    assert_eq!(
        (&report["body"], &report["transport"], &report["status"]),
        (
            &"SAY reported".into(),
            &"stop_hook".into(),
            &"submitted".into()
        ),
        "{report}"
    );
    assert_eq!(world.status(&worker)["profile"], "reviewer");
    world.wait(&worker, "idle");
    let task = &world.run(["inbox", &worker]).json()[0];
    assert!(
        text(&task["body"]).contains(&format!("receiver_id \"{supervisor}\"")),
        "the worker is told who to report to: {task}"
    );
}

#[test]
fn messages_stay_in_the_session_and_do_not_go_to_oneself() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let other = world.launch_as("other", &[]).supervisor;
    let send = |from: &str, to: Option<&str>| {
        let mut arguments = json!({"message": "SAY hi", "idempotency_key": "once"});
        if let Some(to) = to {
            arguments["receiver_id"] = to.into();
        }
        world.mcp(from, "send_message", &arguments)
    };
    let worker = &team.workers[0];
    assert!(send(worker, Some(worker)).unwrap_err().contains("oneself"));
    assert!(
        send(worker, Some(&other))
            .unwrap_err()
            .contains("not in your session")
    );
    assert!(
        send(&team.supervisor, None)
            .unwrap_err()
            .contains("nobody started you")
    );
    let first = send(worker, None).unwrap();
    assert_eq!(first["success"], true);
    assert_eq!(
        send(worker, None).unwrap()["message_id"],
        first["message_id"],
        "the same key sends nothing"
    );
    let message = world.message_becomes(&text(&first["message_id"]), "submitted");
    assert_eq!(
        (&message["sender"], &message["receiver"]),
        (&worker.as_str().into(), &team.supervisor.as_str().into())
    );
}

#[test]
fn a_long_message_is_read_in_pages() {
    let world = World::new();
    let id = world.agent();
    let go = world.at("go");
    let read = |offset: u32| {
        format!(
            "MCP read_inbox {}",
            json!({"message_id": "2", "offset": offset})
        )
    };
    let prompt = format!(
        "RUN while [ ! -e {} ]; do sleep 0.05; done\n{}\nRUN {BINARY} inbox show 2 --json\n{}\n{}\n{}",
        go.display(),
        read(60_000),
        read(0),
        read(30_000),
        read(60_000)
    );
    world
        .run(["send", &id, "--wait", "20", "-m", "-"])
        .stdin(prompt)
        .ok();
    world.approve_next(&id);
    let body: String = (0..70_000)
        .map(|n| char::from(b'a' + u8::try_from(n % 26).unwrap()))
        .collect();
    let sent = world.send(&id, &body);
    assert_eq!(
        (&sent["id"], &sent["status"]),
        (&"2".into(), &"queued".into())
    );
    fs::write(go, "").unwrap();
    world.wait_and_approve(&id);
    let said = text(&world.run(["output", &id]).json()["output"]);
    let pages: Vec<Value> = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    assert_eq!(
        pages.len(),
        5,
        "{}",
        said.chars().take(2000).collect::<String>()
    );
    assert_eq!(
        pages[1]["status"], "queued",
        "a jump to the end proves nothing"
    );
    let nexts: Vec<&Value> = [0, 2, 3, 4].map(|n| &pages[n]["next"]).to_vec();
    assert_eq!(
        nexts,
        [&Value::Null, &30_000.into(), &60_000.into(), &Value::Null]
    );
    let whole: String = [2, 3, 4]
        .map(|n| text(&pages[n]["messages"][0]["body"]))
        .concat();
    assert_eq!(whole, body);
    let message = world.message("2");
    assert_eq!(
        (&message["status"], &message["transport"]),
        (&"submitted".into(), &"mcp_read".into()),
        "{}",
        message["tries"]
    );
}

#[test]
fn the_tools_that_look_see_the_own_session_only() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let other = world.launch_as("other", &[]).supervisor;
    let (supervisor, worker) = (&team.supervisor, &team.workers[0]);
    let mcp = |tool: &str, arguments: Value| world.mcp(supervisor, tool, &arguments);
    let listed = mcp("list_terminals", json!({})).unwrap();
    let ids: Vec<String> = listed["terminals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| text(&t["terminal_id"]))
        .collect();
    assert_eq!(ids, [supervisor.clone(), worker.clone()]);
    world.ask(worker, "SAY so");
    assert_eq!(
        mcp("get_output", json!({"terminal_id": worker})).unwrap()["output"],
        "so"
    );
    assert!(
        text(
            &mcp(
                "get_output",
                json!({"terminal_id": worker, "mode": "screen"})
            )
            .unwrap()["output"]
        )
        .contains("demo>")
    );
    mcp("get_output", json!({"terminal_id": other})).unwrap_err();
    let waited = mcp("wait", json!({"terminal_ids": [worker], "timeout": 5})).unwrap();
    assert_eq!(waited["reached"], true, "{waited}");
    let late = mcp(
        "wait",
        json!({"terminal_ids": [worker], "for": ["error"], "timeout": 0}),
    )
    .unwrap();
    assert_eq!(late["reached"], false, "{late}");
    mcp("wait", json!({"terminal_ids": [other]})).unwrap_err();
    mcp("wait", json!({"terminal_ids": [supervisor]})).unwrap_err();
    let found = mcp("find_profiles", json!({"query": "review"})).unwrap();
    assert!(
        found["profiles"]
            .as_array()
            .unwrap()
            .iter()
            .any(|p| p["name"] == "reviewer"),
        "{found}"
    );
    assert!(
        mcp("find_profiles", json!({})).unwrap()["profiles"]
            .as_array()
            .unwrap()
            .len()
            >= 5
    );
    mcp("close_terminal", json!({"terminal_id": supervisor})).unwrap_err();
    mcp("close_terminal", json!({"terminal_id": other})).unwrap_err();
    let closed = mcp("close_terminal", json!({"terminal_id": worker})).unwrap();
    assert_eq!(
        (&closed["success"], &closed["status"]),
        (&true.into(), &"exited".into())
    );
    assert_eq!(world.status(&other)["status"], "idle");
}

#[test]
fn what_cannot_be_started_is_an_error_with_a_hint() {
    let world = World::new();
    let id = world.agent();
    for (arguments, why) in [
        (json!({"agent_profile": "nobody", "message": "x"}), "nobody"),
        (
            json!({"agent_profile": "../developer", "message": "x"}),
            "profile",
        ),
        (
            json!({"agent_profile": "developer", "message": "x", "provider": "warp"}),
            "warp",
        ),
        (
            json!({"agent_profile": "developer", "message": "x", "working_directory": "/nowhere"}),
            "/nowhere",
        ),
        (
            json!({"agent_profile": "developer", "message": "  "}),
            "empty",
        ),
        (json!({"agent_profile": "developer"}), "message"),
    ] {
        let error = world.mcp(&id, "handoff", &arguments).unwrap_err();
        assert!(error.contains(why), "{arguments}: {error}");
    }
    let session = &world.run(["sessions"]).json()[0];
    assert_eq!(
        session["terminals"].as_array().unwrap().len(),
        1,
        "nothing was started: {session}"
    );
}

#[test]
fn outside_a_terminal_the_server_speaks_and_its_tools_refuse() {
    let world = World::without_tmux_server();
    world.run(["init"]).ok();
    let mut messages = opening();
    messages.push(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}));
    messages.push(call(3, "list_terminals", &json!({})));
    messages.push(call(
        4,
        "handoff",
        &json!({"agent_profile": "developer", "message": "x"}),
    ));
    messages.push(json!({"jsonrpc": "2.0", "id": 5, "method": "nonsense"}));
    messages.push(call(6, "no_such_tool", &json!({})));
    // The client stays until it has its answers.
    let feed = world.write("feed", lines(&messages));
    let done = world.run_shell(&format!(
        "(cat {}; sleep 1; echo not json) | {} mcp",
        quote(&feed.to_string_lossy()),
        quote(BINARY)
    ));
    let out = done.ok();
    assert_eq!(answer(&out, 1)["result"]["serverInfo"]["name"], "conductor");
    assert_eq!(answer(&out, 1)["result"]["protocolVersion"], "2025-06-18");
    let tools = answer(&out, 2)["result"]["tools"].clone();
    let names: Vec<String> = tools
        .as_array()
        .unwrap()
        .iter()
        .map(|t| text(&t["name"]))
        .collect();
    for wanted in [
        "handoff",
        "wait_handoff",
        "assign",
        "send_message",
        "read_inbox",
        "list_terminals",
        "get_output",
        "wait",
        "close_terminal",
        "find_profiles",
    ] {
        assert!(
            names.iter().any(|name| name == wanted),
            "{wanted} is missing: {names:?}"
        );
    }
    for id in [3, 4] {
        let result = answer(&out, id)["result"].clone();
        assert_eq!(result["isError"], true, "{result}");
        let said = text(&result["content"][0]["text"]);
        assert!(
            said.contains("does not run inside a terminal") && said.contains("launch"),
            "{said}"
        );
    }
    assert_eq!(answer(&out, 5)["error"]["code"], -32_601);
    assert!(answer(&out, 6)["error"].is_object() || answer(&out, 6)["result"]["isError"] == true);
    assert!(out.lines().any(|line| line.contains("-32700")), "{out}");
}
