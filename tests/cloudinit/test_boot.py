"""User-data: what is in it, that cloud-init takes it, and that it stays below Nova's limit."""

import base64
import gzip
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudinit import boot
from cloudinit.systems import SYSTEMS

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def master(**changes: Any) -> boot.MasterBoot:
    values: dict[str, Any] = {
        "name": "ecm-dev-master",
        "system": SYSTEMS["debian-13"],
        "own": boot.Additions(),
        "users": {},
        "environment": {"PULUMI_CONFIG_PASSPHRASE": "its $ecret"},
        "pulumi_version": "3.259.0",
        "provider_version": "5.5.3",
    }
    return boot.MasterBoot(**(values | changes))


SLAVE = boot.SlaveBoot(
    name="ecm-dev-slave-a",
    system=SYSTEMS["debian-13"],
    own=boot.Additions(),
    master_address="10.0.0.5",
    token="the-token",
    cpus=2,
    memory_mib=1920,
    jobs=1,
    docker=True,
    orphan_time=3600,
)


def unpacked(user_data: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(gzip.decompress(base64.b64decode(user_data)))
    return loaded


def files(user_data: str) -> dict[str, dict[str, str]]:
    return {f["path"]: f for f in unpacked(user_data)["write_files"]}


OWN = boot.Additions(("htop", "git"), "MAX_JOBS_RUNNING = 100\n", "#!/bin/bash\ntouch /made\n")
USERS = {"alice": ("ssh-ed25519 AAAA alice", "ssh-ed25519 BBBB alice"), "bob": ("ssh-ed25519 CCCC",)}


@pytest.mark.parametrize(
    "user_data",
    [boot.master(master(own=OWN, users=USERS)), boot.slave(replace(SLAVE, own=OWN))],
    ids=["master", "slave"],
)
def test_cloud_init_takes_it(user_data: str, tmp_path: Path) -> None:
    config = tmp_path / "user-data.yaml"
    config.write_bytes(gzip.decompress(base64.b64decode(user_data)))
    checked = subprocess.run([BIN / "cloud-init", "schema", "-c", config], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(user_data) <= boot.LIMIT


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
        "SLOT1_1_USER = slot1_1",
        "SLOT1_2_USER = slot1_2",
    ]


def test_a_line_break_which_no_environment_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="OS_PASSWORD has a line break"):
        boot.master(master(environment={"OS_PASSWORD": "a\nb"}))


@pytest.mark.parametrize("value", ["plain $HOME", "it's", 'a"b', "back\\slash\\", "'\"`id`$(id)\\$x'", "", " ä "])
def test_any_other_text_reaches_the_node_as_it_is(value: str) -> None:
    content = files(boot.master(master(environment={"WORD": value})))["/etc/ecm/controller.env"]
    text = base64.b64decode(content["content"]) if "encoding" in content else content["content"].encode()
    read = subprocess.run(["sh", "-c", f'{text.decode()}printf %s "$WORD"'], capture_output=True, check=True)
    assert read.stdout.decode() == value


def test_backslashes_are_never_within_single_quotes_where_an_older_systemd_would_eat_them() -> None:
    env = files(boot.master(master(environment={"WORD": "a\\nb", "SIMPLE": "x"})))["/etc/ecm/controller.env"]["content"]
    assert 'WORD="a\\\\nb"\n' in env
    assert "SIMPLE='x'\n" in env


def test_too_large_says_what_is_big() -> None:
    noise = "".join(hashlib.sha256(str(i).encode()).hexdigest() for i in range(3000))
    with pytest.raises(boot.UserDataTooLargeError, match=r"Nova takes 65535.*user-script 192000"):
        boot.master(master(own=boot.Additions(script=noise)))


def test_every_script_passes_shellcheck() -> None:
    written = (path for path in (ROOT / "cloudinit" / "files").rglob("*") if path.is_file())
    scripts = sorted(path for path in written if path.read_bytes().startswith(b"#!"))
    assert len(scripts) >= 10
    checked = subprocess.run([BIN / "shellcheck", "-x", *scripts], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_what_the_user_adds_is_in_files_and_the_nodes_environment() -> None:
    for of_node in (files(boot.master(master(own=OWN))), files(boot.slave(replace(SLAVE, own=OWN)))):
        assert "ECM_PACKAGES='htop git'\n" in of_node["/etc/ecm/node.env"]["content"]
        assert of_node["/etc/condor/config.d/60-ecm-user.conf"]["content"] == OWN.condor_config
        assert of_node["/etc/ecm/user-script"]["content"] == OWN.script
        assert of_node["/etc/ecm/user-script"]["permissions"] == "0700"


def test_accounts_come_beside_the_images_own_user_and_have_no_password() -> None:
    of_master = files(boot.master(master(users=USERS)))
    keys = of_master["/etc/ecm/users/alice"]
    assert (keys["permissions"], keys["content"].splitlines()) == ("0600", list(USERS["alice"]))
    assert "/etc/ecm/users/bob" in of_master
    # By cloud-init they would be there, and able to log in, before the metadata service is closed.
    assert "users" not in unpacked(boot.master(master(users=USERS)))


def test_a_proxy_serves_the_first_boot_and_the_containers_engine_but_not_the_controller() -> None:
    site = "http://proxy.site:3128"
    of_master, of_slave = (files(boot.master(master(proxy=site))), files(boot.slave(replace(SLAVE, proxy=site))))
    for of_node in (of_master, of_slave):
        assert of_node["/etc/ecm/proxy.env"]["content"].splitlines() == [
            f"http_proxy='{site}'",
            f"https_proxy='{site}'",
            "no_proxy='localhost,127.0.0.1,169.254.169.254'",
        ]
    for unit in ("docker.service.d/ecm-proxy.conf", "ecm-podman.service"):
        assert "EnvironmentFile=-/etc/ecm/proxy.env\n" in of_slave[f"/etc/systemd/system/{unit}"]["content"]
    of_controller = of_master["/etc/ecm/controller.env"]["content"]
    assert f"PIP_PROXY='{site}'\n" in of_controller
    assert "http_proxy" not in of_controller, "the cloud and the state are reached without"
    assert not any("proxy.env" in path for path in files(boot.slave(SLAVE)))


def test_without_docker_an_images_docker_is_not_offered() -> None:
    of_slave = files(boot.slave(replace(SLAVE, docker=False)))
    assert of_slave["/etc/condor/config.d/15-ecm-node.conf"]["content"].endswith("DOCKER = \n")
    assert "ECM_DOCKER='no'\n" in of_slave["/etc/ecm/node.env"]["content"]


@pytest.mark.parametrize("system", ["el-8", "el-9", "el-10"])
def test_sudo_on_enterprise_linux_finds_ecm_and_our_condor_submit_before_htcondors(system: str) -> None:
    of_master = files(boot.master(master(system=SYSTEMS[system])))
    sudoers = of_master["/etc/sudoers.d/ecm"]
    assert sudoers["permissions"] == "0440", "visudo -c complains of any other"
    searched = sudoers["content"].split("\nDefaults secure_path = ")[1].strip().split(":")
    for ours in "/usr/local/sbin/condor_submit", "/usr/local/bin/ecm":
        assert ours in of_master
        assert searched.index(str(Path(ours).parent)) < searched.index("/usr/bin")
