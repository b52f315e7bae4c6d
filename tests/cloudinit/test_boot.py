"""User-data: what is in it, that cloud-init takes it, and that it stays below Nova's limit."""

import base64
import csv
import gzip
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudinit import boot, payload

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def master(**changes: Any) -> boot.MasterBoot:
    name, wheel = payload.wheel()
    values: dict[str, Any] = {
        "name": "ecm-dev-master",
        "environment": {"PULUMI_CONFIG_PASSPHRASE": "its $ecret"},
        "wheel_name": name,
        "wheel": wheel,
        "requirements": payload.requirements(),
        "pulumi_version": "3.259.0",
        "provider_version": "5.5.3",
    }
    return boot.MasterBoot(**(values | changes))


SLAVE = boot.SlaveBoot("ecm-dev-slave-a", "10.0.0.5", "the-token", cpus=2, memory_mib=1920, jobs=1)


def unpacked(user_data: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(gzip.decompress(base64.b64decode(user_data)))
    return loaded


def files(user_data: str) -> dict[str, dict[str, str]]:
    return {f["path"]: f for f in unpacked(user_data)["write_files"]}


@pytest.mark.parametrize("user_data", [boot.master(master()), boot.slave(SLAVE)], ids=["master", "slave"])
def test_cloud_init_takes_it(user_data: str, tmp_path: Path) -> None:
    config = tmp_path / "user-data.yaml"
    config.write_bytes(gzip.decompress(base64.b64decode(user_data)))
    checked = subprocess.run([BIN / "cloud-init", "schema", "-c", config], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(user_data) <= boot.LIMIT


def test_the_master_gets_this_very_checkout_as_a_whole_wheel() -> None:
    prefix = "/opt/ecm/wheel/"
    members = {
        path.removeprefix(prefix): f["content"].encode()
        for path, f in files(boot.master(master())).items()
        if path.startswith(prefix)
    }
    whole = (ROOT / "controller" / "decide.py").read_text()
    lean = members["controller/decide.py"].decode()
    assert whole.startswith('"""')
    assert '"""' not in lean
    assert compile(lean, "x", "exec").co_names == compile(whole, "x", "exec", optimize=2).co_names
    assert "cloudinit/files/slave/usr/local/sbin/ecm-first-boot" in members
    (record,) = (content.decode() for path, content in members.items() if path.endswith("/RECORD"))
    for path, digest, _ in csv.reader(record.splitlines()):
        if digest:
            sha256 = base64.urlsafe_b64encode(hashlib.sha256(members[path]).digest()).rstrip(b"=").decode()
            assert digest == f"sha256={sha256}", path


def test_the_same_sources_give_the_same_user_data() -> None:
    assert boot.master(master()) == boot.master(master())


def test_secrets_are_in_files_of_root_alone() -> None:
    of_master, of_slave = files(boot.master(master())), files(boot.slave(SLAVE))
    assert of_master["/etc/ecm/controller.env"]["permissions"] == "0600"
    assert "PULUMI_CONFIG_PASSPHRASE='its $ecret'" in of_master["/etc/ecm/controller.env"]["content"]
    assert of_slave["/etc/condor/tokens.d/slave"] == {
        "path": "/etc/condor/tokens.d/slave",
        "permissions": "0600",
        "content": "the-token",
    }
    holders = [path for path, f in of_slave.items() if "the-token" in f["content"]]
    assert holders == ["/etc/condor/tokens.d/slave"]


def test_a_slave_is_told_its_size_its_name_and_its_jobs() -> None:
    condor = files(boot.slave(SLAVE))["/etc/condor/config.d/15-ecm-node.conf"]["content"].splitlines()
    assert condor == [
        "NETWORK_HOSTNAME = ecm-dev-slave-a.pool",
        "NUM_CPUS = 2",
        "MEMORY = 1920",
        "ECM_JOBS = 1",
        'EcmSlave = "ecm-dev-slave-a"',
    ]


def test_what_would_break_out_of_its_quotes_is_refused() -> None:
    with pytest.raises(ValueError, match="OS_PASSWORD has a quote or a line break"):
        boot.master(master(environment={"OS_PASSWORD": "a'b"}))


def test_too_large_says_what_is_big() -> None:
    large = {"big.bin": b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(3000))}
    with pytest.raises(boot.UserDataTooLargeError, match=r"Nova takes 65535.*big\.bin 96000"):
        boot.master(master(wheel=large))


def test_every_script_passes_shellcheck() -> None:
    scripts = sorted((ROOT / "cloudinit" / "files").rglob("sbin/*"))
    assert len(scripts) >= 3
    checked = subprocess.run([BIN / "shellcheck", "-x", *scripts], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_requirements_are_pins_without_hashes() -> None:
    lines = payload.requirements().splitlines()
    assert any(line.startswith("pulumi==") for line in lines)
    assert any(line.startswith("htcondor==") for line in lines)
    assert all("==" in line and "sha256" not in line for line in lines)
