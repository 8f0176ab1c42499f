"""Trace files of other people's machines, and Weir's own history, read into workloads."""

from weir.twin.traces.formats import FORMATS, Format
from weir.twin.traces.reading import read_trace

__all__ = ["FORMATS", "Format", "read_trace"]
