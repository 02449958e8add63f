# What changes a node. Each function does one thing whole or leaves things as they were, and says why on standard error.

# attributes PATH MODE OWNER GROUP: `-` is kept. The owner first: a change of it clears setuid bits.
attributes() {
  case $3:$4 in
    -:-) ;;
    -:*) chgrp -h -- "$4" "$1" ;;
    *:-) chown -h -- "$3" "$1" ;;
    *) chown -h -- "$3:$4" "$1" ;;
  esac || return
  [ "$2" = - ] || chmod -- "$2" "$1"
}

# labelled PATH: gives a new path the security label that the policy has for it.
labelled() {
  if [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null 2>&1; then restorecon -- "$1"; fi
}

# put PATH MODE OWNER GROUP CHECK [TEXT]: replaces or creates a file at once, with a content as `fill` takes it.
put() {
  temporary=${1%/*}/.hostler.$$
  if [ -f "$1" ] && [ ! -L "$1" ]; then fresh=; else fresh=yes; fi
  if fill "$temporary" ${6+"$6"} && inherit "$1" "$temporary" "$fresh" &&
    attributes "$temporary" "$2" "$3" "$4" && checked "$5" "$temporary" && renamed "$temporary" "$1"; then
    temporary=
    [ -z "$fresh" ] || labelled "$1"
    return 0
  fi
  rm -f -- "$temporary"
  temporary=
  return 1
}

# inherit OLD NEW FRESH: label, access lists and extended attributes, as far as this system knows them.
inherit() {
  [ -n "$3" ] || cp --attributes-only --preserve=all --no-preserve=timestamps -- "$1" "$2" 2>/dev/null || :
}

# checked COMMAND PATH: whether a command is content with a file; no command always is.
checked() { [ -z "$1" ] || sh -c "$1" sh "$2" </dev/null; }

# directory PATH MODE OWNER GROUP: a new one may get the setgid bit of the directory that it is in, where no mode is said.
directory() {
  [ -d "$1" ] || { (umask 022 && mkdir -- "$1") && labelled "$1"; } || return
  attributes "$@"
}

# renamed OLD NEW: also where NEW is a link to a directory, which mv would move OLD into.
renamed() {
  if [ ! -L "$2" ] || [ ! -d "$2" ]; then mv -f -- "$1" "$2"; return; fi
  mv -f -T -- "$1" "$2" 2>/dev/null || { rm -f -- "$2" && mv -f -- "$1" "$2"; }
}

# link PATH TARGET
link() {
  temporary=${1%/*}/.hostler.$$
  ln -s -- "$2" "$temporary" && renamed "$temporary" "$1" || { rm -f -- "$temporary"; temporary=; return 1; }
  temporary=
}

# line PATH LINE: adds a line to a file, unless it is there.
line() {
  if printf '%s\n' "$2" | grep -q -x -F -f - -- "$1"; then return; fi
  set -- "$1" "$2" "$(stat -c %a -- "$1")" "$(stat -c %u -- "$1")" "$(stat -c %g -- "$1")"
  { cat <"$1" && { [ -z "$(tail -c 1 <"$1")" ] || echo; } && printf '%s\n' "$2"; } | base64 |
    put "$1" "$3" "$4" "$5" ''
}

# managed VERB NAME...: install or remove, by the manager that `packages` found.
managed() {
  verb=$1
  shift
  case $manager-$verb in
    apt-get-install) apt_get install --no-remove -- "$@" ;;
    apt-get-remove) apt_get remove -- "$@" ;;
    apt-get-update) apt_get update ;;
    # What is known of the repositories is not read anew on the way: else another version than the foretold one may come.
    dnf-install) dnf -q -y --setopt=*.metadata_expire=never install -- "$@" ;;
    dnf-remove) dnf -q -y remove -- "$@" ;;
    dnf-update) dnf -q -y makecache ;;
    apk-install) apk add -- "$@" ;;
    apk-remove) apk del -- "$@" ;;
    apk-update) apk update ;;
    *) printf 'this node has no package manager that is known\n' >&2; return 1 ;;
  esac </dev/null
}

# Questions of packages are answered as if nobody was there; changed configuration files are kept.
apt_get() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
    -o DPkg::Lock::Timeout=60 "$@"
}

# supervised VERB NAME: by the supervisor that `services` found.
supervised() {
  case $supervisor-$1 in
    openrc-enable) rc-update add "$2" default ;;
    openrc-disable)
      for level in /etc/runlevels/*/"$2"; do
        level=${level%/*}
        [ ! -L "$level/$2" ] || rc-update del "$2" "${level##*/}" || return
      done ;;
    openrc-daemon-reload) ;;
    openrc-*) rc-service "$2" "$1" ;;
    *) systemctl "$@" ;;
  esac </dev/null
}

# user_create NAME -r|-m UID GROUP GROUPS COMMENT HOME SHELL: empty is what is not said. BusyBox has a tool of its own.
user_create() {
  if command -v useradd >/dev/null 2>&1; then
    useradd "$2" ${3:+-u "$3"} ${4:+-g "$4"} ${5:+-G "$5"} ${6:+-c "$6"} ${7:+-d "$7"} ${8:+-s "$8"} -- "$1"
    return
  fi
  case $2 in -r) system=yes ;; *) system= ;; esac
  adduser -D ${system:+-S -H} ${3:+-u "$3"} ${4:+-G "$4"} ${6:+-g "$6"} ${7:+-h "$7"} ${8:+-s "$8"} -- "$1" &&
    joined "$1" "$5"
}

# joined NAME GROUP,GROUP...
joined() {
  for group in $(printf %s "$2" | tr , ' '); do addgroup "$1" "$group" || return; done
}

# user_change FLAG VALUE... -- NAME, with the flags of usermod. Without it, only groups can be added.
user_change() {
  if command -v usermod >/dev/null 2>&1; then usermod "$@"; return; fi
  if [ "$1" = -aG ] && [ "$3" = -- ]; then joined "$4" "$2"; return; fi
  printf 'this node has no usermod, which is needed to change a user\n' >&2
  return 1
}

user_remove() { if command -v userdel >/dev/null 2>&1; then userdel -- "$1"; else deluser "$1"; fi; }

# checked_out PATH URL REVISION COMMIT USER PASSWORD: exactly that commit, of a clone that is complete or not there.
checked_out() {
  if [ -e "$1/.git" ]; then
    tree_git "$1" remote set-url origin "$2" && answering "$2" "$5" "$6" -C "$1" fetch -q --tags --force origin || return
    tree_git "$1" checkout -q --force --detach "${4:-FETCH_HEAD}"
    return
  fi
  temporary=$1.hostler.$$
  if answering "$2" "$5" "$6" clone -q --no-checkout -- "$2" "$temporary" &&
    git -C "$temporary" checkout -q --detach "${4:-$(remote_name "$3")}" && mv -- "$temporary" "$1"; then
    temporary=
    return
  fi
  rm -rf -- "$temporary"
  temporary=
  return 1
}

tree_git() { dir=$1; shift; git -c safe.directory='*' -C "$dir" "$@" </dev/null; }

# remote_name REVISION: where the commit was not known before.
remote_name() {
  if git -C "$temporary" rev-parse -q --verify "origin/$1" >/dev/null; then echo "origin/$1"; else echo "$1"; fi
}

# engine WORD...: Docker or Podman, whichever `container` found.
engine() { "${engine:-docker}" "$@" </dev/null >/dev/null; }

# contained VERB WORD...: the same, with the variables of the container on standard input, where no list of processes
# shows them.
contained() {
  verb=$1
  shift
  "${engine:-docker}" "$verb" --env-file /dev/stdin "$@" >/dev/null
}
