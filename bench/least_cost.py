"""What a workload costs at the least on a province, whatever the schedule, if all of it is done within a given time.

Jobs are taken as fluids: each may be divided between all pools that it fits, at any instant, without waiting for data
and without regard to nodes; only the devices and cores of every pool, over that time, bind. So no schedule that is over
by then costs less. HiGHS solves the linear program: a variable for each class of jobs and pool, how much of the class's
work that pool does.
"""

from collections.abc import Sequence
from typing import Any

import highspy
import numpy as np

from weir.scheduling import fits_ever
from weir.scheduling.inputs import LinkRow, PoolRow
from weir.scheduling.plan import Verdict
from weir.twin.workload import Workload

HOUR_MS = 3_600_000


def least_cost(
    workload: Workload, pools: Sequence[PoolRow], links: Sequence[LinkRow], done_in_ms: int
) -> float:
    """Micro-yuan of all jobs together, at prices without bands. ValueError if not all can be done by then."""
    hours = np.zeros(len(workload.classes))
    np.add.at(hours, workload.job_class, workload.run_ms / HOUR_MS)
    classes = np.flatnonzero(hours)
    costs, columns = list[float](), list[tuple[int, int, float, float]]()
    for row, number in enumerate(classes.tolist()):
        wish = workload.classes[number]
        fits = {reason.pool for reason in fits_ever(pools, links, wish) if reason.verdict is Verdict.FITS}
        speeds = dict(wish.variant_speeds)
        for place, pool in enumerate(pools):
            variant = speeds.get(pool.stack, 1_000) if speeds else 1_000
            if pool.key in fits:
                there = hours[number] * 1e6 / max(1, pool.speed_milli * variant)
                devices = there * wish.tasks * wish.devices_milli / 1_000
                cores = there * wish.tasks * wish.cores_milli / 1_000
                costs.append(devices * pool.device_hour_micro_yuan + cores * pool.core_hour_micro_yuan)
                columns.append((row, place, devices, cores))
    done_in = done_in_ms / HOUR_MS
    capacity = [pool.nodes * pool.devices_per_node * done_in for pool in pools]
    capacity += [pool.nodes * pool.cores_milli_per_node / 1_000 * done_in for pool in pools]
    return _solved(len(classes), np.array(costs), columns, np.array(capacity))


def _solved(
    classes: int, costs: Any, columns: Sequence[tuple[int, int, float, float]], capacity: Any
) -> float:
    """The least sum: every class is done once, and no pool does more than it can."""
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(columns), classes + len(capacity)
    # In yuan, so that the solver's tolerances suit.
    model.col_cost_, model.col_lower_, model.col_upper_ = (
        costs / 1e6,
        np.zeros(len(costs)),
        np.ones(len(costs)),
    )
    model.row_lower_ = np.concatenate([np.ones(classes), np.zeros(len(capacity))])
    model.row_upper_ = np.concatenate([np.ones(classes), capacity])
    places = len(capacity) // 2
    rows = [(row, classes + place, classes + places + place) for row, place, _, _ in columns]
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.arange(0, 3 * len(columns) + 1, 3)
    model.a_matrix_.index_ = np.array(rows).ravel()
    model.a_matrix_.value_ = np.array([(1.0, devices, cores) for *_, devices, cores in columns]).ravel()
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # it ships types for some of its parts
    for option, value in (("output_flag", False), ("threads", 1), ("random_seed", 1)):
        solver.setOptionValue(option, value)
    solver.passModel(model)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise ValueError(f"the work cannot be done in that time: HiGHS ended with {solver.getModelStatus()}")
    return float(solver.getInfo().objective_function_value) * 1e6


__all__ = ["least_cost"]
