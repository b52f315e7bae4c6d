"""An object store is found in the catalogue, and named so that Pulumi's S3 client takes it."""

from urllib.parse import parse_qs, urlsplit

import pytest

from cli.laptop.store import Store, backend, caveats, find


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
