#!/bin/sh
# Takes Agent Conductor out of the running tmux servers, out of agents' settings, and removes what scripts/install.sh installed.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/scripts/lib.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/uninstall.sh [--prefix DIR] [--purge]

Unloads the plugin from the tmux servers that have it, takes back what `provider setup` wrote into agents' settings,
and the timer of `generate units`; removes bin/ and exactly what install.sh --prefix made. Agents run on. Your
profiles, messages and logs stay.

  --prefix DIR  also what was installed into DIR; needed where the plugin's directory cannot be written
  --purge       the state too (what conductor-hook makes in its directory), and the cache; refused while agents run
TEXT
}

prefix='' purge=''
while [ $# -gt 0 ]; do
  case $1 in
    --prefix)
      prefix=${2-}
      [ -n "$prefix" ] || die "--prefix wants a directory"
      shift
      ;;
    --prefix=?*) prefix=${1#--prefix=} ;;
    --purge) purge=yes ;;
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
case $prefix in '' | /*) ;; *) prefix=$PWD/$prefix ;; esac

home=${CONDUCTOR_HOME:-$HOME/.conductor}
binary=$root/bin/conductor-hook
[ -x "$binary" ] || binary=${prefix:+$prefix/bin/conductor-hook}
[ -n "$binary" ] && [ -x "$binary" ] || binary=$(command -v conductor-hook || :)

# --- what must be so before anything goes -------------------------------------------------------------------------

state=''
if [ -n "$purge" ] && [ -d "$home" ]; then
  state=$(CDPATH='' cd -- "$home" && pwd -P)
  user=$(CDPATH='' cd -- "$HOME" && pwd -P)
  case $user/ in
    "${state%/}"/*) die "$home is no state directory" ;;
  esac
  [ -f "$state/db/conductor.db" ] || die "$home is no state directory" "it has no db/conductor.db; if it is yours to remove, do it yourself"
  [ -n "$binary" ] || die "without conductor-hook nobody can tell whether agents run" "remove $home yourself"
  sessions=$("$binary" sessions --json) || die "conductor-hook cannot say whether agents run; nothing was removed"
  [ "$sessions" = '[]' ] || die "agents run; nothing was removed" "end them first: $binary shutdown --all"
fi

# Out of the server that the binary would speak to (TMUX, CONDUCTOR_TMUX_SOCKET, or the default one) and every other that has it.
if [ -z "$binary" ]; then
  note "conductor-hook is not installed, so nothing is unloaded"
elif unloaded=$("$binary" plugin unload --all); then
  if [ -n "$unloaded" ]; then
    say "Took the plugin out of tmux; agents run on"
    printf '%s\n' "$unloaded" | while IFS= read -r line; do note "$line"; done
  else
    note "no tmux server is running, so nothing is unloaded"
  fi
else
  die "plugin unload failed; nothing was removed" "mend what it says above, then run this again"
fi

# Copies of settings that we edited lie in setup/ until they are taken back.
if [ -n "$binary" ] && [ -d "$home/setup" ]; then
  for provider in claude_code codex gemini opencode kiro_cli q_cli; do
    "$binary" provider setup "$provider" --undo >/dev/null ||
      die "provider setup $provider --undo failed; its binary stays" "mend what it says above, then run this again"
  done
  say "Took our entries out of agents' settings"
fi

# --- what install.sh and generate units made ----------------------------------------------------------------------

# core FILE: what is the same in a timer's file wherever it was generated: all but the program's path, PATH and the socket.
core() {
  case $1 in
    *.plist) sed -n -e '/<key>Label</{n;p;}' -e '/<string>--home</{n;p;}' "$1" ;;
    *) sed -e '/^Environment=/d' -e 's/^ExecStart=.* \("--home" ".*"\) "-S" .*$/\1/' "$1" ;;
  esac
}

# remove_timer KIND DIR: the files in DIR that `generate units` makes for this state directory, unless one holds something else.
remove_timer() {
  "$binary" generate units "$1" --dir "$work/$1" >/dev/null || return 0
  there=''
  for made in "$work/$1"/*; do
    unit=$2/${made##*/}
    [ -f "$unit" ] || continue
    there=yes
    if [ "$(core "$unit")" != "$(core "$made")" ]; then
      note "$unit is not as conductor-hook makes it; the timer stays"
      return 0
    fi
  done
  [ -n "$there" ] || return 0
  for made in "$work/$1"/*; do
    unit=$2/${made##*/}
    case $unit in
      *.timer) ! have systemctl || systemctl --user disable --now "${unit##*/}" >/dev/null 2>&1 || : ;;
      *.plist) ! have launchctl || launchctl bootout "gui/$(id -u)" "$unit" >/dev/null 2>&1 || : ;;
    esac
    [ -f "$unit" ] || continue
    rm -f -- "$unit"
    say "Removed $unit"
  done
}

if [ -n "$binary" ]; then
  work=$(mktemp -d "${TMPDIR:-/tmp}/conductor-uninstall.XXXXXX")
  at_end "rm -rf -- $(quote "$work")"
  config=${XDG_CONFIG_HOME:-}
  case $config in /*) ;; *) config=$HOME/.config ;; esac
  remove_timer systemd "$config/systemd/user"
  remove_timer launchd "$HOME/Library/LaunchAgents"
fi

# remove_prefix DIR: what the list there names and nobody has changed since, and directories that are empty then.
remove_prefix() {
  list=$1/share/agent-conductor/installed
  if [ ! -f "$list" ]; then
    note "$1 holds nothing that install.sh put there"
    return 0
  fi
  if [ "$(readlink -- "$1/bin/conductor" 2>/dev/null)" = conductor-hook ]; then
    rm -f -- "$1/bin/conductor"
  fi
  while IFS=' ' read -r sum path; do
    if [ ! -f "$path" ]; then
      continue
    elif [ "$(cksum <"$path" | tr ' ' '-')" = "$sum" ]; then
      rm -f -- "$path"
      empty_upwards "${path%/*}" "$1"
    else
      note "$path was not installed from here any more; it stays"
    fi
  done <"$list"
  rm -f -- "$list" "$1/bin/.conductor-hook.previous"
  empty_upwards "${list%/*}" "$1"
  say "Removed what was installed in $1"
}

# empty_upwards DIR STOP: removes DIR and those above it, below STOP, as long as they are empty.
empty_upwards() {
  dir=$1
  while [ "$dir" != "$2" ] && [ "${dir#"$2"/}" != "$dir" ] && rmdir -- "$dir" 2>/dev/null; do
    dir=${dir%/*}
  done
}

if [ -n "$prefix" ]; then remove_prefix "$prefix"; fi
if [ -f "$root/bin/.prefixes" ]; then
  while IFS= read -r dir; do
    [ "$dir" = "$prefix" ] || remove_prefix "$dir"
  done <"$root/bin/.prefixes"
  rm -f -- "$root/bin/.prefixes"
fi
if [ -d "$root/bin" ]; then
  if [ "$(readlink -- "$root/bin/conductor" 2>/dev/null)" = conductor-hook ]; then
    rm -f -- "$root/bin/conductor"
  fi
  rm -f -- "$root/bin/conductor-hook" "$root/bin/.conductor-hook.previous"
  if rmdir -- "$root/bin" 2>/dev/null; then
    say "Removed $root/bin"
  else
    note "$root/bin holds other files; it stays"
  fi
fi

if [ -n "$purge" ]; then
  if [ -n "$state" ]; then
    # Only the names that conductor-hook gives: whoever chose the directory may keep other things in it.
    for name in config.toml policy.toml policy.good.toml agent-context providers flows conductor.lock spool approvals logs run setup db; do
      rm -rf -- "${state:?}/$name"
    done
    if rmdir -- "$state" 2>/dev/null; then
      [ ! -L "${home%/}" ] || rm -f -- "${home%/}"
      say "Removed $home"
    else
      say "Removed the state in $home; these are not from here and stay:"
      for name in "$state"/* "$state"/.[!.]* "$state"/..?*; do
        if [ -e "$name" ] || [ -L "$name" ]; then note "$name"; fi
      done
    fi
  fi
  rm -rf -- "${XDG_CACHE_HOME:-$HOME/.cache}/agent-conductor"
elif [ -d "$home" ]; then
  say "Your profiles, messages and logs are kept in $home; --purge removes them too"
fi
say "Remove the plugin's lines from tmux.conf too, if they are still there"
