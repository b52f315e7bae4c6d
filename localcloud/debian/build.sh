#!/bin/bash
# build.sh ROOT MIRROR PACKAGES HOSTCONF: a Debian 12 root file system with the cloud's packages in ROOT.
#
# Runs in mount and pid namespaces of its own (see localcloud/rootfs.py), so that neither a mount nor a daemon which a
# maintainer script starts can stay behind.  HOSTCONF is a folder with `sources.list` and `apt.conf`, both taken from the
# host's apt, and perhaps `auth.conf.d`; it holds credentials at times, so it is bind-mounted and never copied.
set -euo pipefail
root=$1 mirror=$2 packages=$3 hostconf=$4
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset PYTHONPATH PYTHONHOME PYTHONUNBUFFERED TMPDIR || true

debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$mirror"

# No daemon starts, nothing is synced to the disk file by file, and what nobody reads here isn't unpacked.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
cat >"$root/etc/dpkg/dpkg.cfg.d/localcloud" <<'EOF'
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/lintian/*
EOF
# The cloud makes its own PostgreSQL cluster, in its state.
mkdir -p "$root/etc/postgresql-common"
echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.conf"

mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
cp -rL /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
chroot "$root" update-ca-certificates >/dev/null
touch "$root/etc/resolv.conf" "$root/etc/apt/apt.conf.d/00host"
mount --bind "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf"
mount --bind "$hostconf/sources.list" "$root/etc/apt/sources.list"
mount --bind "$hostconf/apt.conf" "$root/etc/apt/apt.conf.d/00host"
[ ! -d "$hostconf/auth.conf.d" ] || mount --bind "$hostconf/auth.conf.d" "$root/etc/apt/auth.conf.d"

chroot "$root" apt-get -q update
# shellcheck disable=SC2046  # a list of words
chroot "$root" apt-get -q -y install --no-install-recommends $(grep -v '^#' "$packages")

umount "$root/etc/resolv.conf" "$root/etc/apt/sources.list" "$root/etc/apt/apt.conf.d/00host"
rm -f "$root/etc/apt/apt.conf.d/00host" "$root/etc/resolv.conf"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/* "$root"/var/lib/mysql/*
: >"$root/etc/resolv.conf"
# libvirt's idea of the host's identity (host_uuid_source = machine-id)
[ -s "$root/etc/machine-id" ] || tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
umount "$root/proc" "$root/sys"
