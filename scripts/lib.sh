#!/bin/sh
# What the scripts share. Source it with $root set to the plugin's directory.
# shellcheck shell=sh disable=SC2034 # some variables are for the scripts

: "${root:?set root to the directory of the checkout}"

# Set to `yes`, nothing is installed.
offline=''

say() { printf '%s\n' "$*"; }
note() { printf '  %s\n' "$*"; }

# die WHAT [HINT]: one line and an indented hint, as the binary does it.
die() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  [ $# -lt 2 ] || printf '  %s\n' "$2" >&2
  exit 1
}

# at_end COMMAND: runs it when the script ends, by itself or by a signal; a plain trap on EXIT is not run after a signal.
at_end() {
  # shellcheck disable=SC2064 # the command as it is now
  trap "$1" EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 131' QUIT
  trap 'exit 141' PIPE
  trap 'exit 143' TERM
}

have() { command -v "$1" >/dev/null 2>&1; }

# The text as one word of a shell.
quote() {
  case $1 in
    '' | *[!A-Za-z0-9_./:@%+=-]*) printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s' "$1" ;;
  esac
}

# The line of a tmux.conf that runs the plugin in directory $1: a shell word in a tmux string, '#' doubled.
load_line() {
  printf 'run-shell "%s"\n' "$(quote "$1/conductor.tmux" | sed 's/#/&&/g; s/[\\"$]/\\&/g')"
}

# at_least HAVE WANT: compares dotted numbers; whatever follows the leading digits and dots of HAVE is ignored.
at_least() {
  printf '%s %s\n' "$1" "$2" | awk '{
    sub(/[^0-9.].*/, "", $1)
    split($1, have, "."); split($2, want, ".")
    for (i = 1; i <= 3; i++) if (have[i] + 0 != want[i] + 0) exit !(have[i] + 0 > want[i] + 0)
    exit 0 }'
}

package_manager() {
  for manager in apt-get dnf pacman apk zypper brew; do
    if have "$manager"; then
      printf '%s' "$manager"
      return 0
    fi
  done
  return 1
}

# The names that package $2 has with manager $1.
package_names() {
  case $2:$1 in
    tmux:* | git:* | shfmt:*) printf '%s' "$2" ;;
    shellcheck:dnf | shellcheck:zypper) printf 'ShellCheck' ;;
    shellcheck:*) printf 'shellcheck' ;;
    cc:apt-get) printf 'gcc libc6-dev' ;;
    cc:apk) printf 'gcc musl-dev' ;;
    cc:*) printf 'gcc' ;;
    venv:apt-get) printf 'python3-venv' ;;
    venv:*) printf 'python3' ;;
    npm:apt-get | npm:pacman | npm:apk) printf 'nodejs npm' ;;
    npm:dnf) printf 'nodejs nodejs-npm' ;;
    npm:zypper) printf 'nodejs-default npm-default' ;;
    npm:brew) printf 'node' ;;
    ip:dnf) printf 'iproute' ;;
    ip:*) printf 'iproute2' ;;
    unshare:*) printf 'util-linux' ;;
    ssh-keygen:apt-get) printf 'openssh-client' ;;
    ssh-keygen:dnf) printf 'openssh-clients' ;;
    ssh-keygen:*) printf 'openssh' ;;
    *) printf '%s' "$2" ;;
  esac
}

# Runs a command as root, or with sudo where that asks for no password.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
  [ "$1" = brew ] || [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }
}

install_with() {
  manager=$1
  shift
  case $manager in
    apt-get)
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" ||
        { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; }
      ;;
    dnf) as_root dnf install -y "$@" ;;
    pacman) as_root pacman -S --noconfirm --needed "$@" || as_root pacman -Sy --noconfirm --needed "$@" ;;
    apk) as_root apk add "$@" ;;
    zypper) as_root zypper --non-interactive install "$@" ;;
    brew) brew install "$@" ;;
  esac
}

# need COMMAND [PACKAGE]: installs the package when the command is missing, or says how.
need() {
  have "$1" && return 0
  install_package "${2-$1}"
  hash -r
  have "$1" || die "$1 is still missing after its package was installed"
}

install_package() {
  [ -z "$offline" ] || die "$1 is missing (or too old), and --offline forbids to install it"
  manager=$(package_manager) || die "$1 is needed and there is no package manager that this script knows" "install $1 and run this again"
  names=$(package_names "$manager" "$1")
  may_install "$manager" || die "$1 is needed and may not be installed by this user" "run as root: $manager $(install_verb "$manager") $names"
  say "Installing $names with $manager"
  log=$(mktemp)
  # shellcheck disable=SC2086 # several names
  if ! install_with "$manager" $names >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    die "$manager could not install $names" "install it by hand and run this again"
  fi
  rm -f "$log"
}

install_verb() {
  case $1 in
    pacman) printf -- '-S' ;;
    apk) printf 'add' ;;
    *) printf 'install' ;;
  esac
}

# Whether what `tmux -V` said is 3.2 or newer; builds without a number (master, openbsd) are taken to be.
tmux_is_new_enough() {
  version=${1#tmux }
  version=${version#next-}
  case $version in
    [0-9]*) at_least "$version" 3.2 ;;
    '') return 1 ;;
    *) return 0 ;;
  esac
}

need_tmux() {
  have tmux && tmux_is_new_enough "$(tmux -V 2>/dev/null)" && return 0
  install_package tmux
  hash -r
  found=$(tmux -V 2>/dev/null) || die "tmux does not run after it was installed"
  tmux_is_new_enough "$found" ||
    die "$found is too old: 3.2 or newer is needed" "the package manager has no newer one; build it from https://github.com/tmux/tmux"
}

# A field of the package table in Cargo.toml.
cargo_field() {
  sed -n "s/^$1 = \"\\(.*\\)\"\$/\\1/p" "$root/Cargo.toml" | head -n 1
}

# The binary can be built and run on Linux alone.
need_linux() {
  [ "$(uname -s)" = Linux ] ||
    die "Agent Conductor is for Linux and does not run on $(uname -s)" "install it on a Linux machine, a virtual one too; docs/releasing.md says why"
}

need_rust() {
  need_linux
  wanted=$(cargo_field rust-version)
  if ! have cargo && [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH=$PATH:$HOME/.cargo/bin
    export PATH
  fi
  if ! have cargo || ! have rustc; then
    die "Rust $wanted or newer is needed to build conductor-hook, and cargo is not on the PATH" \
      "install it with rustup (https://rustup.rs), then run this again"
  fi
  found=$(rustc --version 2>/dev/null) || die "rustc does not run" "repair the toolchain: rustup toolchain install stable"
  found=${found#rustc }
  at_least "$found" "$wanted" ||
    die "rustc ${found%% *} is too old: $wanted or newer is needed" "update it: rustup update stable"
  have cc || need gcc cc
}

# The Rust target of this machine.
host_target() {
  rustc -vV | sed -n 's/^host: //p'
}

is_static() {
  case $(LC_ALL=C file -L "$1" 2>/dev/null || :) in
    *'statically linked'* | *'static-pie linked'*) return 0 ;;
    *'dynamically linked'*) return 1 ;;
  esac
  case $(LC_ALL=C ldd "$1" 2>&1 || :) in
    *'statically linked'* | *'not a dynamic executable'* | *'ot a valid dynamic program'*) return 0 ;;
    *) return 1 ;;
  esac
}

# build release|debug: builds the binary and sets $built to its path and $linked to how it is linked.
build() {
  need_rust
  target_dir=${CARGO_TARGET_DIR:-$root/target}
  case $target_dir in /*) ;; *) target_dir=$root/$target_dir ;; esac
  if ! mkdir -p "$target_dir" 2>/dev/null || [ ! -w "$target_dir" ]; then
    target_dir=${XDG_CACHE_HOME:-$HOME/.cache}/agent-conductor/target
  fi
  if [ "$1" = debug ]; then
    cargo_build --bin conductor-hook || die "the build failed"
    built=$target_dir/debug/conductor-hook linked=debug
    return 0
  fi
  target=$(host_target)
  case $target in
    x86_64-*-linux-gnu | aarch64-*-linux-gnu)
      # An explicit target keeps the flag from build scripts and procedural macros, which must be dynamic.
      if RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }-Ctarget-feature=+crt-static" \
        cargo_build --release --target "$target" --bin conductor-hook; then
        built=$target_dir/$target/release/conductor-hook
        if is_static "$built" && "$built" --version >/dev/null 2>&1; then
          linked=static
          return 0
        fi
      fi
      note "a static build is not possible here (the C library's static archive is missing?); building a dynamic one"
      ;;
  esac
  cargo_build --release --bin conductor-hook || die "the build failed"
  built=$target_dir/release/conductor-hook linked=dynamic
  if is_static "$built"; then linked=static; fi
}

# How many seconds pass between two lines of pulse.
pulse=15

# Says every now and then that the build goes on; for where nobody sees cargo's own bar.
pulse() {
  seconds=0
  while sleep "$pulse" >/dev/null 2>&1; do
    seconds=$((seconds + pulse))
    note "still building ($seconds s)"
  done
}

cargo_build() (
  cd "$root" || exit
  if ! [ -t 2 ]; then
    pulse &
    at_end "kill $! 2>/dev/null"
  fi
  cargo build --locked --target-dir "$target_dir" "$@"
)

# Whether the installed binary is newer than everything that it is built from.
binary_is_fresh() {
  [ -x "$root/bin/conductor-hook" ] &&
    [ -z "$(find "$root/src" "$root/Cargo.toml" "$root/Cargo.lock" "$root/agent_store" -newer "$root/bin/conductor-hook" 2>/dev/null | head -n 1)" ]
}
