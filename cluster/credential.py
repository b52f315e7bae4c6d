"""The master's login to the cloud: an application credential that can do what the controller does, and no more."""

from pulumi_openstack import identity

ACCESS = (
    # What the provider calls to make, read and delete a slave.
    ("compute", "POST", "/v2.1/servers"),
    ("compute", "GET", "/v2.1/servers/*"),
    ("compute", "GET", "/v2.1/servers/*/**"),
    ("compute", "DELETE", "/v2.1/servers/*"),
    ("compute", "GET", "/v2.1/flavors/*"),
    ("compute", "GET", "/v2.1/flavors"),
    ("compute", "GET", "/v2.1/flavors/detail"),
    ("image", "GET", "/v2/images/*"),
    ("image", "GET", "/v2/images"),
    ("network", "GET", "/v2.0/networks"),
    ("network", "GET", "/v2.0/networks/*"),
    ("network", "GET", "/v2.0/ports"),
    ("network", "GET", "/v2.0/ports/*"),
    # What the controller itself asks: the cluster's servers and the quota.
    ("compute", "GET", "/v2.1/servers/detail"),
    ("compute", "GET", "/v2.1/limits"),
)
"""Service type, method and path of every call; `*` is one segment of a path, `**` any number."""


def master_credential(name: str) -> identity.ApplicationCredential:
    """Declares the credential. It belongs to whoever runs `pulumi up`, and dies with the stack."""
    return identity.ApplicationCredential(
        "master",
        name=name,
        description="The controller of an elastic-condor cluster",
        access_rules=[
            identity.ApplicationCredentialAccessRuleArgs(service=service, method=method, path=path)
            for service, method, path in ACCESS
        ],
    )
