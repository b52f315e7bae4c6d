"""The Pulumi program: reads the settings, looks up what they name, declares the cluster."""

from cluster import cloud, login, program, settings
from cluster.ending import end_with
from cluster.errors import EcmError

try:
    wanted = settings.read(settings.stack_config())
    connection = login.connect()
    program.cluster(wanted, cloud.look_up(wanted, connection), connection)
except EcmError as error:
    end_with(error)
