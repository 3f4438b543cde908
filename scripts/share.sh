#!/bin/sh
# The generated files of an installation: man pages and completions. Source it.
# shellcheck shell=sh

# generate_share BINARY DIR: makes them below DIR, for both names of the binary. DIR is made anew.
generate_share() {
  rm -rf -- "$2"
  mkdir -p -- "$2/names" "$2/man" "$2/bash-completion/completions" "$2/zsh/site-functions" "$2/fish/vendor_completions.d"
  "$1" generate man --dir "$2/man" >/dev/null
  for called in conductor-hook conductor; do
    # Completions are for the name that the binary was called by.
    ln -s -- "$1" "$2/names/$called"
    "$2/names/$called" generate completions bash >"$2/bash-completion/completions/$called"
    "$2/names/$called" generate completions zsh >"$2/zsh/site-functions/_$called"
    "$2/names/$called" generate completions fish >"$2/fish/vendor_completions.d/$called.fish"
  done
  rm -rf -- "$2/names"
}
