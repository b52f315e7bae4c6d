"""Finding what of the cloud is on a machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud import leftovers
from localcloud.paths import Paths

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="plants mounts and loop devices")


@pytest.fixture
def own(tmp_path: Path) -> Paths:
    """A cloud of the test's own that never ran: whatever is found is planted."""
    paths = Paths(tmp_path / "cache")
    paths.make()
    return paths


def found(paths: Paths, word: str) -> list[str]:
    return [line for line in leftovers.find(paths) if word in line]


def test_a_mount_is_known_by_its_place_and_by_its_source(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(
        "22 1 8:1 / / rw - ext4 /dev/vda rw\n"
        "30 22 8:1 / /cache/state/mnt rw - tmpfs tmpfs rw\n"
        "31 30 8:1 /cache/state /srv/some\\040where rw - ext4 /dev/vda rw\n"
        "32 22 8:1 /cachet /srv/other rw - ext4 /dev/vda rw\n"
    )
    points = leftovers._mount_points(tmp_path / "mountinfo", Path("/cache"))
    assert points == ["/srv/some where", "/cache/state/mnt"]


@pytest.fixture
def planted_mount(own: Paths) -> Iterator[Path]:
    point = own.state / "mnt"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "planted", str(point)], check=True)
    yield point
    subprocess.run(["umount", str(point)], check=True)


@root_only
def test_a_planted_mount_is_found(own: Paths, planted_mount: Path) -> None:
    assert f"mount {planted_mount}" in found(own, "mount")


@pytest.fixture
def planted_loop(own: Paths) -> Iterator[str]:
    disk = own.live / "nova" / "instances" / "some-uuid" / "disk"
    disk.parent.mkdir(parents=True)
    disk.write_bytes(bytes(1 << 20))
    attach = ["losetup", "--find", "--show", str(disk)]
    device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)


@root_only
def test_a_planted_loop_device_is_found_and_cleared(own: Paths, planted_loop: str) -> None:
    # A cloud that runs has its guests' devices there too.
    (ours,) = [loop for loop in leftovers.loops(own) if str(loop.device) == planted_loop]
    assert found(own, f"loop device {planted_loop}")
    ours.detach()
    assert planted_loop not in [str(loop.device) for loop in leftovers.loops(own)]


@root_only
def test_a_loop_device_whose_file_is_deleted_is_found_by_the_path_that_was_given(
    own: Paths, planted_loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own.live / "nova" / "instances" / "some-uuid" / "disk").unlink()
    assert planted_loop not in [str(loop.device) for loop in leftovers.loops(own)]
    monkeypatch.setattr(leftovers, "INSIDE", str(own.cache.parent.parent)[:40])
    assert planted_loop in [str(loop.device) for loop in leftovers.loops(own)]


@root_only
def test_a_loop_device_of_somebody_else_is_not_ours(tmp_path: Path, own: Paths) -> None:
    other = tmp_path / "other"
    other.write_bytes(bytes(1 << 20))
    attach = ["losetup", "--find", "--show", str(other)]
    device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    try:
        assert device not in [str(loop.device) for loop in leftovers.loops(own)]
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@root_only
def test_a_planted_process_is_found(own: Paths) -> None:
    environment = {**os.environ, "LOCALCLOUD_STATE": str(own.state)}
    with subprocess.Popen([sys.executable, "-c", "input()"], env=environment, stdin=subprocess.PIPE) as stray:
        try:
            assert found(own, f"process {stray.pid} ")
        finally:
            stray.kill()


@root_only
def test_a_new_interface_is_found_once_the_host_is_known(own: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "INOTIFY_INSTANCES", 0)
    leftovers.remember_host(own)
    assert found(own, "interface") == []
    subprocess.run(["ip", "link", "add", "lcplanted", "type", "bridge"], check=True)
    try:
        assert found(own, "interface") == ["interface lcplanted"]
    finally:
        subprocess.run(["ip", "link", "delete", "lcplanted"], check=True)
    leftovers.forget_host(own)
    assert found(own, "interface") == []


def test_what_was_noted_before_a_reboot_no_longer_counts(own: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "INOTIFY_INSTANCES", 0)
    leftovers.remember_host(own)
    assert leftovers._before(own)
    monkeypatch.setattr(leftovers, "_boot", lambda: "another boot")
    assert leftovers._before(own) == {}
