"""Which reader a file is given to, and where files may lie."""

import bz2
import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.unit.twin.traces.written import read, refusal, written
from weir.model.problem import ProblemError
from weir.twin.traces import FORMATS, read_trace
from weir.twin.traces.reading import _READERS, told_format
from weir.twin.traces.source import Source

LINE = "1 5 0 100 4 -1 -1 8 60 -1 1 7 3 -1 -1 -1 -1 -1\n"


def test_every_format_has_a_reader_and_says_where_it_comes_from() -> None:
    assert [each.name for each in FORMATS] == list(_READERS)
    for each in FORMATS:
        assert each.title
        assert each.says
        assert each.lacks
        assert each.source


@pytest.mark.parametrize(
    ("name", "start", "expected"),
    [
        ("a.swf", "", "swf"),
        ("a.log", "; MaxProcs: 3\n", "swf"),
        ("a.txt", LINE, "swf"),
        ("a", LINE.replace(" ", "\t"), "swf"),
        ("a.csv", "timestamp,duration,num_gpus,gpu_time,cluster\n", "philly"),
        ("a.json", ' [ {"status": "Pass", "attempts": []}]', "philly-log"),
        (
            "a.csv",
            "job_id,user,vc,gpu_num,cpu_num,node_num,state,submit_time,start_time,end_time,duration,queue",
            "helios",
        ),
        ("a.csv", "job_id,user,node_num,gpu_num,cpu_num,type,state,submit_time,duration,queue\n", "acme"),
        ("pai_task_table.csv", "abc,tensorflow,1.0,Terminated,1.0,2.0,600.0,29.2,50.0,MISC\n", "pai"),
        ("a.csv", "job_name,task_name,inst_num,plan_gpu,start_time,end_time\n", "pai"),
        ("a.csv", "job_id,num_gpu,num_cpu,submit_time,duration\n", "pai-simulator"),
        ("a.csv", '"arrival_time","length","cpus"\n', "gaia"),
        ("a.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\n", "openb"),
        ("a.csv", "name,time,application,num_replicas,batch_size\n", "sia"),
        ("a.txt", "A3C\tx\t-s\t1\t10\t0\t1\n", "gavel"),
        ("a.trace", "", "gavel"),
        ("a.csv", "# origin_s: 5\njob,submit,run,size\n", "csv"),
        ("a", "PAR1", "parquet"),
    ],
)
def test_a_file_tells_its_format(tmp_path: Path, name: str, start: str, expected: str) -> None:
    assert expected == told_format(Source(written(tmp_path, name, start)))


def test_what_cannot_be_told(tmp_path: Path) -> None:
    for text in ("", "a,b\n1,2\n", "hello\n"):
        assert "a file of a known format (parquet, csv, swf," in refusal(tmp_path, "a.csv", text)
    assert "format: 'xml' is not accepted; one of parquet, " in refusal(tmp_path, "a.swf", LINE, format="xml")
    for option in ({"processors": 0}, {"limit": 0}):
        assert "a whole number from 1" in refusal(tmp_path, "a.swf", LINE, **option)
    for path in (tmp_path / "none.swf", tmp_path / "a.swf" / "member"):
        with pytest.raises(ProblemError, match="is not accepted"):
            read_trace(path)
    with pytest.raises(ProblemError, match=r"it holds a\.csv, a\.swf"):
        read_trace(tmp_path)


def test_archives(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "two.tgz", "w:gz") as archive:
        for name in ("x/one.swf", "two.swf.gz"):
            content = gzip.compress(LINE.encode()) if name.endswith("gz") else LINE.encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as packed:
        packed.writestr("folder/", "")
        packed.writestr("folder/log.swf", LINE * 2)
    assert 1 == len(read_trace(tmp_path / "two.tgz" / "x" / "one.swf"))
    workload = read_trace(tmp_path / "two.tgz" / "two.swf.gz")
    assert (1, "two") == (len(workload), workload.name)
    assert 2 == len(read_trace(tmp_path / "one.zip"))
    assert 2 == len(read_trace(tmp_path / "one.zip" / "folder" / "log.swf"))
    with pytest.raises(ProblemError, match=r"one file of it.*it holds two\.swf\.gz, x/one\.swf"):
        read_trace(tmp_path / "two.tgz")
    with pytest.raises(ProblemError, match=r"holds two\.swf\.gz, x/one\.swf"):
        read_trace(tmp_path / "two.tgz" / "three.swf")


def test_what_cannot_be_unpacked(tmp_path: Path) -> None:
    packed = gzip.compress(LINE.encode() * 100)
    for name, content in (
        ("cut.swf.gz", packed[:-9]),
        ("head.swf.gz", packed[:5]),
        ("broken.swf.gz", packed[:30] + b"\xff" + packed[31:]),
        ("sum.swf.gz", packed[:-8] + b"\0\0\0\0" + packed[-4:]),
        ("mixed.swf.gz", packed + b"more"),
        ("cut.swf.bz2", bz2.compress(LINE.encode() * 100)[:-5]),
        ("zstandard.swf.zst", b"\x28\xb5\x2f\xfd\0\0"),
    ):
        assert f"{name} cannot be unpacked" in refusal(tmp_path, name, content)
    assert 100 == len(read(tmp_path, "whole.swf.bz2", bz2.compress(LINE.encode() * 100)))
