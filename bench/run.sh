#!/usr/bin/env bash
# Runs all benchmarks and writes bench/results.md.
#
#   bench/run.sh [NAME...] [--quick]     quick: small and short, and nothing is written
set -euo pipefail
cd "$(dirname "$0")/.."
quick=() names=()
for argument in "$@"; do
  case $argument in
    --quick) quick=(--quick) ;;
    --help | -h) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p}' "$0"; exit 0 ;;
    *) names+=("$argument") ;;
  esac
done
[[ ${#names[@]} -gt 0 ]] || names=(placement api tunnel boot sizes fleet)

machine() {
  local model memory
  model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1 || true)
  memory=$(awk '/^MemTotal:/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo 2>/dev/null || true)
  printf '%s x %s, %s, %s' "$(getconf _NPROCESSORS_ONLN)" "${model:-unknown CPU}" "${memory:-memory unknown}" "$(uname -srm)"
}
commit() { git describe --always --dirty 2>/dev/null || echo unknown; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in "${names[@]}"; do
  printf '== bench/%s/run\n' "$name" >&2
  "bench/$name/run" "${quick[@]}" | tee "$work/$name"
done
[[ ${#quick[@]} -eq 0 ]] || exit 0

{
  cat <<EOF
# Figures

Written by bench/run.sh. Peers and floors were measured in the same run, on the same machine, which also made the load:
$(machine).
Commit $(commit), $(date -u +%Y-%m-%d).
EOF
  for name in "${names[@]}"; do
    printf '\n## %s\n\n' "$name"
    printf '| Figure | Measured | Target | Met | Beside it, in the same run | Ratio |\n|---|---|---|---|---|---|\n'
    cat "$work/$name"
  done
} >bench/results.md
