#!/bin/sh
# A released binary: download and verification. Source it after lib.sh, with $work set to a directory of one's own.
# shellcheck shell=sh

: "${root:?set root to the directory of the checkout}"

# Where releases are: the repository's own, unless CONDUCTOR_RELEASES says another place. Below it lie
# download/vVERSION/{SHA256SUMS,SHA256SUMS.sig,agent-conductor-VERSION-TARGET.tar.gz}.
releases() {
  repository=$(cargo_field repository)
  printf '%s' "${CONDUCTOR_RELEASES:-${repository:+$repository/releases}}"
}

# Who may sign releases, one a line, as ssh-keygen(1) describes under ALLOWED SIGNERS.
signers=$root/scripts/allowed_signers

# Prints why a release cannot be had and verified here, and succeeds; fails when it can.
release_problem() {
  if [ -z "$(releases)" ]; then
    printf 'this checkout names no repository to download from'
  elif ! grep -qE '^[^#]' "$signers" 2>/dev/null; then
    printf 'this checkout names nobody who may sign releases (scripts/allowed_signers)'
  elif ! have ssh-keygen; then
    printf 'ssh-keygen (OpenSSH 8.1 or newer) is missing, which verifies signatures'
  elif ! have curl && ! have wget; then
    printf 'curl or wget is missing'
  elif ! release_target >/dev/null; then
    printf 'there is none for %s on %s' "$(uname -s)" "$(uname -m)"
  else
    return 1
  fi
}

# The Rust target whose binary runs here.
release_target() {
  case $(uname -s):$(uname -m) in
    Linux:x86_64) printf 'x86_64-unknown-linux-gnu' ;;
    Linux:aarch64 | Linux:arm64) printf 'aarch64-unknown-linux-gnu' ;;
    *) return 1 ;;
  esac
}

# download URL FILE: over https, from a file, or from this machine.
download() {
  case $1 in
    https://* | file:///* | http://127.0.0.1:* | http://localhost:*) ;;
    *) die "$1 is no https address" ;;
  esac
  if have curl; then
    curl --fail --silent --show-error --location --proto '=https,http,file' --proto-redir '=https' \
      --max-time 600 --max-filesize 104857600 --output "$2" -- "$1"
  elif [ "${1#file://}" != "$1" ]; then
    cp -- "${1#file://}" "$2"
  else
    wget --quiet --timeout=60 --tries=2 --output-document="$2" -- "$1"
  fi || die "cannot download $1" "see that the release exists; --source builds from this checkout instead"
}

# sha256 FILE: its sum.
sha256() {
  if have sha256sum; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d ' ' -f 1
}

# fetch_release VERSION: downloads and verifies, then sets $built to the binary. Nothing of an archive is read before its
# sum was found in a list that one of the signers has signed.
fetch_release() {
  case $1 in
    *[!0-9A-Za-z.+-]* | '' | -* | .*) die "$1 is no version" ;;
  esac
  ! problem=$(release_problem) || die "no release can be installed: $problem" "scripts/install.sh --source builds it"
  : "${work:?set work to a directory of your own}"
  from=$(releases)/download/v$1
  package=agent-conductor-$1-$(release_target)
  say "Downloading $package from $(releases)"
  download "$from/SHA256SUMS" "$work/SHA256SUMS"
  download "$from/SHA256SUMS.sig" "$work/SHA256SUMS.sig"
  ssh-keygen -Y verify -f "$signers" -I release -n agent-conductor -s "$work/SHA256SUMS.sig" \
    <"$work/SHA256SUMS" >"$work/verified" 2>&1 ||
    die "the signature of SHA256SUMS is not by a signer that this checkout names; nothing was installed" \
      "update the checkout; if that does not help, tell the maintainers"
  sum=$(awk -v name="$package.tar.gz" '$2 == name || $2 == "*" name { print $1; found++ } END { exit found != 1 }' "$work/SHA256SUMS") ||
    die "the signed list does not name $package.tar.gz once"
  download "$from/$package.tar.gz" "$work/package.tar.gz"
  [ "$(sha256 "$work/package.tar.gz")" = "$sum" ] ||
    die "$package.tar.gz is not what was signed; nothing was installed"
  say "Verified: $(sed -n 's/^Good "\(.*\)" signature for \(.*\) with \(.*\)$/signed by \3/p' "$work/verified")"
  tar -xzf "$work/package.tar.gz" -C "$work" "$package/bin/conductor-hook" ||
    die "$package.tar.gz holds no conductor-hook"
  built=$work/$package/bin/conductor-hook
  if [ ! -f "$built" ] || [ -L "$built" ]; then
    die "$package.tar.gz holds no conductor-hook"
  fi
}
