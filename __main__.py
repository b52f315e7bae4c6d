"""The Pulumi program: reads the settings, looks up what they name, declares the cluster."""

import sys

import pulumi

from cluster import cloud, program, settings
from cluster.errors import EcmError

# Pulumi's language host adds a line of its own about any other exit status.
ERROR_WAS_SHOWN = 32

try:
    wanted = settings.read(settings.stack_config())
    program.cluster(wanted, cloud.look_up(wanted, cloud.connect()))
except EcmError as error:
    pulumi.log.error(str(error))
    sys.exit(ERROR_WAS_SHOWN)
