#!/bin/sh
# A finished handoff on a private tmux server: no account, no network, nothing of yours is touched.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/scripts/lib.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/demo.sh [--keep] [--bin PATH]

Installs what is missing (tmux, the binary), starts a private tmux server with the plugin, launches a supervisor
and a worker with the built-in demo agent, lets the supervisor hand a task to a worker over MCP, approves what the worker
wants to run, and prints the answer.

  --keep      leave the server running, to look around in it
  --bin PATH  use this conductor-hook and build none
TEXT
}

keep='' bin=''
while [ $# -gt 0 ]; do
  case $1 in
    --keep) keep=yes ;;
    --bin)
      bin=${2-}
      [ -x "$bin" ] || die "--bin wants the path of a conductor-hook"
      shift
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
  shift
done

title() { printf '\n== %s\n' "$*"; }

# Runs the binary on the private server and shows how a person would have called it.
conductor() {
  shown=''
  for word in "$@"; do shown="$shown $(quote "$word")"; done
  printf '$ conductor%s\n' "$shown" >&2
  "$bin" "$@"
}

# --- what is needed -----------------------------------------------------------------------------------------------

need_tmux
if [ -z "$bin" ]; then
  binary_is_fresh || "$root/scripts/install.sh" --source
  bin=$root/bin/conductor-hook
fi
bin=$(CDPATH='' cd -- "$(dirname -- "$bin")" && pwd -P)/$(basename -- "$bin")

# --- a world of its own -------------------------------------------------------------------------------------------

unset TMUX TMUX_PANE XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_RUNTIME_DIR ENV BASH_ENV
unset CONDUCTOR_TERMINAL_ID CONDUCTOR_SESSION CONDUCTOR_HOOK CONDUCTOR_LOG CONDUCTOR_DEMO_LOG
work=$(CDPATH='' cd -- "$(mktemp -d /tmp/conductor-demo.XXXXXX)" && pwd -P)
name=conductor-demo-$$
export HOME="$work/home" CONDUCTOR_HOME="$work/home/.conductor" TMUX_TMPDIR="$work" SHELL=/bin/sh
project=$HOME/my-project
supervisor='' socket=''

# The pids and command lines of our processes in this world.
ours() {
  if [ -r /proc/self/environ ]; then
    for process in /proc/[0-9]*; do
      case $(readlink "$process/exe" 2>/dev/null) in
        "$bin" | "$bin (deleted)") ;;
        *) continue ;;
      esac
      if tr '\0' '\n' <"$process/environ" 2>/dev/null | grep -qxF "CONDUCTOR_HOME=$CONDUCTOR_HOME"; then
        printf '%s %s\n' "${process#/proc/}" "$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null)"
      fi
    done
  else
    ps -axww -o pid=,command= | awk -v bin="$bin" '$2 == bin || $2 == "conductor-demo" { print }'
  fi
}

count() { grep -c "$1" || :; }
agents() { ours | count '^ *[0-9]* conductor-demo'; }
servers() { ours | count ' mcp *$'; }
others() { ours | grep -v -e '^ *[0-9]* conductor-demo' -e ' mcp *$' || :; }

# What a failed step leaves to look at.
explain_failure() {
  printf '\ndemo.sh: this step failed.\n' >&2
  if [ -n "$supervisor" ]; then
    printf 'What is known of the supervisor:\n' >&2
    "$bin" explain "$supervisor" >&2 || :
    printf 'Its screen:\n' >&2
    "$bin" output "$supervisor" --mode screen >&2 || :
  fi
  if [ -s "$CONDUCTOR_HOME/logs/conductor.log" ]; then
    printf 'The last lines of the log:\n' >&2
    tail -n 10 "$CONDUCTOR_HOME/logs/conductor.log" >&2
  fi
}

# shellcheck disable=SC2329 # called by the trap
finish() {
  status=$?
  trap - EXIT
  trap '' HUP INT QUIT PIPE TERM
  case $status in 0 | 129 | 130 | 131 | 141 | 143) ;; *) explain_failure ;; esac
  if [ -n "$keep" ] && [ "$status" = 0 ]; then
    title "Left running, as asked"
    note "look:     tmux -S $(quote "$socket") attach -t demo"
    note "use:      export CONDUCTOR_HOME=$(quote "$CONDUCTOR_HOME") CONDUCTOR_TMUX_SOCKET=$(quote "$socket")"
    note "clean up: tmux -S $(quote "$socket") kill-server; rm -rf $(quote "$work")"
    exit 0
  fi
  tmux -L "$name" kill-server 2>/dev/null || :
  tries=0
  while [ -n "$(ours)" ] && [ "$tries" -lt 30 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  left=$(ours)
  rm -rf -- "$work"
  if [ -n "$left" ] && [ "$status" = 0 ]; then
    die "processes outlived their tmux server: $left"
  fi
  exit "$status"
}
at_end finish

mkdir -p "$project"
cd "$project"
{
  printf 'set -g default-shell /bin/sh\nset -g default-size 120x40\n'
  printf 'set -g @conductor-bin "%s"\n' "$(printf '%s' "$bin" | sed 's/[\\"$]/\\&/g')"
  load_line "$root"
} >"$work/tmux.conf"

title "A private tmux server with the plugin"
tmux -L "$name" -f "$work/tmux.conf" new-session -d -s home -c "$project"
socket=$(tmux -L "$name" display-message -p '#{socket_path}')
export CONDUCTOR_TMUX_SOCKET="$socket"
if ! tmux -L "$name" list-keys -T conductor >/dev/null 2>&1; then
  "$bin" -S "$socket" plugin load --dir "$root" || : # once more, to see what it says
  die "the plugin did not load"
fi
note "$(tmux -V), socket $socket"

title "A supervisor and a worker"
launched=$(conductor launch -p demo --profile conductor --session demo --with-worker developer --json)
# The session's terminals, supervisor first.
ids=$(printf '%s' "$launched" | grep -o '"id": *"[0-9a-f]\{8\}"' | sed 's/.*"\(.*\)"$/\1/')
supervisor=$(printf '%s\n' "$ids" | sed -n 1p)
worker=$(printf '%s\n' "$ids" | sed -n 2p)
[ -n "$worker" ] || die "launch did not print a supervisor and a worker: $launched"
note "supervisor $supervisor, worker $worker"
conductor wait "$supervisor" --for idle --timeout 20 >/dev/null
conductor wait "$worker" --for idle --timeout 20 >/dev/null
note "Watch it from another terminal: tmux -S $(quote "$socket") attach -t demo"

title "The supervisor hands a task over, through MCP"
# shellcheck disable=SC2016 # the worker's shell expands this
task='MCP handoff {"agent_profile":"developer","provider":"demo","message":"RUN echo tests passed in $(basename $PWD)\nSAY The worker did its part.","timeout":60}'
printf '%s\n' "$task" | sed 's/^/  > /'
printf '%s' "$task" | conductor send "$supervisor" --wait 20 -m -

title "The worker wants to run what the policy does not know: a person decides"
asked='' tries=0
while [ -z "$asked" ] && [ "$tries" -lt 300 ]; do
  asked=$(conductor approvals --status pending --json | sed -n 's/^\[{"id":"\([0-9]*\)".*/\1/p')
  tries=$((tries + 1))
  sleep 0.1
done
[ -n "$asked" ] || die "no request for approval came"
conductor approval show "$asked"
conductor approve "$asked" --reason "it only tells where it works"
conductor wait "$supervisor" --for idle --timeout 90 >/dev/null

title "The answer"
answer=$(conductor output "$supervisor" --mode last)
printf '%s\n' "$answer"
case $answer in
  *'tests passed in my-project'*) ;;
  *) die "the worker's answer is not in it" ;;
esac

title "Who is there, what was sent, who decided"
conductor sessions
conductor inbox
conductor audit list --action approval.
conductor audit verify

title "What runs now"
sleep 2
left=$(others)
note "agents: $(agents), their MCP servers: $(servers)"
[ -z "$left" ] || die "other processes of ours still run: $left"
note "other processes of ours: 0 (there is no daemon)"

title "Done"
