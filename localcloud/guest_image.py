"""Which image the guests boot: the project's own, or the one that the user names."""

import os
import subprocess
from pathlib import Path

from localcloud.errors import LocalCloudError

HOSTS = "packages.hosts"
"""Beside the bare image: the hosts of this machine's own apt and pip, a line each."""
BUILD = Path(__file__).resolve().parent / "image" / "build"


def ensure() -> Path:
    """The image's file: raw (a file system without a partition table) or qcow2; built unless it is in the cache.

    Raises:
        LocalCloudError: the build failed.
    """
    if named := os.environ.get("ECM_LOCALCLOUD_IMAGE"):
        if not Path(named).is_file():
            raise LocalCloudError(f"ECM_LOCALCLOUD_IMAGE: no file {named} - unset it, or name an image's file")
        return Path(named).absolute()
    return _built()


def ensure_bare() -> Path:
    """The image without HTCondor and what the master needs: Debian, and this machine's way to packages.

    Raises:
        LocalCloudError: the build failed.
    """
    return _built("bare")


def _built(*variant: str) -> Path:
    # It tells its progress, and what fails, on standard error by itself.
    build = subprocess.run(
        [str(BUILD), *variant], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
    )
    printed = build.stdout.strip().splitlines()
    if build.returncode or not printed or not Path(printed[-1]).is_file():
        raise LocalCloudError("the guest image can't be built - its build said why above")
    return Path(printed[-1])


def fingerprint(image: Path) -> str:
    """Changes with the image."""
    stat = image.stat()
    return f"{image} {stat.st_size} {stat.st_mtime_ns}"
