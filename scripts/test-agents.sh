#!/bin/sh
# Runs the conformance kit: every real agent, offline on a scripted model, through one table of behaviours.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/scripts/lib.sh"
. "$root/scripts/agents.sh"
cd "$root"

usage() {
  cat <<TEXT
Usage: scripts/test-agents.sh [--agents NAME-VERSION[,NAME-VERSION]] [--rows ROW[,ROW]] [--write]

  --agents  only these, of any version that npm has (default: $kit_agents, and a session of them all)
  --rows    only these rows of the table
  --write   put the table into docs/providers.md

A new release of an agent is tried with --agents, e.g. --agents codex-0.170.0: the lines "changed" say what differs from
docs/providers.md.
TEXT
}

agents=$kit_agents
count=$#
while [ "$count" -gt 0 ]; do
  argument=$1
  shift
  count=$((count - 1))
  case $argument in
    --write) set -- "$@" --write ;;
    --agents | --rows)
      [ "$count" -gt 0 ] || die "$argument needs a value"
      [ "$argument" != --agents ] || agents=$(printf '%s' "$1" | tr ',' ' ')
      set -- "$@" "$argument" "$1"
      # The value stands in front of what was kept for the kit.
      shift
      count=$((count - 1))
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
done

need_linux
need git && need_tmux && need_rust
need ip && need unshare
for agent in $agents; do
  install_agent "$agent" || die "$agent could not be installed" "the kit needs the npm registry once; a missing agent is a failure"
done
# Gemini CLI is a script for node.
case " $agents" in *' gemini-'*) need node npm ;; esac

# The agents live in worlds of their own; none of this one may show in them.
unset TMUX TMUX_PANE CONDUCTOR_TERMINAL_ID CONDUCTOR_SESSION CONDUCTOR_HOOK CONDUCTOR_HOME CONDUCTOR_TMUX_SOCKET CONDUCTOR_LOG
cargo build --locked --bins --examples
exec cargo test --locked --test kit -- "$@"
