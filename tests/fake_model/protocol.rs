//! Which protocol a request speaks, by its path.

use crate::plan::Plan;
use crate::view::View;
use crate::{anthropic, gemini, openai_chat, openai_responses};
use serde_json::{Value, json};
use std::io::{self, Write};

/// One of the protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Anthropic,
    Responses,
    Chat,
    Gemini,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// An answer of the model; `stream` when the path says how it is to come, and not the body.
    Answer { stream: Option<bool> },
    /// How many tokens it has.
    Count,
}

/// What is asked for at `path`, and in which protocol.
pub(crate) fn route(path: &str) -> Option<(Protocol, Ask)> {
    let answer = |protocol| Some((protocol, Ask::Answer { stream: None }));
    match path {
        "/v1/messages" => answer(Protocol::Anthropic),
        "/v1/messages/count_tokens" => Some((Protocol::Anthropic, Ask::Count)),
        "/v1/responses" => answer(Protocol::Responses),
        "/v1/chat/completions" => answer(Protocol::Chat),
        _ => {
            let ask = match path.rsplit_once("/models/")?.1.split_once(':')?.1 {
                "generateContent" => Ask::Answer {
                    stream: Some(false),
                },
                "streamGenerateContent" => Ask::Answer { stream: Some(true) },
                "countTokens" => Ask::Count,
                _ => return None,
            };
            Some((Protocol::Gemini, ask))
        }
    }
}

/// The model that a path names.
pub(crate) fn model(path: &str) -> &str {
    let model = path.rsplit_once("/models/").map_or("", |(_, model)| model);
    model.split(':').next().unwrap_or_default()
}

impl Protocol {
    /// The word for it in the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Responses => "responses",
            Self::Chat => "chat",
            Self::Gemini => "gemini",
        }
    }

    /// Reads a request's body.
    pub(crate) fn read(self, body: &Value) -> View {
        match self {
            Self::Anthropic => anthropic::read(body),
            Self::Responses => openai_responses::read(body),
            Self::Chat => openai_chat::read(body),
            Self::Gemini => gemini::read(body),
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
            Self::Gemini => gemini::respond(client, number, view, plan),
        }
    }

    /// A document that says what went wrong.
    pub(crate) fn error(self, status: u16, message: &str) -> Value {
        match self {
            Self::Anthropic => anthropic::error(status, message),
            Self::Responses | Self::Chat => openai_chat::error(status, message),
            Self::Gemini => gemini::error(status, message),
        }
    }

    /// A document that says how many tokens a request has.
    pub(crate) fn count(self, tokens: usize) -> Value {
        match self {
            Self::Gemini => json!({"totalTokens": tokens}),
            _ => json!({"input_tokens": tokens}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_tells_the_protocol() {
        let answer = |stream| Ask::Answer { stream };
        for (path, expected) in [
            ("/v1/messages", Some((Protocol::Anthropic, answer(None)))),
            ("/v1/responses", Some((Protocol::Responses, answer(None)))),
            ("/v1/chat/completions", Some((Protocol::Chat, answer(None)))),
            (
                "/v1beta/models/m-1:generateContent",
                Some((Protocol::Gemini, answer(Some(false)))),
            ),
            (
                "/v1beta/models/m:streamGenerateContent",
                Some((Protocol::Gemini, answer(Some(true)))),
            ),
            (
                "/v1beta/models/m:countTokens",
                Some((Protocol::Gemini, Ask::Count)),
            ),
            ("/v1beta/models/m:embedContent", None),
            ("/v1/models", None),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
        assert_eq!(model("/v1beta/models/m-1:generateContent"), "m-1");
    }
}
