#!/usr/bin/env bash
# Builds the tiny guest: a Debian kernel with busybox and dropbear in an initramfs, made of Debian's own packages.
# They are downloaded and unpacked, never installed. No root is needed.
#
#   guest/build.sh OUTDIR
#
# OUTDIR then holds vmlinuz, initrd.img and image.json, and a second run does nothing unless this directory changed.
set -euo pipefail

fail() { printf 'error: %s\n' "$1" >&2; shift; printf '  %s\n' "$@" >&2; exit 1; }

[[ $# -eq 1 && $1 != -* ]] || fail "where to?" "usage: guest/build.sh OUTDIR"
recipe=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)

for program in apt-get apt-cache dpkg dpkg-deb cpio strip; do
  command -v "$program" >/dev/null || fail "$program was not found" \
    "The tiny guest is built on Debian. There, run: scripts/packages.sh"
done
arch=$(dpkg --print-architecture)
case $arch in
  amd64) console=ttyS0 ;;
  arm64) console=ttyAMA0 ;;
  *) fail "no recipe for $arch" "The tiny guest exists for amd64 and arm64." ;;
esac

# One build at a time; the second finds the work done.
exec 9>"$out/.lock"
flock 9
# Paths and contents of the recipe, and nothing of where it lies.
digest=$({ echo "$arch"; cd "$recipe"; find . -type f | LC_ALL=C sort | xargs sha256sum; } | sha256sum | cut -d ' ' -f 1)
if [[ -e $out/image.json && $(cat "$out/.recipe" 2>/dev/null) == "$digest" ]]; then
  echo "tiny guest: up to date in $out" >&2
  exit 0
fi
rm -f "$out/.recipe"

work=$(mktemp -d "${TMPDIR:-/tmp}/hostler-guest.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$out/packages" "$work/debs" "$work/debian" "$work/root"

# --- Packages -------------------------------------------------------------

# The machine's own package lists where there are some; else, or when they have aged, private ones, which need no root.
apt_options=()
private_lists() {
  [[ ${#apt_options[@]} -eq 0 ]] || return 0
  mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
  apt_options=(-o "Dir::State::Lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User=)
  apt-get "${apt_options[@]}" update -q >&2
}
depends() { apt-cache "${apt_options[@]}" depends --important -i "$@" 2>/dev/null; }
kernel_package() {
  depends "linux-image-cloud-$arch" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}
libraries_of() { depends --recurse "$@" | grep -E '^(lib|zlib)[^<]*$' | grep -v ':' | LC_ALL=C sort -u; }
choose() {
  kernel=$(kernel_package)
  [[ -n $kernel ]] || return 1
  mapfile -t packages < <(
    printf '%s\n' "$kernel" busybox-static dropbear-bin openssh-sftp-server e2fsprogs
    libraries_of dropbear-bin e2fsprogs
  )
}
# Like `apt-get download`, but what an earlier build brought is taken from there.
download() {
  local package version file missing=()
  cd "$work/debs"
  while read -r package version; do
    file=$(find "$out/packages" -name "${package}_${version//:/%3a}_*.deb" -print -quit)
    if [[ -n $file ]]; then cp "$file" .; else missing+=("$package"); fi
  done < <(apt-cache "${apt_options[@]}" show --no-all-versions "${packages[@]}" |
    awk '/^Package: / { package = $2 } /^Version: / { print package, $2 }')
  [[ ${#missing[@]} -eq 0 ]] || apt-get "${apt_options[@]}" -q -o APT::Sandbox::User= download "${missing[@]}" >&2
}

choose || { private_lists; choose; } || fail "the package linux-image-cloud-$arch is not on offer" \
  "Add Debian's main archive to the package sources, then try again."
download || { private_lists; choose; rm -f "$work"/debs/*; download; }
rm -f "$out"/packages/*.deb
cp "$work"/debs/*.deb "$out/packages/"
for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/debian"; done
debian=$work/debian

# --- Kernel ---------------------------------------------------------------

# Unpacking a compressed kernel costs an emulated CPU two seconds. QEMU starts an x86 kernel unpacked when it carries
# the PVH note, so unpack it here. Any kernel that cannot be is used as it is.
unpacked_kernel() {
  local format magic tool offset
  for format in 'xz \xfd7zXZ\x00' 'lz4 \x02!L\x18' 'zstd \x28\xb5\x2f\xfd' 'gzip \x1f\x8b\x08'; do
    read -r tool magic <<<"$format"
    command -v "$tool" >/dev/null || continue
    for offset in $(LC_ALL=C grep -aboP "$magic" "$1" | cut -d : -f 1 | head -n 4); do
      # What follows the packed kernel in the file makes the tool complain; the test below is what counts.
      tail -c "+$((offset + 1))" "$1" | "$tool" -dc >"$2" 2>/dev/null || true
      if [[ $(head -c 4 "$2") == $'\x7fELF' ]] && readelf -n "$2" 2>/dev/null | grep -q '0x00000012'; then return 0; fi
    done
  done
  return 1
}
vmlinuz=$(find "$debian/boot" -name 'vmlinuz-*' -print -quit)
if [[ $arch != amd64 ]] || ! unpacked_kernel "$vmlinuz" "$work/vmlinuz"; then cp "$vmlinuz" "$work/vmlinuz"; fi

# --- Modules: what QEMU's machines have, unsigned and stripped -------------

root=$work/root
modules=$root/lib/modules/${vmlinuz##*/vmlinuz-}
mkdir -p "$modules" "$root/etc/modules"
find_module() { find "$debian" -name "${1//_/[_-]}.ko*" -print -quit; }
needs_of() { tr '\0' '\n' <"$modules/$1.ko" | sed -n 's/^depends=//p' | tr ',' ' '; }
# Copies a module and those it needs. One that is not there is built in.
add_module() {
  local name=${1//-/_} file need
  [[ ! -e $modules/$name.ko ]] || return 0
  file=$(find_module "$name")
  [[ -n $file ]] || return 1
  case $file in
    *.xz) xz -dc "$file" >"$modules/$name.ko" ;;
    *.zst) zstd -dcq "$file" >"$modules/$name.ko" ;;
    *) cp "$file" "$modules/$name.ko" ;;
  esac
  # Without its signature a module loads without a check of it, which is slow when emulated.
  strip --strip-debug "$modules/$name.ko"
  for need in $(needs_of "$name"); do add_module "$need" || true; done
}
list_modules() { # FILE NAME...: those of the names that are modules
  local file=$root/etc/modules/$1 present=() module
  shift
  for module in "$@"; do if add_module "$module"; then present+=("$module"); fi; done
  echo "${present[*]}" >"$file"
}
list_modules early virtio_pci virtio_net virtio_blk isofs ext4 virtio_rng
list_modules late button evdev virtio_console
# What each one needs, the nearest first, as modprobe reads it.
all_needs() { local need; for need in $(needs_of "$1"); do echo "$need.ko"; all_needs "$need"; done; }
for file in "$modules"/*.ko; do
  name=$(basename "$file" .ko)
  echo "$name.ko: $(all_needs "$name" | awk '{ last[$1] = NR } END { for (n in last) print last[n], n }' | sort -n | cut -d ' ' -f 2 | paste -sd ' ')"
done >"$modules/modules.dep"

# --- Programs -------------------------------------------------------------

mkdir -p "$root"/{bin,dev,data,etc/dropbear,home,lib,proc,root,run,sbin,seed,sys,tmp,usr/{bin,sbin,lib/openssh}}
cp -r "$recipe"/rootfs/. "$root"/
program() { # FROM TO: a program and the libraries it asks for
  local from=$debian$1
  [[ -e $from ]] || from=$debian/usr$1
  install -m 755 "$from" "$root$2"
  local loader library
  loader=$(find "$debian" -name 'ld-linux*.so.*' \( -type f -o -type l \) | LC_ALL=C sort | head -n 1)
  "$loader" --library-path "$library_path" --list "$from" >"$work/needs" 2>/dev/null || true
  if grep 'not found' "$work/needs" >&2; then fail "a library of $1 is in none of the packages"; fi
  while read -r library; do
    install -m 755 "$library" "$root/lib/${library##*/}"
  done < <(grep -oE "$debian/[^ ]+" "$work/needs")
}
library_path=$(find "$debian" -name '*.so*' -printf '%h\n' | LC_ALL=C sort -u | paste -sd :)
install -m 755 "$(find "$debian" -path '*bin/busybox' -print -quit)" "$root/bin/busybox"
program /usr/sbin/dropbear /usr/sbin/dropbear
program /usr/bin/dropbearconvert /usr/bin/dropbearconvert
program /usr/lib/openssh/sftp-server /usr/lib/openssh/sftp-server
ln -s openssh/sftp-server "$root/usr/lib/sftp-server"
program /sbin/mke2fs /sbin/mke2fs
# Where programs expect their loader.
loader=$(readelf -l "$root/usr/sbin/dropbear" | sed -n 's/.*interpreter: \(.*\)]/\1/p')
[[ $loader == /lib/* ]] || { mkdir -p "$root${loader%/*}"; ln -s "/lib/${loader##*/}" "$root$loader"; }
ln -sf /proc/mounts "$root/etc/mtab"

for applet in $("$root/bin/busybox" --list); do
  [[ $applet == busybox || -e $root/sbin/$applet || -e $root/usr/bin/$applet ]] || ln -s busybox "$root/bin/$applet"
done
# A busybox that may become root, for su alone: it drops that right for every other name.
rm -f "$root/bin/su"
install "$root/bin/busybox" "$root/bin/su"

# --- Image ----------------------------------------------------------------

# The same modes whatever the umask of who builds or checked out.
chmod -R u=rwX,go=rX "$root"
chmod 600 "$root/etc/shadow"
chmod 1777 "$root/tmp"
chmod 4755 "$root/bin/su"
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc --owner 0:0) >"$work/initrd.img"
size() { stat -c %s "$1"; }
sha() { sha256sum "$1" | cut -d ' ' -f 1; }
cat >"$work/image.json" <<JSON
{
  "name": "tiny",
  "format": "kernel",
  "arch": "$arch",
  "os": "linux",
  "kernel": { "file": "vmlinuz", "sha256": "$(sha "$work/vmlinuz")", "size": $(size "$work/vmlinuz") },
  "initrd": { "file": "initrd.img", "sha256": "$(sha "$work/initrd.img")", "size": $(size "$work/initrd.img") },
  "commandLine": "console=$console loglevel=6 panic=1 cryptomgr.notests",
  "seed": "nocloud",
  "packages": [$(cd "$work/debs" && for deb in *.deb; do printf '"%s", ' "${deb//%3a/:}"; done | sed 's/\.deb"/"/g; s/, $//')]
}
JSON
mv "$work/vmlinuz" "$work/initrd.img" "$work/image.json" "$out/"
echo "$digest" >"$out/.recipe"
echo "tiny guest: $(size "$out/vmlinuz") + $(size "$out/initrd.img") bytes in $out" >&2
