"""The part of the driver that runs on a compute node, on that node's own Python."""
