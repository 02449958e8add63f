# The shell that stays on the node while it is checked or deployed: it reads what to do next from its standard input, one
# turn at a time, and says in between how far it is. Standard input ends with the session: then the running step is ended,
# and the lock is free. A fork costs as much as a thousand of its lines, a program three times that: what the shell can do
# itself, it does.

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
exec 3<&0
child= temporary= mine= locked= late= watcher=

# The user, and what new files do not get: without a program where the system tells it, proc(5).
uid= mask=
{
  while IFS=':	 ' read -r key value _; do
    case $key in Umask) mask=$value ;; Uid) uid=$value; break ;; esac
  done </proc/self/status
} 2>/dev/null
: "${uid:=$(id -u)}" "${mask:=$(umask)}"

# frame WORD...: tells the other side, which knows the token. `both` does it on standard error too, so that output on
# either belongs to one step.
frame() { printf '\036%s %s\n' "$token" "$*"; }
both() { frame "$@"; frame "$@" >&2; }

# turn FUNCTION: one turn.
turn() {
  "$1" </dev/null
  code=$?
  # A subshell that has just begun may lose any other signal.
  [ -z "$watcher" ] || { kill -s KILL "$watcher"; wait "$watcher"; } 2>/dev/null
  watcher=
  both ready "$code"
}

# watch: from here to the end of the turn, the end of the session is noticed at once. For what may take long.
watch() {
  [ -z "$watcher" ] || return 0
  ( while IFS= read -r _; do :; done; kill -s TERM $$ ) <&3 3<&- >/dev/null 2>&1 &
  watcher=$!
}

# The session is lost, or somebody ends this shell.
die() {
  trap '' HUP INT TERM
  [ -z "$child" ] || end "$child"
  unlock
  exit 143
}
trap die HUP INT TERM
trap unlock EXIT

# end PID: its whole group, at once if it does not end within five seconds. Returns when it is gone.
end() {
  signalled TERM "$1"
  ( sleep 5; signalled KILL "$1" ) >/dev/null 2>&1 &
  wait "$1" 2>/dev/null
  { kill -s KILL "$!"; signalled KILL "$1"; } 2>/dev/null
}

signalled() { kill -s "$1" -- "-$2" 2>/dev/null || kill -s "$1" "$2" 2>/dev/null; }

# grouped WORD...: a command in a process group of its own, where this system can do that.
grouped() { if command -v setsid >/dev/null 2>&1; then exec setsid "$@"; else exec "$@"; fi; }

# script SECONDS INTERPRETER...: runs the text on standard input, in a group of its own. 124 where its time was over.
script() {
  watch
  limit=$1
  shift
  exec 9<&0
  [ ! -e /dev/fd/9 ] && set -- "$@" /proc/self/fd/9 || set -- "$@" /dev/fd/9
  grouped "$@" </dev/null 3<&- &
  child=$!
  exec 9<&-
  late= timer=
  if [ "$limit" -gt 0 ]; then
    trap 'late=yes; signalled TERM "$child"' USR1
    grouped sh -c 'sleep "$1"; kill -s USR1 "$2"; sleep 5; kill -s KILL -- "-$3" || kill -s KILL "$3"' \
      sh "$limit" $$ "$child" >/dev/null 2>&1 3<&- &
    timer=$!
  fi
  # A signal for this shell interrupts the wait.
  while :; do
    wait "$child"
    code=$?
    kill -0 "$child" 2>/dev/null || break
  done
  child=
  [ -z "$timer" ] || { signalled KILL "$timer"; wait "$timer"; } 2>/dev/null
  [ -z "$late" ] || code=124
  return "$code"
}

# The interpreter of scripts that name none.
if command -v bash >/dev/null 2>&1; then shell=bash; else shell=sh; fi

# birth PID: when a process was started, in $born; empty where it runs no more. proc(5), field 22 of stat.
birth() {
  born=
  if { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null; then
    stat=${stat##*) }
    # shellcheck disable=SC2086 # fields
    set -- $stat
    [ "$1" = Z ] || born=${20}
  elif [ ! -d /proc/self ] && kill -0 "$1" 2>/dev/null; then
    born=-
  fi
}

boot=-
{ IFS= read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
birth $$
self=$$.${born:--}
me="$$ ${born:--} $boot $owner"

# dead HOLDER: whether the process that a lock names is gone. An other boot is an other world.
dead() {
  # shellcheck disable=SC2086 # fields
  set -- $1
  birth "$1"
  [ "$3" != "$boot" ] || [ "$born" != "$2" ]
}

# holds LOCK: what it says of who holds it, in $holder; empty where nobody does. One without a line is left from before the
# machine lost its power.
holds() {
  holder=
  { { IFS= read -r holder || holder='- - - -'; } <"$1"; } 2>/dev/null
}

# take LOCK: a lock is one more name of the file $mine, so that it comes into being at once and whole. Only who holds
# LOCK.stale may remove a dead one, so that nobody removes the next.
take() {
  ln -- "$mine" "$1" 2>/dev/null && return
  holds "$1"
  set -- "$1" "$holder"
  [ -n "$2" ] && dead "$2" && take "$1.stale" || return
  holds "$1"
  # shellcheck disable=SC2086 # fields
  [ "$holder" != "$2" ] || { set -- "$1" $2; rm -f -- "$1" "$1.$2.$3"; }
  rm -f -- "$1.stale"
  ln -- "$mine" "$1" 2>/dev/null
}

# lock LOCK SECONDS: waits so long for it.
lock() {
  [ -d "${1%/*}" ] || mkdir -p -- "${1%/*}" || return
  mine=$1.$self
  [ ! -e "$mine" ] || rm -f -- "$mine"
  text "$mine" "$me" || return
  left=$2 told= failed=
  until take "$1"; do
    holds "$1"
    if [ -n "$holder" ]; then
      failed=
      [ "$holder" = "$told" ] || both waiting "${holder#* * * }"
      told=$holder
      [ "$left" -gt 0 ] || { both busy "${holder#* * * }"; return 1; }
    else
      # Somebody freed it just now; twice in a row means that it cannot be made.
      [ -z "$failed" ] || { ln -- "$mine" "$1" && break; return 1; }
      failed=yes
      continue
    fi
    left=$((left - 1))
    watch
    sleep 1
  done
  locked=$1
  both locked
}

# unlock: removes what nobody needs from here on, and the lock if it is ours.
unlock() {
  set --
  if [ -n "$locked" ] && holds "$locked" && [ "$holder" = "$me" ]; then set -- "$locked"; fi
  [ -z "$mine" ] || set -- "$@" "$mine"
  [ -z "$temporary" ] || set -- "$@" "$temporary"
  [ $# -eq 0 ] || rm -rf -- "$@"
  locked= mine= temporary=
}

# text FILE TEXT: TEXT and a line feed into a file. Where `printf` is a program, no text becomes an argument of it; and `cat`
# says why a file cannot be written.
text() {
  { PATH=/ printf '%s\n' "$2" >"$1"; } 2>/dev/null || cat >"$1" <<END
$2
END
}

# fill FILE [TEXT]: a file that nobody else may read, with a text, or with what comes in base64 on standard input.
fill() {
  umask 077
  if [ $# -gt 1 ]; then text "$@"; else base64 -d >"$1"; fi
  set -- $?
  umask "$mask"
  return "$1"
}

# save DIRECTORY NAME [TEXT]: a log, as `fill` takes it. Its name is never that of another.
save() {
  [ -d "$1" ] || (umask 077 && mkdir -p -- "$1") || return
  temporary=$1/.hostler.$$
  directory=$1 first=$2 name=$2 number=1
  shift 2
  fill "$temporary" "$@" || return
  until ln -- "$temporary" "$directory/$name" 2>/dev/null; do
    [ -e "$directory/$name" ] || { mv -- "$temporary" "$directory/$name" && break; return 1; }
    number=$((number + 1))
    name=${first}_$number
  done
  frame saved "$directory/$name"
}

# places STATE LOGS: where this node keeps what it has to know, and its logs. Empty is the usual place.
places() {
  state=$1 logs=$2
  if [ "$uid" = 0 ]; then
    : "${state:=/var/lib/hostler}" "${logs:=/var/log/deployments}"
  else
    : "${state:=$HOME/.local/state/hostler}" "${logs:=$HOME/.local/state/hostler/deployments}"
  fi
}

# step KEY: runs the function of a step, and says when it begins and ends.
step() {
  watch
  both begin "$1"
  "step_$1"
  code=$?
  both end "$1" "$code"
  return "$code"
}

# owe NAME...: handlers that have to run, also if this deployment does not live to do it. `settle` says that they did.
owe() {
  mkdir -p -- "$state/pending" || return
  for name do : >"$state/pending/$name" || return; done
}

settle() { rm -f -- "$state/pending/$1"; }
