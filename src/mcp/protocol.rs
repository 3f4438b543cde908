//! JSON-RPC 2.0: one line to messages, and the outer form of what goes back.

use serde_json::{Map, Number, Value, json};

/// The most messages in one batch.
pub(super) const MAX_BATCH: usize = 100;

/// An id as the client chose it: a string or a whole number, given back as it came.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Id {
    /// A string.
    Text(String),
    /// A number.
    Number(Number),
}

impl Id {
    /// Reads an id (or a progress token, which has the same form).
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(number) if !number.is_f64() => Some(Self::Number(number.clone())),
            _ => None,
        }
    }

    /// The id as JSON.
    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.clone()),
            Self::Number(number) => Value::Number(number.clone()),
        }
    }
}

/// A JSON-RPC error: the request itself was wrong, not what a tool did.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RpcError {
    code: i32,
    message: String,
    data: Option<Value>,
}

impl RpcError {
    fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The line is not JSON.
    pub(super) fn parse(message: impl Into<String>) -> Self {
        Self::new(-32700, message)
    }

    /// The JSON is not a request.
    pub(super) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(-32600, message)
    }

    /// No such method in this revision.
    pub(super) fn unknown_method(method: &str) -> Self {
        Self::new(-32601, format!("unknown method: {}", short(method)))
    }

    /// The parameters do not fit the method.
    pub(super) fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    /// The request names a revision that requests cannot be made in.
    pub(super) fn unsupported_version(requested: &str, supported: &[&str]) -> Self {
        Self {
            data: Some(json!({"supported": supported, "requested": short(requested)})),
            ..Self::new(-32022, "unsupported protocol version")
        }
    }

    /// The whole error message; the id is null when it could not be read.
    pub(super) fn message(&self, id: Option<&Id>) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let (Some(data), Some(error)) = (&self.data, error.as_object_mut()) {
            error.insert("data".into(), data.clone());
        }
        json!({"jsonrpc": "2.0", "id": id.map_or(Value::Null, Id::to_value), "error": error})
    }
}

/// The whole message of a result.
pub(super) fn result(id: &Id, result: &Map<String, Value>) -> Value {
    json!({"jsonrpc": "2.0", "id": id.to_value(), "result": result})
}

/// The whole message of a notification.
pub(super) fn notification(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// What a client sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    /// Wants an answer.
    Request {
        /// Its id.
        id: Id,
        /// The method.
        method: String,
        /// The parameters; absent ones are empty.
        params: Map<String, Value>,
    },
    /// Wants no answer.
    Notification {
        /// The method.
        method: String,
        /// The parameters; absent ones are empty.
        params: Map<String, Value>,
    },
    /// An answer; we never ask, so it is dropped.
    Response,
    /// Not a message; answered with the error.
    Invalid {
        /// The id, when it could be read.
        id: Option<Id>,
        /// What is wrong.
        error: RpcError,
    },
}

/// What one line holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    /// Nothing.
    Blank,
    /// One message.
    One(Message),
    /// A batch (legal in 2025-03-26 only).
    Batch(Vec<Value>),
}

/// Reads one line.
pub(super) fn parse(line: &[u8]) -> Frame {
    if line.trim_ascii().is_empty() {
        return Frame::Blank;
    }
    match serde_json::from_slice::<Value>(line) {
        Ok(Value::Array(elements)) => Frame::Batch(elements),
        Ok(value) => Frame::One(message(value)),
        Err(error) => Frame::One(Message::Invalid {
            id: None,
            error: RpcError::parse(format!("not valid JSON: {error}")),
        }),
    }
}

/// Reads one message that is not a batch.
pub(super) fn message(value: Value) -> Message {
    let Value::Object(mut object) = value else {
        return invalid(None, "a message is a JSON object");
    };
    let raw_id = object.remove("id");
    let id = raw_id.as_ref().and_then(Id::of);
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return invalid(id, "jsonrpc must be \"2.0\"");
    }
    let method = match object.remove("method") {
        Some(Value::String(method)) => method,
        Some(_) => return invalid(id, "method must be a string"),
        None if object.contains_key("result") || object.contains_key("error") => {
            return Message::Response;
        }
        None => return invalid(id, "method is missing"),
    };
    if raw_id.is_some() && id.is_none() {
        return invalid(None, "id must be a string or a whole number");
    }
    let params = match object.remove("params") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => {
            return Message::Invalid {
                id,
                error: RpcError::invalid_params("params must be an object"),
            };
        }
    };
    match id {
        Some(id) => Message::Request { id, method, params },
        None => Message::Notification { method, params },
    }
}

fn invalid(id: Option<Id>, message: &str) -> Message {
    Message::Invalid {
        id,
        error: RpcError::invalid_request(message),
    }
}

/// The client's own word, as much of it as an error message needs.
pub(super) fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Message {
        match parse(line.as_bytes()) {
            Frame::One(message) => message,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn error_of(line: &str) -> (i32, Value) {
        match one(line) {
            Message::Invalid { id, error } => {
                (error.code, error.message(id.as_ref())["id"].clone())
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn requests_keep_the_type_of_their_id() {
        for (text, value) in [("7", json!(7)), ("\"7\"", json!("7")), ("-1", json!(-1))] {
            match one(&format!(
                r#"{{"jsonrpc":"2.0","id":{text},"method":"ping"}}"#
            )) {
                Message::Request { id, method, params } => {
                    assert_eq!(id.to_value(), value);
                    assert_eq!(method, "ping");
                    assert!(params.is_empty());
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn faults_have_their_codes_and_ids() {
        let cases = [
            ("{", -32700, Value::Null),
            ("nonsense", -32700, Value::Null),
            ("1", -32600, Value::Null),
            (r#"{"id":1,"method":"ping"}"#, -32600, json!(1)),
            (
                r#"{"jsonrpc":"1.0","id":"a","method":"ping"}"#,
                -32600,
                json!("a"),
            ),
            (
                r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
                -32600,
                Value::Null,
            ),
            (
                r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
                -32600,
                Value::Null,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
                -32600,
                Value::Null,
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, -32600, json!(1)),
            (r#"{"jsonrpc":"2.0","id":1}"#, -32600, json!(1)),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
                -32602,
                json!(1),
            ),
        ];
        for (line, code, id) in cases {
            assert_eq!(error_of(line), (code, id), "{line}");
        }
    }

    #[test]
    fn deep_nesting_and_bad_utf8_are_parse_errors() {
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(error_of(&deep).0, -32700);
        for bad in [
            &b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}"[..],
            &b"\xc3\x28"[..],
            &b"\0"[..],
        ] {
            assert!(matches!(parse(bad), Frame::One(Message::Invalid { .. })));
        }
    }

    #[test]
    fn answers_blanks_and_notifications_are_told_apart() {
        assert_eq!(parse(b" \t"), Frame::Blank);
        assert_eq!(
            one(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
            Message::Response
        );
        assert!(matches!(
            one(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
            Message::Notification { .. }
        ));
        assert!(matches!(parse(b"[1,2]"), Frame::Batch(elements) if elements.len() == 2));
    }
}
