"""What runs and how well, for people."""

from rich.console import Console
from rich.table import Table

from localcloud import cloud, guests, health, login, startup
from localcloud import secrets as secret_store
from localcloud.errors import LocalCloudError
from localcloud.paths import Paths
from localcloud.services import ADDRESS, ENDPOINTS, FAKES, SERVICES
from localcloud.supervisor import Supervisor, started

HEALTHY, UNHEALTHY, DOWN = 0, 1, 3


def show(paths: Paths) -> int:
    """Print the cloud's state; 0 if healthy, 1 if not, 3 if it is down."""
    out = Console(soft_wrap=True)
    machine = cloud.running(paths)
    if not machine:
        out.print("the local cloud is down")
        return DOWN
    problems: list[str] = []
    supervisor = Supervisor(paths.run / "supervisor.sock")
    try:
        states = supervisor.states()
    except LocalCloudError as error:
        states = {}
        problems.append(str(error))
    services = Table("service", "state", "on this machine", "for guests", box=None)
    for service in SERVICES:
        if service.extra and not started(states, service.name):
            continue
        if service.name == "nova-compute" and started(states, FAKES):
            continue
        state = states.get(service.name, "unknown").lower()
        if not startup.is_ready(machine, service, states.get(service.name, "")):
            state = "[red]not ready[/red]" if state == "running" else f"[red]{state}[/red]"
            problems.append(f"{service.name} isn't ready")
        port = ENDPOINTS.get(service.name)
        scheme = "postgres" if service.name == "postgres" else "http"
        urls = [f"{scheme}://{address}:{port}" if port else "" for address in ("127.0.0.1", ADDRESS)]
        services.add_row(service.name, state, *urls)
    out.print(services)
    if not problems:
        admin = login.connect("admin", secret_store.load(paths))
        problems += health.unhealthy(admin, supervisor)
        _show_guests(out, guests.listing(admin))
    for problem in problems:
        out.print(f"[red]{problem}[/red]")
    out.print("unhealthy" if problems else "healthy")
    return UNHEALTHY if problems else HEALTHY


def _show_guests(out: Console, found: list[guests.Guest]) -> None:
    table = Table("guest", "status", "fixed address", "floating address", box=None)
    for guest in sorted(found, key=lambda guest: guest.name):
        table.add_row(guest.name, guest.status, " ".join(guest.fixed), " ".join(guest.floating))
    out.print()
    if found:
        out.print(table)
    else:
        out.print("no guests")
