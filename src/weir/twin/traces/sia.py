"""The workloads of Sia (Subramanya et al., SOSP 2023): training jobs by application, width and batch size."""

from collections.abc import Callable

import numpy as np

from weir.twin.traces.assembly import Columns
from weir.twin.traces.gang import gang
from weir.twin.traces.source import Source
from weir.twin.traces.table import combined, read_rows

HEADER = ("name", "time", "application", "num_replicas", "batch_size")

RUN_S = {
    ("bert", 6, 384): 3_056,
    ("bert", 8, 384): 2_480,
    ("bert", 12, 384): 1_589,
    ("bert", 16, 384): 1_335,
    ("cifar10", 4, 2048): 1_254,
    ("cifar10", 6, 2048): 854,
    ("cifar10", 8, 2048): 826,
    ("cifar10", 8, 4096): 904,
    ("cifar10", 10, 4096): 701,
    ("cifar10", 12, 4096): 573,
    ("cifar10", 16, 4096): 449,
    ("deepspeech2", 6, 320): 4_153,
    ("deepspeech2", 8, 320): 3_501,
    ("deepspeech2", 12, 640): 2_573,
    ("imagenet", 10, 1600): 62_077,
    ("imagenet", 12, 3200): 57_479,
    ("imagenet", 14, 3200): 50_228,
    ("yolov3", 4, 64): 11_083,
}
"""Seconds that an application runs on so many T4 GPUs, four a node, with such a batch over all of them.

Reckoned from the profiles that come with Sia's simulator (`placements-aws.csv`, `validation-*.csv`): iterations up to
its last epoch (bert 2, cifar10 100, deepspeech2 80, imagenet 90, yolov3 50) times the step time, linear between the
profiled batches, gradients being accumulated where a GPU cannot hold its part of the batch.
"""


def read(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    """Rigid jobs of `num_replicas` GPUs, the group being the application; no user, no limit.

    The files do not say how long a job runs: it is `duration` (seconds) where someone added such a column, else what
    RUN_S has; a job of which neither is known is a bad line.
    """
    rows = read_rows(source, required=HEADER)
    size, batch = rows.whole("num_replicas"), rows.whole("batch_size")
    group, groups = rows.names("application")
    places, first = combined(group, size, batch)
    known_s = np.array(
        [RUN_S.get((groups[group[row]], int(size[row]), int(batch[row])), -1) for row in first], np.int64
    )
    stated_ms = rows.milliseconds("duration", -1.0)
    run_ms = np.where(stated_ms >= 0, stated_ms, known_s[places] * 1_000)
    rows.reject(
        run_ms < 0,
        lambda row: (
            f"how long {groups[group[row]]} runs on {size[row]} GPUs with a batch of {batch[row]} is not known; "
            "a column duration, in seconds, would say it"
        ),
    )
    shape, first_of_shape = combined(size)
    columns = Columns(
        job=np.arange(1, len(rows) + 1),
        submit_ms=rows.milliseconds("time"),
        run_ms=run_ms,
        limit_ms=np.zeros(len(rows), np.int64),
        size=size,
        job_class=shape,
        classes=[gang(int(each)) for each in size[first_of_shape]],
        user=np.zeros(len(rows), np.int64),
        users=["unknown"],
        group=group,
        groups=groups,
    )
    return rows.settled(columns, skip_bad=skip_bad, on_bad=on_bad)
