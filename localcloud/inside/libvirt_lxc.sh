#!/bin/sh
# Stands in libvirt_lxc's place (bind-mounted over it in the cloud's mount namespace) and then becomes it.
#
# libvirt makes no group for a guest in the name=systemd and pids hierarchies.  A guest's systemd would take the root group
# there (the cloud's own) for its own, share it with all other guests, and end their processes for its own strays.  So a
# group is made first, with the name that libvirt gives in the other hierarchies.
previous='' name=''
for argument in "$@"; do
  [ "$previous" = --name ] && name=$argument
  previous=$argument
done
# What earlier guests left: libvirt removes only what it made.
for group in /sys/fs/cgroup/*/machine/lxc-*; do
  [ -d "$group" ] || continue
  pid=${group##*/lxc-}
  [ -d "/proc/${pid%%-*}" ] || find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
done
for hierarchy in systemd pids; do
  [ -d "/sys/fs/cgroup/$hierarchy" ] || continue
  group=/sys/fs/cgroup/$hierarchy/machine/lxc-$$-$name.libvirt-lxc
  mkdir -p "$group" && echo $$ >"$group/cgroup.procs"
done
exec /run/libvirt_lxc.real "$@"
