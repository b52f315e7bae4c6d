"""The cloud's root file system: Debian 12 with OpenStack's packages, built once for a list of packages."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from localcloud.errors import LocalCloudError, UnfitHostError
from localcloud.paths import Paths
from localcloud.progress import say, step

HERE = Path(__file__).resolve().parent / "rootfs"
SUITES = ("bookworm", "bookworm-updates", "bookworm-security")


def location(paths: Paths) -> Path:
    """Where the root file system is, or will be: another one for each change of its recipe."""
    recipe = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in ("packages.txt", "build.sh")))
    return paths.cache / f"rootfs-{recipe.hexdigest()[:12]}"


def ensure(paths: Paths) -> Path:
    """The root file system's folder, built unless it is there.

    Raises:
        LocalCloudError: the build failed.
    """
    root = location(paths)
    if root.is_dir():
        return root
    for stale in paths.cache.glob("rootfs-*.new"):
        remove(stale)
    say("the cloud's root file system: 180 MB of packages, some four minutes, once")
    new = root.with_name(root.name + ".new")
    log = paths.log / "rootfs.log"
    with step("root file system"):
        _need_debootstrap(log)
        _build(new, paths.cache / "rootfs-apt", log)
    new.rename(root)
    for old in paths.cache.glob("rootfs-????????????"):
        if old != root:
            remove(old)
    return root


def remove(root: Path) -> None:
    """Delete a root file system.  Renamed first, so that half of one is never taken for a whole."""
    if not root.name.endswith(".new"):
        renamed = root.with_name(root.name + ".new")
        root.rename(renamed)
        root = renamed
    # Nothing is mounted there: every mount of a build lives in the build's own mount namespace.
    subprocess.run(["rm", "-rf", "--one-file-system", "--", str(root)], check=True)


def _need_debootstrap(log: Path) -> None:
    if shutil.which("debootstrap"):
        return
    install = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=600", "install", "--no-install-recommends", "debootstrap"]
    with log.open("ab") as output:
        for command in (["apt-get", "-q", "update"], install):
            subprocess.run(
                command, stdout=output, stderr=output, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, check=False
            )
    if not shutil.which("debootstrap"):
        raise UnfitHostError(f"debootstrap can't be installed – see {log} – install it by hand")


def sources() -> list[tuple[str, str, str]]:
    """Debian 12's archives as the host's apt knows them: (site, suite, component).

    Raises:
        UnfitHostError: apt knows none.
    """
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = {(uri, suite, component) for uri, suite, component in map(str.split, targets.splitlines()) if suite in SUITES}
    if not any(suite == "bookworm" for _, suite, _ in found):
        raise UnfitHostError("apt has no source for Debian 12 (bookworm) – the local cloud is made of its packages")
    return sorted(found, key=lambda source: (SUITES.index(source[1]), source))


def _build(new: Path, hostconf: Path, log: Path) -> None:
    shutil.rmtree(hostconf, ignore_errors=True)
    hostconf.mkdir(mode=0o700)
    archives = sources()
    (hostconf / "sources.list").write_text("".join(f"deb {uri} {suite} {part}\n" for uri, suite, part in archives))
    settings = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True).stdout
    (hostconf / "apt.conf").write_text("".join(f"{line}\n" for line in settings.splitlines() if "IndexTargets" not in line))
    if Path("/etc/apt/auth.conf.d").is_dir():
        shutil.copytree("/etc/apt/auth.conf.d", hostconf / "auth.conf.d")
    mirror = next(uri for uri, suite, _ in archives if suite == "bookworm")
    namespaces = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    build = [str(HERE / "build.sh"), str(new), mirror, str(HERE / "packages.txt"), str(hostconf)]
    try:
        with log.open("ab") as output:
            status = subprocess.run(
                [*namespaces, *build], stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
            ).returncode
    finally:
        shutil.rmtree(hostconf, ignore_errors=True)
    if status:
        raise LocalCloudError(f"the root file system can't be built – {_reason(log)} – see {log}")


def _reason(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    wrong = [line for line in lines[-60:] if line.startswith(("E:", "W: Failure", "dpkg: error"))]
    return (wrong or lines or ["no reason given"])[-1]
