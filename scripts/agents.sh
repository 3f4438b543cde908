#!/bin/sh
# The real agents that the tests run with: pinned versions from npm, in a cache of their own. Source it after lib.sh.
# shellcheck shell=sh

agents_dir=${XDG_CACHE_HOME:-$HOME/.cache}/agent-conductor/agents

# The version of Claude Code that the normal tests run with.
# shellcheck disable=SC2034 # for the scripts
claude_version=2.1.330

# What the conformance kit runs with.
# shellcheck disable=SC2034 # for the scripts
kit_agents='claude-2.1.197 claude-2.1.330 codex-0.169.0 gemini-0.61.0 opencode-1.18.33'

# The npm packages of agent $1 (NAME-VERSION).
agent_packages() {
  case $1 in
    claude-*) printf '@anthropic-ai/claude-code@%s' "${1#claude-}" ;;
    codex-*) printf '@openai/codex@%s' "${1#codex-}" ;;
    gemini-*) printf '@google/gemini-cli@%s' "${1#gemini-}" ;;
    opencode-*) printf 'opencode-ai@%s' "${1#opencode-}" ;;
    *) return 1 ;;
  esac
}

# Prints the path of agent $1's program, if it is in the cache. The programs are in packages of their own for each platform.
agent_program() {
  for candidate in \
    "$agents_dir/$1"/node_modules/@anthropic-ai/claude-code-*/claude \
    "$agents_dir/$1"/node_modules/@openai/codex-*/vendor/*/bin/codex \
    "$agents_dir/$1"/node_modules/opencode-*-baseline/bin/opencode \
    "$agents_dir/$1"/node_modules/opencode-*/bin/opencode \
    "$agents_dir/$1"/node_modules/.bin/gemini; do
    if [ -x "$candidate" ]; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

# Installs agent $1 into the cache, if it is not there. No install script has to run.
# --force: a package may ask for a newer node than its program, which needs none.
install_agent() {
  agent_program "$1" >/dev/null && return 0
  packages=$(agent_packages "$1") || die "there is no agent $1"
  need npm || return 1
  mkdir -p "$agents_dir/$1" || return 1
  npm install --prefix "$agents_dir/$1" --no-audit --no-fund --force --ignore-scripts "$packages" || return 1
  agent_program "$1" >/dev/null || {
    say "$1 was installed, and its program is not there: $agents_dir/$1"
    return 1
  }
}
