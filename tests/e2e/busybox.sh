#!/bin/bash
# A slave's own script: an image for docker jobs, made of what is there, as the local cloud's guests have no way out.
set -euo pipefail
root=$(mktemp -d)
chmod 755 "$root"
mkdir "$root"/{bin,tmp,etc}
cp /bin/busybox "$root/bin/"
chroot "$root" /bin/busybox --install -s /bin
echo 'nobody:x:65534:65534::/:/bin/sh' >"$root/etc/passwd"
tar -C "$root" -c . | podman import - localhost/busybox:1
rm -rf "$root"
