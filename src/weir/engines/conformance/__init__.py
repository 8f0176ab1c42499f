"""One suite that every driver passes against its real engine. Ordinary functions; no test framework is
needed."""

from weir.engines.conformance.suite import CASES, ConformanceReport, run_conformance

__all__ = ["CASES", "ConformanceReport", "run_conformance"]
