"""Which loop devices are taken for those of deleted guests."""

import importlib.util
from pathlib import Path

import pytest

from localcloud.config import PROGRAM_FOLDER


def test_only_deleted_guests_disks_are_detached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("loops", PROGRAM_FOLDER / "loops.py")
    assert spec
    assert spec.loader
    loops = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loops)
    monkeypatch.setattr(loops, "BLOCK_DEVICES", tmp_path)
    for name, file in (
        ("loop0", f"{loops.INSTANCES}one/disk"),
        ("loop1", f"{loops.INSTANCES}two_del/disk (deleted)"),
        ("loop2", "/home/somebody/disk (deleted)"),
    ):
        (tmp_path / name / "loop").mkdir(parents=True)
        (tmp_path / name / "loop" / "backing_file").write_text(f"{file}\n")
    (tmp_path / "loop3").mkdir()
    assert list(loops.left()) == ["/dev/loop1"]
