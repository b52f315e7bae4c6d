#!/bin/bash
# build.sh ROOT PACKAGES SOURCES SETTINGS: a Debian 12 root file system with the cloud's packages in ROOT.
#
# Runs in mount and pid namespaces of its own (see localcloud/rootfs.py), so that neither a mount nor a daemon which a
# maintainer script starts can stay behind.  SOURCES and SETTINGS are what the host's apt uses: its archives, its proxies.
set -euo pipefail
root=$1 packages=$2 sources=$3 settings=$4
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset PYTHONPATH PYTHONHOME PYTHONUNBUFFERED TMPDIR || true

# No daemon starts, nothing is synced to the disk file by file, what nobody reads here isn't unpacked, and PostgreSQL's
# package makes no cluster: the cloud makes its own, in its state.
# shellcheck disable=SC2016  # the hooks' $1 is for mmdebstrap's shell
mmdebstrap --mode=root --variant=minbase --format=directory \
  --include="$(grep -v '^#' "$packages" | paste -sd,)" \
  --aptopt="$settings" --aptopt='Acquire::Languages "none"' \
  --dpkgopt=force-unsafe-io \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --essential-hook='printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"' \
  --essential-hook='mkdir -p "$1/etc/postgresql-common"' \
  --essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"' \
  bookworm "$root" "$sources"

rm -rf "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root"/var/lib/mysql/*
# libvirt's idea of the host's identity (host_uuid_source = machine-id)
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
