"""Where compiled code is kept, and who never needs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from weir.scheduling import code_version, compilation

ROOT = Path(__file__).parents[3]


def run(code: str, **environment: str) -> str:
    """What a new interpreter prints."""
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return found.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import weir.scheduling",
        "import weir.scheduling.inputs, weir.scheduling.plan",
        """if True:
            from weir.scheduling import code_version, fits_ever, largest_that_fits
            from weir.scheduling.inputs import JobClass
            fits_ever([], [], JobClass(1, 0, 0, 0))
            largest_that_fits([], JobClass(1, 0, 0, 0))
            code_version()""",
    ],
)
def test_numba_is_not_imported_by_those_who_do_not_schedule(code: str) -> None:
    assert "False" == run(f"{code}\nimport sys; print('numba' in sys.modules)")


def test_the_version_is_that_of_the_sources() -> None:
    assert 64 == len(code_version())
    assert code_version() == run("from weir.scheduling import code_version; print(code_version())")


def test_the_folder_is_named_by_the_sources_and_follows_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("WEIR_CACHE", raising=False)
    assert tmp_path / "weir" == compilation.cache_folder().parent
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path / ".cache" / "weir" == compilation.cache_folder().parent
    monkeypatch.setenv("WEIR_CACHE", str(tmp_path / "own"))
    before = compilation.cache_folder()
    assert tmp_path / "own" == before.parent
    monkeypatch.setattr(compilation, "code_version", lambda: "another")
    assert before != compilation.cache_folder()


def test_compiled_once_it_is_only_loaded() -> None:
    # The session's fixture has compiled everything already, in this very folder.
    code = "from weir.scheduling import warm_up; said = []; print(warm_up(said.append), warm_up(said.append), said)"
    assert "False False []" == run(code)


def test_every_process_makes_the_same_plan() -> None:
    code = """if True:
        from tests.unit.scheduling.provinces import NOW, pool, task, waiting
        from weir.scheduling import Policy, State, step
        from weir.scheduling.inputs import Changes

        pools = tuple(pool(f"{centre}/a", shares=centre > "b") for centre in "dacb")
        wishes = [task(devices_milli=milli, centres=("a", "c")) for milli in (300, 1_000, 5_000)] + [task(tasks=20)]
        queued = tuple(waiting(wish, range(100 * n, 100 * n + 30)) for n, wish in enumerate(wishes))
        print(step(State.empty(Policy()), Changes(pools=pools, queued=queued), NOW)[1].digest)"""
    assert run(code, PYTHONHASHSEED="1", PYTHONPATH=".") == run(code, PYTHONHASHSEED="2", PYTHONPATH=".")


def test_a_folder_that_cannot_be_written_is_told_and_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    code = "from weir.scheduling import compilation; folder, said = compilation._place(); print(folder); print(said)"
    folder, said = run(code, WEIR_CACHE=str(tmp_path / "file"), TMPDIR=str(tmp_path)).splitlines()
    assert tmp_path == Path(folder).parent
    assert Path(folder).is_dir()
    assert "cannot be written" in said
    assert "WEIR_CACHE" in said
