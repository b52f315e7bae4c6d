"""An object store is found in the catalogue, and named so that Pulumi's S3 client takes it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.errors import CommandError
from cli.laptop.store import Store, backend, caveats, find, settle
from cluster.errors import CloudError
from tests.cli.conftest import FakeCloud

SWIFT = Store("https://store:8080", swift=True)


@pytest.mark.parametrize(
    ("catalogue", "store"),
    [
        ({}, None),
        ({"compute": ["https://nova"]}, None),
        ({"object-store": ["https://swift:8080/v1/AUTH_abc"]}, Store("https://swift:8080", swift=True)),
        ({"object-store": ["https://ceph/swift/v1"]}, Store("https://ceph", swift=False)),
        ({"s3": ["https://s3/"], "object-store": ["https://ceph/swift/v1"]}, Store("https://s3", swift=False)),
        ({"s3": ["https://s"], "object-store": ["https://s/v1/AUTH_abc"]}, Store("https://s", swift=True)),
    ],
)
def test_a_store_is_found_by_the_type_of_its_service(catalogue: dict[str, list[str]], store: Store | None) -> None:
    assert find(catalogue) == store


def test_swift_has_a_caveat_more() -> None:
    assert len(caveats(Store("x", swift=True))) == len(caveats(Store("x", swift=False))) + 1


def test_the_url_is_one_of_path_style_in_the_clouds_region() -> None:
    parts = urlsplit(backend(Store("http://store:8080", swift=True), "state", "RegionOne"))
    options = {name: value for name, (value,) in parse_qs(parts.query).items()}
    assert (parts.scheme, parts.netloc) == ("s3", "state")
    assert (options["endpoint"], options["region"], options["use_path_style"]) == (
        "http://store:8080",
        "RegionOne",
        "true",
    )


def test_no_credentials_are_made_that_cannot_be_kept(cloud: Any, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(CommandError, match=r"folder/state\.sh can't be written - File exists - "):
        settle(cloud, SWIFT, "state", tmp_path / "folder" / "state.sh")
    assert cloud.done == []


def test_a_cloud_that_refuses_leaves_no_file(cloud: Any, tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> SimpleNamespace:
        raise CloudError("the cloud refuses")

    cloud.session.post = refuse
    with pytest.raises(CloudError):
        settle(cloud, SWIFT, "state", tmp_path / "state.sh")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_others_could_read_is_closed(cloud: Any, tmp_path: Path) -> None:
    file = tmp_path / "state.sh"
    file.touch(mode=0o644)
    settle(cloud, SWIFT, "state", file)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("other", ["another store", "another project"])
def test_credentials_for_another_place_are_never_overwritten(tmp_path: Path, other: str) -> None:
    file = tmp_path / "state.sh"
    first: Any = FakeCloud()
    settle(first, SWIFT, "state", file)
    before = file.read_text()
    second: Any = FakeCloud()
    if other == "another project":
        file.write_text(before := before.replace(" project\n", " others\n"))
    store = Store("https://elsewhere", swift=True) if other == "another store" else SWIFT
    with pytest.raises(CommandError, match="is there already"):
        settle(second, store, "state", file)
    assert (file.read_text(), second.done) == (before, [])
