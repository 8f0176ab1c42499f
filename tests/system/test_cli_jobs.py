"""Commands about jobs that exist: listings, orders, waiting, logs, outputs, explanations, completion."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.conftest import RealProvince, until

HEAVY = ["numpy", "numba", "pydantic", "sqlalchemy", "fastapi", "rich", "yaml"]

JOB_FILE = """\
name: sweep
project: vision
command: [sh, -c, "echo $WEIR_ARRAY_INDEX > result.txt; echo told $WEIR_ARRAY_INDEX"]
array: 3
outputs: [result.txt]
time_limit: 2m
cores: 0.1
memory: 64MiB
constraints: {centres: [north]}
---
name: collect
project: vision
command: [sh, -c, "cat results/*/result.txt"]
inputs: [{from: "#0", path: result.txt, to: results}]
time_limit: 2m
cores: 0.1
memory: 64MiB
constraints: {centres: [south]}
"""


@pytest.fixture(scope="module")
def swept(tenant: RealProvince) -> tuple[str, str]:
    """The ids of an array that has ended and of the job that took its outputs."""
    (tenant.folder / "jobs.yaml").write_text(JOB_FILE)
    lines = tenant.weir("submit", "jobs.yaml").good().splitlines()
    array, _, said = lines[0].partition("\t")
    assert f"3 jobs, {array}.0 to {array}.2" == said
    assert f"{lines[1]} succeeded at south/a100" == tenant.weir("wait", lines[1]).good()
    return array, lines[1]


def test_a_file_of_several_jobs_passes_outputs_on(tenant: RealProvince, swept: tuple[str, str]) -> None:
    array, collect = swept
    assert b"0\n1\n2\n" == tenant.log(collect)
    assert f"{array} 3 succeeded" == tenant.weir("wait", array).good()


def test_listings_show_single_jobs_and_arrays_alike(tenant: RealProvince, swept: tuple[str, str]) -> None:
    array, collect = swept
    rows = [line.split("\t") for line in tenant.weir("jobs").good().splitlines()]
    assert ["ID", "NAME", "STATE", "WHERE", "SUBMITTED (UTC)"] == rows[0]
    found = {row[0]: row[1:4] for row in rows}
    assert ["sweep", "3 succeeded", "-"] == found[array]
    assert ["collect", "succeeded", "south/a100"] == found[collect]
    named = tenant.weir("jobs", "--name", "collect", "--state", "succeeded").good().splitlines()
    assert collect in [line.split("\t")[0] for line in named]
    assert 1 == len(json.loads(tenant.weir("jobs", "--limit", "1", "--json").good()))
    elements = tenant.weir("job", array, "--elements").good().splitlines()
    assert [f"{array}.{index}\tsucceeded\tnorth/cpu" for index in range(3)] == [
        line.rsplit("\t", 2)[0] for line in elements[1:]
    ]
    assert f"{array} array of 3: 3 succeeded" == tenant.weir("job", array).good().splitlines()[0]
    assert f"{array}.1 succeeded at north/cpu" == tenant.weir("job", f"{array[:8]}.1").good().splitlines()[0]


@pytest.mark.parametrize(
    "command",
    [
        ["jobs"],
        ["job", "{array}"],
        ["job", "{array}.0"],
        ["job", "{array}", "--elements"],
        ["wait", "{array}", "{array}.1"],
        ["outputs", "{array}"],
        ["explain", "{array}.0"],
        ["centres"],
        ["pools"],
        ["devices"],
    ],
    ids=" ".join,
)
def test_every_listing_speaks_json(tenant: RealProvince, swept: tuple[str, str], command: list[str]) -> None:
    said = tenant.weir(*(part.format(array=swept[0]) for part in command), "--json").good()
    assert json.loads(said)


def test_outputs_are_listed_and_fetched(tenant: RealProvince, swept: tuple[str, str], tmp_path: Path) -> None:
    array, _ = swept
    assert [f"{array}.{index}\tresult.txt\t2B\tplatform" for index in range(3)] == tenant.weir(
        "outputs", array
    ).good().splitlines()[1:]
    tenant.weir("outputs", array, "--to", str(tmp_path / "all")).good()
    assert "2\n" == (tmp_path / f"all/{array}.2/result.txt").read_text()
    assert (
        str(tmp_path / "one/result.txt")
        == tenant.weir("outputs", f"{array}.1", "--to", str(tmp_path / "one")).good()
    )
    assert "1\n" == (tmp_path / "one/result.txt").read_text()


def test_an_id_may_be_shortened_as_long_as_it_is_one(tenant: RealProvince) -> None:
    known: dict[str, str] = {}
    ambiguous = ""
    while not ambiguous:
        for view in tenant.client.submit(
            [{"command": ["true"], "time_limit": "1m", "cores": 0.1, "project": "vision"}] * 20
        ):
            ambiguous = ambiguous or (view.id[:1] if view.id[:1] in known else "")
            known[view.id[:1]] = view.id
    assert "give more of it; it may be " in tenant.weir("job", ambiguous).refused()
    assert "no job 'zzzzzzzzzzzz'" == tenant.weir("job", "zzzzzzzzzzzz").refused()
    assert "it looks like k7m2q9xw4tcd or k7m2q9xw4tcd.7" in tenant.weir("job", "K7-").refused()


def test_a_queued_job_is_held_changed_released_and_cancelled(tenant: RealProvince) -> None:
    wall = tenant.submit("sleep", "60", devices={"count": 4}, name="wall")
    tenant.reaches(wall, "running")
    job = tenant.submit("true", devices={"count": 1, "models": ["huawei-ascend-910b"]})
    assert f"{job} is held" == tenant.weir("hold", job).good()
    assert f"{job} held: until its owner releases it" == tenant.weir("job", job).good().splitlines()[0]
    explained = tenant.weir("explain", job).good().splitlines()
    assert f"  waits for its owner's release: weir release {job}" == explained[1]
    assert f"{job} is released" == tenant.weir("release", job).good()
    said = tenant.weir("update", job, "--priority", "urgent", "--time-limit", "3m").good()
    assert f"{job} has priority urgent and time limit 3m00s now" == said
    assert "give --priority or --time-limit" in tenant.weir("update", job).refused()
    assert "'soon' is not accepted; give" in tenant.weir("update", job, "--priority", "soon").refused()

    explained = tenant.weir("explain", job).good().splitlines()
    assert f"{job} queued: " == explained[0][: len(job) + 9]
    assert "number 1 of" in explained[0]
    reasons = {line.split()[0]: line for line in explained[1:-1]}
    assert "full" == reasons["north/ascend"].split()[1]
    assert "model" in reasons["south/a100"] or "devices" in reasons["south/a100"]
    assert "nvidia-a100-sxm-80gb" in reasons["south/a100"]
    assert "huawei-ascend-910b" in reasons["south/a100"]

    assert f"{job} is being cancelled" == tenant.weir("cancel", job).good()
    waited = tenant.weir("wait", job)
    assert (130, f"{job} cancelled: before it was placed\n") == (waited.code, waited.out)
    assert f"{job} had ended or been cancelled before" == tenant.weir("cancel", job).good()
    assert "so that it cannot be held; cancel stops it" in tenant.weir("hold", wall).refused()
    assert "cannot be changed any more" in tenant.weir("update", wall, "--priority", "low").refused()
    explained = tenant.weir("explain", wall).good().splitlines()
    assert explained[0].startswith(f"{wall} running: north/ascend was chosen at ")
    assert any("chosen" in line and "score" in line for line in explained[1:])
    assert f"{wall} is being cancelled" == tenant.weir("cancel", wall).good()
    assert (
        f"{wall} cancelled at north/ascend: ended when it was cancelled"
        == tenant.weir("wait", wall).out.strip()
    )


def test_an_array_is_ordered_about_as_one(tenant: RealProvince) -> None:
    array = tenant.submit("sleep", "60", array=3, devices={"count": 2, "models": ["huawei-ascend-910b"]})
    until(lambda: tenant.client.submission(array).states.get("running") == 2, "two of three run")
    held = tenant.weir("hold", array).good()
    assert f"{array} is held: 1 of 3 jobs" == held
    assert f"{array}.0 is being cancelled" == tenant.weir("cancel", f"{array}.0").good()
    assert f"{array} is being cancelled: 2 of 3 jobs" == tenant.weir("cancel", array).good()
    waited = tenant.weir("wait", array)
    assert (1, f"{array} 3 cancelled\n") == (waited.code, waited.out)


def test_waiting_for_several_ends_with_the_first_other_code(tenant: RealProvince) -> None:
    good, bad, long = (
        tenant.submit(*command) for command in (("true",), ("sh", "-c", "exit 9"), ("sleep", "60"))
    )
    waited = tenant.weir("wait", good, bad)
    assert 9 == waited.code
    assert [good, bad] == [line.split()[0] for line in waited.out.splitlines()]
    waited = tenant.weir("wait", "--timeout", "300ms", good, long)
    assert 124 == waited.code
    assert waited.err == f"weir: {long} has not ended within 300ms\n"
    tenant.client.cancel(long)
    tenant.ended(long)


def test_logs_show_what_there_is_and_follow_what_comes(tenant: RealProvince, tmp_path: Path) -> None:
    script = "echo one; echo oops >&2; until test -e go; do sleep 0.05; done; echo two"
    job = tenant.submit("sh", "-c", script)
    tenant.reaches(job, "running")
    assert "one" == tenant.weir("logs", job).good()
    assert "oops" == tenant.weir("logs", "--stderr", job).good()
    with tenant.started("logs", "-f", job) as following:
        assert following.stdout is not None
        assert "one\n" == following.stdout.readline()
        [attempt] = (tenant.processes.folder / "centres").glob(f"*/attempts/{job}-1/work")
        (attempt / "go").touch()
        assert "two\n" == following.stdout.readline()
        assert 0 == following.wait(30)
    assert "one\ntwo" == tenant.weir("logs", job).good()
    assert "task: '4' is not accepted" in tenant.weir("logs", "--task", "4", job).refused()


def test_a_job_that_waits_for_another_says_so(tenant: RealProvince) -> None:
    first = tenant.submit("sh", "-c", "until test -e go; do sleep 0.05; done; exit 1")
    job = tenant.submit("true", after=[first])
    tenant.reaches(first, "running")
    assert f"  waits for {first} (running)" in tenant.weir("explain", job).good().splitlines()
    tenant.client.cancel(first)
    waited = tenant.weir("wait", job)
    assert (3, f"{job} cancelled: a job that it comes after did not succeed\n") == (waited.code, waited.out)
    assert "cancelled (dependency)" in tenant.weir("jobs", "--limit", "5").good()


def test_what_changes_can_be_watched(tenant: RealProvince) -> None:
    before = tenant.submit("true")
    tenant.ended(before)
    since = str(tenant.client.explain(before).as_of_position)
    array = tenant.submit("true", array=2)
    with tenant.started("watch", "--json", "--since", since) as program:
        assert program.stdout is not None
        states: dict[str, int] = {}
        while states.get("succeeded", 0) < 2:
            event = json.loads(program.stdout.readline())
            assert {"position", "at_ms", "kind", "body"} == set(event)
            for submission, _, count, state in event["body"].get("moves", ()):
                if submission == array:
                    states[state] = states.get(state, 0) + count
    with tenant.started("watch", "--since", since) as person:
        assert person.stdout is not None
        line = person.stdout.readline()
        assert line.endswith(f"  submitted  {array} (2 jobs)\n")
        while " is succeeded" not in line:
            line = person.stdout.readline()
        assert f"  moved      {array}." in line
        person.send_signal(signal.SIGINT)
        assert 130 == person.wait(30)


def test_the_shell_completes_commands_and_ids(tenant: RealProvince, swept: tuple[str, str]) -> None:
    array, _ = swept
    asked = {"_WEIR_COMPLETE": "complete_bash", "COMP_WORDS": f"weir job {array[:4]}", "COMP_CWORD": "2"}
    command = [sys.executable, "-m", "weir"]
    said = subprocess.run(
        command, env=tenant.environment | asked, capture_output=True, text=True, check=False
    )
    assert [array] == [word for word in said.stdout.split() if word.startswith(array[:4])]
    away = tenant.environment | asked | {"WEIR_URL": "http://127.0.0.1:9"}
    said = subprocess.run(command, env=away, capture_output=True, text=True, check=False)
    assert ("", "") == (said.stdout.strip(), said.stderr)
    script = tenant.weir("--show-completion", "bash")
    assert "_WEIR_COMPLETE=complete_bash" in script.good()


def test_a_listing_loads_nothing_heavy(tenant: RealProvince) -> None:
    code = (
        "import sys; from weir.cli.main import main\n"
        "try: main(['jobs', '--json'])\n"
        f"except SystemExit: print([n for n in {HEAVY!r} if n in sys.modules], file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, env=tenant.environment, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout)
    assert "[]\n" == said.stderr
