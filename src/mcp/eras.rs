//! The revisions of the protocol, and what a result looks like in each.
//!
//! Four revisions open with `initialize` and then hold for the process. In 2026-07-28 each request carries its revision in
//! `_meta`, nothing is remembered between requests, and results say more about themselves.

use super::protocol::{Id, RpcError};
use super::tool::{ToolDef, ToolResult};
use serde_json::{Map, Value, json};

/// The name that the server goes by.
const SERVER_NAME: &str = "conductor";

/// Where a request carries its revision.
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Where a request says what its client can do; required with the revision.
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Where a result says who the server is.
const META_SERVER: &str = "io.modelcontextprotocol/serverInfo";
/// Where a notification says which subscription it belongs to.
const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// The revisions that a request can carry.
const PER_REQUEST: [&str; 1] = ["2026-07-28"];

/// How long a client may keep the list of tools, which is fixed in the program.
const KEEP_MS: u32 = 3_600_000;

/// A published revision, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Era {
    /// 2024-11-05: text results only.
    V2024_11_05,
    /// 2025-03-26: batches, annotations, progress messages.
    V2025_03_26,
    /// 2025-06-18: structured results and titles; no batches.
    V2025_06_18,
    /// 2025-11-25: the last that opens with `initialize`.
    V2025_11_25,
    /// 2026-07-28: each request stands alone.
    V2026_07_28,
}

impl Era {
    /// The revision that `initialize` settles on: the one asked for, else our newest that has `initialize`.
    pub(super) fn negotiate(requested: &str) -> Self {
        match requested {
            "2024-11-05" => Self::V2024_11_05,
            "2025-03-26" => Self::V2025_03_26,
            "2025-06-18" => Self::V2025_06_18,
            _ => Self::V2025_11_25,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Whether each request stands alone.
    pub(super) fn is_modern(self) -> bool {
        self == Self::V2026_07_28
    }

    /// Whether one line may hold several messages.
    pub(super) fn has_batches(self) -> bool {
        self == Self::V2025_03_26
    }

    /// Whether an error to what could not be read has no id; it is null in the others.
    pub(super) fn leaves_out_ids(self) -> bool {
        self >= Self::V2025_11_25
    }

    fn has_structured_content(self) -> bool {
        self >= Self::V2025_06_18
    }

    /// The answer to `initialize`.
    pub(super) fn initialize(
        self,
        version: &str,
        instructions: &str,
        note: Option<&str>,
    ) -> Map<String, Value> {
        object(json!({
            "protocolVersion": self.as_str(),
            "capabilities": capabilities(note),
            "serverInfo": server_info(version),
            "instructions": instructions,
        }))
    }

    /// An empty answer.
    pub(super) fn empty(self, version: &str) -> Map<String, Value> {
        self.complete(Map::new(), version)
    }

    /// The answer to `server/discover`.
    pub(super) fn discover(
        self,
        version: &str,
        instructions: &str,
        note: Option<&str>,
    ) -> Map<String, Value> {
        let body = json!({
            "supportedVersions": PER_REQUEST,
            "capabilities": capabilities(note),
            "instructions": instructions,
        });
        self.complete(self.cacheable(object(body)), version)
    }

    /// The answer to `prompts/list`: the note, as a prompt of that name.
    pub(super) fn prompt_list(self, note: &str, version: &str) -> Map<String, Value> {
        let prompts = json!({"prompts": [{"name": SERVER_NAME, "description": note}]});
        self.complete(self.cacheable(object(prompts)), version)
    }

    /// The answer to `prompts/get`.
    pub(super) fn prompt(self, note: &str, version: &str) -> Map<String, Value> {
        let message = json!({"role": "user", "content": {"type": "text", "text": note}});
        let body = json!({"description": note, "messages": [message]});
        self.complete(object(body), version)
    }

    /// The answer to `tools/list`.
    pub(super) fn tool_list(self, tools: &[ToolDef], version: &str) -> Map<String, Value> {
        let tools: Vec<Value> = tools.iter().map(|tool| self.tool(tool)).collect();
        self.complete(self.cacheable(object(json!({"tools": tools}))), version)
    }

    fn tool(self, tool: &ToolDef) -> Value {
        let mut body = Map::new();
        body.insert("name".into(), tool.name.into());
        if self >= Self::V2025_06_18 {
            body.insert("title".into(), tool.title.into());
        }
        body.insert("description".into(), tool.description.into());
        body.insert("inputSchema".into(), tool.input_schema.clone());
        if self.has_structured_content() {
            body.insert("outputSchema".into(), tool.output_schema.clone());
        }
        if self >= Self::V2025_03_26 {
            let mut hints = object(json!({
                "readOnlyHint": tool.annotations.read_only,
                "destructiveHint": tool.annotations.destructive,
                "idempotentHint": tool.annotations.idempotent,
                "openWorldHint": tool.annotations.open_world,
            }));
            if self == Self::V2025_03_26 {
                hints.insert("title".into(), tool.title.into());
            }
            body.insert("annotations".into(), hints.into());
        }
        body.into()
    }

    /// The answer to `tools/call`.
    pub(super) fn tool_result(self, result: &ToolResult, version: &str) -> Map<String, Value> {
        let body = match result {
            ToolResult::Ok(value) => {
                let mut body = text(&value.to_string(), false);
                if self.has_structured_content() && value.is_object() {
                    body.insert("structuredContent".into(), value.clone());
                }
                body
            }
            ToolResult::Error { message, hint } => text(&format!("{message}\n{hint}"), true),
        };
        self.complete(body, version)
    }

    /// The parameters of `notifications/progress`.
    pub(super) fn progress(self, token: &Id, progress: f64, message: &str) -> Value {
        let mut params = object(json!({"progressToken": token.to_value(), "progress": progress}));
        if self >= Self::V2025_03_26 {
            params.insert("message".into(), message.into());
        }
        params.into()
    }

    fn cacheable(self, mut body: Map<String, Value>) -> Map<String, Value> {
        if self.is_modern() {
            body.insert("ttlMs".into(), KEEP_MS.into());
            body.insert("cacheScope".into(), "private".into());
        }
        body
    }

    /// What every result carries.
    fn complete(self, mut body: Map<String, Value>, version: &str) -> Map<String, Value> {
        if self.is_modern() {
            body.insert("resultType".into(), "complete".into());
            body.insert("_meta".into(), json!({META_SERVER: server_info(version)}));
        }
        body
    }
}

/// The parameters of the notification that accepts subscription `id`; nothing here ever changes, so it promises nothing.
pub(super) fn subscription_accepted(id: &Id) -> Value {
    json!({"_meta": {META_SUBSCRIPTION: id.to_value()}, "notifications": {}})
}

/// Whether a request carries a revision of its own; else it belongs to an earlier `initialize`.
pub(super) fn stands_alone(params: &Map<String, Value>) -> Result<bool, RpcError> {
    let Some(meta) = params.get("_meta").and_then(Value::as_object) else {
        return Ok(false);
    };
    let Some(version) = meta.get(META_VERSION) else {
        return Ok(false);
    };
    let Some(version) = version.as_str() else {
        return Err(RpcError::invalid_params(format!(
            "_meta {META_VERSION} must be a string"
        )));
    };
    if !PER_REQUEST.contains(&version) {
        return Err(RpcError::unsupported_version(version, &PER_REQUEST));
    }
    if !meta.get(META_CAPABILITIES).is_some_and(Value::is_object) {
        return Err(RpcError::invalid_params(format!(
            "_meta {META_CAPABILITIES} is required and must be an object"
        )));
    }
    Ok(true)
}

/// The error for a request that carries no revision when none was settled by `initialize`.
pub(super) fn no_revision() -> RpcError {
    RpcError::invalid_params(format!(
        "no protocol version: send initialize first, or carry _meta {META_VERSION}"
    ))
}

fn capabilities(note: Option<&str>) -> Value {
    match note {
        None => json!({"tools": {}}),
        Some(_) => json!({"tools": {}, "prompts": {}}),
    }
}

fn server_info(version: &str) -> Value {
    json!({"name": SERVER_NAME, "version": version})
}

fn text(text: &str, is_error: bool) -> Map<String, Value> {
    object(json!({"content": [{"type": "text", "text": text}], "isError": is_error}))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
