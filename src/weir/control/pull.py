"""What a centre's agent is told when it asks what is desired: levels, of its own attempts alone."""

import functools
import json
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from weir.control.follow import followed_at
from weir.control.inputs import Wish, resolve
from weir.control.listed import AnyRow, among_texts, text_list
from weir.control.names import job_name
from weir.control.placement import node_shares, tasks_on
from weir.control.shapes import specification_of
from weir.model.agent import DesiredAttempt, Pull, PullAnswer, Work, entry_revision
from weir.model.codec import from_plain
from weir.model.identity import attempt_id
from weir.model.job import JobSpecification
from weir.model.problem import not_found
from weir.model.province import DeviceModel, Pool
from weir.model.state import Desired, Observed
from weir.registry import centre_entry
from weir.store import schema

_EVERY = "WEIR_CHECKPOINT_EVERY_MS"
_attempt = schema.attempt.c
_job = schema.job.c
_submission = schema.submission.c


@dataclass(frozen=True, slots=True)
class TakeOver:
    """How much of an attempt is taken over at most."""

    output_bytes: int = 1 << 36
    """All outputs of an attempt together."""
    log_bytes: int = 64 << 20
    """Each stream of each task."""


class PoolAndDevice(NamedTuple):
    """A pool as declared, with its device model."""

    pool: Pool
    device: DeviceModel


_CENTRE = select(
    schema.centre.c.desired_revision,
    schema.centre.c.draining,
    schema.centre.c.removed,
).where(schema.centre.c.id == bindparam("centre"))
_INCARNATION = select(schema.meta.c.value).where(schema.meta.c.key == "incarnation")
_POOLS = select(schema.pool.c.id, schema.pool.c.body).where(schema.pool.c.centre == bindparam("centre"))
_DEVICES = select(schema.device_model.c.id, schema.device_model.c.body).where(
    among_texts(schema.device_model.c.id, "devices")
)
_DESIRED = (
    select(
        _submission.number,
        _submission.id,
        _submission.is_array,
        _submission.organisation,
        _job.array_index,
        _job.time_limit_ms,
        _attempt.epoch,
        _attempt.pool,
        _attempt.nodes,
        _attempt.desired,
        _attempt.desired_revision,
        _attempt.withdrawn,
        schema.specification.c.body.label("specification"),
    )
    .join(schema.job, _job.number == _attempt.job)
    .join(schema.submission, _submission.number == _job.submission)
    .join(schema.specification, schema.specification.c.digest == _submission.specification)
    .where(_attempt.centre == bindparam("centre"), _attempt.observed < int(Observed.ENDED))
    .order_by(_attempt.desired_revision, _attempt.job, _attempt.epoch)
)
_DESIRED_SINCE = _DESIRED.where(_attempt.desired_revision > bindparam("revision"))


def pull(
    connection: Connection, centre: str, asked: Pull, now_ms: int, limits: TakeOver | None = None
) -> PullAnswer:
    """Everything desired at this centre that changed after the agent's revision; all of it where that is unsure.

    Followed logs are given from their beginning; `follow.from_held` puts that right outside of the transaction.
    Raises ProblemError (404) for a centre that is not declared.
    """
    limits = limits or TakeOver()
    row = connection.execute(_CENTRE, {"centre": centre}).one_or_none()
    if row is None:
        raise not_found("centre", centre)
    incarnation = connection.execute(_INCARNATION).scalar_one()
    full = (
        asked.revision == 0 or asked.store_incarnation != incarnation or asked.revision > row.desired_revision
    )
    rows = []
    if full:
        rows = list(connection.execute(_DESIRED, {"centre": centre}))
    elif asked.revision < row.desired_revision:
        rows = list(connection.execute(_DESIRED_SINCE, {"centre": centre, "revision": asked.revision}))
    works, attempts = _wanted(connection, centre, rows, limits)
    return PullAnswer(
        store_incarnation=incarnation,
        revision=row.desired_revision,
        full=full,
        works=works,
        attempts=attempts,
        followed=followed_at(connection, centre, now_ms),
        draining=row.draining or row.removed,
        entry_revision=entry_revision(centre_entry(connection, centre, incarnation)),
    )


def has_news(asked: Pull, answer: PullAnswer) -> bool:
    """Whether to answer at once, rather than to wait until the centre is touched and then answer in any case.

    A centre of which nothing was ever desired stands at revision 0: then even a full answer is no news.
    """
    return answer.revision != asked.revision or answer.store_incarnation != asked.store_incarnation


def command_for(specification: JobSpecification, stack: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """What to run on a pool of this software stack: command and environment."""
    told = {} if specification.checkpoint is None else {_EVERY: str(specification.checkpoint.every)}
    for variant in specification.variants:
        if variant.stack == stack:
            environment = {**specification.environment, **variant.environment, **told}
            return variant.command or specification.command, environment
    return specification.command, {**specification.environment, **told}


def image_for(specification: JobSpecification, stack: str) -> str:
    """The container image that it asks for on a pool of this software stack; empty for none."""
    own = (variant.image for variant in specification.variants if variant.stack == stack)
    return next(own, "") or specification.image


def _wanted(
    connection: Connection, centre: str, rows: list[AnyRow], limits: TakeOver
) -> tuple[dict[str, Work], tuple[DesiredAttempt, ...]]:
    works: dict[str, Work] = {}
    attempts = []
    running = [row for row in rows if row.desired == Desired.RUN]
    pools = _pools(connection, centre) if running else {}
    files = resolve(
        connection,
        {
            (row.organisation, row.specification): Wish(row.organisation, specification_of(row.specification))
            for row in running
        }.values(),
    )
    for row in rows:
        name = job_name(row.id, row.is_array, row.array_index)
        attempt = attempt_id(name, row.epoch)
        if row.desired != Desired.RUN:
            attempts.append(DesiredAttempt(attempt, Desired(row.desired), row.desired_revision))
            continue
        specification = specification_of(row.specification)
        tasks = tasks_on(row.nodes)
        work = f"{row.id}@{row.pool}/{row.time_limit_ms}"
        if specification.tasks.elastic:
            work = f"{work}x{tasks}"
        if work not in works:
            works[work] = _work(row, specification, tasks, pools[row.pool], limits)
        attempts.append(
            DesiredAttempt(
                attempt=attempt,
                desired=Desired.RUN,
                revision=row.desired_revision,
                work=work,
                array_index=row.array_index if row.is_array else None,
                nodes=node_shares(row.nodes),
                inputs=files[row.organisation, specification.inputs],
                withdrawn=bool(row.withdrawn),
            )
        )
    return works, tuple(attempts)


def _work(
    row: AnyRow, specification: JobSpecification, tasks: int, here: PoolAndDevice, limits: TakeOver
) -> Work:
    command, environment = command_for(specification, here.device.stack)
    devices = specification.devices
    return Work(
        job_submission=row.id,
        pool=row.pool,
        command=command,
        environment=environment,
        tasks=tasks,
        cores_milli=specification.cores,
        memory_bytes=specification.memory,
        devices_milli=0 if devices is None else devices.share or devices.count * 1_000,
        device_model=here.device.id,
        visible_devices_variable=here.device.visible_devices_variable,
        time_limit_ms=row.time_limit_ms,
        stop_signal=specification.stop_signal,
        stop_grace_ms=specification.grace_ms,
        restartable=specification.restartable,
        outputs=specification.outputs,
        output_limit_bytes=limits.output_bytes,
        log_limit_bytes=limits.log_bytes,
        options=specification.options,
        account=row.organisation,
        image=image_for(specification, here.device.stack),
        deliver=specification.deliver,
    )


def _pools(connection: Connection, centre: str) -> dict[str, PoolAndDevice]:
    pools = {row.id: _pool(row.body) for row in connection.execute(_POOLS, {"centre": centre})}
    listed = text_list({pool.device for pool in pools.values()})
    devices = {row.id: _device(row.body) for row in connection.execute(_DEVICES, {"devices": listed})}
    return {name: PoolAndDevice(pool, devices[pool.device]) for name, pool in pools.items()}


@functools.lru_cache(maxsize=4_096)
def _pool(body: str) -> Pool:
    return from_plain(Pool, json.loads(body))


@functools.lru_cache(maxsize=4_096)
def _device(body: str) -> DeviceModel:
    return from_plain(DeviceModel, json.loads(body))


__all__ = ["TakeOver", "command_for", "has_news", "pull"]
