//! Which protocol a request speaks, by its path.

use crate::plan::Plan;
use crate::view::View;
use crate::{anthropic, openai_chat, openai_responses};
use serde_json::Value;
use std::io::{self, Write};

/// One of the protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Anthropic,
    Responses,
    Chat,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// An answer of the model.
    Answer,
    /// How many tokens it has.
    Count,
}

/// What is asked for at `path`, and in which protocol.
pub(crate) fn route(path: &str) -> Option<(Protocol, Ask)> {
    let answer = |protocol| Some((protocol, Ask::Answer));
    match path {
        "/v1/messages" => answer(Protocol::Anthropic),
        "/v1/messages/count_tokens" => Some((Protocol::Anthropic, Ask::Count)),
        "/v1/responses" => answer(Protocol::Responses),
        "/v1/chat/completions" => answer(Protocol::Chat),
        _ => None,
    }
}

impl Protocol {
    /// The word for it in the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Responses => "responses",
            Self::Chat => "chat",
        }
    }

    /// Reads a request's body.
    pub(crate) fn read(self, body: &Value) -> View {
        match self {
            Self::Anthropic => anthropic::read(body),
            Self::Responses => openai_responses::read(body),
            Self::Chat => openai_chat::read(body),
        }
    }

    /// Writes the answer to request `number`; whether the connection can be used again.
    pub(crate) fn respond(
        self,
        client: &mut impl Write,
        number: usize,
        view: &View,
        plan: &Plan,
    ) -> io::Result<bool> {
        match self {
            Self::Anthropic => anthropic::respond(client, number, view, plan),
            Self::Responses => openai_responses::respond(client, number, view, plan),
            Self::Chat => openai_chat::respond(client, number, view, plan),
        }
    }

    /// A document that says what went wrong.
    pub(crate) fn error(self, status: u16, message: &str) -> Value {
        match self {
            Self::Anthropic => anthropic::error(status, message),
            Self::Responses | Self::Chat => openai_chat::error(status, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_tells_the_protocol() {
        for (path, expected) in [
            ("/v1/messages", Some((Protocol::Anthropic, Ask::Answer))),
            ("/v1/responses", Some((Protocol::Responses, Ask::Answer))),
            ("/v1/chat/completions", Some((Protocol::Chat, Ask::Answer))),
            ("/v1beta/models/m:embedContent", None),
            ("/v1/models", None),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }
}
