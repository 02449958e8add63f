# Boots systemd on a host of a test, as the first process of a namespace within that of the host. It serves SSH there. Of
# the units that this machine has none is started: they would set up its kernel and its devices anew.
set -euo pipefail

for unit in /lib/systemd/system/*.wants/* /etc/systemd/system/*.wants/*; do
  ln -sf /dev/null "/etc/systemd/system/${unit##*/}"
done
mkdir -p /etc/systemd/system/basic.target.wants
ln -s ../shell.service /etc/systemd/system/basic.target.wants/
cat >/etc/systemd/system/shell.service <<'END'
[Service]
ExecStart=/usr/sbin/sshd -D -e
StandardError=append:/var/log/sshd.log
END
kill "$(cat /run/sshd.pid)"

# Control groups of its own, below those of this machine, whichever of the two versions this one uses.
case $(stat -f -c %T /sys/fs/cgroup) in
  cgroup2fs) groups=/sys/fs/cgroup mount='cgroup2 none /sys/fs/cgroup' ;;
  *) groups=/sys/fs/cgroup/systemd mount='cgroup -o none,name=systemd none /sys/fs/cgroup/systemd' ;;
esac
own=$(mktemp -d "$groups/hostler-XXXXXXXX")

cat >/run/boot-systemd <<END
set -e
echo \$\$ >$own/cgroup.procs
exec unshare --cgroup --mount --mount-proc --pid --fork --kill-child sh -c '
  [ $groups = /sys/fs/cgroup ] || { mount -t tmpfs none /sys/fs/cgroup && mkdir $groups; }
  mount -t $mount
  exec env -i container=hostler /lib/systemd/systemd --system --unit=basic.target --show-status=no --log-target=console'
END
bash /run/boot-systemd >/var/log/systemd.log 2>&1 </dev/null &
cat >/run/at-the-end <<END
kill -9 $!
for try in \$(seq 200); do
  [ -d $own ] || break
  find $own -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.01
done
END
