"""Content that nobody refers to is removed after a month, and nothing else."""

import os
from pathlib import Path

from sqlalchemy import insert

from tests.unit.control.world import job, runs, world
from weir.cli.sweeper import OLDER_THAN_MS, Sweeper
from weir.files import BlobStore
from weir.model.agent import OutputFile
from weir.store import schema


def test_what_no_upload_and_no_output_refers_to_is_removed_after_a_month(tmp_path: Path) -> None:
    w, blobs = world(), BlobStore(tmp_path)
    names = ("uploaded", "output", "delivered", "orphan", "new")
    uploaded, output, delivered, orphan, new = digests = [blobs.put_bytes(name.encode()) for name in names]
    old_s = w.now_ms / 1_000 - 1
    for digest in digests[:-1]:
        os.utime(tmp_path / digest[:2] / digest, (old_s, old_s))
    w.now_ms += OLDER_THAN_MS
    new_s = w.now_ms / 1_000
    os.utime(tmp_path / new[:2] / new, (new_s, new_s))
    row = {"digest": uploaded, "organisation": "univ", "size_bytes": 8, "at_ms": 0}
    w.store.write(lambda tx: tx.connection.execute(insert(schema.upload), [row]))
    agents = [w.agent(centre) for centre in ("wuhu-hpc", "hefei-ai")]
    w.submit(job())
    w.step()
    [(agent, placed)] = [(agent, placed) for agent in agents for placed in runs(agent.pull())]
    told = [OutputFile(0, "a", 6, output), OutputFile(0, "b", 9, delivered, "s3://bucket/b")]
    agent.report(agent.end(placed.attempt, outputs=told))
    assert 2 == Sweeper(w.store, blobs, lambda: w.now_ms).sweep()
    assert [uploaded, output, new] == [digest for digest in digests if blobs.exists(digest)]
    assert not blobs.exists(orphan)
