"""What is compared with what: folders of runs of the same jobs, or policies on one source of jobs or on many."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from weir.model.problem import refused
from weir.twin.comparison import FEWEST_PAIRS, Comparison, compare_jobs, compare_pairs
from weir.twin.metrics import Measures, measure
from weir.twin.results import Results, read_results
from weir.twin.trial import Scene, Trial


def compare_folders(folders: Sequence[Path], draws: int) -> list[Comparison]:
    """Each run against the first, job by job; `draws` seeds the resamples. Raises ProblemError."""
    if len(folders) < 2:
        raise refused("DIR", folders[0], "give two or more folders of runs")
    runs = [read_results(each) for each in folders]
    names = [each.policy for each in runs]
    if len(set(names)) < len(names):
        names = [str(each) for each in folders]
    return _against_first(runs, names, draws)


def compare_policies(
    trials: Sequence[Sequence[Trial]],
    prepare: Callable[[Trial], Scene],
    perform: Callable[[Trial, Scene], Results],
    draws: int,
) -> list[Comparison]:
    """Each policy against the first: job by job on few sources of jobs, run by run on three or more.

    `trials` has a row a source, in which only the policy differs; a source's scene is prepared once.
    """
    over_pairs = len(trials) >= FEWEST_PAIRS
    measured: list[list[Measures]] = []
    comparisons: list[Comparison] = []
    for row in trials:
        scene = prepare(row[0])
        runs = [perform(trial, scene) for trial in row]
        if over_pairs:
            measured.append([measure(each) for each in runs])
        else:
            where = f" on {scene.workload.name}" if len(trials) > 1 else ""
            comparisons += _against_first(runs, [trial.policy + where for trial in row], draws)
    if over_pairs:
        names = [trial.policy for trial in trials[0]]
        for place, name in enumerate(names[1:], 1):
            pairs = [(each[0], each[place]) for each in measured]
            comparisons.append(compare_pairs(pairs, names=(names[0], name)))
    return comparisons


def _against_first(runs: Sequence[Results], names: Sequence[str], draws: int) -> list[Comparison]:
    return [
        compare_jobs(runs[0], run, names=(names[0], name), random=np.random.default_rng(draws))
        for run, name in zip(runs[1:], names[1:], strict=True)
    ]


__all__ = ["compare_folders", "compare_policies"]
