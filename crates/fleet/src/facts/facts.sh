# What this machine is, a line each: NAME=VALUE. Reads, and changes nothing. What cannot be told is left out.

has() { command -v "$1" >/dev/null 2>&1; }
say() { [ -z "$2" ] || printf '%s=%s\n' "$1" "$2"; }
first() { for tool; do if has "$tool"; then printf '%s' "$tool"; return; fi; done; }

system=$(uname -s 2>/dev/null)
say kernel "$(uname -r 2>/dev/null)"
say architecture "$(uname -m 2>/dev/null)"
say nodename "$(uname -n 2>/dev/null)"

for file in /etc/os-release /usr/lib/os-release; do
  [ -r "$file" ] || continue
  (
    ID= VERSION_ID= PRETTY_NAME=
    . "$file"
    say os "$ID"
    say os_version "$VERSION_ID"
    say os_title "$PRETTY_NAME"
  )
  known=yes
  break
done
if [ -z "${known-}" ]; then
  case $system in
    Darwin)
      say os macos
      version=$(sw_vers -productVersion 2>/dev/null)
      say os_version "$version"
      say os_title "macOS $version" ;;
    *) say os "$(printf '%s' "$system" | tr '[:upper:]' '[:lower:]')" ;;
  esac
fi

say cpus "$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null || grep -c '^processor' /proc/cpuinfo 2>/dev/null)"
if [ -r /proc/meminfo ]; then
  while read -r name size _; do
    case $name in MemTotal:) say memory_mib "$((size / 1024))"; break ;; esac
  done </proc/meminfo
elif size=$(sysctl -n hw.memsize 2>/dev/null || sysctl -n hw.physmem 2>/dev/null); then
  say memory_mib "$((size / 1048576))"
fi

# A container is one before its host is a VM.
virtualization() {
  if [ -e /.dockerenv ]; then echo docker; return; fi
  if [ -e /run/.containerenv ]; then echo podman; return; fi
  if [ -r /run/systemd/container ]; then cat /run/systemd/container; return; fi
  if has systemd-detect-virt; then
    found=$(systemd-detect-virt 2>/dev/null)
    [ -z "$found" ] || { printf '%s' "$found"; return; }
  fi
  if [ -r /sys/hypervisor/type ]; then cat /sys/hypervisor/type; return; fi
  case "$(cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name 2>/dev/null)" in
    *QEMU*|*KVM*) echo kvm ;;
    *VMware*) echo vmware ;;
    *VirtualBox*|*innotek*) echo oracle ;;
    *'Virtual Machine'*) echo microsoft ;;
    *Amazon*) echo amazon ;;
    *Google*) echo google ;;
    *)
      if grep -q '^flags.* hypervisor' /proc/cpuinfo 2>/dev/null; then echo vm
      elif [ -r /sys/class/dmi/id/sys_vendor ] || grep -q '^flags' /proc/cpuinfo 2>/dev/null; then echo none
      fi ;;
  esac
}
say virtualization "$(virtualization)"

say package_manager "$(first apt-get dnf apk zypper pacman yum brew pkg)"
if [ -d /run/systemd/system ]; then say supervisor systemd
elif has rc-service; then say supervisor openrc
elif has launchctl; then say supervisor launchd
fi

# The address at which somebody has just reached us, else the first that others can reach.
address=
if [ -n "${SSH_CONNECTION-}" ]; then
  set -- $SSH_CONNECTION
  address=${3-}
fi
if [ -z "$address" ] && has ip; then
  set -- $(ip -o -4 addr show scope global 2>/dev/null)
  address=${4-}
fi
if [ -z "$address" ]; then
  set -- $(hostname -I 2>/dev/null)
  address=${1-}
fi
say ip "${address%%/*}"
