"""Peers are asked in a Python of their own, about the very jobs that Weir runs."""

import sys
from pathlib import Path

import pytest

from bench import peers
from bench.logs import generated
from weir.twin.traces import read_trace


def test_peers_read_the_same_jobs_whose_limits_are_their_runs(tmp_path: Path) -> None:
    work = generated(1, 50, peers.PROCESSORS, 0.7).work
    (tmp_path / "jobs.swf").write_text(peers.as_swf(work), encoding="ascii")
    found = read_trace(tmp_path / "jobs.swf")
    assert work.size.tolist() == found.size.tolist()
    assert (work.submit_ms // 1_000).tolist() == (found.submit_ms // 1_000).tolist()
    assert found.run_ms.tolist() == found.limit_ms.tolist()
    assert peers.PROCESSORS == found.machine_size


def test_a_python_that_is_named_is_used_and_one_without_the_peer_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_PEERS", sys.executable)
    (tmp_path / "jobs.swf").write_text("; MaxProcs: 1\n", encoding="ascii")
    with peers.peers_python(tmp_path) as python:
        assert Path(sys.executable) == python
        with pytest.raises(RuntimeError, match=r"simpy ended with 1.*No module named 'simpy'"):
            peers.asked(python, "simpy", tmp_path / "jobs.swf")
