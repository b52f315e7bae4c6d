"""A whole OpenStack on one Debian machine: the project's default cloud, its demo and its test rig.

Everything of it runs in namespaces of its own, from a root file system of its own; see docs/localcloud.md.
"""
