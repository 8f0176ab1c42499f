"""The twin's compiled code: kept where the core's is, under a name of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from weir.scheduling import compilation
from weir.twin.traces.swf import FIELDS


def test_a_change_in_the_twins_kernels_leaves_the_cores_folder_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core, twin = compilation.cache_folder(), compilation.cache_folder("twin")
    assert core.parent == twin.parent
    assert core != twin
    monkeypatch.setattr(compilation, "_sources", lambda room: "another")
    assert core == compilation.cache_folder()
    assert twin != compilation.cache_folder("twin")
    monkeypatch.undo()
    monkeypatch.setattr(compilation, "code_version", lambda: "another")
    assert twin != compilation.cache_folder("twin")


def test_compiled_once_it_is_only_loaded(tmp_path: Path) -> None:
    log = tmp_path / "a.swf"
    log.write_text("1 0 -1 2 1 -1 -1 1 3 -1 1 1 1 -1 -1 -1 -1 -1\n")
    code = f"""if True:
        from weir.scheduling.compilation import kernel_of
        from weir.twin.traces import read_trace
        assert len(read_trace({str(log)!r})) == 1
        assert len(read_trace({str(log)!r}, skip_bad=True)) == 1
        print(sum(kernel_of("twin", "swf").lines.stats.cache_misses.values()))"""
    ran = [
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert "0" == ran[1]


def test_the_kernel_and_the_reader_speak_of_the_same_fields() -> None:
    assert compilation.kernel_of("twin", "swf").FIELDS == len(FIELDS) == 18
