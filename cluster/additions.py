"""What users add to the first boot, read from the files that the settings name, and checked before anything is made."""

import re
import subprocess
from pathlib import Path
from shutil import which

from cloudinit.boot import Additions
from cluster import condorconfig
from cluster.errors import SettingsError

LARGEST = 16 * 1024
"""Bytes of one file: all of a node's user-data must fit into Nova's 64 KiB."""
HERE = Path()
SHELLS = ("sh", "bash", "dash")


def read(
    role: str, packages: tuple[str, ...], condor_config: str | None, script: str | None, project: Path = HERE
) -> Additions:
    """The additions of one role, `master` or `slave`.

    Args:
        role: for the messages, which name the setting.
        packages: names of packages of the system.
        condor_config: path of a fragment of HTCondor's configuration, relative to the project.
        script: path of a script, likewise.
        project: the project's folder, which `pulumi` runs the program in.

    Raises:
        SettingsError: a file isn't there, is too large or isn't what it should be.
    """
    fragment = _text(f"{role}CondorConfig", condor_config, project)
    if condor_config and (why := condorconfig.problem(fragment)):
        raise SettingsError(f"ecm:{role}CondorConfig is {condor_config!r} - {why} - mend it, or HTCondor doesn't start")
    text = _text(f"{role}Script", script, project)
    if script and text:
        _check_script(f"{role}Script", script, text)
    return Additions(packages, fragment, text)


def _text(setting: str, path: str | None, project: Path) -> str:
    if path is None:
        return ""
    try:
        content = (project / path).read_bytes()
    except OSError as error:
        raise SettingsError(f"ecm:{setting} is {path!r} - {error.strerror} - name a file in the project") from None
    except ValueError:  # of a NUL
        raise SettingsError(
            f"ecm:{setting} is {path!r} - no file can have that name - name one in the project"
        ) from None
    text = content.decode(errors="replace")
    if content != text.encode() or "\0" in text:
        raise SettingsError(f"ecm:{setting} is {path!r} - it isn't text - name a text file in UTF-8")
    if not text.strip():
        raise SettingsError(f"ecm:{setting} is {path!r} - it is empty - pulumi config rm ecm:{setting}")
    if len(content) > LARGEST:
        raise SettingsError(
            f"ecm:{setting} is {path!r} - it has {len(content)} bytes, a node takes {LARGEST} - "
            "let a small script fetch the large part"
        )
    return text


def _check_script(setting: str, path: str, text: str) -> None:
    first = text.partition("\n")[0]
    if not re.match(r"#!\s*/", first):
        raise SettingsError(
            f"ecm:{setting} is {path!r} - its first line names no interpreter - begin it with #!/bin/bash"
        )
    if first.endswith("\r"):
        raise SettingsError(
            f"ecm:{setting} is {path!r} - its lines end as on Windows, no interpreter would be found - "
            f"sed -i 's/\\r$//' {path}"
        )
    shell = first.removeprefix("#!").split()
    # What env itself takes may come before: `env -S NAME=value bash -e`.
    name = next((Path(word).name for word in shell if not re.search(r"(^|/)env$|^-|=", word)), "")
    program = which(name) if name in SHELLS else None
    if program:
        checked = subprocess.run([program, "-n"], input=text, capture_output=True, text=True, check=False)
        if checked.returncode:
            why = " ".join(checked.stderr.strip().splitlines()[:1])
            raise SettingsError(f"ecm:{setting} is {path!r} - {why} - mend the script")
