#!/usr/bin/env bash
# Builds what a benchmark needs, and runs it. For the `run` scripts beside this.
#
#   bench/program.sh PROGRAM [--quick]
#
# The rows of the report go to standard output, all else to standard error. `HOSTLER_BENCH_PROFILE=dev` tries a benchmark
# without the long build; its figures mean nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
profile=${HOSTLER_BENCH_PROFILE:-release}
cargo build --quiet --locked --profile "$profile" -p hostler -p bench
built=$target/${profile/#dev/debug}
export HOSTLER_TEST_BINARY=$built/hostler HOSTLER_TEST_GUEST=$target/guest
exec "$built/$1" "${@:2}"
