"""Taking in jobs: what is stored, resolved and refused."""

import json

import pytest
from sqlalchemy import insert

from tests.unit.control.world import GIB, OTHER, TENANT, World, job, runs, world
from weir.access.actor import Actor
from weir.control import intake
from weir.control.intake import IntakeLimits
from weir.model.agent import InputFile, OutputFile
from weir.model.change import ChangeKind
from weir.model.job import (
    Constraints,
    DataNeed,
    DeviceNeed,
    Input,
    JobSpecification,
    PreferenceWeights,
    Priority,
    Variant,
)
from weir.model.problem import Problem, ProblemError
from weir.model.role import Role
from weir.model.state import Cause, Observed
from weir.model.task_range import TaskRange
from weir.store import schema

DIGEST = "ab" * 32


def refusal(w: World, *specifications: JobSpecification, actor: Actor | None = None) -> Problem:
    before = (w.store.position(), len(w.rows("audit")))
    with pytest.raises(ProblemError) as error:
        w.submit(*specifications, actor=actor)
    assert (w.store.position(), len(w.rows("audit"))) == before
    assert w.rows("submission") == w.rows("job") == w.rows("dependency") == []
    return error.value.problem


def test_an_array_is_one_specification_one_change_and_one_audit_entry() -> None:
    w = world()
    before, audited = w.store.position(), len(w.rows("audit"))
    [one] = w.submit(job(array=100_000))
    assert (one.size, one.is_array, one.state) == (100_000, True, "queued")
    [change] = w.changes(before)
    assert change.kind is ChangeKind.SUBMITTED
    assert change.body == {"submission": one.id, "first_job": 1, "size": 100_000}
    assert change.organisation == TENANT
    assert len(w.rows("specification")) == 1
    assert len(w.rows("audit")) == audited + 1
    jobs = w.rows("job")
    assert [(row.number, row.array_index) for row in jobs[-1:]] == [(100_000, 99_999)]
    assert len(jobs) == 100_000
    [two] = w.submit(job())
    assert w.rows("submission")[1].first_job == 100_001
    assert two.id != one.id


def test_equal_specifications_are_stored_once() -> None:
    w = world()
    w.submit(job(), job(), job(name="other"))
    w.submit(job())
    assert len(w.rows("specification")) == 2
    assert len(w.rows("job")) == 4


def test_the_projects_default_time_limit_is_taken() -> None:
    w = world()
    w.submit(job())
    w.submit(job(time_limit=60_000))
    assert [row.time_limit_ms for row in w.rows("job")] == [3_600_000, 60_000]


def test_a_time_limit_is_required_without_a_default() -> None:
    assert refusal(world(), job(), actor=world().other).fields[0].field == "time_limit"


def test_projects_of_others_do_not_exist() -> None:
    problem = refusal(world(), job(project="elsewhere"))
    assert (problem.status, problem.title) == (404, "no project 'elsewhere'")


def test_a_token_bound_to_a_project_submits_for_no_other() -> None:
    bound = Actor(5, "bound", Role.TENANT_MEMBER, TENANT, project="vision")
    w = world()
    w.submit(job(), actor=bound)
    with pytest.raises(ProblemError, match="no project"):
        w.submit(job(project="elsewhere"), actor=bound)


def test_reserved_priority_is_the_coordinators_to_give() -> None:
    assert refusal(world(), job(priority=Priority.RESERVED)).fields[0].field == "priority"
    w = world()
    w.submit(job(priority=Priority.RESERVED, project="vision"), actor=w.coordinator)
    assert w.rows("job")[0].priority == 30
    assert w.rows("submission")[0].organisation == TENANT


def test_a_fault_in_one_of_many_names_its_entry_and_nothing_is_stored() -> None:
    problem = refusal(world(), job(), job(command=()))
    assert problem.fields[0].field == "jobs[1].command"


def test_more_entries_or_jobs_than_a_request_may_bring_are_refused() -> None:
    w = world()
    limits = IntakeLimits(entries=2, jobs=10)

    def submit(*wanted: JobSpecification) -> int:
        return len(
            w.store.write(lambda tx: intake.submit(tx, w.tenant, wanted, w.now_ms, w.random_bits, limits))
        )

    assert submit(job(array=9), job()) == 2
    with pytest.raises(ProblemError, match="1 to 2 entries"):
        submit(job(), job(), job())
    with pytest.raises(ProblemError, match="at most 10 jobs"):
        submit(job(array=11))


@pytest.mark.parametrize(
    ("specification", "field", "said"),
    [
        (job(devices=DeviceNeed(count=9)), "devices.count", "8 devices"),
        (job(cores=65_000), "cores", "64 cores"),
        (job(cores=64_000, tasks=TaskRange(3, 3)), "tasks", "2 tasks"),
        (job(devices=DeviceNeed(models=("h100",))), "devices.models", "ascend-910b"),
        (job(devices=DeviceNeed(memory=65 * GIB)), "devices.memory", "64GiB"),
        (job(devices=DeviceNeed(share=500)), "devices.share", "whole devices"),
        (job(constraints=Constraints(cities=("xi'an",))), "constraints.cities", "hefei"),
        (job(data=(DataNeed(size=1, at="moon"),)), "data", ""),
    ],
)
def test_what_no_pool_could_ever_run_is_refused_saying_the_largest_that_would_fit(
    specification: JobSpecification, field: str, said: str
) -> None:
    problem = refusal(world(), specification)
    assert problem.kind == "impossible"
    assert problem.fields[0].field == field
    assert said in problem.fields[0].accepted


@pytest.mark.parametrize(
    ("specification", "field"),
    [
        (job(prefer=PreferenceWeights(time=-1)), "prefer.time"),
        (job(prefer=PreferenceWeights(carbon=2**60)), "prefer.carbon"),
        (job(variants=(Variant("aarch64", speed=0),)), "variants[0].speed"),
    ],
)
def test_numbers_that_no_score_could_be_made_of_are_refused(
    specification: JobSpecification, field: str
) -> None:
    assert refusal(world(), specification).fields[0].field == field


def test_what_fits_only_where_the_centre_is_away_is_taken() -> None:
    w = world()
    w.submit(job(devices=DeviceNeed(count=8), tasks=TaskRange(2, 2)))
    assert w.states() == ["queued"]


def test_a_blob_that_was_not_brought_is_refused_and_anothers_is_no_better() -> None:
    w = world()
    w.store.write(
        lambda tx: tx.connection.execute(
            insert(schema.upload).values(digest=DIGEST, organisation=OTHER, size_bytes=3, at_ms=0)
        )
    )
    wanted = job(inputs=(Input(file="data/a.csv", digest=DIGEST),))
    assert refusal(w, wanted).fields[0].field == "inputs[0].digest"
    w.store.write(
        lambda tx: tx.connection.execute(
            insert(schema.upload).values(digest=DIGEST, organisation=TENANT, size_bytes=3, at_ms=0)
        )
    )
    agent = w.agent("wuhu-hpc")
    w.submit(wanted)
    w.step()
    [attempt] = runs(agent.pull())
    assert attempt.inputs == (InputFile("data/a.csv", DIGEST, 3),)


def test_references_are_made_whole() -> None:
    w = world()
    [one] = w.submit(job(array=2))
    w.submit(job(after=(one.id[:5],), inputs=(Input(from_=f"{one.id[:6]}.1", path="*"),)))
    stored = json.loads(w.rows("specification")[1].body)
    assert stored["after"] == [one.id]
    assert stored["inputs"] == [{"from": f"{one.id}.1", "path": "*"}]
    assert {(row.on_job, row.remaining) for row in w.rows("dependency")} == {(0, 2), (2, 1)}
    assert w.states() == ["queued", "queued", "waiting"]


def test_another_tenants_job_cannot_be_waited_for() -> None:
    w = world()
    [one] = w.submit(job())
    with pytest.raises(ProblemError) as error:
        w.submit(job(after=(one.id,), time_limit=1_000), actor=w.other)
    assert (error.value.problem.status, error.value.problem.title) == (404, f"no job {one.id!r}")


@pytest.mark.parametrize("after", ["#2", "#0.1", "#x", "no such id!", "#1.5"])
def test_references_that_mean_nothing_are_refused(after: str) -> None:
    problem = refusal(world(), job(after=(after,)), job(array=3))
    assert problem.fields[0].field == "jobs[0].after[0]"


def test_jobs_of_one_request_may_come_after_each_other_in_any_order() -> None:
    w = world()
    last, first, middle = w.submit(
        job(after=("#2",)), job(array=2), job(after=("#1",), inputs=(Input(from_="#1.0", path="*"),))
    )
    assert [last.state, first.state, middle.state] == ["waiting", "queued", "waiting"]
    numbers = {row.id: row.number for row in w.rows("submission")}
    assert {(row.submission, row.on_submission) for row in w.rows("dependency")} == {
        (numbers[last.id], numbers[middle.id]),
        (numbers[middle.id], numbers[first.id]),
    }


def test_a_circle_is_refused_by_name() -> None:
    problem = refusal(world(), job(after=("#1",)), job(after=("#2",)), job(after=("#0",)), job())
    assert "#0 after #1 after #2 after #0" in problem.title
    assert "circle" in refusal(world(), job(after=("#0",)), job()).title


def test_a_job_after_one_that_failed_is_cancelled_at_once() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    [one] = w.submit(job())
    w.step()
    [attempt] = runs(agent.pull())
    agent.report(agent.seen(attempt.attempt, Observed.RUNNING))
    [waiting] = w.submit(job(after=(one.id,)))
    agent.report(agent.end(attempt.attempt, Cause.EXIT, exit_code=3))
    [late, later] = w.submit(job(after=(one.id,)), job(after=("#0",)))
    assert w.states() == ["failed", "cancelled", "cancelled", "cancelled"]
    assert (late.state, later.state) == ("cancelled", "cancelled")
    assert {row.cause for row in w.rows("job")} == {"exit", "dependency"}
    assert waiting.state == "waiting"


def test_outputs_of_an_array_lie_below_its_indexes() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    [makers] = w.submit(job(array=2, outputs=("out/*.json",)))
    [single] = w.submit(job())
    w.submit(
        job(
            name="reader",
            inputs=(
                Input(from_=makers.id, path="out/*.json", to="models"),
                Input(from_=f"{makers.id}.1", path="out/*"),
                Input(from_=single.id, path="**"),
            ),
        )
    )
    w.step()
    for attempt in runs(agent.pull()):
        index = attempt.array_index
        name = "single" if index is None else f"m{index}"
        files = [
            OutputFile(0, f"out/{name}.json", 1, f"{index or 0}" * 64),
            OutputFile(0, "out/deep/x.json", 1, "d" * 64),
        ]
        agent.report(agent.end(attempt.attempt, outputs=files))
    w.step()
    [attempt] = runs(agent.pull())
    assert [(file.path, file.digest[0]) for file in attempt.inputs] == [
        ("models/0/out/m0.json", "0"),
        ("models/1/out/m1.json", "1"),
        ("out/m1.json", "1"),
        ("out/deep/x.json", "d"),
        ("out/single.json", "0"),
    ]


def test_variants_say_what_runs_where() -> None:
    w = world()
    agent = w.agent("hefei-ai")
    cann = Variant("cann", command=("train-npu",), environment={"B": "2"}, speed=2_000)
    w.submit(job(devices=DeviceNeed(), variants=(cann,), environment={"A": "1"}))
    w.step()
    [work] = agent.pull().works.values()
    assert (work.command, dict(work.environment)) == (("train-npu",), {"A": "1", "B": "2"})
    assert (work.devices_milli, work.visible_devices_variable) == (1_000, "ASCEND_RT_VISIBLE_DEVICES")
