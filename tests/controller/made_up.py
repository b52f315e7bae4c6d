"""Values that several tests of the controller share."""

from cluster.cloud import Flavor
from cluster.report import Shared, SlaveTemplate

NOBODY = 65534
"""An account that owns nothing."""

SETTINGS = Shared(
    min_slaves=0,
    max_slaves=4,
    idle_time=30,
    waiting_jobs_threshold=0,
    waiting_jobs_time=60,
    join_timeout=600,
    poll_interval=3,
    master_address="10.0.0.5",
    slave=SlaveTemplate(
        cluster_id="c",
        image_id="i",
        flavor=Flavor("f", "small", 1, 1024, 4),
        network_id="n",
        security_group="default",
        key_name="k",
    ),
)
