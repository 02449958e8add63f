# What a node shows of itself. Only reads. One fact per line, its kind first; text that others choose is in base64.

nl='
'

encoded() { base64 | tr -d '\n'; }

# each KIND LINES: a fact for each line.
each() {
  set -f
  IFS=$nl
  # shellcheck disable=SC2086 # lines
  set -- "$1" $2
  unset IFS
  set +f
  kind=$1
  shift
  # shellcheck disable=SC2059 # a word
  [ $# -eq 0 ] || printf "$kind %s\n" "$@"
}

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
  each sum "$sums"
}

# content PATH MOST: a file, unless it has more bytes.
content() {
  if [ -f "$1" ] && [ ! -L "$1" ] && [ -r "$1" ] && [ "$(wc -c <"$1")" -le "$2" ]; then
    printf 'content '
    encoded <"$1"
    printf ' %s\n' "$1"
  fi
}

# unless SUM PATH MOST: its content, where its sum is another one.
unless() { case $sums in *"$1  $2"*) ;; *) content "$2" "$3" ;; esac; }

# entries PATH...: what is in these directories.
entries() {
  for path do
    if [ -d "$path" ] && [ ! -L "$path" ]; then printf 'entries %s %s\n' "$(ls -A -- "$path" | encoded)" "$path"; fi
  done
}

# packages NAME...: the manager, and which of them are installed.
packages() {
  manager= installed=
  for tool in apt-get dnf apk; do
    if command -v "$tool" >/dev/null 2>&1; then manager=$tool; break; fi
  done
  case $manager in
    apt-get)
      # Both are its name: libc6 and libc6:amd64.
      installed=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n${db:Status-Status} ${Package}:${Architecture} ${Version}\n' \
        -- "$@" 2>/dev/null | sed -n 's/^installed //p') ;;
    dnf)
      rpm=$(rpm --eval %_dbpath)
      [ ! -d "$rpm" ] || installed=$(aside sh -c 'for name do
        rpm -q --qf "$name %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\n" -- "$name" 2>/dev/null |
          grep -v "is not installed$"
        done' sh "$@") ;;
    apk)
      installed=$(for name do
        version=$(apk info -e -v -- "$name" 2>/dev/null) && printf '%s %s\n' "$name" "${version#"$name"-}"
      done) ;;
  esac
  printf 'manager %s\n' "$manager"
  each package "$installed"
}

# aside WORD...: a program that sees all there is, and whose writes below /var and in the database of rpm nobody else sees
# or keeps. dnf and rpm write there whatever they are asked. Where there is no such view, the program runs as usual.
aside() {
  if over "$rpm" true 2>/dev/null; then over "$rpm" "$@"; else "$@"; fi
}

# over DIRECTORY WORD...: a program that writes into memory instead of below /var and a directory.
over() {
  unshare -m sh -c '
    mount -t tmpfs none /tmp || exit
    for dir in /var "$(readlink -f "$1")"; do
      case $dir in /var/*) continue ;; esac
      new=/tmp/over-$(basename "$dir")
      mkdir "$new" "$new-work" || exit
      mount -t overlay -o "lowerdir=$dir,upperdir=$new,workdir=$new-work" none "$dir" || exit
    done
    shift
    exec "$@"' sh "$@"
}

# has NAME VERSION: whether it is installed, in this version if one is given.
has() {
  case "$nl$installed$nl" in
    *"$nl$1 ${2:+$2$nl}"*) ;;
    *"$nl$1 ${2:+$2-}"*) [ "$manager" = dnf ] ;;
    *) return 1 ;;
  esac
}

# foretell KEY install|remove NAME[=VERSION]...: what apt or dnf would do about those that are not as they should be.
foretell() {
  key=$1 action=$2
  shift 2
  count=$#
  for name do
    version=
    case $name in *=*) version=${name#*=} ;; esac
    name=${name%%=*}
    if has "$name" "$version"; then [ "$action" = remove ] || continue; else [ "$action" = install ] || continue; fi
    case $manager in dnf) version=${version:+-$version} ;; *) version=${version:+=$version} ;; esac
    set -- "$@" "$name$version"
  done
  shift "$count"
  [ $# -gt 0 ] || return 0
  case $manager in
    apt-get) simulated "$@" ;;
    dnf) rehearsed "$@" ;;
  esac
}

# simulated NAME...: by apt. Even a simulation would write caches and the log of its planner.
simulated() {
  if said=$(LC_ALL=C apt-get -s -q -y -o Debug::NoLocking=1 -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
      -o Dir::Log::Planner=/dev/null "$action" -- "$@" 2>&1); then
    printf '%s\n' "$said" | sed -n "s/^\\(Inst\\|Remv\\) /would $key &/p"
  else
    printf 'cannot %s %s\n' "$key" "$(printf %s "$said" | encoded)"
  fi
}

# rehearsed NAME...: by dnf, from what it knows already, in the words of apt. It has no simulation: it is answered no.
rehearsed() {
  over "$rpm" true 2>/dev/null || return 0
  said=$(LC_ALL=C over "$rpm" dnf -C --assumeno "$action" -- "$@" 2>&1 </dev/null)
  case $said in
    *"${nl}Transaction Summary"*)
      printf '%s\n' "$said" | awk -v key="$key" '
        /^Transaction Summary/ { exit }
        /^[A-Z].*:$/ {
          does = ""
          if ($1 ~ /^(Inst|Upgr|Downgr|Reinst)/) does = "Inst"
          if ($1 ~ /^Remov/) does = "Remv"
        }
        !/^ / || does == "" || $1 == "replacing" { next }
        NF == 1 { name = $1; next } # a long name has a line of its own
        {
          if (name == "") { name = $1; version = $3 } else version = $2
          sub(/^0:/, "", version) # dnf 5 names an epoch that is none
          printf(does == "Inst" ? "would %s Inst %s (%s\n" : "would %s Remv %s [%s]\n", key, name, version)
          name = ""
        }' ;;
    *"Nothing to do"*) ;;
    *) printf 'cannot %s %s\n' "$key" "$(printf %s "$said" | encoded)" ;;
  esac
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

# known passwd|group NAME...: those that are there.
known() {
  database=$1
  shift
  for name do
    getent "$database" "$name" >/dev/null 2>&1 || grep -q "^$name:" "/etc/$database" 2>/dev/null || continue
    printf '%s %s\n' "$database" "$name"
  done
}

# answering URL USER PASSWORD WORD...: git, which gets these where the server of this URL asks, and nothing where another
# does. They are in the environment of git, and in no argument.
answering() (
  server=$1 hostler_user=$2 hostler_password=$3
  export hostler_user hostler_password GIT_TERMINAL_PROMPT=0
  shift 3
  [ -n "$hostler_user$hostler_password" ] || exec git -c safe.directory='*' "$@" </dev/null
  rest=${server#*://}
  server=${server%%://*}://${rest%%/*}
  exec git -c safe.directory='*' -c credential.helper= -c "credential.$server.helper=!printf 'username=%s\\npassword=%s\\n' \
    \"\$hostler_user\" \"\$hostler_password\"; :" "$@" </dev/null
)

# checkout KEY DIRECTORY URL REVISION USER PASSWORD: where it is, and where it should be.
checkout() {
  head= dirty=0 url=
  if [ -e "$2/.git" ]; then
    head=$(git -c safe.directory='*' -C "$2" rev-parse -q --verify HEAD)
    url=$(git -c safe.directory='*' -C "$2" config --get remote.origin.url)
    dirty=$(GIT_OPTIONAL_LOCKS=0 git -c safe.directory='*' -C "$2" status --porcelain --untracked-files=no | wc -l)
  fi
  if said=$(answering "$3" "$5" "$6" ls-remote -- "$3" "$4" "refs/tags/$4^{}" 2>&1); then
    printf 'checkout %s %s %s %s\n' "$1" "${head:--}" $((dirty)) \
      "$(printf %s "$url" | encoded) $(printf '%s\n' "$said" | encoded)"
  else
    printf 'cannot %s %s\n' "$1" "$(printf %s "$said" | encoded)"
  fi
}

# container KEY NAME IMAGE: whether it runs, from which image, with which settings and variables.
container() {
  engine=
  for tool in docker podman; do
    if command -v "$tool" >/dev/null 2>&1; then engine=$tool; break; fi
  done
  [ -n "$engine" ] || { printf 'missing docker\n'; return; }
  image=$("$engine" image inspect -f '{{.Id}}' -- "$3" 2>/dev/null)
  state=$("$engine" container inspect -f '{{json .Config.Env}}
{{.State.Running}} {{.Image}} {{index .Config.Labels "hostler.settings"}}' -- "$2" 2>/dev/null)
  printf 'container %s %s %s\n' "$1" "${image:--}" "${state#*"$nl"}"
  [ -z "$state" ] || printf 'variables %s %s\n' "$1" "$(printf %s "${state%%"$nl"*}" | encoded)"
}

# pending NAME...: handlers that an earlier deployment owes.
pending() {
  for name do [ ! -e "$state/pending/$name" ] || printf 'pending %s\n' "$name"; done
}
