#!/bin/sh
# Builds conductor-hook from this checkout and installs it.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/scripts/lib.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/install.sh [--prefix DIR] [--debug]

Builds the binary and puts it into the plugin's bin/ directory, as conductor-hook and as the link conductor.
Run it again after an update: each file is replaced in one step, also while agents run.

  --prefix DIR  install into DIR/bin as well (for example ~/.local)
  --debug       a debug build, for work on the project itself
TEXT
}

prefix='' profile=release
while [ $# -gt 0 ]; do
  case $1 in
    --prefix)
      prefix=${2-}
      [ -n "$prefix" ] || die "--prefix wants a directory"
      shift
      ;;
    --prefix=?*) prefix=${1#--prefix=} ;;
    --debug) profile=debug ;;
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

temporary=''
trap '[ -z "$temporary" ] || rm -f -- "$temporary"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# install_into DIR: the binary and its link, each replaced in one step, and neither where it is there already.
install_into() {
  mkdir -p -- "$1"
  if cmp -s -- "$built" "$1/conductor-hook"; then
    say "$1/conductor-hook is up to date"
  else
    temporary=$1/.conductor-hook.$$
    cp -- "$built" "$temporary"
    chmod 755 "$temporary"
    mv -f -- "$temporary" "$1/conductor-hook"
    temporary=''
    say "Installed $1/conductor-hook"
  fi
  if [ "$(readlink -- "$1/conductor" 2>/dev/null)" = conductor-hook ]; then
    return 0
  fi
  if [ -e "$1/conductor" ] || [ -L "$1/conductor" ]; then
    note "$1/conductor is another program; it stays, use conductor-hook"
    return 0
  fi
  ln -s conductor-hook "$1/conductor"
  say "Linked $1/conductor to it"
}

say "Building conductor-hook $(cargo_field version) ($profile; this takes a minute or two the first time)"
build "$profile"
say "Built $built ($linked, $(wc -c <"$built" | awk '{ printf "%.1f MB", $1 / 1e6 }'))"

if mkdir -p -- "$root/bin" 2>/dev/null && [ -w "$root/bin" ]; then
  install_into "$root/bin"
  touch -- "$root/bin/conductor-hook" # newer than its source: demo.sh looks at that
elif [ -n "$prefix" ]; then
  note "$root cannot be written; the plugin will take the binary from the PATH"
else
  die "$root/bin cannot be written" "use --prefix DIR with a DIR/bin that is on the PATH"
fi
if [ -n "$prefix" ]; then
  install_into "$prefix/bin"
  if [ -w "$root/bin" ] && ! grep -qxF -- "$prefix/bin" "$root/bin/.prefixes" 2>/dev/null; then
    printf '%s\n' "$prefix/bin" >>"$root/bin/.prefixes"
  fi
  case :$PATH: in
    *:"$prefix/bin":*) ;;
    *) note "$prefix/bin is not on the PATH" ;;
  esac
fi

say
say "Next, in tmux.conf (the first line is the default; change the key or leave it out):"
note "set -g @conductor-key a"
note "$(load_line "$root")"
say "Then reload it: tmux source-file ~/.tmux.conf"
