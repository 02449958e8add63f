# Lets OpenRC run on a host of a test, unpacked from the packages in the directory $1, with nothing in its runlevels.
set -euo pipefail

for package in "$1"/*.deb; do
  # Not `dpkg -x`, which would put a directory in the place of the link /lib.
  dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C /
done
for level in sysinit boot default; do openrc "$level" >>/var/log/openrc.log 2>&1; done
