"""The files that a user adds to the first boot: taken as they are, or refused with what to do."""

from pathlib import Path

import pytest

from cloudinit.boot import Additions
from cluster import additions
from cluster.errors import SettingsError


def test_packages_and_files_become_additions(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("START = True\n")
    (tmp_path / "setup").write_text("#!/bin/bash\necho done\n")
    read = additions.read("slave", ("git",), str(tmp_path / "more.conf"), str(tmp_path / "setup"))
    assert read == Additions(("git",), "START = True\n", "#!/bin/bash\necho done\n")


def test_nothing_set_is_nothing_added() -> None:
    assert additions.read("master", (), None, None) == Additions()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"echo done\n", "names no interpreter - begin it with #!/bin/bash"),
        (b"#!/bin/bash\nif true; then\n", "syntax error"),
        (b"#!/bin/sh\r\necho done\r\n", "its lines end as on Windows"),
        (b"#!/usr/bin/env bash\nfi\n", "syntax error"),
        (b"#! /bin/bash\nfi\n", "syntax error"),
        (b"#!/usr/bin/env -S bash -e\nfi\n", "syntax error"),
        (b"#!/usr/bin/env -S A=1 bash\nfi\n", "syntax error"),
        (b"#!/bin/sh\necho \0\n", "it isn't text"),
        (b"", "it is empty - pulumi config rm ecm:slaveScript"),
        (b"#!/bin/sh\n\xff", "it isn't text"),
        (b"#!/bin/sh\n" + b"#" * additions.LARGEST, "a node takes 16384 - let a small script fetch the large part"),
    ],
)
def test_a_script_that_could_not_run_is_refused_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    script = tmp_path / "setup"
    script.write_bytes(content)
    with pytest.raises(SettingsError) as raised:
        additions.read("slave", (), None, str(script))
    assert str(raised.value).startswith(f"ecm:slaveScript is '{script}' - ")
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_configuration_that_htcondor_could_not_read_is_refused_with_its_line(tmp_path: Path) -> None:
    fragment = tmp_path / "more.conf"
    fragment.write_text("# ours\nSTART True\n")
    with pytest.raises(
        SettingsError, match=r"^ecm:slaveCondorConfig is '.*more.conf' - line 2, 'START True', is neither"
    ):
        additions.read("slave", (), str(fragment), None)


def test_a_script_in_another_language_is_taken_as_it_is(tmp_path: Path) -> None:
    script = tmp_path / "setup"
    script.write_text("#! /usr/bin/env python3\nif True: print()\n")
    assert additions.read("slave", (), None, str(script)).script == script.read_text()


def test_a_path_that_cannot_be_one_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^ecm:slaveScript is 'a\\x00b' - no file can have that name - [^\n]*$"):
        additions.read("slave", (), None, "a\0b", tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ecm:masterCondorConfig is '.*gone' - No such file"):
        additions.read("master", (), str(tmp_path / "gone"), None)
