"""What each system's master and slave get, against files that a reader can compare.

A file that is written as it stands in `cloudinit/files` is named there; what is rendered is shown whole. They are
written anew by:

    REWRITE_GOLDEN=1 .venv/bin/python -m pytest tests/cloudinit/test_golden.py
"""

import base64
import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudinit import boot
from cloudinit.systems import SYSTEMS, System

GOLDEN = Path(__file__).parent / "golden"
BIN = Path(sys.executable).parent
OWN = boot.Additions(("git", "htop"), "# of the user\n", "#!/bin/bash\ntouch /made\n")
PROXY = "http://proxy.site:3128"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF0NkO1JhvTgFNn5Zq2S0dWqAx3wmNfwZP4m7l7bHcnZ alice@home"

CASES = [(system, role) for system in SYSTEMS.values() for role in ("master", "slave")]
CASES = [(system, role) for system, role in CASES if role == "slave" or not system.no_master]


def config(system: System, role: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(gzip.decompress(base64.b64decode(user_data(system, role))))
    return loaded


def user_data(system: System, role: str) -> str:
    if role == "master":
        return boot.master(
            boot.MasterBoot(
                name="ecm-dev-master",
                system=system,
                own=OWN,
                users={"alice": (KEY,)},
                environment={"PULUMI_CONFIG_PASSPHRASE": "its $ecret"},
                pulumi_version="1.2.3",
                provider_version="4.5.6",
                proxy=PROXY,
            )
        )
    return boot.slave(
        boot.SlaveBoot(
            name="ecm-dev-slave-a",
            system=system,
            own=OWN,
            master_address="10.0.0.5",
            token="the-token",
            cpus=2,
            memory_mib=1920,
            jobs=2,
            docker=True,
            orphan_time=3600,
            proxy=PROXY,
        )
    )


def shown(config: dict[str, Any]) -> str:
    """The cloud-config, with the place of each file that is written as it stands instead of its content."""
    standing = {path.read_text(): path for path in boot.FILES.rglob("*") if path.is_file()}
    files = [
        {**file, "content": f"<{source.relative_to(boot.FILES)}>"} if source else file
        for file in config["write_files"]
        for source in (standing.get(file["content"]),)
    ]
    return yaml.dump({**config, "write_files": files}, Dumper=boot._Dumper, sort_keys=False, width=1000)


@pytest.mark.parametrize(("system", "role"), CASES, ids=[f"{system.name}-{role}" for system, role in CASES])
def test_a_system_gets_what_is_in_its_golden_file(system: System, role: str) -> None:
    golden = GOLDEN / f"{system.name}-{role}.yaml"
    text = shown(config(system, role))
    if os.environ.get("REWRITE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_there_is_no_golden_file_of_a_system_that_is_no_more() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {f"{system.name}-{role}" for system, role in CASES}


def test_cloud_init_takes_every_systems_files(tmp_path: Path) -> None:
    """All in one, because each run of cloud-init takes seconds, and its schema is one of single files."""
    configs = [config(system, role) for system, role in CASES]
    everything = configs[0] | {"write_files": [file for each in configs for file in each["write_files"]]}
    assert {key for each in configs for key in each} == set(everything)
    file = tmp_path / "user-data.yaml"
    file.write_text("#cloud-config\n" + yaml.dump(everything))
    checked = subprocess.run([BIN / "cloud-init", "schema", "-c", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
