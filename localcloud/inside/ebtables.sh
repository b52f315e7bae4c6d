#!/bin/sh
# Stands before ebtables in the bridge agent's PATH.
#
# ebtables-nft 1.8.9 adds rules with an "among" set but cannot delete them (RULE_DELETE failed: Invalid argument), and the
# linuxbridge agent then tries for ever while all other ports wait.  The legacy program needs kernel parts that newer kernels
# lack.  The agent's MAC chains hold one "-i TAP --among-src MAC,… -j RETURN" and a final DROP, nothing else: the same is
# written here with one plain -s rule an address, the whole chain anew each time.
real=/usr/sbin/ebtables
among='' previous='' chain='' interface='' table=filter verb=''
for argument in "$@"; do
  case $previous in
    --among-src) among=$argument ;;
    -I | -D) chain=$argument verb=$previous ;;
    -i) interface=$argument ;;
    -t) table=$argument ;;
  esac
  previous=$argument
done
[ -n "$verb" ] && [ -n "$among" ] || exec "$real" "$@"
run() { "$real" -t "$table" --concurrent "$@"; }
run -F "$chain" && run -A "$chain" -j DROP || exit 1
[ "$verb" = -I ] || exit 0
for address in $(echo "$among" | tr , ' '); do
  run -I "$chain" -i "$interface" -s "${address%%=*}" -j RETURN || exit 1
done
