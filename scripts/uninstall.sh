#!/bin/sh
# Takes Agent Conductor out of the running tmux server and removes what scripts/install.sh installed.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/scripts/lib.sh"

case ${1-} in
  '') ;;
  -h | --help)
    say "Usage: scripts/uninstall.sh"
    say "Unloads the plugin from the running tmux server, removes bin/ and the files that install.sh --prefix made."
    exit 0
    ;;
  *)
    say "uninstall.sh: unknown argument $1 (there is only --help)" >&2
    exit 2
    ;;
esac

binary=$root/bin/conductor-hook
[ -x "$binary" ] || binary=$(command -v conductor-hook || :)

# The server that the binary would speak to: TMUX, CONDUCTOR_TMUX_SOCKET, or the default one.
socket=${CONDUCTOR_TMUX_SOCKET:-}
[ -n "$socket" ] || socket=${TMUX:+${TMUX%,*,*}}
if [ -z "$binary" ]; then
  note "conductor-hook is not installed, so nothing is unloaded"
elif ! have tmux || ! tmux ${socket:+-S "$socket"} list-sessions >/dev/null 2>&1; then
  note "no tmux server is running, so nothing is unloaded"
elif "$binary" ${socket:+-S "$socket"} plugin unload >/dev/null; then
  say "Unloaded the plugin from the running tmux server; its agents run on"
else
  die "plugin unload failed; nothing was removed" "mend what it says above, then run this again"
fi

# remove_from DIR: our binary, if it is the one that we installed, and the link to it.
remove_from() {
  if [ "$(readlink -- "$1/conductor" 2>/dev/null)" = conductor-hook ]; then
    rm -f -- "$1/conductor"
    say "Removed $1/conductor"
  fi
  if [ -f "$1/conductor-hook" ]; then
    rm -f -- "$1/conductor-hook"
    say "Removed $1/conductor-hook"
  fi
}

if [ -f "$root/bin/.prefixes" ]; then
  while IFS= read -r dir; do
    if cmp -s -- "$dir/conductor-hook" "$root/bin/conductor-hook"; then
      remove_from "$dir"
    elif [ -e "$dir/conductor-hook" ]; then
      note "$dir/conductor-hook was not installed from here any more; it stays"
    fi
  done <"$root/bin/.prefixes"
  rm -f -- "$root/bin/.prefixes"
fi
if [ -d "$root/bin" ]; then
  remove_from "$root/bin"
  rmdir -- "$root/bin" 2>/dev/null || note "$root/bin holds other files; it stays"
fi

home=${CONDUCTOR_HOME:-$HOME/.conductor}
if [ -d "$home" ]; then
  say "Your profiles, messages and logs are kept in $home; remove that directory yourself if you do not want them"
fi
say "Remove the plugin's lines from tmux.conf too, if they are still there"
