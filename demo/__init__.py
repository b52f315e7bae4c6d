"""The whole job on the local cloud, shown; and the user whom the demo and the end-to-end tests play."""
