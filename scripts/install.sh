#!/bin/sh
# Installs conductor-hook: a released binary whose signature was verified, or a build of this checkout.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/scripts/lib.sh"
. "$root/scripts/fetch.sh"
. "$root/scripts/share.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/install.sh [--source | --release[=VERSION] | --rollback] [--prefix DIR] [--yes] [--debug]

Puts the binary into the plugin's bin/ directory, as conductor-hook and as the link conductor. On a terminal it asks
how; elsewhere it builds. Run it again after an update: each file is replaced in one step, also while agents run.

  --source      build it from this checkout (needs Rust and a C compiler)
  --release     download the release of this checkout's version, or of VERSION, and verify its signature
  --rollback    go back to the binary that the last installation replaced
  --prefix DIR  install into DIR as well (for example ~/.local): bin, man pages, completions
  --yes         ask nothing: a release where one can be verified, else a build
  --debug       a debug build, for work on the project itself
TEXT
}

prefix='' profile=release way='' version='' yes=''
while [ $# -gt 0 ]; do
  case $1 in
    --prefix)
      prefix=${2-}
      [ -n "$prefix" ] || die "--prefix wants a directory"
      shift
      ;;
    --prefix=?*) prefix=${1#--prefix=} ;;
    --debug) profile=debug way=source ;;
    --source) way=source ;;
    --release) way=release ;;
    --release=?*) way=release version=${1#--release=} ;;
    --rollback) way=rollback ;;
    -y | --yes) yes=yes ;;
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
need_linux
case $prefix in '' | /*) ;; *) prefix=$PWD/$prefix ;; esac
[ -n "$version" ] || version=$(cargo_field version)

temporary='' work='' made=''
# An installation that fails leaves nothing, a directory that it made neither.
cleanup() {
  rm -rf -- ${temporary:+"$temporary"} ${work:+"$work"}
  [ -z "$made" ] || rmdir -- "$made" 2>/dev/null || :
}
at_end cleanup
work=$(mktemp -d "${TMPDIR:-/tmp}/conductor-install.XXXXXX")

# --- which way ----------------------------------------------------------------------------------------------------

# ask QUESTION: whether a person says yes; Enter is yes.
ask() {
  printf '%s [Y/n] ' "$1" >&2
  read -r answer || return 1
  case $answer in '' | [yY]*) return 0 ;; *) return 1 ;; esac
}

if [ -z "$way" ]; then
  if [ -n "$yes" ]; then
    if release_problem >/dev/null; then way=source; else way=release; fi
  elif [ -t 0 ] && [ -t 2 ]; then
    if problem=$(release_problem); then
      note "no released binary: $problem"
    elif ask "Download the released binary $version and verify its signature?"; then
      way=release
    fi
    if [ -z "$way" ]; then
      ask "Build it from this checkout? That takes some minutes, Rust and a C compiler." ||
        die "nothing was installed"
      way=source
    fi
  else
    way=source
  fi
fi

# --- putting files in their places --------------------------------------------------------------------------------

# place FILE TO MODE: replaced in one step; says nothing where it is there already.
place() {
  cmp -s -- "$1" "$2" && return 0
  temporary=${2%/*}/.${2##*/}.$$
  cp -- "$1" "$temporary"
  chmod "$3" "$temporary"
  mv -f -- "$temporary" "$2"
  temporary=''
}

# link_in DIR: the name for people, unless another program has it.
link_in() {
  [ "$(readlink -- "$1/conductor" 2>/dev/null)" = conductor-hook ] && return 0
  if [ -e "$1/conductor" ] || [ -L "$1/conductor" ]; then
    note "$1/conductor is another program; it stays, use conductor-hook"
    return 0
  fi
  ln -s conductor-hook "$1/conductor"
  say "Linked $1/conductor to it"
}

# install_into DIR: the binary and its link. In $main, what it replaces is kept beside it for --rollback.
install_into() {
  mkdir -p -- "$1"
  if cmp -s -- "$built" "$1/conductor-hook"; then
    say "$1/conductor-hook is up to date"
  else
    if [ "$1" = "$main" ] && [ -f "$1/conductor-hook" ] && [ "$way" != rollback ]; then
      place "$1/conductor-hook" "$1/.conductor-hook.previous" 755
    fi
    place "$built" "$1/conductor-hook" 755
    say "Installed $1/conductor-hook"
  fi
  link_in "$1"
}

# foreign_binary PREFIX: whether it has a conductor-hook that no installation from here wrote, and that is another one than ours.
foreign_binary() {
  list=$1/share/agent-conductor/installed
  if [ -e "$1/bin/conductor-hook" ] || [ -L "$1/bin/conductor-hook" ]; then
    ! recorded "$1/bin/conductor-hook" && ! cmp -s -- "$built" "$1/bin/conductor-hook"
  else
    return 1
  fi
}

# install_prefix: bin and share, and the list of what was installed, by which uninstall.sh takes out exactly that.
install_prefix() {
  list=$prefix/share/agent-conductor/installed
  generate_share "$built" "$work/share"
  install_into "$prefix/bin"
  : >"$work/installed"
  record "$prefix/bin/conductor-hook"
  (cd "$work/share" && find . -type f | sort) >"$work/files"
  while IFS= read -r file; do
    file=${file#./}
    if [ -e "$prefix/share/$file" ] && ! recorded "$prefix/share/$file" && ! cmp -s -- "$work/share/$file" "$prefix/share/$file"; then
      note "$prefix/share/$file is somebody else's; it stays"
      continue
    fi
    mkdir -p -- "$prefix/share/${file%/*}"
    place "$work/share/$file" "$prefix/share/$file" 644
    record "$prefix/share/$file"
  done <"$work/files"
  forget_stale
  mkdir -p -- "${list%/*}"
  place "$work/installed" "$list" 644
  say "Installed man pages and completions below $prefix/share"
}

# record FILE: its sum and path, for the list.
record() {
  printf '%s %s\n' "$(cksum <"$1" | tr ' ' '-')" "$1" >>"$work/installed"
}

# Whether an earlier installation wrote the file, and nobody has changed it since.
recorded() {
  [ -f "$1" ] && [ -f "$list" ] && grep -qxF -- "$(cksum <"$1" | tr ' ' '-') $1" "$list"
}

# What an earlier version installed and this one has not.
forget_stale() {
  [ -f "$list" ] || return 0
  while IFS=' ' read -r sum path; do
    if ! grep -qF -- " $path" "$work/installed" && [ -f "$path" ] && [ "$(cksum <"$path" | tr ' ' '-')" = "$sum" ]; then
      rm -f -- "$path"
    fi
  done <"$list"
}

# --- the binary ---------------------------------------------------------------------------------------------------

plugin_writable=''
if [ -d "$root/bin" ] || { mkdir -- "$root/bin" 2>/dev/null && made=$root/bin; }; then
  [ ! -w "$root/bin" ] || plugin_writable=yes
fi
if [ -z "$plugin_writable" ] && [ -z "$prefix" ]; then
  die "$root/bin cannot be written" "use --prefix DIR with a DIR/bin that is on the PATH"
fi
# The bin/ directory that counts: the plugin takes it first.
main=$root/bin
[ -n "$plugin_writable" ] || main=$prefix/bin

case $way in
  release) fetch_release "$version" ;;
  source)
    say "Building conductor-hook $(cargo_field version) ($profile; this takes some minutes the first time)"
    build "$profile"
    say "Built $built ($linked, $(wc -c <"$built" | awk '{ printf "%.1f MB", $1 / 1e6 }'))"
    ;;
  rollback)
    [ -f "$main/.conductor-hook.previous" ] || die "there is no earlier binary in $main"
    built=$work/conductor-hook
    cp -- "$main/.conductor-hook.previous" "$built"
    ;;
esac
found=$("$built" --version) || die "$built does not run on this machine; nothing was replaced"
[ "$way" != release ] || [ "${found##* }" = "$version" ] ||
  die "the release says that it is ${found##* }, not $version; nothing was replaced"
installed=''
if [ -x "$main/conductor-hook" ]; then installed=$("$main/conductor-hook" --version 2>/dev/null) || installed=''; fi
# A newer program than the installed one is not asked: it would move the state on before it is in its place.
if [ "$way" = rollback ] || [ -z "$installed" ] || ! at_least "${found##* }" "${installed##* }"; then
  # A newer program may have moved the state on; the older one refuses it with exit code 7, and reads nothing then.
  code=0
  "$built" audit list --limit 1 >/dev/null 2>&1 || code=$?
  [ "$code" != 7 ] || die "${found##* } cannot read the state that the newer version has written; nothing was replaced" \
    "stay, or go back to a copy of the state directory that is as old"
fi
[ "$way" != rollback ] || say "Going back to ${found##* }"
if [ -n "$prefix" ] && foreign_binary "$prefix"; then
  die "$prefix/bin/conductor-hook is somebody else's; nothing was installed" "move it away, or choose another prefix"
fi

[ -z "$plugin_writable" ] || install_into "$root/bin"
# Newer than its source, where it was built from it: demo.sh looks at that.
[ -z "$plugin_writable" ] || [ "$way" != source ] || touch -- "$root/bin/conductor-hook"
[ -n "$plugin_writable" ] || note "$root cannot be written; the plugin will take the binary from the PATH"
if [ "$way" = rollback ]; then
  if [ -n "$plugin_writable" ] && [ -z "$prefix" ] && [ -f "$root/bin/.prefixes" ]; then
    while IFS= read -r prefix; do
      if foreign_binary "$prefix"; then
        note "$prefix/bin/conductor-hook is somebody else's by now; that prefix stays as it is"
      else
        install_prefix
      fi
    done <"$root/bin/.prefixes"
    prefix=''
  fi
fi
if [ -n "$prefix" ]; then
  install_prefix
  if [ -n "$plugin_writable" ] && ! grep -qxF -- "$prefix" "$root/bin/.prefixes" 2>/dev/null; then
    printf '%s\n' "$prefix" >>"$root/bin/.prefixes"
  fi
  case :$PATH: in
    *:"$prefix/bin":*) ;;
    *) note "$prefix/bin is not on the PATH" ;;
  esac
fi

# Last: what broke off before can be done again.
[ "$way" != rollback ] || rm -f -- "$main/.conductor-hook.previous"

say
say "Next, in tmux.conf (the first line is the default; change the key or leave it out):"
note "set -g @conductor-key a"
note "$(load_line "$root")"
say "Then reload it: tmux source-file ~/.tmux.conf"
