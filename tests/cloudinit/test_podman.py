"""HTCondor's way to podman: no file that a job can write has a say in it."""

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "cloudinit/files/slave/usr/local/lib/ecm/podman-as-docker"


def test_podman_reads_nothing_where_jobs_write(tmp_path: Path) -> None:
    fake = tmp_path / "podman"
    fake.write_text('#!/bin/sh\nenv; echo "arguments: $*"\n')
    fake.chmod(0o755)
    script = SCRIPT.read_text().replace("/usr/bin/podman", str(fake))
    said = subprocess.run(["sh", "-c", script, "docker", "ps"], capture_output=True, text=True, check=True).stdout
    variables = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        assert variables[name] == "/var/lib/ecm-podman"
    assert "arguments: --remote --url unix:///run/ecm-podman.sock ps" in said
