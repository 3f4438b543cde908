#!/bin/sh
# Agent Conductor's entry for TPM, run-shell, and people: finds the binary and hands over to it.
# It prints, builds and downloads nothing, and may run any number of times.
# shellcheck disable=SC3028 # BASH_SOURCE is empty in a plain sh, where $0 is right

conductor_load() ( # a subshell: nothing of this stays in a shell that sources the file
  unset CDPATH
  file=${BASH_SOURCE:-$0}
  case $file in */*) dir=${file%/*} ;; *) dir=. ;; esac
  dir=$(cd -- "${dir:-/}" && pwd -P) || return 0
  socket=${TMUX:+${TMUX%,*,*}} # TMUX is SOCKET,PID,SESSION
  socket=${socket:-${CONDUCTOR_TMUX_SOCKET-}}
  conductor_tmux() { tmux ${socket:+-S "$socket"} "$@"; }

  # One message, taken literally: now, or when the first client comes, unless somebody else's hook stands there.
  notice() {
    hook='client-session-changed[1730]' text=$(printf 'agent-conductor: %s' "$1" | tr '\n' ' ' | sed 's/[#%]/&&/g')
    there=$(conductor_tmux show-hooks -g client-session-changed | grep -F "$hook " | grep -vF 'agent-conductor: ')
    if [ -n "$(conductor_tmux list-clients)" ]; then
      conductor_tmux display-message -d 8000 "$text."
    elif [ -z "$there" ]; then
      text=$(printf '%s' "$text" | sed "s/'/'\\\\''/g")
      conductor_tmux set-hook -g "$hook" "set-hook -gu '$hook' ; display-message -d 8000 '$text.'"
    fi
  }

  # Whether version $1 is older than $2; an unknown one is not.
  older() {
    case $1 in [0-9]*.[0-9]*) ;; *) return 1 ;; esac
    printf '%s %s\n' "${1%%[!0-9.]*}" "${2%%[!0-9.]*}" | awk '{
      split($1, a, "."); split($2, b, ".")
      for (i = 1; i <= 3; i++) if (a[i] + 0 != b[i] + 0) exit !(a[i] + 0 < b[i] + 0)
      exit 1 }'
  }

  bin=$(conductor_tmux show-option -gqv @conductor-bin)
  case $bin in \~/*) bin=$HOME/${bin#??} ;; esac
  for candidate in "$bin" "$dir/bin/conductor-hook" "$(command -v conductor-hook)" "${HOME-}/.cargo/bin/conductor-hook"; do
    [ -x "$candidate" ] && [ ! -d "$candidate" ] && bin=$candidate && break
    bin=
  done
  if [ -z "$bin" ]; then
    quoted=$(printf '%s' "$dir/scripts/install.sh" | sed "s/'/'\\\\''/g")
    notice "run '$quoted' to install conductor-hook"
    return 0
  fi

  failure=$("$bin" ${socket:+-S "$socket"} plugin load --dir "$dir" 2>&1 >/dev/null </dev/null) || {
    notice "the plugin did not load: ${failure:-"$bin failed"}"
    return 0
  }
  wanted=$(sed -n 's/^version = "\(.*\)"$/\1/p;/^version/q' "$dir/Cargo.toml")
  found=$("$bin" --version </dev/null)
  [ "${found##* }" = "$wanted" ] || ! older "${found##* }" "$wanted" ||
    notice "conductor-hook ${found##* } is older than the plugin ($wanted); run its scripts/install.sh"
  return 0
)

conductor_load >/dev/null 2>&1
