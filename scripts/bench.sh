#!/bin/sh
# Measures the release binary against its budgets: each figure is a ratio to a floor in the same run, or a count.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/scripts/lib.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/bench.sh [--quick] [--only ROW]… [--contestant FILE] [--out FILE]
       scripts/bench.sh --profile

Builds the binary as scripts/install.sh does, measures it in a world of its own (temporary home, private tmux server, demo agents),
prints one table, and writes one JSON line a figure to FILE (default: target/budgets.jsonl).

  --profile   builds it with names, in a directory of its own, and says where the instructions of a hook go (valgrind)
  --quick     fewer rounds: two minutes instead of ten
  --only ROW  binary, version, latency, rate, approval, handoff, sessions, crowd, senders, idle, kills, hook, stop, mcp, rows or
              wal; may be repeated
  --contestant FILE
              another tool, measured in the rounds of "latency": an executable that is called with a tmux socket, a pane and a
              text, and gets the text and Enter into the pane
TEXT
}

out=$root/target/budgets.jsonl
given='' contestant='' profile=
while [ $# -gt 0 ]; do
  case $1 in
    --quick) given="$given --quick" ;;
    --profile) profile=1 ;;
    --only)
      case ${2-} in
        binary | version | latency | rate | approval | handoff | sessions | crowd | senders | idle | kills | hook | stop | mcp | rows | wal) given="$given --only $2" ;;
        *)
          usage >&2
          exit 2
          ;;
      esac
      shift
      ;;
    --contestant)
      case ${2-} in
        /*) contestant=$2 ;;
        *) contestant=$PWD/${2-} ;;
      esac
      [ -x "$contestant" ] || die "--contestant wants an executable file"
      shift
      ;;
    --out)
      out=${2-}
      [ -n "$out" ] || die "--out wants a file"
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
case $out in /*) ;; *) out=$PWD/$out ;; esac

need_tmux
have cc || need gcc cc
if [ -n "$profile" ]; then
  [ -z "$given" ] || die "--profile goes alone"
  have valgrind || need valgrind valgrind
  given='--only profile' usual=${CARGO_TARGET_DIR-}
  CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/profile
  CARGO_PROFILE_RELEASE_DEBUG=1 CARGO_PROFILE_RELEASE_STRIP=false
  export CARGO_TARGET_DIR CARGO_PROFILE_RELEASE_DEBUG CARGO_PROFILE_RELEASE_STRIP
  build release
  CARGO_TARGET_DIR=$usual
  [ -n "$usual" ] || unset CARGO_TARGET_DIR
else
  build release
fi
say "Measuring $built ($linked)"
mkdir -p -- "$(dirname -- "$out")"
cd "$root"
# The bench itself is built for development: what is measured are other processes.
set -- --binary "$built" --out "$out"
[ -z "$contestant" ] || set -- "$@" --contestant "$contestant"
# shellcheck disable=SC2086 # several words
exec cargo bench --quiet --locked --profile dev --bench budgets -- $given "$@"
