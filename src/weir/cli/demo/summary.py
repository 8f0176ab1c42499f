"""The end of a demonstration, for people: where each job went and why, times, centres, the best model."""

from rich.console import Console
from rich.table import Table

from weir.cli.demo.facts import DemoFacts, lines_of_times
from weir.units import format_duration


def show_summary(facts: DemoFacts) -> None:
    """Print everything on standard output."""
    console = Console()
    console.print(_jobs(facts))
    console.print("\n[italic]Why there[/italic]")
    for place, reason, jobs in _reasons(facts):
        console.print(f"[bold]{place}[/bold], {jobs} job{'s' if jobs > 1 else ''}: {reason}", highlight=False)
    console.print(_centres(facts))
    waits = sorted(job.waiting_ms for job in facts.jobs)
    console.print(
        f"\n{facts.succeeded} of {len(facts.jobs)} jobs succeeded in {facts.wall_s:.1f} s; "
        f"waiting: median {format_duration(waits[len(waits) // 2])}, longest {format_duration(waits[-1])}"
    )
    if facts.report is not None:
        best = facts.best
        console.print(
            f"best model: [bold]{best['family']}[/bold] {best['parameters']}, accuracy "
            f"[bold]{best['test_accuracy']:.4f}[/bold] on {best['test_images']} test images"
        )
        console.print(f"report: {facts.report}", soft_wrap=True)
    else:
        console.print(
            "there is no report, because not every job succeeded; the logs are in the folder", style="bold"
        )
    console.print(f"folder: {facts.folder}", soft_wrap=True)


def _reasons(facts: DemoFacts) -> list[tuple[str, str, int]]:
    """Each distinct reason once, with its pool and how many jobs it sent there."""
    counts: dict[tuple[str, str], int] = {}
    for job in facts.jobs:
        if job.id in facts.reasons:
            key = (f"{job.centre}/{job.pool}", facts.reasons[job.id])
            counts[key] = counts.get(key, 0) + 1
    return [(place, reason, count) for (place, reason), count in counts.items()]


def _jobs(facts: DemoFacts) -> Table:
    table = Table(title="Where each job went", title_justify="left", box=None, pad_edge=False)
    for heading in ("job", "state", "pool", "waited", "ran"):
        table.add_column(heading, no_wrap=True)
    for job in facts.jobs:
        waited, ran = lines_of_times(job)
        table.add_row(job.id, job.state, f"{job.centre}/{job.pool}" if job.pool else "-", waited, ran)
    return table


def _centres(facts: DemoFacts) -> Table:
    table = Table(title="\nWhat each centre did", title_justify="left", box=None, pad_edge=False)
    for heading in ("centre", "jobs", "device-seconds", "pools"):
        table.add_column(heading, no_wrap=True)
    for centre, use in facts.centres.items():
        pools = ", ".join(f"{count} on {pool}" for pool, count in use.pools.items())
        table.add_row(centre, str(use.jobs), f"{use.device_seconds:.1f}", pools)
    return table
