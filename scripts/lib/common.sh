# shellcheck shell=bash
# What every script here shares: where things are kept, how a script speaks, explains itself, waits its turn and fails.
# Standard output belongs to a script's result; all that people read goes to standard error.

ECM_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH=$PATH:/usr/sbin:/sbin # where Debian keeps mke2fs and its like, and users' PATH often ends before
export HOME=${HOME:-~} # unset in some services; Go won't do without
ECM_CACHE=${ECM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/elastic-condor}
export ECM_ROOT ECM_CACHE
# shellcheck disable=SC2034  # for the scripts that source this
GUEST_RELEASE=trixie # Debian 13: what runs in the local cloud's guests

# A site's own proxy may re-sign TLS: the system's certificates are the ones to trust, for pip and uv too.
trust_the_system() {
  local certificates=/etc/ssl/certs/ca-certificates.crt
  if [ -r "$certificates" ]; then export PIP_CERT=${PIP_CERT:-$certificates} UV_SYSTEM_CERTS=1; fi
}
trust_the_system
export PIP_DISABLE_PIP_VERSION_CHECK=1 UV_PYTHON_DOWNLOADS=never UV_CACHE_DIR="$ECM_CACHE/uv"
export UV_HTTP_RETRIES=6 # each waits twice as long as the one before: a minute without a network ends nothing
APT=(-q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=6)

say() { printf '%s\n' "$*" >&2; }

die() {
  say "${0##*/}: $*"
  exit 1
}

# hash_of FILE...: one short name for the contents of all of them, wherever they lie.
hash_of() { sha256sum -- "$@" | cut -d' ' -f1 | sha256sum | cut -c1-16; }

# pinned PACKAGE: the version that pyproject.toml names, the one place that does.
pinned() { sed -n "s/^ *\"$1==\([0-9.]*\)\".*/\1/p" "$ECM_ROOT/pyproject.toml"; }

# take_turn NAME: one run at a time; the lock goes with the process, however it ends.
take_turn() {
  mkdir -p "$ECM_CACHE/lock"
  exec {turn}>"$ECM_CACHE/lock/$1"
  flock --nonblock "$turn" && return
  say "another $1 is running; waiting for it to end"
  flock "$turn"
}

# step LABEL COMMAND...: runs quietly, into a log; speaks after 3 s, then every 15 s, and shows the log's end when it fails.
# Not to be called in a condition: `set -e` would not hold inside.
step() {
  local label=$1 log status ticker start=$SECONDS
  shift
  mkdir -p "$ECM_CACHE/log"
  log=$ECM_CACHE/log/$(tr -cs 'a-zA-Z0-9.\n' - <<<"$label").log
  tell_time "$label" & ticker=$!
  set +e
  (set -e; "$@") >"$log" 2>&1
  status=$?
  set -e
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  if [ "$status" -ne 0 ]; then
    tail -n 20 "$log" >&2
    die "$label: failed (exit code $status); the whole log: $log"
  fi
  if ((SECONDS - start >= 3)); then say "$label: done in $((SECONDS - start)) s"; fi
}

# tell_time LABEL: after 3 s and then every 15 s, until it or its script ends. Its sleeps outlive it by a second, so they
# must hold neither the lock nor anyone's pipe.
tell_time() {
  local start=$SECONDS passed
  if [ -n "${turn:-}" ]; then exec {turn}>&-; fi
  while sleep 1 &>/dev/null && kill -0 $$ 2>/dev/null; do
    passed=$((SECONDS - start))
    if ((passed % 15 == 3)); then say "$1 … $passed s"; fi
  done
}

# need_commands COMMAND=DEBIAN-PACKAGE...: installs the packages of those that are not there.
need_commands() {
  local pair missing=()
  for pair; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  if [ ${#missing[@]} -gt 0 ]; then install_packages "${missing[@]}"; fi
}

install_packages() {
  command -v apt-get >/dev/null || die "$* missing – this is not Debian – install them by hand, then run this again"
  [ "$(id -u)" = 0 ] || die "$* missing – installing needs root – run: sudo apt-get install $*"
  step "Debian packages: $*" apt_install "$@"
  trust_the_system # they may be what has just come
}

apt_install() {
  local install=(apt-get "${APT[@]}" install --yes --no-install-recommends "$@")
  export DEBIAN_FRONTEND=noninteractive
  update_package_lists "${APT[@]}"
  # Where an installation was killed in the middle, apt does nothing before this.
  "${install[@]}" || { dpkg --configure -a && "${install[@]}"; }
}

# apt's timeout is for the lock on packages only: without this, somebody else's `apt-get update` ends ours at once.
update_package_lists() {
  local said
  until said=$(LC_ALL=C apt-get "$@" update 2>&1); do
    printf '%s\n' "$said"
    [[ $said = *"Could not get lock"* ]] && ((SECONDS < 600)) || return 1
    sleep 2
  done
}

# need_uv: leaves the pinned uv in $uv; it needs a Python that can make virtual environments, and nothing else.
need_uv() {
  uv=$ECM_CACHE/uv-$(hash_of "$ECM_ROOT/scripts/lib/uv.txt")/bin/uv
  [ -x "$uv" ] && return
  python_is_there || need_commands python3=python3-venv
  python_is_there || install_packages python3-venv
  python_is_there || die "$(python3 --version) is too old – 3.11 or newer is needed – put one first on PATH"
  step "uv" install_uv "${uv%/bin/uv}"
}

python_is_there() {
  python3 -c 'import sys; assert sys.version_info >= (3, 11); import ensurepip, venv' 2>/dev/null
}

install_uv() {
  local own
  # scripts/setup and scripts/toolchain may both be at it, in different turns; this one ends with `step`.
  mkdir -p "$ECM_CACHE/lock"
  exec {own}>"$ECM_CACHE/lock/uv"
  flock "$own"
  if [ -x "$1/bin/uv" ]; then return; fi
  rm -rf "$1.new" "$1"
  python3 -m venv "$1.new"
  "$1.new/bin/python" -m pip install --quiet --require-hashes --only-binary :all: -r "$ECM_ROOT/scripts/lib/uv.txt"
  mv "$1.new" "$1" # uv is a binary: it doesn't mind the move
}

# debian_mirror: the one that this machine's apt uses.
debian_mirror() {
  local mirror
  # shellcheck disable=SC2016  # apt's own variables
  mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | head -n 1)
  [ -n "$mirror" ] || die "no Debian mirror – apt's sources name none – add one and run apt-get update"
  printf '%s\n' "$mirror"
}

# The arguments are those of the script that sources this.
case ${1:-} in
  -h | --help)
    sed '1d; /^#/!Q; s/^# \{0,1\}//' "$0"
    exit
    ;;
esac
