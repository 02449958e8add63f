#!/usr/bin/env bash
# Installs what Hostler needs from Debian's packages, or says what to run.
#
#   scripts/packages.sh           what `make dev` needs
#   scripts/packages.sh --tests   and what `make test` needs
#
# As root it installs. As another user it prints the one line to run and fails.
# It never asks a question, and does nothing when nothing is missing.
# shellcheck disable=SC2016 # $(NAME) in quotes is a field for apt, not a command
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; shift; for line in "$@"; do say "  $line"; done; exit 1; }

with_tests=no
for arg in "$@"; do
  case $arg in
    --tests) with_tests=yes ;;
    *) fail "unknown argument $arg" "usage: scripts/packages.sh [--tests]" ;;
  esac
done

# --- Debian's packages ----------------------------------------------------

installed_version() {
  { dpkg-query -W -f '${db:Status-Abbrev} ${Version}\n' "$1" 2>/dev/null || true; } | sed -n 's/^ii *//p' | head -n 1
}
candidate_version() { apt-cache policy "$1" | sed -n 's/^ *Candidate: *//p' | grep -v '^(none)$' || true; }
# 1:10.0.2+ds-2 becomes 10.0: disks and emulator must come from the same release.
release_of() { sed -E 's/^[0-9]+://; s/^([0-9]+\.[0-9]+).*/\1/' <<<"$1"; }

emulator_package() {
  case $(dpkg --print-architecture) in
    amd64) echo qemu-system-x86 ;;
    arm64) echo qemu-system-arm ;;
    *) fail "Hostler's guests need an amd64 or arm64 host" ;;
  esac
}

plain_packages() {
  echo gcc libc6-dev make pkg-config ca-certificates binutils cpio lz4 xz-utils zstd openssh-client
  [[ $with_tests == yes ]] || return 0
  echo openssh-server genisoimage python3 git shellcheck curl
  echo age                                # files that others encrypted
  echo faketime                           # clocks that jump
  echo busybox dropbear-bin sudo opendoas # nodes that are not Debian with sudo
  echo iproute2 ruby                      # the tutorial of a system we replace
  echo bubblewrap                         # code of others
  echo docker.io                          # nodes that are containers
  echo dnf rpm createrepo-c systemd       # nodes with other packages, and a supervisor
  echo ansible-core                       # the judge of inventories of Ansible
}

# What tests unpack on machines of their own, and nobody installs here: a supervisor would take this machine over.
unpacked_packages() {
  [[ $with_tests == no ]] || echo openrc librc1 libeinfo1 insserv
}

download_debian() {
  local package missing=()
  for package in $(unpacked_packages); do
    compgen -G "target/debs/${package}_*.deb" >/dev/null || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  mkdir -p target/debs
  (cd target/debs && apt-get download -q -o APT::Sandbox::User= "${missing[@]}" >&2) ||
    say "warning: ${missing[*]} cannot be had: tests of it will skip themselves"
}

# The backports of the Debian source that is configured, whatever mirror it names and however it is written.
add_backports() {
  local codename=$1 line uri component signed target
  line=$(apt-get indextargets --format $'$(RELEASE)\t$(CODENAME)\t$(COMPONENT)\t$(REPO_URI)\t$(SIGNED_BY)' \
      'Created-By: Packages' 'Origin: Debian' |
    awk -F '\t' -v c="$codename" '$2 == c && $3 == "main" { print; exit }')
  [[ -n $line ]] || fail "no configured package source offers $codename main" \
    "Add Debian's main archive to /etc/apt/sources.list, then run: $0"
  IFS=$'\t' read -r _ _ component uri signed <<<"$line"
  [[ $signed == '$('* ]] && signed=''
  target=/etc/apt/sources.list.d/hostler-backports.sources
  say "adding $codename-backports from the configured mirror: $target"
  {
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\n' "$uri" "$codename-backports" "$component"
    if [[ -n $signed ]]; then
      printf 'Signed-By: %s\n' "$signed"
    elif [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]]; then
      printf 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n'
    fi
  } >"$target"
}

has_backports() {
  apt-get indextargets --format '$(RELEASE)' 'Created-By: Packages' | grep -qx "$1-backports"
}

install_debian() {
  local emulator utils have known candidate missing=() from=()
  emulator=$(emulator_package)
  for package in $(plain_packages); do
    [[ -n $(installed_version "$package") ]] || missing+=("$package")
  done
  # A toolchain that did not come from a package is as good.
  if command -v git >/dev/null; then missing=("${missing[@]/#git/}"); fi
  read -ra missing <<<"${missing[*]:-}"

  utils=$(installed_version qemu-utils)
  have=$(installed_version "$emulator")
  local need_qemu=no
  if [[ -z $utils || -z $have || $(release_of "$utils") != "$(release_of "$have")" ]]; then need_qemu=yes; fi
  if [[ ${#missing[@]} -eq 0 && $need_qemu == no ]]; then return 0; fi

  if [[ $EUID -ne 0 ]]; then
    local line="sudo $PWD/scripts/packages.sh"
    [[ $with_tests == no ]] || line+=" --tests"
    [[ $need_qemu == no ]] || missing+=("$emulator" qemu-utils)
    fail "missing Debian packages: ${missing[*]}" "Run this, then try again:" "  $line"
  fi

  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >&2
  if [[ $need_qemu == yes ]]; then
    candidate=$(candidate_version "$emulator")
    # What is there is newer than what is on offer: it came from the backports, so the rest must too.
    known=${utils:-$have}
    if [[ -n $known && $(release_of "$known") != "$(release_of "$candidate")" ]]; then
      local codename
      # shellcheck source=/dev/null
      codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
      if ! has_backports "$codename"; then
        add_backports "$codename"
        apt-get update -q >&2
      fi
      from=(-t "$codename-backports")
    fi
    apt-get install -q -y --no-install-recommends "${from[@]}" "$emulator" qemu-utils >&2
  fi
  if [[ ${#missing[@]} -gt 0 ]]; then
    apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
  fi
}

# --- Rust -----------------------------------------------------------------

at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]; }

check_rust() {
  local wanted cargo have
  wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml | head -n 1)
  cargo=$(command -v cargo || true)
  if [[ -z $cargo && -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
    fail "cargo is installed but not on the PATH" "Run this, then try again:" \
      "  . ${CARGO_HOME:-$HOME/.cargo}/env"
  fi
  if [[ -z $cargo ]]; then
    fail "Rust $wanted or newer is needed and cargo was not found" "Run these, then try again:" \
      "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile default" \
      "  . \"\$HOME/.cargo/env\""
  fi
  have=$(cargo --version | awk '{ print $2 }')
  at_least "$wanted" "$have" && return 0
  if command -v rustup >/dev/null; then
    fail "Rust $wanted or newer is needed, this is $have" "Run this, then try again:" "  rustup update stable && rustup default stable"
  fi
  fail "Rust $wanted or newer is needed, this is $have (from $cargo)" "Run these, then try again:" \
    "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile default" \
    "  . \"\$HOME/.cargo/env\""
}

if command -v apt-get >/dev/null; then
  install_debian
  download_debian
else
  # Elsewhere (macOS, other distributions) we only say what is missing.
  machine=$(uname -m)
  for program in "qemu-system-${machine/arm64/aarch64}" qemu-img ssh cc make; do
    command -v "$program" >/dev/null || fail "$program was not found" "Install it with your system's package manager."
  done
fi
# Run by sudo, we are asked for packages only: the toolchain is the user's, and root's PATH may not know it.
[[ -n ${SUDO_USER:-} ]] || check_rust
