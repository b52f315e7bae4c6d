"""The command `scripts/localcloud`."""

import os
import subprocess
import sys
import time
from typing import Annotated

import typer

from localcloud import access, cloud, extras, guests, health, leftovers, login, rootfs, seed, startup, status
from localcloud import secrets as secret_store
from localcloud.errors import LocalCloudError
from localcloud.machine import Machine
from localcloud.paths import Paths, default_paths
from localcloud.progress import say
from localcloud.services import ADDRESS, BY_NAME, ENDPOINTS, FAKES
from localcloud.supervisor import Supervisor

app = typer.Typer(
    help="A whole OpenStack on this machine, in namespaces of its own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
ServiceName = Annotated[str, typer.Argument(metavar="NAME", help=", ".join(BY_NAME))]


@app.command()
def up() -> None:
    """Start the cloud, or what of it doesn't run; make what is missing first."""
    began = time.monotonic()
    cloud.up(default_paths())
    say(f"the local cloud is up ({time.monotonic() - began:.0f} s)")


@app.command()
def down() -> None:
    """End the cloud and remove it from this machine. The next `up` begins with a clean one."""
    began = time.monotonic()
    cloud.down(default_paths())
    say(f"the local cloud is down ({time.monotonic() - began:.0f} s)")


@app.command()
def reset() -> None:
    """`down`, and forget passwords, keys and databases. The caches of packages and images stay."""
    cloud.reset(default_paths())


@app.command("status")
def show_status() -> None:
    """Services, guests, addresses. Exit status: 0 healthy, 1 not healthy, 3 down."""
    raise typer.Exit(status.show(default_paths()))


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="one service; all of them without")] = "",
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="go on as the log grows")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", help="how many of the last lines")] = 30,
) -> None:
    """Show the end of services' logs."""
    folder = default_paths().log
    files = [folder / f"{service}.log"] if service else sorted(folder.glob("*.log"))
    if missing := [file for file in files if not file.exists()]:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.log"))) or "none"
        raise LocalCloudError(f"no log of {missing[0].stem} - there are: {known}")
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), "--", *map(str, files)]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@app.command()
def env() -> None:
    """Print shell lines that lead OpenStack's and Pulumi's tools to the cloud."""
    paths = default_paths()
    for line in access.environment(paths, _secrets(paths)):
        typer.echo(line)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def ssh(
    host: Annotated[str, typer.Argument(help="a guest's name or address")],
    command: Annotated[list[str] | None, typer.Argument(help="what to run there instead of a shell")] = None,
) -> None:
    """Log in to a guest."""
    raise typer.Exit(access.ssh(default_paths(), host, command or []))


@app.command()
def proxy(host: str, port: int) -> None:
    """Join standard input and output to a guest's port (ssh's ProxyCommand)."""
    paths = default_paths()
    raise typer.Exit(guests.proxy(_running(paths), paths, _secrets(paths), host, port))


@app.command()
def bare() -> None:
    """Add the image debian-13-bare, without HTCondor; print the proxy by which its guests get packages."""
    paths = default_paths()
    machine = _running(paths)
    with cloud.turn(paths):
        extras.bare(machine, paths, rootfs.location(paths), _secrets(paths))
    say(f"image {seed.BARE_IMAGE}; the setting `proxy` for it:")
    typer.echo(extras.PROXY)


@app.command()
def swift() -> None:
    """Add Swift, with its S3 API."""
    paths = default_paths()
    machine = _running(paths)
    with cloud.turn(paths):
        extras.swift(machine, paths, _secrets(paths))
    say(
        f"Swift and its S3 API: http://127.0.0.1:{ENDPOINTS['swift']}, for guests http://{ADDRESS}:{ENDPOINTS['swift']}"
    )


@app.command()
def fakes() -> None:
    """Have servers that run nowhere, some 250 at once, until the cloud's end: Nova's own fake driver."""
    paths = default_paths()
    machine = _running(paths)
    with cloud.turn(paths):
        extras.fakes(machine, paths, _secrets(paths))
    say("new servers are fake ones, until `scripts/localcloud down`")


@app.command("leftovers")
def show_leftovers() -> None:
    """List what of the cloud is on this machine now. Exit status: 0 nothing, 1 something."""
    found = leftovers.find(default_paths())
    for line in found:
        typer.echo(line)
    raise typer.Exit(1 if found else 0)


@app.command()
def stop(name: ServiceName) -> None:
    """Stop one service, until `start` or `up`."""
    _supervisor(name).stop(name)


@app.command()
def start(name: ServiceName) -> None:
    """Start one service and wait until it is ready."""
    paths = default_paths()
    supervisor = _supervisor(name)
    startup.start(_running(paths), supervisor, paths, [name])
    parts, secrets = health.PARTS & {health.COMPUTE if name == FAKES else name}, _secrets(paths)
    # Where something else is away, which may be meant, Nova can't tell.
    if parts and not health.unhealthy(login.connect("admin", secrets), supervisor, health.PARTS - parts):
        health.wait_healthy(
            secrets, supervisor, 90, lambda: startup.check(paths, {name: supervisor.states()[name]}), parts
        )


@app.command()
def kill(name: ServiceName) -> None:
    """Kill one service's processes without a warning; the supervisor starts it anew."""
    pid = _supervisor(name).pid(name)
    if not pid:
        raise LocalCloudError(f"{name} doesn't run")
    _running(default_paths()).run("kill", "-KILL", "--", f"-{pid}")


@app.command()
def console(server: Annotated[str, typer.Argument(help="a guest's name or id")]) -> None:
    """Print a guest's console log."""
    paths = default_paths()
    _running(paths)
    admin = login.connect("admin", _secrets(paths))
    found = admin.compute.find_server(server, all_projects=True)
    if not found:
        raise LocalCloudError(f"no guest {server}")
    typer.echo(admin.compute.get_server_console_output(found)["output"])


def _running(paths: Paths) -> Machine:
    found = cloud.running(paths)
    if not found:
        raise LocalCloudError("the local cloud is down - `scripts/localcloud up` starts it")
    return found


def _secrets(paths: Paths) -> dict[str, str]:
    try:
        return secret_store.load(paths)
    except FileNotFoundError:
        raise LocalCloudError("the local cloud was never up - `scripts/localcloud up` starts it") from None


def _supervisor(name: str) -> Supervisor:
    if name not in BY_NAME:
        raise LocalCloudError(f"no service {name} - there are: {', '.join(BY_NAME)}")
    paths = default_paths()
    _running(paths)
    return Supervisor(paths.run / "supervisor.sock")


def main() -> None:
    try:
        app()
    except LocalCloudError as error:
        say(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
