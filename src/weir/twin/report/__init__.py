"""Reports of runs."""

from weir.twin.report.page import report_html

__all__ = ["report_html"]
