//! What a new profile looks like.

use crate::domain::ids::Name;

/// The text of a new profile.
pub fn scaffold(name: &Name) -> String {
    format!(
        "---
name: {name}
description: \"What {name} does, in one sentence: supervisors choose by it\"
role: worker
tags: []
# provider: codex            # else the launch's, else config.toml's
# model: NAME
# tools: [Read, Grep]        # what it has; absent: everything
# allowedTools: [Read]       # what it may use without asking
# env: {{RUST_LOG: info}}
# extends: developer         # start from another profile
---

# {name}

You are one of several agents that work side by side. Say here what this one is for.

## How to work

1. Read the task to its end; if something essential is missing, ask whoever gave it.
2. Do it, and nothing beside it.
3. Check the result yourself before you report.

## How to report

- What changed, with file paths.
- How it was checked: the command and what it answered.
- What is left, and what you are not sure of.
"
    )
}
