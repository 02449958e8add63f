# What a node shows of itself. Only reads. One fact per line, its kind first; text that others choose is in base64.

nl='
'

encoded() { base64 | tr -d '\n'; }

# tools NAME...: those that are not there.
tools() {
  for tool do command -v "$tool" >/dev/null 2>&1 || printf 'missing %s\n' "$tool"; done
}

# paths PATH...: attributes, targets of links, sums of files.
paths() {
  stat -c 'path %f %u %U %g %G %s %n' -- "$@" 2>/dev/null
  count=$#
  for path do
    if [ -L "$path" ]; then printf 'link %s %s\n' "$(readlink -- "$path" | encoded)" "$path"
    elif [ -f "$path" ]; then set -- "$@" "$path"; fi
  done
  shift "$count"
  sums=
  [ $# -eq 0 ] || sums=$(sha256sum -- "$@" 2>/dev/null)
  [ -z "$sums" ] || printf '%s\n' "$sums" | sed 's/^/sum /'
}

# content PATH MOST: a file, unless it has more bytes.
content() {
  if [ -f "$1" ] && [ ! -L "$1" ] && [ -r "$1" ] && [ "$(wc -c <"$1")" -le "$2" ]; then
    printf 'content %s %s\n' "$(encoded <"$1")" "$1"
  fi
}

# unless SUM PATH MOST: its content, where its sum is another one.
unless() { case $sums in *"$1  $2"*) ;; *) content "$2" "$3" ;; esac; }

# packages NAME...: the manager, and which of them are installed.
packages() {
  manager= installed=
  for tool in apt-get dnf apk; do
    if command -v "$tool" >/dev/null 2>&1; then manager=$tool; break; fi
  done
  case $manager in
    apt-get)
      installed=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' -- "$@" 2>/dev/null |
        sed -n 's/^installed //p') ;;
    dnf)
      installed=$(for name do rpm -q --qf "$name %{VERSION}-%{RELEASE}\\n" -- "$name" 2>/dev/null |
        grep -v 'is not installed$'; done) ;;
    apk)
      installed=$(for name do
        version=$(apk info -e -v -- "$name" 2>/dev/null) && printf '%s %s\n' "$name" "${version#"$name"-}"
      done) ;;
  esac
  printf 'manager %s\n' "$manager"
  [ -z "$installed" ] || printf '%s\n' "$installed" | sed 's/^/package /'
}

# has NAME VERSION: whether it is installed, in this version if one is given.
has() { case "$nl$installed$nl" in *"$nl$1 ${2:+$2$nl}"*) ;; *) return 1 ;; esac; }

# foretell KEY install|remove NAME[=VERSION]...: what apt would do about those that are not as they should be. Even a
# simulation would write caches and the log of its planner.
foretell() {
  [ "$manager" = apt-get ] || return 0
  key=$1 action=$2
  shift 2
  count=$#
  for name do
    case $name in *=*) version=${name#*=} ;; *) version= ;; esac
    if has "${name%%=*}" "$version"; then
      [ "$action" = install ] || set -- "$@" "$name"
    else
      [ "$action" = remove ] || set -- "$@" "$name"
    fi
  done
  shift "$count"
  [ $# -gt 0 ] || return 0
  if said=$(LC_ALL=C apt-get -s -q -y -o Debug::NoLocking=1 -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
      -o Dir::Log::Planner=/dev/null "$action" -- "$@" 2>&1); then
    printf '%s\n' "$said" | sed -n "s/^\\(Inst\\|Remv\\) /would $key &/p"
  else
    printf 'cannot %s %s\n' "$key" "$(printf %s "$said" | encoded)"
  fi
}

# services NAME...: what the supervisor says of them, in systemd's words.
services() {
  supervisor=
  if [ -d /run/systemd/system ]; then supervisor=systemd
  elif command -v rc-service >/dev/null 2>&1; then supervisor=openrc
  elif command -v systemctl >/dev/null 2>&1; then supervisor=systemd; fi
  printf 'supervisor %s\n' "$supervisor"
  for name do
    case $supervisor in
      systemd)
        properties=$(systemctl show -p LoadState -p ActiveState -p UnitFileState -p NeedDaemonReload -- "$name" 2>/dev/null |
          tr '\n' ' ') ;;
      openrc)
        properties=LoadState=not-found
        [ ! -e "/etc/init.d/$name" ] || properties=LoadState=loaded
        [ ! -e "/run/openrc/started/$name" ] || properties="$properties ActiveState=active"
        for level in /etc/runlevels/*/"$name"; do
          [ ! -L "$level" ] || properties="$properties UnitFileState=enabled"
        done ;;
    esac
    [ -z "$supervisor" ] || printf 'service %s %s\n' "$name" "$properties"
  done
}

# users NAME...: their entry and their groups, the primary one first.
users() {
  for name do
    entry=$(getent passwd "$name" 2>/dev/null || grep "^$name:" /etc/passwd 2>/dev/null) || continue
    printf 'user %s %s %s\n' "$name" "$(printf %s "$entry" | encoded)" "$(id -gn "$name") $(id -Gn "$name")"
  done
}

# checkout KEY DIRECTORY URL REVISION: where it is, and where it should be.
checkout() {
  head= dirty=0 url=
  if [ -e "$2/.git" ]; then
    head=$(git -c safe.directory='*' -C "$2" rev-parse -q --verify HEAD)
    url=$(git -c safe.directory='*' -C "$2" config --get remote.origin.url)
    dirty=$(GIT_OPTIONAL_LOCKS=0 git -c safe.directory='*' -C "$2" status --porcelain --untracked-files=no | wc -l)
  fi
  if said=$(GIT_TERMINAL_PROMPT=0 git ls-remote -- "$3" "$4" "refs/tags/$4^{}" 2>&1); then
    printf 'checkout %s %s %s %s\n' "$1" "${head:--}" $((dirty)) \
      "$(printf %s "$url" | encoded) $(printf '%s\n' "$said" | encoded)"
  else
    printf 'cannot %s %s\n' "$1" "$(printf %s "$said" | encoded)"
  fi
}

# container KEY NAME IMAGE: whether it runs, from which image and with which settings.
container() {
  engine=
  for tool in docker podman; do
    if command -v "$tool" >/dev/null 2>&1; then engine=$tool; break; fi
  done
  [ -n "$engine" ] || { printf 'missing docker\n'; return; }
  image=$("$engine" image inspect -f '{{.Id}}' -- "$3" 2>/dev/null)
  state=$("$engine" container inspect \
    -f '{{.State.Running}} {{.Image}} {{index .Config.Labels "hostler.settings"}}' -- "$2" 2>/dev/null)
  printf 'container %s %s %s\n' "$1" "${image:--}" "$state"
}

# pending NAME...: handlers that an earlier deployment owes.
pending() {
  for name do [ ! -e "$state/pending/$name" ] || printf 'pending %s\n' "$name"; done
}
