"""What a demonstration found: where each job went and why, times, device-seconds, the best model's accuracy."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weir.client import Client
from weir.model.view import ExplanationView, JobView, PoolReasonView
from weir.units import format_duration, format_yuan


@dataclass(frozen=True, slots=True)
class CentreUse:
    """What one centre did."""

    jobs: int
    device_seconds: float
    pools: dict[str, int]


@dataclass(frozen=True, slots=True)
class DemoFacts:
    """Everything that is shown at the end. `best_accuracy` is None when there is no report."""

    jobs: tuple[JobView, ...]
    reasons: dict[str, str]
    succeeded: int
    centres: dict[str, CentreUse]
    best: dict[str, Any]
    report: Path | None
    wall_s: float
    folder: Path

    @property
    def complete(self) -> bool:
        """Whether every job succeeded and the report is there."""
        return self.report is not None and self.succeeded == len(self.jobs)

    def as_json(self) -> dict[str, Any]:
        """The same facts for a program."""
        return {
            "jobs": len(self.jobs),
            "succeeded": self.succeeded,
            "centres": {
                centre: {"jobs": use.jobs, "device_seconds": round(use.device_seconds, 3), "pools": use.pools}
                for centre, use in self.centres.items()
            },
            "best_accuracy": self.best.get("test_accuracy"),
            "best_model": self.best.get("family"),
            "wall_s": round(self.wall_s, 3),
            "folder": str(self.folder),
            "report": str(self.report) if self.report else None,
            "placements": [
                {
                    "job": job.id,
                    "state": job.state,
                    "centre": job.centre,
                    "pool": job.pool,
                    "waiting_ms": job.waiting_ms,
                    "running_ms": job.running_ms,
                    "why": self.reasons.get(job.id, ""),
                }
                for job in self.jobs
            ],
        }


def gather(api: Client, trainings: str, report_job: str, folder: Path, wall_s: float) -> DemoFacts:
    """Ask the platform for everything, and fetch the report through it."""
    jobs = (*api.elements(trainings), _single(api, report_job))
    reasons = {job.id: why(api.explain(job.id)) for job in jobs if job.pool}
    centres: dict[str, CentreUse] = {}
    for centre in sorted({job.centre for job in jobs if job.centre}):
        there = [job for job in jobs if job.centre == centre]
        pools = dict(sorted(Counter(job.pool for job in there).items()))
        centres[centre] = CentreUse(len(there), sum(job.device_seconds for job in there), pools)
    report, best = _fetch_report(api, report_job, folder / "report")
    return DemoFacts(
        jobs=jobs,
        reasons=reasons,
        succeeded=sum(job.state == "succeeded" for job in jobs),
        centres=centres,
        best=best,
        report=report,
        wall_s=wall_s,
        folder=folder,
    )


def why(explanation: ExplanationView) -> str:
    """One line: the chosen pool's terms, and what came of the others."""
    chosen = next((reason for reason in explanation.pools if reason.verdict == "chosen"), None)
    if chosen is None:
        return explanation.summary
    others = [reason for reason in explanation.pools if reason is not chosen]
    parts = [
        f"score {chosen.terms.score}, {format_yuan(chosen.terms.money_micro_yuan)}"
        if chosen.terms
        else "chosen"
    ]
    for verdict, said in (("outscored", "better than"), ("full", "full:"), ("closed", "closed:")):
        names = [_short(reason) for reason in others if reason.verdict == verdict]
        if names:
            parts.append(f"{said} {', '.join(names)}")
    failed = [reason for reason in others if reason.verdict == "fails"]
    parts += [f"not {_short(reason)} ({reason.constraint}: {reason.found})" for reason in failed]
    return "; ".join(parts)


def lines_of_times(job: JobView) -> tuple[str, str]:
    """How long a job waited and ran, for people."""
    return format_duration(job.waiting_ms), format_duration(job.running_ms)


def _short(reason: PoolReasonView) -> str:
    return reason.pool.partition("/")[2] or reason.pool


def _single(api: Client, job_id: str) -> JobView:
    found = api.job(job_id)
    if not isinstance(found, JobView):
        raise TypeError(f"{job_id} is an array")
    return found


def _fetch_report(api: Client, job_id: str, folder: Path) -> tuple[Path | None, dict[str, Any]]:
    outputs = {output.path for output in api.outputs(job_id)}
    if not {"report.md", "best.json"} <= outputs:
        return None, {}
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(outputs):
        api.download_output(job_id, path, folder / path)
    return folder / "report.md", json.loads((folder / "best.json").read_text(encoding="utf-8"))
