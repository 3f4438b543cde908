//! The tools as agents see them.

use super::tool::{Annotations, ToolDef};
use serde_json::{Value, json};

const READS: Annotations = Annotations {
    read_only: true,
    destructive: false,
    idempotent: true,
    open_world: false,
};
pub(super) const ACTS: Annotations = Annotations {
    read_only: false,
    destructive: false,
    idempotent: false,
    open_world: false,
};

pub(super) fn object(properties: &Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

pub(super) fn result(properties: &Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

fn worker_arguments(more: &Value) -> Value {
    let mut properties = json!({
        "agent_profile": {"type": "string", "description": "Name of the worker's profile; find_profiles lists them.", "minLength": 1, "maxLength": 64},
        "message": {"type": "string", "description": "The task: goal, context, files, how it is checked, what to report. At most 1 MiB: 1,048,576 bytes of UTF-8.", "minLength": 1, "maxLength": 1_048_576},
        "provider": {"type": "string", "description": "The agent program (default: the profile's, else yours)."},
        "model": {"type": "string", "description": "The model (default: the profile's)."},
        "working_directory": {"type": "string", "description": "Where the worker works (default: your directory)."},
        "use_worktree": {"type": "boolean", "default": false, "description": "Give the worker a git worktree and a branch of its own: for workers that change files at the same time. Its commits are on the branch that the result names; merge it."},
        "idempotency_key": {"type": "string", "description": "The same call with the same key returns the same worker's answer, again if need be.", "maxLength": 200},
    });
    if let (Some(all), Some(more)) = (properties.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    properties
}

fn handoff_result() -> Value {
    result(
        &json!({
            "success": {"type": "boolean"},
            "status": {"type": "string", "enum": ["done", "running", "timeout", "error"]},
            "output": {"type": ["string", "null"], "description": "The worker's last answer."},
            "terminal_id": {"type": "string"},
            "handoff_id": {"type": "string"},
            "message": {"type": "string"},
            "worktree": worktree(), "branch": worktree(),
            "more": {"type": "boolean", "description": "The answer was cut; get_output has all of it."},
            "next": {"type": "integer"},
        }),
        &["success", "status", "terminal_id", "handoff_id", "message"],
    )
}

fn approval_result() -> Value {
    result(
        &json!({
            "approval_id": {"type": ["string", "null"]},
            "status": {"type": "string", "enum": ["pending", "approved", "consumed", "denied", "expired", "withdrawn"]},
            "reason": {"type": ["string", "null"]},
        }),
        &["approval_id", "status", "reason"],
    )
}

fn worktree() -> Value {
    json!({"type": ["string", "null"], "description": "Of the worker's own git worktree; null when there is none, or none any more."})
}

fn wait_seconds() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": 3600, "description": "How long this call may take (default: just under what your client allows)."})
}

/// All tools, in the order in which they are listed.
pub(super) fn definitions() -> Vec<ToolDef> {
    let terminal_id = json!({"type": "string", "description": "Id of a terminal; list_terminals lists them.", "minLength": 1});
    vec![
        ToolDef {
            name: "handoff",
            title: "Hand a task to a worker and get its answer",
            description: "Starts a fresh worker with a profile, gives it the task, waits for its answer, returns it and closes the worker. \
                When the answer takes longer than one call may, it returns status running and a handoff_id; the answer then comes exactly \
                once, by wait_handoff or as a message. On timeout or error the worker stays.",
            input_schema: object(
                &worker_arguments(&json!({
                    "timeout": {"type": "integer", "minimum": 1, "maximum": 86_400, "default": 600, "description": "How long the worker may take, in seconds."},
                    "wait_seconds": wait_seconds(),
                })),
                &["agent_profile", "message"],
            ),
            output_schema: handoff_result(),
            annotations: ACTS,
        },
        ToolDef {
            name: "wait_handoff",
            title: "Wait for the answer of a handoff",
            description: "Waits for the answer of a handoff that was still running. Same result as handoff.",
            input_schema: object(
                &json!({"handoff_id": {"type": "string", "minLength": 1, "maxLength": 40}, "wait_seconds": wait_seconds()}),
                &["handoff_id"],
            ),
            output_schema: handoff_result(),
            annotations: Annotations {
                idempotent: true,
                ..ACTS
            },
        },
        ToolDef {
            name: "assign",
            title: "Give a task to a worker and go on",
            description: "Starts a fresh worker with a profile, gives it the task and returns at once. The worker is told to report to you with \
                send_message; it stays until somebody closes it.",
            input_schema: object(&worker_arguments(&json!({})), &["agent_profile", "message"]),
            output_schema: result(
                &json!({"success": {"type": "boolean"}, "terminal_id": {"type": "string"}, "message": {"type": "string"}, "worktree": worktree(), "branch": worktree()}),
                &["success", "terminal_id", "message"],
            ),
            annotations: ACTS,
        },
        ToolDef {
            name: "send_message",
            title: "Send a message to another agent",
            description: "Sends a message to another terminal of your session, to the one that started you, or to the person (receiver_id human). It is \
                delivered when the receiver can take it; it never interrupts. What the person answers comes as a message.",
            input_schema: object(
                &json!({
                    "message": {"type": "string", "minLength": 1, "maxLength": 1_048_576, "description": "The text. At most 1 MiB: 1,048,576 bytes of UTF-8."},
                    "receiver_id": {"type": "string", "description": "Terminal id, or human (default: the terminal that started you)."},
                    "idempotency_key": {"type": "string", "maxLength": 200, "description": "The same key again sends nothing and returns the first message."},
                }),
                &["message"],
            ),
            output_schema: result(
                &json!({"success": {"type": "boolean"}, "message_id": {"type": "string"}, "status": {"type": "string"}}),
                &["success", "message_id", "status"],
            ),
            annotations: ACTS,
        },
        ToolDef {
            name: "read_inbox",
            title: "Read messages for you",
            description: "Reads the messages that wait for you, or one by its id, at most 30,000 characters a call. Call again with \
                the same message_id and offset = next until next is null.",
            input_schema: object(
                &json!({
                    "message_id": {"type": "string", "description": "Number of the message, as in its header."},
                    "offset": {"type": "integer", "minimum": 0, "description": "Where to go on: the last result's next."},
                }),
                &[],
            ),
            output_schema: result(
                &json!({
                    "messages": {"type": "array", "items": {"type": "object"}},
                    "next": {"type": ["integer", "null"], "description": "Where the last message goes on; null when all was read."},
                }),
                &["messages", "next"],
            ),
            annotations: Annotations {
                idempotent: true,
                ..ACTS
            },
        },
        ToolDef {
            name: "request_approval",
            title: "Ask a person for approval",
            description: "Asks a person to approve something before you do it, and waits a while for the decision. Status pending: go on with \
                something else and ask approval_status later. Approved: run exactly this command, once, in your directory. Denied, expired or \
                withdrawn: do not.",
            input_schema: object(
                &json!({
                    "command_text": {"type": "string", "minLength": 1, "maxLength": 262_144, "description": "The exact command, or what you want to do. At most 262,144 bytes of UTF-8."},
                    "reason": {"type": "string", "maxLength": 4_000, "description": "Why you need it; the person sees it as your words."},
                    "supervisor_id": {"type": "string", "description": "The terminal that you do it for, of your session."},
                    "metadata": {"type": "object", "description": "Anything else that the person should see."},
                    "timeout": {"type": "integer", "minimum": 0, "maximum": 3_600, "default": 45, "description": "How long this call waits, in seconds."},
                }),
                &["command_text"],
            ),
            output_schema: approval_result(),
            annotations: ACTS,
        },
        ToolDef {
            name: "approval_status",
            title: "Look at an approval",
            description: "Says what a person decided about a request of yours; waits up to timeout seconds for it.",
            input_schema: object(
                &json!({
                    "approval_id": {"type": "string", "minLength": 1, "maxLength": 20},
                    "timeout": {"type": "integer", "minimum": 0, "maximum": 3_600, "default": 0, "description": "How long this call waits, in seconds."},
                }),
                &["approval_id"],
            ),
            output_schema: approval_result(),
            annotations: READS,
        },
        super::notes::definition(),
        ToolDef {
            name: "list_terminals",
            title: "List the terminals of your session",
            description: "Lists the living terminals of your session with their status and why it is believed.",
            input_schema: object(&json!({}), &[]),
            output_schema: result(
                &json!({"terminals": {"type": "array", "items": {"type": "object"}}}),
                &["terminals"],
            ),
            annotations: READS,
        },
        ToolDef {
            name: "get_output",
            title: "Read what a terminal said",
            description: "Returns a terminal's last answer, its screen, or its scrollback, at most 30,000 characters a call; go on with offset = next.",
            input_schema: object(
                &json!({
                    "terminal_id": terminal_id,
                    "mode": {"type": "string", "enum": ["last", "full", "screen"], "default": "last"},
                    "offset": {"type": "integer", "minimum": 0},
                }),
                &["terminal_id"],
            ),
            output_schema: result(
                &json!({"terminal_id": {"type": "string"}, "output": {"type": "string"}, "next": {"type": ["integer", "null"]}}),
                &["terminal_id", "output", "next"],
            ),
            annotations: READS,
        },
        ToolDef {
            name: "wait",
            title: "Wait for terminals",
            description: "Waits until terminals of your session are in one of the given states (default: idle, error or exited). One with a message on its way to it is not idle yet.",
            input_schema: object(
                &json!({
                    "terminal_ids": {"type": "array", "items": {"type": "string"}},
                    "for": {"type": "array", "items": {"type": "string", "enum": ["starting", "idle", "working", "waiting", "parked", "error", "exited", "unknown"]}},
                    "any": {"type": "boolean", "default": false, "description": "One of them is enough."},
                    "timeout": {"type": "integer", "minimum": 0, "maximum": 3600, "default": 45, "description": "In seconds."},
                }),
                &["terminal_ids"],
            ),
            output_schema: result(
                &json!({"reached": {"type": "boolean"}, "terminals": {"type": "array", "items": {"type": "object"}}}),
                &["reached", "terminals"],
            ),
            annotations: READS,
        },
        ToolDef {
            name: "close_terminal",
            title: "Close a worker",
            description: "Ends a worker of your session and its pane. What it has not saved is lost; a git worktree of its own stays while work in it is not merged.",
            input_schema: object(&json!({"terminal_id": terminal_id}), &["terminal_id"]),
            output_schema: result(
                &json!({
                    "success": {"type": "boolean"}, "terminal_id": {"type": "string"}, "status": {"type": "string"},
                    "worktree": worktree(), "branch": worktree(), "message": {"type": "string"},
                }),
                &["success", "terminal_id", "status"],
            ),
            annotations: Annotations {
                destructive: true,
                idempotent: true,
                ..ACTS
            },
        },
        ToolDef {
            name: "find_profiles",
            title: "Find profiles for workers",
            description: "Lists the profiles that workers can be started with, or finds some by words.",
            input_schema: object(&json!({"query": {"type": "string", "maxLength": 500}}), &[]),
            output_schema: result(
                &json!({"profiles": {"type": "array", "items": {"type": "object"}}}),
                &["profiles"],
            ),
            annotations: READS,
        },
    ]
}
