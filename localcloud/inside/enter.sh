#!/bin/bash
# enter.sh CGROUP_ROOT...: joins the cloud's control groups, then becomes `unshare`, whose child is the cloud's first process.
#
# Started by localcloud/machine.py with LOCALCLOUD_ROOTFS and LOCALCLOUD_STATE set.  The cgroup namespace is made after the
# process has joined its group, so that group is the root of all that the cloud sees: libvirt's and the guests' groups lie
# below it, and a guest which takes "the root group" for its own takes the cloud's, never the host's.
set -eu
for group in "$@"; do
  echo $$ >"$group/cgroup.procs"
done
here=$(dirname "$(readlink -f "$0")")
# --kill-child: whoever ends this outer process ends the cloud with it.
exec unshare --cgroup --mount --propagation private --pid --fork --kill-child --uts --ipc "$here/filesystems.sh"
