"""The command line of the bundle: `weir agent` where there is Python alone. Same words, same options."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from weir.agents import local_orders
from weir.model.problem import ProblemError
from weir.units import format_time

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; the exit code. What a person can put right is one line, and 2."""
    given = _parser().parse_args(arguments)
    try:
        return int(_COMMANDS[given.command](given))
    except ProblemError as error:
        print(f"weir-agent: {error}", file=sys.stderr)
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="weir-agent", description="Run a centre's agent, or look after it there."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument(
        "--folder",
        type=Path,
        default=Path("weir-agent"),
        help="where the agent keeps everything (./weir-agent)",
    )
    run = commands.add_parser("run", parents=[folder], help="run the agent until it is told to end")
    run.add_argument("--url", default="", help="the server's address; remembered after the first start")
    run.add_argument(
        "--code-file", type=Path, help="file with the one-time code; else asked for, or from stdin"
    )
    run.add_argument("--ca-file", type=Path, help="certificates to trust instead of the system's")
    run.add_argument(
        "--work-root", type=Path, help="where the attempts' folders lie, on a shared file system"
    )
    run.add_argument(
        "--private-root", type=Path, help="hide this folder from the tasks, but for their own in it"
    )
    status = commands.add_parser(
        "status", parents=[folder], help="show what the agent has, from its own record"
    )
    status.add_argument("--json", action="store_true", help="print JSON")
    commands.add_parser("drain", parents=[folder], help="start nothing new; what runs goes on")
    commands.add_parser("resume", parents=[folder], help="start new work again")
    stop = commands.add_parser("stop-all", parents=[folder], help="stop everything that the agent runs here")
    stop.add_argument("--yes", "-y", action="store_true", help="do not ask")
    return parser


def _run(given: argparse.Namespace) -> int:
    from weir.cli.agent_runner import run_agent

    return run_agent(
        given.folder,
        url=given.url,
        code_file=given.code_file,
        ca_file=given.ca_file,
        work_root=given.work_root,
        private_root=given.private_root,
    )


def _status(given: argparse.Namespace) -> int:
    found = local_orders.status(given.folder)
    if given.json:
        print(json.dumps(asdict(found), ensure_ascii=False))
        return 0
    print(f"agent {'runs' if found.running else 'does not run'}{', draining' if found.draining else ''}")
    for one in found.attempts:
        print(
            f"{one.attempt}  {one.pool}  {one.observed}  {format_time(one.since_ms)}  {one.message}".rstrip()
        )
    return 0


def _drain(given: argparse.Namespace) -> int:
    local_orders.drain(given.folder)
    print("starts nothing new; `resume` undoes it")
    return 0


def _resume(given: argparse.Namespace) -> int:
    local_orders.resume(given.folder)
    print("starts new work again")
    return 0


def _stop_all(given: argparse.Namespace) -> int:
    if not given.yes:
        if not sys.stdin.isatty():
            print("nothing was stopped; say --yes", file=sys.stderr)
            return 1
        if input("Stop every attempt that runs here? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was stopped")
            return 1
    print(f"{local_orders.stop_all(given.folder)} attempts are told to stop")
    return 0


_COMMANDS = {"run": _run, "status": _status, "drain": _drain, "resume": _resume, "stop-all": _stop_all}

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
