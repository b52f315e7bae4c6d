"""The cloud's root file system: Debian 12 with OpenStack's packages, built once for a list of packages."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from localcloud.errors import LocalCloudError, UnfitHostError
from localcloud.paths import Paths
from localcloud.progress import say, step

HERE = Path(__file__).resolve().parent / "debian"
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
        _need_mmdebstrap(log)
        _build(new, paths.cache / "rootfs-apt", log)
    new.rename(root)
    return root


def remove_others(paths: Paths) -> None:
    """Remove the root file systems of earlier versions; no cloud runs from one."""
    for old in paths.cache.glob("rootfs-????????????"):
        if old != location(paths):
            remove(old)


def remove(root: Path) -> None:
    """Delete a root file system.  Renamed first, so that half of one is never taken for a whole."""
    if not root.name.endswith(".new"):
        renamed = root.with_name(root.name + ".new")
        root.rename(renamed)
        root = renamed
    # Nothing is mounted there: every mount of a build lives in the build's own mount namespace.
    subprocess.run(["rm", "-rf", "--one-file-system", "--", str(root)], check=True)


def _need_mmdebstrap(log: Path) -> None:
    if shutil.which("mmdebstrap"):
        return
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=600"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with log.open("ab") as output:
        for command in ([*apt, "update"], [*apt, "install", "--no-install-recommends", "mmdebstrap"]):
            subprocess.run(command, stdout=output, stderr=output, env=environment, check=False)
    if not shutil.which("mmdebstrap"):
        raise UnfitHostError(f"mmdebstrap can't be installed - see {log} - install it by hand")


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
    found = {(uri, suite, part) for uri, suite, part in map(str.split, targets.splitlines()) if suite in SUITES}
    if not any(suite == "bookworm" for _, suite, _ in found):
        raise UnfitHostError("apt has no source for Debian 12 (bookworm) - the local cloud is made of its packages")
    return sorted(found, key=lambda source: (SUITES.index(source[1]), source))


def _build(new: Path, apt: Path, log: Path) -> None:
    shutil.rmtree(apt, ignore_errors=True)
    apt.mkdir(mode=0o700)
    archives, settings = apt / "sources.list", apt / "apt.conf"
    archives.write_text("".join(f"deb {uri} {suite} {part}\n" for uri, suite, part in sources()))
    # This machine's way out: proxies, certificates.
    acquire = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True).stdout
    unwanted = ("IndexTargets", "Languages")
    settings.write_text("".join(f"{li}\n" for li in acquire.splitlines() if not any(word in li for word in unwanted)))
    # The build ends with this process, whatever ends that: or it would go on in a folder that the next one removes.
    bound = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid", "--fork"]
    build = [str(HERE / "build.sh"), str(new), str(HERE / "packages.txt"), str(archives), str(settings)]
    with log.open("ab") as output:
        status = subprocess.run(
            [*bound, "--kill-child", *build], stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
        ).returncode
    shutil.rmtree(apt, ignore_errors=True)
    if status:
        raise LocalCloudError(f"the root file system can't be built - {_reason(log)} - see {log}")


def _reason(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    wrong = [line for line in lines[-60:] if line.startswith(("E: ", "dpkg: error"))]
    return (wrong or lines or ["no reason given"])[-1]
