//! The published schemas of the protocol, and whether a line that a server printed fits that of its revision.

use jsonschema::Validator;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The schema of one revision.
pub(crate) struct Schema {
    document: Value,
    /// Where its definitions stand.
    definitions: &'static str,
    validators: RefCell<HashMap<String, Validator>>,
}

impl Schema {
    /// Reads `tests/fixtures/mcp-schema/REVISION/schema.json`.
    pub(crate) fn of(revision: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/mcp-schema")
            .join(revision)
            .join("schema.json");
        let document: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let definitions = if document.get("$defs").is_some() {
            "$defs"
        } else {
            "definitions"
        };
        Self {
            document,
            definitions,
            validators: RefCell::default(),
        }
    }

    /// What is wrong with `value` as a `definition`.
    pub(crate) fn check(&self, definition: &str, value: &Value) -> Result<(), String> {
        if self.document[self.definitions].get(definition).is_none() {
            return Err(format!("this revision knows no {definition}: {value}"));
        }
        let mut validators = self.validators.borrow_mut();
        let validator = validators.entry(definition.to_owned()).or_insert_with(|| {
            let mut schema = self.document.clone();
            schema["$ref"] = json!(format!("#/{}/{definition}", self.definitions));
            jsonschema::validator_for(&schema).unwrap()
        });
        validator.validate(value).map_err(|error| {
            format!(
                "no {definition}: {error} at {}: {value}",
                error.instance_path()
            )
        })
    }

    /// What is wrong with one message from the server; `asked` names the method of the request with its id, as far as that is known.
    pub(crate) fn message(
        &self,
        message: &Value,
        asked: impl Fn(&Value) -> Option<String>,
    ) -> Result<(), String> {
        if message.get("method").is_some() {
            self.check("JSONRPCNotification", message)?;
            return self.check("ServerNotification", message);
        }
        if message.get("error").is_some() {
            return self.check(
                self.name(&["JSONRPCErrorResponse", "JSONRPCError"]),
                message,
            );
        }
        self.check(
            self.name(&["JSONRPCResultResponse", "JSONRPCResponse"]),
            message,
        )?;
        let method = asked(&message["id"]);
        let definition = match method.as_deref() {
            Some("initialize") => "InitializeResult",
            Some("tools/list") => "ListToolsResult",
            Some("tools/call") => "CallToolResult",
            Some("prompts/list") => "ListPromptsResult",
            Some("prompts/get") => "GetPromptResult",
            Some("server/discover") => "DiscoverResult",
            Some("ping") => "EmptyResult",
            Some(other) => return Err(format!("{other} has a result: {message}")),
            None => return Err(format!("nobody asked for this: {message}")),
        };
        self.check(definition, &message["result"])
    }

    /// The first of the names that this revision uses.
    fn name<'a>(&self, names: &[&'a str]) -> &'a str {
        names
            .iter()
            .find(|name| self.document[self.definitions].get(**name).is_some())
            .unwrap()
    }
}
