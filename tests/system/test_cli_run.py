"""`weir run`: the job's output, its exit code, and how one comes back to it."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.conftest import RealProvince

SMALL = ["--cores", "0.1", "--memory", "64MiB"]


def test_it_prints_what_the_command_prints_and_says_where_it_ran(tenant: RealProvince) -> None:
    ran = tenant.weir("run", *SMALL, "--centre", "north", "--", "sh", "-c", "echo out; echo err >&2")
    assert (0, "out\n") == (ran.code, ran.out)
    first, middle, last = ran.err.splitlines()
    job = first.removeprefix("weir: job ")
    assert "err" == middle
    assert f"weir: {job} succeeded at north/cpu" == last


@pytest.mark.parametrize(
    ("command", "options", "code", "said"),
    [
        (["sh", "-c", "exit 7"], [], 7, "failed at {where}: ended with code 7"),
        (["sh", "-c", "kill -SEGV $$"], [], 139, "failed at {where}: ended by signal 11 (SIGSEGV)"),
        (["sleep", "60"], ["-t", "1s"], 124, "failed at {where}: ended at its time limit"),
        (
            ["no-such-program"],
            [],
            127,
            "failed at {where}: the command could not be started: no-such-program",
        ),
    ],
)
def test_its_exit_code_and_last_line_tell_how_the_job_ended(
    tenant: RealProvince, command: list[str], options: list[str], code: int, said: str
) -> None:
    ran = tenant.weir("run", *SMALL, "--centre", "north", *options, "--", *command)
    assert code == ran.code, ran
    assert said.format(where="north/cpu") in ran.err.splitlines()[-1]


def test_output_comes_while_the_job_runs(tenant: RealProvince) -> None:
    script = "echo first; read -r line < /dev/null; until test -e go; do sleep 0.05; done; echo last"
    with tenant.started("run", *SMALL, "--", "sh", "-c", script) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert "first\n" == running.stdout.readline()
        assert None is running.poll()
        job = running.stderr.readline().strip().removeprefix("weir: job ")
        assert "running" == tenant.client.job(job).state  # type: ignore[union-attr]  # a single job
        tenant.client.cancel(job)
        assert 130 == running.wait(30)
        assert f"weir: {job} cancelled at" in running.stderr.read()


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(tenant: RealProvince) -> None:
    with tenant.started("run", *SMALL, "--", "sh", "-c", "echo there; sleep 60") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        job = running.stderr.readline().strip().removeprefix("weir: job ")
        assert "there\n" == running.stdout.readline()
        running.send_signal(signal.SIGINT)
        assert 130 == running.wait(30)
        assert f"`weir logs -f {job}` follows it, `weir cancel {job}` ends it" in running.stderr.read()
    assert "running" == tenant.client.job(job).state  # type: ignore[union-attr]  # a single job
    tenant.client.cancel(job)
    tenant.ended(job)


def test_a_broken_pipe_ends_it_quietly(tenant: RealProvince) -> None:
    with tenant.started("run", *SMALL, "--", "sh", "-c", "while echo y; do :; done") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        job = running.stderr.readline().strip().removeprefix("weir: job ")
        running.stdout.readline()
        running.stdout.close()
        assert 1 == running.wait(60)
        assert "Traceback" not in running.stderr.read()
    tenant.client.cancel(job)
    tenant.ended(job)


def test_detached_it_prints_the_id_alone(tenant: RealProvince) -> None:
    job = tenant.weir("run", *SMALL, "--detach", "--name", "left", "--", "true").good()
    assert "left" == tenant.ended(job).name


def test_what_it_is_told_reaches_the_job(tenant: RealProvince) -> None:
    (tenant.folder / "told.txt").write_text("told\n")
    options = [
        "--env",
        "GREETING=a b=c",
        "--input",
        "told.txt=in/told.txt",
        "--output",
        "out/*",
        "--name",
        "n",
    ]
    options += ["--devices", "1", "--stack", "cuda", "--priority", "low", "--prefer", "cheap"]
    script = 'mkdir out; cat in/told.txt > out/copy; echo "$GREETING $CUDA_VISIBLE_DEVICES"'
    ran = tenant.weir("run", *SMALL, "-t", "90s", *options, "--", "sh", "-c", script)
    assert ran.good() in ("a b=c 0", "a b=c 1")
    job = tenant.client.job(ran.err.splitlines()[0].removeprefix("weir: job "))
    assert ("low", 90_000, "south", "a100") == (job.priority, job.time_limit_ms, job.centre, job.pool)  # type: ignore[union-attr]  # a single job
    after = tenant.weir("run", *SMALL, "--input", f"{job.id}:out/*=was", "--", "cat", "was/out/copy")
    assert "told" == after.good()


def test_the_same_again(tenant: RealProvince) -> None:
    job = tenant.submit("sh", "-c", "echo again $WEIR_JOB_ID; exit 3", name="again")
    tenant.ended(job)
    ran = tenant.weir("run", "--retry-of", job[:6])
    assert 3 == ran.code
    assert ran.out.startswith("again ")
    assert job not in ran.out
    assert "leave out command" in tenant.weir("run", "--retry-of", job, "--", "true").refused()


def test_the_same_array_again_is_waited_for(tenant: RealProvince) -> None:
    array = tenant.submit("sh", "-c", "exit $WEIR_ARRAY_INDEX", array=2)
    ran = tenant.weir("run", "--retry-of", array)
    assert 1 == ran.code
    assert "1 succeeded" in ran.err.splitlines()[-1]
    assert "1 failed" in ran.err.splitlines()[-1]


def test_a_mistyped_option_is_no_command(tenant: RealProvince) -> None:
    assert "see `weir run --help`" in tenant.weir("run", "--time-limt", "1m", "--", "true").refused()
    assert "give the program and its arguments" in tenant.weir("run", "-t", "1m").refused()


def test_without_a_server_it_says_what_to_do(tenant: RealProvince) -> None:
    nowhere = replace(tenant, url="http://127.0.0.1:9")
    assert "nothing answers at http://127.0.0.1:9" in nowhere.weir("jobs").refused(69)


def test_no_secret_is_on_any_command_line(province: RealProvince, tenant: RealProvince) -> None:
    agents = [province.processes.agent_folder(centre) / "token" for centre in ("north", "south")]
    secrets = [file.read_text().strip() for file in (province.token_file, tenant.token_file, *agents)]
    secrets += [
        (province.processes.agent_folder(centre) / "code").read_text().strip()
        for centre in ("north", "south")
        if (province.processes.agent_folder(centre) / "code").exists()
    ]
    assert all(len(secret) > 20 for secret in secrets)
    seen = 0
    with tenant.started("watch"):
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_text(errors="replace")
            except OSError:  # it has ended meanwhile
                continue
            seen += "weir" in line
            assert not any(secret in line for secret in secrets), line
    assert seen >= 3
