#!/bin/bash
# network.sh: still the cloud's first process, now in its own network namespace, in the root file system to be.
#
# Makes what belongs to a network namespace (sysfs, interfaces, firewall), enters the root for good and becomes supervisord.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount --bind /proc/self/ns/net run/netns/cloud
# From inside the network namespace: neutron's bridge code reads /sys/class/net, and would see the host's otherwise.
mount -t sysfs sysfs sys
# Mounted anew, each shows the cloud's own group as its root.  The unified hierarchy stays out: libvirt-lxc cannot
# bind-mount it beside the others (virCgroupV2BindMount: Unable to create directory /sys/fs/cgroup/unified).
mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
while IFS=: read -r _ controllers _; do
  [ -n "$controllers" ] || continue
  case $controllers in
    name=*) options=none,$controllers ;;
    *) options=$controllers ;;
  esac
  mkdir -p "sys/fs/cgroup/${controllers#name=}"
  mount -t cgroup -o "$options" cgroup "sys/fs/cgroup/${controllers#name=}"
done </proc/self/cgroup

pivot_root . old
cd /
umount -l /old
rmdir /old
hostname localcloud
printf '127.0.0.1 localhost localcloud\n' >/etc/hosts
mv /usr/lib/libvirt/libvirt_lxc /run/libvirt_lxc.real
cp /srv/localcloud/etc/bin/libvirt_lxc /usr/lib/libvirt/libvirt_lxc

# Placement takes no guest with more VCPUs than the host has, be they shared; the flavors have up to 4.
sed -i "s/'max_unit': vcpus,/'max_unit': 16 * vcpus,/" /usr/lib/python3/dist-packages/nova/virt/libvirt/driver.py

# A new namespace takes these from the host, which may be a router.
sysctl -q -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
ip link set lo up
ip link add br-ex type bridge
ip addr add 172.24.4.1/24 dev br-ex
ip link set br-ex up
nft -f /srv/localcloud/etc/firewall.nft

exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 PYTHONWARNINGS=ignore \
  LOCALCLOUD_STATE="$LOCALCLOUD_STATE" supervisord --nodaemon --configuration /srv/localcloud/etc/supervisord.conf
