# An engine with everything of its own in the directory $1, until standard input ends: then nothing of it is left. It runs
# in namespaces for mounts and processes, so that it has no others to mistake for its own.
engine="unix://$1/docker.sock"
dockerd --host "$engine" --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" \
  --containerd-namespace "$2" --containerd-plugins-namespace "$2-plugins" \
  --bridge=none --iptables=false --ip6tables=false --ip-forward=false >"$1/log" 2>&1 </dev/null &
daemon=$!
while read -r _; do :; done
containers=$(docker --host "$engine" ps --all --quiet)
# shellcheck disable=SC2086 # words
[ -z "$containers" ] || docker --host "$engine" rm --force $containers
kill "$daemon"
wait "$daemon"
rm -rf "$1"
