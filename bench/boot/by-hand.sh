#!/usr/bin/env bash
# Boots the tiny guest by hand, with QEMU alone, and prints how long it took: the floor that `vm create` is held against.
#
#   bench/boot/by-hand.sh [--guest DIR] [--runs N] [--accel auto|kvm|hvf|tcg] [--memory MIB] [--cpus N] [--json]
#
# Each run starts from a blank disk. Times are milliseconds from the start of QEMU: `banner` until the guest sent its
# SSH banner, `login` until a command run by ssh has ended. QEMU accepts connections for a dead guest and then retries
# for seconds, so the probe waits briefly for the banner and dials again.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)

fail() { printf 'error: %s\n' "$1" >&2; shift; if [[ $# -gt 0 ]]; then printf '  %s\n' "$@" >&2; fi; exit 1; }

guest=${CARGO_TARGET_DIR:-$here/target}/guest runs=5 accel=auto memory=512 cpus=1 json=no
while [[ $# -gt 0 ]]; do
  case $1 in
    --json) json=yes; shift; continue ;;
    --help | -h) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p}' "$0"; exit 0 ;;
  esac
  [[ $# -ge 2 ]] || fail "$1 needs a value"
  case $1 in
    --guest) guest=$2 ;;
    --runs) runs=$2 ;;
    --accel) accel=$2 ;;
    --memory) memory=$2 ;;
    --cpus) cpus=$2 ;;
    *) fail "unknown argument $1" "See: $0 --help" ;;
  esac
  shift 2
done

[[ -e $guest/image.json ]] || fail "no guest image in $guest" "Run: make guest"
command -v genisoimage >/dev/null || fail "genisoimage was not found" "Run: scripts/packages.sh --tests"
case $(uname -m) in
  x86_64) qemu=(qemu-system-x86_64 -machine "q35") ;;
  *) qemu=(qemu-system-aarch64 -machine "virt") ;;
esac
command -v "${qemu[0]}" >/dev/null || fail "${qemu[0]} was not found" "Run: scripts/packages.sh"
command_line=$(sed -n 's/.*"commandLine": "\(.*\)".*/\1/p' "$guest/image.json")

work=$(mktemp -d "${TMPDIR:-/tmp}/by-hand.XXXXXX")
pid=
# shellcheck disable=SC2317 # called by the trap
clean_up() {
  [[ -z $pid ]] || kill "$pid" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT

# --- The seed: what Hostler gives a guest ---------------------------------

mkdir -p "$work/seed/hostler"
ssh-keygen -q -t ed25519 -N '' -C by-hand -f "$work/user"
ssh-keygen -q -t ed25519 -N '' -C by-hand -f "$work/seed/hostler/ssh_host_ed25519_key"
cp "$work/user.pub" "$work/seed/hostler/authorized_keys"
echo by-hand >"$work/seed/hostler/hostname"
echo admin >"$work/seed/hostler/user"
printf 'instance-id: by-hand\nlocal-hostname: by-hand\n' >"$work/seed/meta-data"
printf '#cloud-config\n' >"$work/seed/user-data"
genisoimage -quiet -volid cidata -joliet -rock -o "$work/seed.iso" "$work/seed"

# --- One run --------------------------------------------------------------

now() { local t=$EPOCHREALTIME; echo $((${t/[.,]/} / 1000)); }
free_port() { # one nobody listens on, outside the range from which the system takes its own
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}
banner() { # one attempt
  local line=
  { exec 3<>"/dev/tcp/127.0.0.1/$1" && read -r -t 0.1 line <&3; exec 3>&-; } 2>/dev/null || true
  [[ $line == SSH-2.0-* ]]
}

# Prints "BANNER LOGIN", or fails when the guest does not answer in time. ACCEL SECONDS
boot() {
  local port start banner_at login_at limit
  port=$(free_port)
  qemu-img create -q -f qcow2 "$work/disk.qcow2" 10G
  start=$(now)
  limit=$((start + $2 * 1000))
  "${qemu[@]}" -accel "$1" -cpu max -m "$memory" -smp "$cpus" \
    -nodefaults -no-user-config -display none -serial "file:$work/serial.log" \
    -kernel "$guest/vmlinuz" -initrd "$guest/initrd.img" -append "$command_line" \
    -blockdev "driver=qcow2,node-name=disk,file.driver=file,file.filename=$work/disk.qcow2" \
    -device virtio-blk-pci,drive=disk \
    -blockdev "driver=raw,node-name=seed,read-only=on,file.driver=file,file.filename=$work/seed.iso" \
    -device virtio-blk-pci,drive=seed \
    -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=net,romfile= \
    -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng \
    >"$work/qemu.log" 2>&1 </dev/null &
  pid=$!
  until banner "$port"; do
    if ! kill -0 "$pid" 2>/dev/null; then cat "$work/qemu.log" >&2; pid=; return 1; fi
    if [[ $(now) -gt $limit ]]; then stop; return 1; fi
    sleep 0.01
  done
  banner_at=$(now)
  echo "[127.0.0.1]:$port $(cut -d ' ' -f 1,2 "$work/seed/hostler/ssh_host_ed25519_key.pub")" >"$work/known_hosts"
  ssh -F none -i "$work/user" -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes \
    -o "UserKnownHostsFile=$work/known_hosts" -p "$port" admin@127.0.0.1 true || { stop; return 1; }
  login_at=$(now)
  stop
  times="$((banner_at - start)) $((login_at - start))"
}
stop() {
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  pid=
}

# An acceleration counts when a guest has booted with it: some machines offer a KVM that crawls.
choose() {
  local candidate
  for candidate in kvm hvf; do
    "${qemu[0]}" -accel help | grep -qx "$candidate" || continue
    [[ $candidate != kvm || -w /dev/kvm ]] || continue
    if boot "$candidate" 10 2>/dev/null; then echo "$candidate" >"$work/accel"; return; fi
  done
  echo tcg >"$work/accel"
}
if [[ $accel == auto ]]; then choose; accel=$(cat "$work/accel"); fi

[[ $json == yes ]] || echo "tiny guest by hand, $accel, $cpus CPU, $memory MiB: milliseconds from the start of QEMU"
: >"$work/times"
for ((run = 1; run <= runs; run++)); do
  boot "$accel" 120 || fail "the guest did not answer" "Its console:" "$(tail -n 5 "$work/serial.log")"
  echo "$times" >>"$work/times"
  if [[ $json == yes ]]; then
    read -r b l <<<"$times"
    printf '{"accel":"%s","banner_ms":%s,"login_ms":%s}\n' "$accel" "$b" "$l"
  else
    read -r b l <<<"$times"
    printf 'run %-3s banner %6s   login %6s\n' "$run" "$b" "$l"
  fi
done
median() { cut -d ' ' -f "$1" "$work/times" | sort -n | awk '{ a[NR] = $1 } END { print (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2 }'; }
[[ $json == yes ]] || printf 'median  banner %6s   login %6s\n' "$(median 1)" "$(median 2)"
