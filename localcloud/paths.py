"""Where the local cloud keeps things, on the host and as the cloud itself sees them."""

import os
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent

# The state as the cloud's processes see it, wherever the cache is.
INSIDE = "/srv/localcloud"


@dataclass(frozen=True)
class Paths:
    """The folders of one user's local cloud; all below one cache folder that only its owner may enter."""

    cache: Path

    @property
    def state(self) -> Path:
        """All that is this cloud's own: gone after `reset`."""
        return self.cache / "state"

    @property
    def live(self) -> Path:
        """Databases, keys, images and disks of the running cloud: made from `seed` at each start."""
        return self.state / "live"

    @property
    def seed(self) -> Path:
        """The same right after the first users, networks and images were made."""
        return self.state / "seed"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def log(self) -> Path:
        return self.state / "log"

    @property
    def etc(self) -> Path:
        return self.state / "etc"

    @property
    def key(self) -> Path:
        return self.state / "id_ed25519"

    @property
    def clouds_yaml(self) -> Path:
        return self.state / "clouds.yaml"

    @property
    def ssh_config(self) -> Path:
        return self.state / "ssh_config"

    def make(self) -> None:
        """Make the folders.  The outermost is closed to others: below it, files belong to users of the cloud's own."""
        self.cache.mkdir(parents=True, exist_ok=True)
        self.cache.chmod(0o700)
        for folder in (self.state, self.run, self.log, self.etc):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o711)


def project_cache() -> Path:
    """The cache folder of the whole project."""
    if own := os.environ.get("ECM_CACHE"):
        return Path(own).absolute()
    general = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(general).absolute() / "elastic-condor"


def default_paths() -> Paths:
    return Paths(project_cache() / "localcloud")
