"""What several end-to-end cases submit and ask."""

from demo.user import StepFailedError, User, last_line

IMAGE = "localhost/busybox:1"
"""What busybox.sh makes."""


def job(*lines: str, output: str) -> str:
    """The description of one small job."""
    common = ("should_transfer_files = yes", "request_cpus = 1", "request_memory = 100M", "request_disk = 10M", "queue")
    return "".join(f"{line}\n" for line in (*lines, f"output = {output}", *common))


def submit(user: User, description: str) -> str:
    """Gives the number of the job's cluster."""
    return user.on_master("condor_submit -terse -", stdin=description).partition(".")[0].strip()


def done(user: User, job: str) -> bool:
    """Whether a job has ended well."""
    return user.on_master(f"condor_history {job} -limit 1 -af ExitCode").strip() == "0"


def on_slave(user: User, name: str, command: str) -> str:
    """Runs a command on a slave, as the image's own user.

    Raises:
        StepFailedError: it failed.
    """
    ran = user.ssh(command, host=name)
    if ran.returncode:
        raise StepFailedError(f"on {name}: {last_line(ran.stdout + ran.stderr)}")
    return ran.stdout
