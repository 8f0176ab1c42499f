"""Trace files of other people's machines, read into workloads."""

from weir.twin.traces.reading import read_trace

__all__ = ["read_trace"]
