#!/bin/sh
# Installs what the tests need and runs all of them: format, lints, tests (those of the documentation too), real agents, the demo.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/scripts/lib.sh"
. "$root/scripts/agents.sh"
cd "$root"

usage() {
  cat <<'TEXT'
Usage: scripts/test.sh [--offline]

  --offline  install nothing and use no network: what is missing is a failure, except the real agents, whose
             tests are left out (and that is said) when they are not in the cache
TEXT
}

for argument in "$@"; do
  case $argument in
    --offline)
      offline=yes
      export CARGO_NET_OFFLINE=true
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

# The tests make worlds of their own; none of this one may show in them.
unset TMUX TMUX_PANE CONDUCTOR_TERMINAL_ID CONDUCTOR_SESSION CONDUCTOR_HOOK CONDUCTOR_HOME \
  CONDUCTOR_TMUX_SOCKET CONDUCTOR_LOG CONDUCTOR_DEMO_LOG CONDUCTOR_DEMO_FAIL_OPEN

logs=$(mktemp -d "${TMPDIR:-/tmp}/conductor-test.XXXXXX")
at_end "rm -rf -- $(quote "$logs")"
begun=$(date +%s)
summary='' failed=''

# step NAME COMMAND...: runs it, keeps its output, and goes on whatever it says.
step() {
  title=$1
  shift
  say
  say "==> $title"
  started=$(date +%s)
  {
    ("$@") 2>&1 && code=0 || code=$?
    printf '%s\n' "$code" >"$logs/code"
  } | tee "$logs/$title"
  code=$(cat "$logs/code")
  took=$(($(date +%s) - started))
  if [ "$code" = 0 ]; then
    summary="$summary$(printf '\n  ok      %4s s  %s' "$took" "$title")"
  else
    summary="$summary$(printf '\n  FAILED  %4s s  %s (exit %s)' "$took" "$title" "$code")"
    failed="$failed $title"
  fi
}

# --- what the tests need ------------------------------------------------------------------------------------------

install_needs() {
  need git && need_tmux && need_rust || return 1
  need shellcheck && need shfmt && need ssh-keygen || return 1
  need ip && need unshare && need valgrind || return 1
  cargo fmt --version >/dev/null 2>&1 || die "cargo fmt is missing" "rustup component add rustfmt"
  cargo clippy --version >/dev/null 2>&1 || die "cargo clippy is missing" "rustup component add clippy"
  tmux -V && rustc --version && shellcheck --version | sed -n 2p
}

# --- the real agent -----------------------------------------------------------------------------------------------

# The other agents have scripts/test-agents.sh.
install_claude() {
  if [ -n "$offline" ] && ! agent_program "claude-$claude_version" >/dev/null; then
    say "Claude Code $claude_version is not in the cache: its tests will NOT run"
    return 0
  fi
  install_agent "claude-$claude_version"
}

# --all-targets leaves out what `cargo test` does not run.
lints() {
  cargo clippy --all-targets --locked -- -D warnings &&
    cargo clippy --test kit --test mcp --locked -- -D warnings
}

# --- all of it ----------------------------------------------------------------------------------------------------

step 'what the tests need' install_needs
[ -z "$failed" ] || die "the tests cannot run without these"
need_rust # once more in this shell: it may have added cargo to the PATH
step 'Claude Code' install_claude
CONDUCTOR_TEST_CLAUDE=${CONDUCTOR_TEST_CLAUDE:-$(agent_program "claude-$claude_version" || :)}
if [ -n "$CONDUCTOR_TEST_CLAUDE" ]; then
  export CONDUCTOR_TEST_CLAUDE
else
  unset CONDUCTOR_TEST_CLAUDE
  # Without it the tests of the real agent fail; offline that is known and said below.
  [ -z "$offline" ] || export CONDUCTOR_TEST_OFFLINE=1
fi

step 'format' cargo fmt --check
step 'scripts' scripts/check-scripts
step 'lints' lints
step 'build' cargo build --locked --examples
step 'tests' cargo test --locked --no-fail-fast
step 'campaign' scripts/campaign --quick
step 'demo' scripts/demo.sh --bin "${CARGO_TARGET_DIR:-target}/debug/conductor-hook"

if [ -n "$failed" ]; then
  say
  say "==> what failed"
  for log in "$logs"/*; do
    grep -hE '^error|^test .* FAILED$|panicked at|^campaign: FAILED|^  ! |^(demo|test)\.sh: |^Diff in ' "$log" | head -n 30 || :
  done
fi
say
say "==> summary ($(($(date +%s) - begun)) s)$summary"
if [ -z "${CONDUCTOR_TEST_CLAUDE-}" ]; then
  say "  The tests against the real Claude Code did NOT run."
fi
if [ -n "$failed" ]; then
  say "FAILED"
  exit 1
fi
say "PASSED"
