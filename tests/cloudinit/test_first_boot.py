"""Parts of the first boot, run on folders of a test, and the order of the whole."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from cloudinit.systems import SYSTEMS

FILES = Path(__file__).parents[2] / "cloudinit" / "files"
FIRST_BOOT = "usr/local/sbin/ecm-first-boot"
NODE = FILES / "common/usr/local/sbin/ecm-node"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node whose image brings keys and tokens of somebody's."""
    for folder in ("etc/ecm", "etc/condor/passwords.d", "etc/condor/tokens.d", "usr/local/sbin", "var/lib/cloud/data"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/ecm/node.env").touch()
    (tmp_path / "usr/local/sbin/ecm-system").touch()
    (tmp_path / "var/lib/cloud/data/instance-id").write_text("i-1\n")
    for brought in ("passwords.d/POOL", "passwords.d/other", "tokens.d/admin", "tokens.d/slave", "pool_password"):
        (tmp_path / "etc/condor" / brought).write_text("of the image")
    return tmp_path


def said(root: Path, role: str, function: str) -> "subprocess.CompletedProcess[str]":
    """Calls one function of a role's first boot; gives its exit status and what it says."""
    script = f". {NODE}; eval \"$(sed -n '/^[a-z_]*() {{/,/^}}/p' {FILES / role / FIRST_BOOT})\"; {function}"
    environment = {"PATH": f"{root}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "ECM_ROOT": str(root)}
    return subprocess.run(["bash", "-c", script], env=environment, check=False, capture_output=True, text=True)


def run(root: Path, role: str, function: str) -> None:
    """Calls one that succeeds."""
    done = said(root, role, function)
    assert done.returncode == 0, done.stdout + done.stderr


def has(root: Path, program: str, text: str) -> None:
    """Puts a stand-in there: by its path, or found by its name."""
    path = root / (program if "/" in program else f"bin/{program}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def notes(root: Path, *programs: str) -> None:
    """Has stand-ins note what they are asked."""
    for program in programs:
        has(root, program, f'echo "{program} $*" >>{root}/asked')


def asked(root: Path) -> list[str]:
    """What stand-ins have noted."""
    note = root / "asked"
    return note.read_text().splitlines() if note.exists() else []


def is_system(root: Path, name: str, os_release: str = "") -> None:
    """Gives the node a system of the table's."""
    system = SYSTEMS[name]
    for folder in "etc/apt/sources.list.d", "etc/yum.repos.d":
        (root / folder).mkdir(parents=True)
    script = FILES / system.trees[-1] / "usr/local/sbin/ecm-system"
    (root / "usr/local/sbin/ecm-system").write_text(script.read_text())
    (root / "etc/os-release").write_text(os_release)
    notes(root, "apt-get", "dnf", "yum", "subscription-manager")


def identities(root: Path) -> list[str]:
    condor = root / "etc/condor"
    return sorted(str(path.relative_to(condor)) for path in condor.rglob("*") if path.is_file())


def test_the_pools_key_is_made_anew_on_an_image_that_brings_one(root: Path) -> None:
    run(root, "master", "make_key")
    key = root / "etc/condor/passwords.d/POOL"
    first = key.read_text()
    assert len(first) == 88
    assert key.stat().st_mode & 0o777 == 0o600
    assert identities(root) == ["passwords.d/POOL"]
    run(root, "master", "make_key")
    assert key.read_text() == first, "once for each machine"
    (root / "var/lib/cloud/data/instance-id").write_text("i-2\n")
    run(root, "master", "make_key")
    assert key.read_text() != first, "the image was made of a master"


def test_a_key_is_made_anew_where_the_machines_id_is_not_known(root: Path) -> None:
    (root / "var/lib/cloud/data/instance-id").write_text("")
    run(root, "master", "make_key")
    assert (root / "etc/condor/passwords.d/POOL").read_text() != "of the image"


def test_whatever_fetches_something_at_first_boot_goes_by_the_sites_proxy(root: Path) -> None:
    (root / "etc/ecm/proxy.env").write_text("https_proxy=http://proxy.test:3128\n")
    run(root, "slave", 'printenv https_proxy >"$root/asked"')
    assert (root / "asked").read_text() == "http://proxy.test:3128\n"


def test_a_slave_has_no_identity_but_its_own_token(root: Path) -> None:
    run(root, "slave", "forget_identities slave")
    assert identities(root) == ["tokens.d/slave"]


@pytest.mark.parametrize(("status_of_pip", "made"), [(0, False), (1, True)])
def test_half_an_environment_of_an_interrupted_boot_is_made_anew(root: Path, status_of_pip: int, made: bool) -> None:
    python = root / "opt/ecm/venv/bin/python"
    system = root / "python3"
    (root / "etc/ecm/node.env").write_text(f"ECM_PYTHON={system}\n")
    for program, text in ((python, f"exit {status_of_pip}"), (system, 'echo "$@" >>"$0.asked"')):
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    run(root, "master", "make_venv")
    asked = root / "python3.asked"
    assert (f"-m venv {root}/opt/ecm/venv" in (asked.read_text() if asked.exists() else "")) == made
    assert python.exists() != made, "what is there of it goes first"


def test_a_node_whose_first_boot_was_cut_short_starts_no_htcondor_after_it(root: Path) -> None:
    """cloud-init runs the first boot once: half of a node would join, and take jobs that can't run there."""
    drop_in = (FILES / "common/etc/systemd/system/condor.service.d/ecm.conf").read_text()
    assert "\nConditionPathExists=/etc/ecm/ready\n" in drop_in
    ready, systemctl = root / "etc/ecm/ready", root / "bin/systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f"#!/bin/sh\necho $1 $([ ! -e {ready} ] || echo ready) >>{root}/asked\n[ $1 != is-active ]\n")
    systemctl.chmod(0o755)
    ready.touch()
    run(root, "slave", "hold_condor")
    assert not ready.exists(), "the image was made of a node"
    run(root, "slave", "start_condor")
    asked = (root / "asked").read_text().splitlines()
    assert "restart ready" in asked
    assert "stop" in asked


def steps(role: str) -> list[str]:
    return [line.split()[0] for line in (FILES / role / FIRST_BOOT).read_text().splitlines() if line[:1].isalpha()]


def test_nobody_can_log_in_and_no_job_can_run_before_the_metadata_service_is_closed() -> None:
    of_master, of_slave = steps("master"), steps("slave")
    assert of_master.index("hold_condor") < of_master.index("close_metadata") < of_master.index("make_users")
    for order in (of_master, of_slave):
        assert order.index("hold_condor") < order.index("close_metadata") < order.index("start_condor")
    assert of_slave.index("forget_identities") < of_slave.index("start_condor")
    assert of_master.index("make_key") < of_master.index("start_condor")


def test_what_flushes_the_firewall_closes_the_metadata_service_again() -> None:
    drop_in = (FILES / "common/etc/systemd/system/nftables.service.d/ecm.conf").read_text()
    again = "=/usr/sbin/nft -f /etc/ecm/metadata.nft"
    for after in ("ExecStartPost", "ExecReload", "ExecStopPost"):
        assert f"{after}{again}\n" in drop_in


REFUSED = "ecm: first boot failed: "


def has_condor(root: Path, version: str) -> None:
    has(root, "usr/bin/condor_version", f"echo '$CondorVersion: {version} 2026-01-01 BuildID: x $'")


SAYS_NOTHING = "exit 1"
SAYS_IT_LATE = """echo asked >>"$0.tries"; [ "$(wc -l <"$0.tries")" = 3 ] && echo '$CondorVersion: 23.9.6 2025 x $'"""


@pytest.mark.parametrize(
    ("ours", "master", "why"),
    [
        ("25.0.14", "echo '$CondorVersion: 25.0.2 2025 x $'", ""),
        ("23.9.6", "echo '$CondorVersion: 25.0.2 2025 x $'", ""),
        ("25.0.14", "echo '$CondorVersion: 23.9.6 2025 x $'", "HTCondor 25.0.14 is newer than the master's 23.9.6"),
        ("25.0.14", SAYS_IT_LATE, "HTCondor 25.0.14 is newer than the master's 23.9.6"),
        ("25.0.14", SAYS_NOTHING, ""),
    ],
)
def test_a_slave_that_is_newer_than_the_master_ends_its_first_boot(
    root: Path, ours: str, master: str, why: str
) -> None:
    has_condor(root, ours)
    has(root, "condor_status", master)
    has(root, "sleep", "")
    done = said(root, "slave", "not_newer_than_the_master")
    assert (REFUSED + why in done.stdout) == (done.returncode != 0) == bool(why), done.stdout
    assert ("going on without" in done.stdout) == (master == SAYS_NOTHING)


@pytest.mark.parametrize(("version", "fits"), [("23.9.6", True), ("25.0.14", True), ("10.9.0", False), ("2.5", False)])
def test_a_master_whose_htcondor_has_no_bindings_ends_its_first_boot(root: Path, version: str, fits: bool) -> None:
    (root / "opt/ecm").mkdir(parents=True)
    (root / "opt/ecm/bindings").write_text("23 htcondor==23.10.29\n24 htcondor==24.0.1\n25 htcondor==25.0.99\n")
    has_condor(root, version)
    done = said(root, "master", "has_bindings")
    assert (done.returncode == 0) == fits
    assert fits or f"{REFUSED}the controller has no bindings for HTCondor {version}, only for 23 24 25" in done.stdout
    assert steps("master").index("get_condor") < steps("master").index("has_bindings")


@pytest.mark.parametrize(("version", "old"), [("8.8.17", True), ("9.0.0", False), ("23.9.6", False), ("", True)])
def test_an_htcondor_without_tokens_is_refused(root: Path, version: str, old: bool) -> None:
    (root / "etc/ecm/node.env").write_text("ECM_LEAST_CONDOR=9.0\nECM_CONDOR_REPOSITORY=25.0\n")
    has(root, "usr/sbin/condor_master", "")
    has_condor(root, version)
    done = said(root, "slave", "get_condor")
    assert (REFUSED in done.stdout) == (done.returncode != 0) == old, done.stdout


CHTC, CS = "https://htcss-downloads.chtc.wisc.edu", "https://research.cs.wisc.edu/htcondor"
KEY = "962A9BCDD330245F2703C88B74E5BE22D4E9B1FC"


def has_key(root: Path, *fingerprints: str) -> None:
    """The node expects `KEY`, and the file that it fetches, which is its URL here, has these, as gpg tells."""
    (root / "etc/ecm/node.env").write_text(f"ECM_CONDOR_KEY={KEY}\n")
    has(root, "curl", 'while [ $# -gt 1 ]; do [ "$1" != -o ] || to=$2; shift; done; echo "$1" >"$to"')
    said = "".join(
        f"pub:-:4096:1:{key[24:]}:1756938538:::-:\nfpr:::::::::{key}:\nuid:::::::::One:\nsub:-:4096:1:FF:1756938538::::\n"
        for key in fingerprints
    )
    has(root, "gpg", f"printf '%s' '{said}'")


OTHER = "4A56C5BBCDB0AAA2DDE9A690BDEEE24C92897C00"


@pytest.mark.parametrize("keys", [(), (OTHER,), (OTHER, KEY), (KEY, OTHER)])
@pytest.mark.parametrize("system", ["debian-12", "el-9", "centos-7"])
def test_nothing_comes_from_a_repository_with_another_key_than_the_known_one(
    root: Path, system: str, keys: tuple[str, ...]
) -> None:
    is_system(root, system, "ID=x\nVERSION_ID=9\nVERSION_CODENAME=x\n")
    has(root, "rpm", "printf x86_64")
    has_key(root, *keys)
    done = said(root, "slave", "add_condor_repository 25.0")
    assert done.returncode != 0
    assert f"isn't the key {KEY}" in done.stdout
    assert not list(root.glob("etc/*/*/htcondor.*"))
    assert not (root / "etc/ecm/htcondor.asc").exists()


@pytest.mark.parametrize(
    ("system", "os_release", "url"),
    [
        ("debian-12", "ID=debian\nVERSION_CODENAME=bookworm\n", "repo/debian/25.0 bookworm main"),
        ("ubuntu-24.04", "ID=ubuntu\nVERSION_CODENAME=noble\n", "repo/ubuntu/25.0 noble main"),
    ],
)
def test_apt_takes_from_htcondors_repository_only_what_its_key_has_signed(
    root: Path, system: str, os_release: str, url: str
) -> None:
    is_system(root, system, os_release)
    has_key(root, KEY)
    run(root, "slave", "add_condor_repository 25.0")
    assert (root / "etc/ecm/htcondor.asc").read_text() == f"{CHTC}/repo/keys/HTCondor-25.0-Key\n"
    line = f"deb [signed-by=/etc/ecm/htcondor.asc] https://htcss-downloads.chtc.wisc.edu/{url}\n"
    assert (root / "etc/apt/sources.list.d/htcondor.list").read_text() == line


def test_apt_is_asked_again_while_another_one_has_its_lists(root: Path) -> None:
    is_system(root, "debian-12")
    has(root, "sleep", "")
    has(root, "apt-get", f'echo "$*" >>{root}/asked; case $* in *update) [ "$(wc -l <{root}/asked)" = 3 ] ;; esac')
    run(root, "slave", "install_packages htop")
    assert [line.split()[-1] for line in asked(root)] == ["update", "update", "update", "htop"]


@pytest.mark.parametrize(
    ("system", "machine", "url", "needs"),
    [
        ("el-8", "almalinux 8.10 x86_64", f"{CHTC}/repo/25.0/el8/x86_64/release", "powertools"),
        ("el-9", "rocky 9.4 x86_64", f"{CHTC}/repo/25.0/el9/x86_64/release", "crb"),
        ("el-9", "rhel 9.4 x86_64", f"{CHTC}/repo/25.0/el9/x86_64/release", "builder-for-rhel-9-x86_64-rpms"),
        ("el-10", "almalinux 10 x86_64_v2", f"{CHTC}/repo/25.0/el10/x86_64_v2/release", "crb"),
        ("centos-7", "centos 7 x86_64", f"{CS}/repo/23.0/el7/x86_64/release", "epel-release"),
    ],
)
def test_dnf_takes_from_htcondors_repository_only_what_its_key_has_signed(
    root: Path, system: str, machine: str, url: str, needs: str
) -> None:
    distro, version, arch = machine.split()
    is_system(root, system, f"ID={distro}\nVERSION_ID={version}\n")
    has(root, "rpm", f"printf {arch}")
    has_key(root, KEY)
    repository = root / "etc/yum.repos.d/htcondor.repo"
    repository.write_text("[htcondor]\nbaseurl=http://elsewhere\ngpgcheck=0\n")
    run(root, "slave", f"add_condor_repository {SYSTEMS[system].repository}")
    section, *lines = repository.read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    assert (section, settings["baseurl"], settings["gpgkey"]) == ("[htcondor]", url, "file:///etc/ecm/htcondor.asc")
    assert (settings["gpgcheck"], settings["repo_gpgcheck"]) == ("1", "1")
    assert int(settings["priority"]) < 99, "EPEL has an HTCondor, too"
    assert needs in "\n".join(asked(root))


def test_a_centos_7_without_centos_repositories_as_rhel_has_boots_on(root: Path) -> None:
    is_system(root, "centos-7")
    redhat = root / "etc/yum.repos.d/redhat.repo"
    redhat.write_text("mirrorlist=http://mirror.centos.org\n")
    run(root, "slave", "prepare_system")
    assert redhat.read_text() == "mirrorlist=http://mirror.centos.org\n"
    base = root / "etc/yum.repos.d/CentOS-Base.repo"
    base.write_text("mirrorlist=http://x\n#baseurl=http://mirror.centos.org/centos/$releasever/os/$basearch/\n")
    run(root, "slave", "prepare_system")
    assert base.read_text() == "#mirrorlist=http://x\nbaseurl=http://vault.centos.org/7.9.2009/os/$basearch/\n"


@pytest.mark.parametrize(
    ("brought", "in_container", "installed", "becomes"),
    [
        ("", False, "install docker.io docker-cli", "enable docker.service"),
        ("", True, "install podman crun", "podman"),
        ("docker", False, "", "enable docker.service"),
        ("podman", False, "", "podman"),
        ("nothing to be had", False, "", ""),
    ],
)
def test_a_slave_gets_docker_or_what_stands_for_it(
    root: Path, brought: str, in_container: bool, installed: str, becomes: str
) -> None:
    packages = "" if brought == "nothing to be had" else "docker.io docker-cli"
    (root / "etc/ecm/node.env").write_text(f"ECM_DOCKER=yes\nECM_DOCKER_PACKAGES='{packages}'\n")
    unit, podman = root / "docker.service", root / "usr/bin/podman"
    podman.parent.mkdir(parents=True)
    notes(root, "groupadd", "usermod")
    has(root, "systemctl", f'echo "$*" >>{root}/asked; [ $1 != cat ] || [ -e {unit} ]')
    has(root, "systemd-detect-virt", "exit 0" if in_container else "exit 1")
    if brought == "docker":
        unit.touch()
    if brought in ("docker", "podman"):
        has(root, f"usr/bin/{brought}", "")
    install = (
        f'install_packages() {{ echo "install $*" >>{root}/asked; '
        f"case $1 in podman) install -m 755 /bin/true {podman} ;; *) touch {unit} ;; esac; }}; "
    )
    stand_in = f"podman_for_docker() {{ echo podman >>{root}/asked; }}; "
    done = said(root, "slave", install + stand_in + "get_docker")
    assert (REFUSED in done.stdout) == (done.returncode != 0) == (not becomes)
    assert [line for line in asked(root) if line.startswith("install")] == [installed] * bool(installed)
    assert not becomes or becomes in asked(root)


@pytest.mark.parametrize("active", [True, False])
def test_a_firewall_of_the_images_is_opened_for_htcondor_and_leaves_the_metadata_closed(
    root: Path, active: bool
) -> None:
    notes(root, "firewall-cmd")
    has(root, "systemctl", f'[ $1 != is-active ] || exit {int(not active)}; echo "$*" >>{root}/asked')
    run(root, "master", "open_firewall")
    opened = [
        "firewall-cmd --quiet --permanent --add-port=9618/tcp --add-port=41000-42000/tcp",
        "firewall-cmd --quiet --reload",
        "reload ecm-metadata.service",
    ]
    assert asked(root) == (opened if active else [])


FETCH = """
for word; do case $last in -o) to=$word ;; esac; last=$word; done
case $last in *.sha256 | *checksums.txt) echo "{digest}  {name}" >"$to" ;; *) cp {archive} "$to" ;; esac
"""


@pytest.mark.parametrize(("function", "program"), [("get_uv", "uv"), ("get_pulumi", "pulumi")])
@pytest.mark.parametrize("whole", [True, False])
def test_a_program_that_is_fetched_is_taken_with_its_sum_only(
    root: Path, function: str, program: str, whole: bool
) -> None:
    (root / "etc/ecm/node.env").write_text("ECM_UV=0.1 ECM_PULUMI=3.1 ECM_PROVIDER=5.5\n")
    has(root, f"inside/{program}", "")
    archive = root / "archive.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", root, f"inside/{program}"], check=True)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest() if whole else "0" * 64
    names = {"uv": "uv-x86_64-unknown-linux-musl.tar.gz", "pulumi": "pulumi-v3.1-linux-x64.tar.gz"}
    has(root, "curl", FETCH.format(digest=digest, name=names[program], archive=archive))
    done = said(root, "master", function)
    assert (done.returncode == 0) == whole, done.stdout + done.stderr
    assert (root / "opt/ecm/bin" / program).exists() == whole
    assert whole or f"{names[program]}: FAILED" in done.stdout


@pytest.mark.parametrize(
    ("account", "why"),
    [
        ("", ""),
        ("alice:x:1001:1001::{root}/home/alice:/bin/bash", ""),
        ("alice:x:994:990::/:/sbin/nologin", "uid 994, home /"),
        ("alice:x:1001:1001::/:/bin/bash", "uid 1001, home /"),
        ("alice:x:65534:65534::/nonexistent:/sbin/nologin", "uid 65534, home /nonexistent"),
    ],
)
def test_an_account_of_the_systems_own_gets_nobodys_keys(root: Path, account: str, why: str) -> None:
    (root / "etc/ecm/users").mkdir()
    (root / "etc/ecm/users/alice").write_text("ssh-ed25519 AAAA\n")
    passwd = root / "passwd"
    passwd.write_text(f"{account.format(root=root)}\n" if account else "")
    made = f"alice:x:1002:1002::{root}/home/alice:/bin/bash"
    has(root, "getent", f'grep "^$2:" {passwd}')
    has(root, "useradd", f"echo {made} >>{passwd}; echo useradd >>{root}/asked")
    notes(root, "install")
    done = said(root, "master", "make_users")
    assert (REFUSED in done.stdout) == (done.returncode != 0) == bool(why), done.stdout + done.stderr
    assert why in done.stdout
    assert (asked(root)[:1] == ["useradd"]) == (not account)
    assert any(line.endswith(f"{root}/home/alice/.ssh/authorized_keys") for line in asked(root)) == (not why)


@pytest.mark.parametrize(
    ("raw", "forwarded"),
    [
        (0, "-w -t raw -I PREROUTING -d 169.254.169.254 -j DROP"),
        (1, "-w -t filter -I FORWARD -d 169.254.169.254 -j DROP"),
    ],
)
def test_el7_closes_the_metadata_service_once_and_before_dockers_rules_where_it_can(
    root: Path, raw: int, forwarded: str
) -> None:
    answers = f'case $* in *" -D "*) exit 1 ;; *" -L "*) exit {raw} ;; esac'
    has(root, "iptables", f'{answers}; echo "$*" >>{root}/asked')
    closes = FILES / "el7/usr/local/sbin/ecm-metadata"
    subprocess.run(["bash", closes], env={"PATH": f"{root}/bin:/usr/bin:/bin"}, check=True)
    assert asked(root) == [
        "-w -t filter -I OUTPUT -d 169.254.169.254 -m owner ! --uid-owner 0 -j REJECT",
        forwarded,
    ]
    for unit in ("firewalld", "iptables"):
        drop_in = FILES / f"el7/etc/systemd/system/{unit}.service.d/ecm.conf"
        assert "ExecStartPost=/usr/local/sbin/ecm-metadata\n" in drop_in.read_text()
