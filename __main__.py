"""The Pulumi program: reads the settings, looks up what they name, declares the cluster."""

import pulumi

from cluster import cloud, program, settings
from cluster.errors import EcmError

try:
    wanted = settings.read(settings.stack_config())
    program.cluster(wanted, cloud.look_up(wanted, cloud.connect()))
except EcmError as error:
    raise pulumi.RunError(str(error)) from None
