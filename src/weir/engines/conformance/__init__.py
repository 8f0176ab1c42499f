"""One suite that every driver passes against its real engine. Ordinary functions; no test framework is
needed."""

from weir.engines.conformance.provocations import NO_PROVOCATIONS, PROVOCATIONS, Provocations
from weir.engines.conformance.report import CaseResult, ConformanceReport
from weir.engines.conformance.stage import (
    FULL,
    NARROW,
    QUICK,
    WIDE,
    Case,
    ConformanceError,
    Scale,
    Stage,
    check,
    stage_pools,
)
from weir.engines.conformance.suite import CASES, run_conformance

__all__ = [
    "CASES",
    "FULL",
    "NARROW",
    "NO_PROVOCATIONS",
    "PROVOCATIONS",
    "QUICK",
    "WIDE",
    "Case",
    "CaseResult",
    "ConformanceError",
    "ConformanceReport",
    "Provocations",
    "Scale",
    "Stage",
    "check",
    "run_conformance",
    "stage_pools",
]
