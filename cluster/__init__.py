"""What exists in the cloud: the settings, the network, the nodes, the stack's outputs."""
