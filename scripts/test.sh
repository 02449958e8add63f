#!/usr/bin/env bash
# Everything that must hold, in phases, with the seconds each took. The last line is `N passed, N failed, N skipped`.
#
#   scripts/test.sh              all phases
#   scripts/test.sh lints tests  these phases only
#
# A phase that fails does not stop those after it, except that nothing is tested when the build fails.
# A test that is ignored, or skips itself (it prints `SKIPPED name: reason`), fails the run unless tests/skips.txt names it.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
target=${CARGO_TARGET_DIR:-target}
# Nextest keeps its reports in the work tree, wherever the build goes.
report=target/nextest/full/junit.xml
# The most that the program may take, in bytes.
size_limit=40000000

passed=0 failed=0 skipped=0 broken=0 skips=
declare -a names=() seconds=() results=()

say() { printf '%s\n' "$*" >&2; }

# --- Phases ---------------------------------------------------------------

phase_format() { cargo fmt --all --check; }
phase_lints() {
  cargo clippy --workspace --all-targets --locked -- -D warnings &&
    if command -v shellcheck >/dev/null; then
      git ls-files -z '*.sh' .ci/run guest/rootfs | xargs -0 grep -lzE '^#!.*sh\b' -Z | xargs -0 shellcheck
    fi
}
phase_deny() {
  tool cargo-deny && cargo deny --log-level error check --hide-inclusion-graph bans licenses sources
}
phase_build() { cargo build --release --locked -p hostler; }
phase_size() {
  local size
  size=$(wc -c <"$target/release/hostler") || return
  [[ $size -le $size_limit ]] || { say "error: the program has $size bytes, more than $size_limit"; return 1; }
}
phase_guest() { guest/build.sh "$target/guest"; }
absolute() { (cd "$1" && pwd); }
phase_tests() { run_tests dev --workspace; }
# The tests that hold on a cluster of separate processes as they do on `dev` (Layout::chosen, which Registered takes), there.
phase_apart() {
  local binaries
  binaries=$(grep -lE 'Layout::chosen|Registered::start' tests/tests/*.rs | sed -E 's:.*/(.*)\.rs:binary(\1):' | paste -sd '|')
  # The whole workspace, though only these run: a part of it would be built anew, with other features of its dependencies.
  run_tests apart --workspace -E "package(e2e) and ($binaries)"
}
run_tests() {
  local layout=$1 code=0
  tool cargo-nextest || return
  mkdir -p "$target"
  rm -f "$report"
  # Absolute paths: each test runs in the directory of its own crate.
  HOSTLER_TEST_GUEST=$(absolute "$target")/guest HOSTLER_TEST_BINARY=$(absolute "$target")/release/hostler \
    HOSTLER_TEST_LAYOUT=$layout cargo nextest run "${@:2}" --locked --profile full --no-tests=pass || code=$?
  count_tests || code=1
  return "$code"
}
phase_docs() { cargo test --workspace --locked --doc --quiet; }

all_phases=(format lints deny build size guest tests apart docs)

# --- Tools ----------------------------------------------------------------

# A cargo subcommand that is not there is built once, into cargo's own directory.
tool() {
  command -v "$1" >/dev/null || [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/$1 ]] || {
    say "installing $1"
    cargo install --locked "$1"
  }
}

# --- Counting -------------------------------------------------------------

# Reads the report: what passed, what failed, what skipped itself. Ignored tests are not in it; they are listed apart.
count_tests() {
  [[ -e $report ]] || { say "error: no test report at $report"; return 1; }
  local all bad new ignored unlisted
  all=$(grep -c '<testcase ' "$report")
  bad=$(grep -cE '<(failure|error)[ >]' "$report")
  new=$(sed -nE 's/.*SKIPPED ([^ ]+): .*/\1/p' "$report" | LC_ALL=C sort -u)
  ignored=$(cargo nextest list --workspace --locked --run-ignored only --message-format oneline 2>/dev/null |
    awk '{ print $NF }' | LC_ALL=C sort -u)
  passed=$((passed + all - bad - $(sed '/^$/d' <<<"$new" | wc -l)))
  failed=$((failed + bad))
  skips=$(printf '%s\n' "$skips" "$new" "$ignored" | sed '/^$/d' | LC_ALL=C sort -u)
  skipped=$(sed '/^$/d' <<<"$skips" | wc -l)
  unlisted=$(LC_ALL=C comm -23 - <(sed -E '/^#/d; /^ *$/d; s/[ \t].*//' tests/skips.txt | LC_ALL=C sort -u) <<<"$skips" | sed '/^$/d')
  [[ -z $unlisted ]] || {
    say "error: skipped, and not in tests/skips.txt:"
    say "${unlisted//$'\n'/$'\n'  }"
    return 1
  }
}

# --- Run ------------------------------------------------------------------

run_phase() {
  local start=$EPOCHREALTIME result=ok
  say "== $1"
  "phase_$1" </dev/null || { result=FAILED; broken=$((broken + 1)); }
  names+=("$1")
  seconds+=("$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')")
  results+=("$result")
  [[ $result == ok ]]
}

chosen=("$@")
[[ $# -gt 0 ]] || chosen=("${all_phases[@]}")
for phase in "${chosen[@]}"; do
  [[ " ${all_phases[*]} " == *" $phase "* ]] || { say "error: no phase $phase; there are: ${all_phases[*]}"; exit 2; }
done
for phase in "${chosen[@]}"; do
  run_phase "$phase" || [[ $phase != build ]] || break
done

echo
printf '%-10s %8s  %s\n' phase seconds result
for i in "${!names[@]}"; do printf '%-10s %8s  %s\n' "${names[i]}" "${seconds[i]}" "${results[i]}"; done
echo
# A broken phase without a failed test is a failure all the same.
[[ $broken -eq 0 || $failed -gt 0 ]] || failed=$broken
echo "$passed passed, $failed failed, $skipped skipped"
[[ $broken -eq 0 ]]
