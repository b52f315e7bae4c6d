#!/bin/bash
# filesystems.sh: the cloud's first process; lays out its file systems, then goes on in a network namespace of its own.
#
# Nothing is written outside the state: the root is the cached root file system with a tmpfs above it, which goes when the
# mount namespace goes.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
here=$(dirname "$(readlink -f "$0")")
mnt=$LOCALCLOUD_STATE/mnt
mkdir -p "$mnt"
mount -t tmpfs -o mode=755 localcloud "$mnt"
cd "$mnt"
mkdir lower upper work root
mount --bind "$LOCALCLOUD_ROOTFS" lower
# Relative names: an absolute one may hold a comma or a colon, which end an overlay's option.
mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work localcloud root
umount -l lower
cd root
mkdir -p srv/localcloud run/netns old tmp
mount --bind "$LOCALCLOUD_STATE" srv/localcloud
mount -t proc proc proc
mount --bind /dev dev
mount -t devpts -o newinstance,gid=5,mode=620,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
# The host's network namespace, for the one process that listens on the host's loopback (service `front`).
touch run/host-netns run/netns/cloud
mount --bind /proc/self/ns/net run/host-netns
exec unshare --net "$here/network.sh"
