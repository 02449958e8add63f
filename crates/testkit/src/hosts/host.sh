# The first process of a host of a test, in namespaces of its own: `bash -c SCRIPT host NAME ADDRESS FILES BIND...`
#
# It builds a root file system over the real one (what is written stays in memory), says its process id as it is seen
# from outside, waits for a line, which means that its network is there, and serves SSH. The host ends when the standard
# input closes. It is bash because bash collects the processes that nobody waits for.
set -euo pipefail
name=$1 address=$2 files=$3
shift 3

read -r pid _ </proc/self/stat # /proc is still the one outside

mount -t tmpfs -o mode=755 none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
cd /mnt/root
mount -t proc proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs -o mode=1777 none tmp
for path in run root var/log; do mount -t tmpfs -o mode=755 none "$path"; done
chmod 700 root
for path in "$@"; do
  mkdir -p ".$path"
  mount --rbind "$path" ".$path"
done

echo "$name" >/proc/sys/kernel/hostname # hostname(1) refuses underscores
echo "$name" >etc/hostname
cp "$files/hosts" etc/hosts
mkdir -m 700 root/.ssh
mkdir -m 755 run/sshd
cp "$files/user_key.pub" root/.ssh/authorized_keys
[[ ! -e $files/user_key || $name != operator ]] || cp -p "$files/user_key" root/.ssh/id_ed25519
rm -f etc/ssh/ssh_host_*
cp "$files/sshd_config" etc/ssh/sshd_config
ssh-keygen -q -t ed25519 -N '' -C "$name" -f etc/ssh/ssh_host_ed25519_key

pivot_root . mnt
umount -l /mnt
ip link set lo up
if [[ $name == operator ]]; then
  ip link add bridge type bridge
  ip address add "$address" dev bridge
  ip link set bridge up
fi

echo "$pid"
read -r _
[[ $name == operator ]] || { ip address add "$address" dev eth0; ip link set eth0 up; }
/usr/sbin/sshd -D -e 2>/var/log/sshd.log &
read -r _ || true # until the test lets go
[[ ! -e /run/at-the-end ]] || bash /run/at-the-end
