"""The main job: a province on this machine, real work on it, and what came of it."""

import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from weir.cli.demo.facts import DemoFacts, gather
from weir.cli.demo.processes import Processes, end_kept
from weir.cli.demo.progress import Progress, open_progress
from weir.cli.demo.summary import show_summary
from weir.cli.demo.work_order import submit_report, submit_trainings
from weir.client import Client
from weir.model.problem import Problem, ProblemError, refused

TENANT = "12340100WEYR00078P"
PROJECT = "digits"
JOBS_TIMEOUT_S = 900.0


def run_demo(*, jobs: int, folder: Path | None, keep: bool, end: Path | None, json_: bool) -> int:
    """The whole demonstration, or the end of one that was kept; the exit code. Raises ProblemError."""
    if end is not None:
        print(f"ended {end_kept(end.resolve())} processes; {end} can be removed")
        return 0
    if jobs < 1:
        raise refused("--jobs", jobs, "give a number from 1")
    where = _fresh_folder(folder)
    processes = Processes(where, outlive=keep)
    with _interruptible():
        try:
            facts = _run(processes, jobs, quiet=json_)
        except KeyboardInterrupt:
            print("weir: interrupted; ending every process", file=sys.stderr)
            processes.end()
            return 130
        except BaseException:
            processes.end()
            print(f"weir: what was said is in {where}", file=sys.stderr)
            raise
    if not keep:
        processes.end()
    if json_:
        print(json.dumps(facts.as_json(), indent=2, ensure_ascii=False))
    else:
        show_summary(facts)
    if keep:
        _say_how_to_go_on(processes, facts)
    return 0 if facts.complete else 1


def _run(processes: Processes, jobs: int, *, quiet: bool) -> DemoFacts:
    with open_progress(quiet) as progress:
        url = processes.start_server(progress.say)
        # As the coordinator: the province, its agents, and a token for the tenant.
        coordinator = Client(
            url, (processes.server_data / "coordinator.token").read_text(encoding="utf-8").strip()
        )
        progress.say("declaring three centres")
        from weir.registry.catalogue import data_folder

        text = (data_folder("provinces") / "demo.yaml").read_text(encoding="utf-8")
        coordinator.apply_province(text, source="demo.yaml")
        centres = [centre.id for centre in coordinator.centres()]
        for invite in coordinator.invite(centres):
            processes.start_agent(invite.centre, url, invite.code)
        _wait_for_centres(coordinator, processes, progress)
        _, secret = coordinator.create_token(
            name="demo tenant", role="tenant-admin", organisation=TENANT, project="", centre=""
        )
        token_file = processes.folder / "tenant.token"
        token_file.touch(mode=0o600)
        token_file.write_text(secret + "\n", encoding="utf-8")

        # As the tenant: the work.
        tenant = Client(url, secret)
        began = time.monotonic()
        trainings = submit_trainings(tenant, jobs)
        report = submit_report(tenant, trainings)
        _follow(tenant, processes, progress, trainings, report)
        return gather(tenant, trainings, report, processes.folder, time.monotonic() - began)


def _wait_for_centres(api: Client, processes: Processes, progress: Progress) -> None:
    deadline = time.monotonic() + 60
    while True:
        centres = api.centres()
        up = sum(centre.reachable for centre in centres)
        progress.say(f"{up} of {len(centres)} agents have joined")
        if up == len(centres):
            return
        processes.check()
        if time.monotonic() > deadline:
            raise ProblemError(Problem("demo", 500, "the agents did not join within 60 s; see agent-*.log"))
        time.sleep(0.1)


def _follow(api: Client, processes: Processes, progress: Progress, trainings: str, report: str) -> None:
    deadline = time.monotonic() + JOBS_TIMEOUT_S
    while True:
        array, last = api.submission(trainings), api.submission(report)
        progress.show(array.states, last.states)
        if array.ended and last.ended:
            return
        processes.check()
        if time.monotonic() > deadline:
            raise ProblemError(Problem("demo", 500, f"the jobs did not end within {JOBS_TIMEOUT_S:.0f} s"))
        time.sleep(0.2)


def _fresh_folder(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="weir-demo-"))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise refused("--folder", folder, "give a folder that does not exist or is empty")
    if shutil.disk_usage(folder.parent if folder.parent.exists() else Path()).free < 200 * 2**20:
        raise refused("--folder", folder, "less than 200 MiB are free there")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder.resolve()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demonstration as Ctrl-C does, so that nothing is left behind."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_how_to_go_on(processes: Processes, facts: DemoFacts) -> None:
    url = json.loads((processes.server_data / "server.json").read_text(encoding="utf-8"))["url"]
    lines = [
        "",
        f"The province goes on at {url}",
        f"  tenant's token       {processes.folder / 'tenant.token'}",
        f"  coordinator's token  {processes.server_data / 'coordinator.token'}",
        "Try:",
        f"  export WEIR_URL={url} WEIR_TOKEN_FILE={processes.folder / 'tenant.token'}",
        "  weir run --time-limit 1m -- echo hello",
        "  weir jobs",
        f"  weir explain {facts.jobs[0].id}",
        "  weir pools",
        "End it:",
        f"  weir demo --end {processes.folder}",
    ]
    print("\n".join(lines), file=sys.stderr)
