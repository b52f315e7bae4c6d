"""The controller: observes HTCondor and OpenStack, decides, and applies through Pulumi. Runs on the master."""
