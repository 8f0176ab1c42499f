"""Philly, Helios, Acme, GAIA, openb, Sia and Gavel: hand-made rows after each format's documentation."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.unit.twin.traces.written import dropped, named, read, refusal, shapes, written
from weir.scheduling.inputs import JobClass
from weir.twin.traces import read_trace
from weir.twin.traces.gang import gang
from weir.twin.traces.openb import NodeGroup, read_nodes
from weir.twin.traces.source import Source
from weir.twin.workload import processors


@pytest.mark.parametrize(
    ("devices", "nodes", "tasks", "each"),
    [
        *[(1, 0, 1, 1_000), (3, 0, 1, 3_000), (8, 0, 1, 8_000), (12, 0, 2, 6_000), (24, 0, 3, 8_000)],
        *[(11, 0, 11, 1_000), (64, 8, 8, 8_000), (8, 2, 2, 4_000), (8, 3, 1, 8_000), (32, 2, 4, 8_000)],
        *[(0, 2, 2, 0), (-1, 0, 1, 0), (10**12 - 11, 0, 10**12 - 11, 1_000)],
    ],
)
def test_a_gang(devices: int, nodes: int, tasks: int, each: int) -> None:
    made = gang(devices, nodes, cores_milli=1_000, memory_bytes=7)
    assert (tasks, each) == (made.tasks, made.devices_milli)
    assert (-(-1_000 // tasks), -(-7 // tasks)) == (made.cores_milli, made.memory_bytes)


PHILLY = "timestamp,duration,num_gpus,gpu_time,cluster\n"


def test_philly(tmp_path: Path) -> None:
    text = PHILLY + (
        "2017-10-09 07:01:55,66.0,1,66.0,11cb48\n"
        "2017-10-09 06:13:03,2951.5,12,1,6214e9\n"
        "2017-10-09 08:00:00,5,0,0,6214e9\n"
        "2017-10-09 08:00:00,0,1,0,6214e9\n"
    )
    workload = read(tmp_path, "any.csv", text)
    assert [2, 1] == workload.job.tolist()
    assert [0, 2_932_000] == workload.submit_ms.tolist()
    assert 1_507_529_583 == workload.origin_s  # date -ud '2017-10-09 06:13:03' +%s
    assert [2_951_500, 66_000] == workload.run_ms.tolist() == workload.limit_ms.tolist()
    assert [12, 1] == workload.size.tolist()
    assert [(2, 6_000, 0, 0), (1, 1_000, 0, 0)] == shapes(workload)
    assert ["6214e9", "11cb48"] == named(workload.group, workload.groups)
    assert (("unknown",), False, 0) == (workload.users, workload.has_estimates, workload.machine_size)
    assert {"run time not positive": 1, "size not positive": 1} == dropped(workload)


def test_phillys_own_log(tmp_path: Path) -> None:
    def attempt(start: object, end: object, *gpus: int) -> dict[str, object]:
        places = [{"ip": f"m{n}", "gpus": [f"gpu{g}" for g in range(count)]} for n, count in enumerate(gpus)]
        return {"start_time": start, "end_time": end, "detail": places}

    jobs: list[dict[str, object]] = [
        {
            "status": "Pass",
            "vc": "ee9e8c",
            "jobid": "application_1",
            "attempts": [
                attempt("2017-10-07 01:12:09", "2017-10-07 01:13:23", 8),
                attempt("2017-10-07 01:13:30", "2017-10-07 01:14:00", 8, 8),
                attempt("2017-10-07 01:14:30", None, 8, 8),
            ],
            "submitted_time": "2017-10-07 01:11:39",
            "user": "ce2f4c",
        },
        {
            "status": "Killed",
            "vc": "ee9e8c",
            "attempts": [],
            "submitted_time": "2017-10-07 01:11:40",
            "user": None,
        },
        {
            "vc": "a",
            "attempts": [attempt("2017-10-07 01:11:41", "2017-10-07 01:11:51", 1)],
            "submitted_time": "2017-10-07 01:11:41",
            "user": "b",
        },
    ]
    workload = read(tmp_path, "cluster_job_log.gz", gzip.compress(json.dumps(jobs).encode()))
    assert [1, 3] == workload.job.tolist()
    assert [0, 2_000] == workload.submit_ms.tolist()
    assert [104_000, 10_000] == workload.run_ms.tolist()
    assert [16, 1] == workload.size.tolist()
    assert [(2, 8_000, 0, 0), (1, 1_000, 0, 0)] == shapes(workload)
    assert ["ce2f4c", "b"] == named(workload.user, workload.users)
    jobs[1]["submitted_time"] = "yesterday"
    broken = json.dumps(jobs)
    assert "job 2: not a job of the log: time data 'yesterday'" in refusal(tmp_path, "log.json", broken)
    assert 2 == len(read(tmp_path, "log.json", broken, skip_bad=True))
    assert "JSON" in refusal(tmp_path, "log.json", broken[:-10], format="philly-log")
    assert "JSON list" in refusal(tmp_path, "log.json", "{}", format="philly-log")


HELIOS = "job_id,user,vc,gpu_num,cpu_num,node_num,state,submit_time,start_time,end_time,duration,queue\n"


def test_helios(tmp_path: Path) -> None:
    text = HELIOS + (
        "1425511,uXBbc,vcJkd,1,1,1,COMPLETED,2020-06-09 18:41:01,2020-06-09 18:41:01,2020-06-10 04:55:09,36848,0\r\n"
        "1425512,uVMrF,vchbv,16,64,2,FAILED,2020-06-09 18:41:27,2020-06-09 18:41:27,2020-06-09 18:45:36,249,0\r\n"
        "1425513,uzqls,vcpDC,0,4,1,CANCELLED,2020-06-09 18:41:28,2020-06-09 18:41:28,2020-06-09 18:42:28,60,0\r\n"
        "1425514,uzqls,vcpDC,2,4,1,CANCELLED,2020-06-09 18:41:29,,,0,0\r\n"
    )
    workload = read(tmp_path, "cluster_log.csv", text)
    assert [1425511, 1425512] == workload.job.tolist()
    assert [36_848_000, 249_000] == workload.run_ms.tolist()
    assert [0, 26_000] == workload.submit_ms.tolist()
    assert [(1, 1_000, 1_000, 0), (2, 8_000, 32_000, 0)] == shapes(workload)
    assert (["uXBbc", "uVMrF"], ["vcJkd", "vchbv"]) == (
        named(workload.user, workload.users),
        named(workload.group, workload.groups),
    )
    assert {"run time not positive": 1, "size not positive": 1} == dropped(workload)


def test_acme(tmp_path: Path) -> None:
    seren = (
        "job_id,user,node_num,gpu_num,cpu_num,type,state,submit_time,start_time,end_time,duration,queue,gpu_time\n"
        "5778432,u5907,1,8,128,Other,FAILED,2023-03-01 00:18:22+08:00,2023-03-01 00:18:54+08:00,"
        "2023-03-01 00:20:51+08:00,117,32,936.0\n"
    )
    workload = read(tmp_path, "trace_seren.csv", seren)
    assert 1_677_601_102 == workload.origin_s  # date -ud '2023-02-28 16:18:22' +%s
    assert [117_000] == workload.run_ms.tolist()
    assert [(1, 8_000, 128_000, 0)] == shapes(workload)
    kalos = (
        "job_id,user,node_num,gpu_num,cpu_num,mem_per_pod_GB,shared_mem_per_pod,type,state,submit_time,start_time,"
        "end_time,fail_time,stop_time,duration,queue,gpu_time\n"
        "dlctk696s0jbvitv,uf794,8,64,960,1000,100.0,Other,FAILED,2023-05-17 11:00:58+00:00,2023-05-17 11:01:08+00:00,"
        "2023-05-17 11:01:16+00:00,2023-05-17 11:01:16+00:00,,18,10.0,1152.0\n"
    )
    workload = read(tmp_path, "trace_kalos.csv", kalos)
    assert [1] == workload.job.tolist()
    assert [8_000] == workload.run_ms.tolist()  # not the 18 s of its duration, which count the wait
    assert [(8, 8_000, 120_000, 1_000 * 10**9)] == shapes(workload)
    assert ["Other"] == named(workload.group, workload.groups)


def test_gaia_in_seconds_and_in_hours(tmp_path: Path) -> None:
    text = "arrival_time,length,cpus\n0.5,2.0,1\n1.0,0.25,4\n"
    workload = read(tmp_path, "pai_1k.csv", text)
    assert ([500, 1_000], [2_000, 250]) == (workload.submit_ms.tolist(), workload.run_ms.tolist())
    assert (processors(1), processors(4)) == workload.classes
    workload = read(tmp_path, "pai_100k.csv", text, format="gaia-hours")
    assert ([1_800_000, 3_600_000], [7_200_000, 900_000]) == (
        workload.submit_ms.tolist(),
        workload.run_ms.tolist(),
    )


PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
NODES = "sn,cpu_milli,memory_mib,gpu,model\nn0,32000,262144,0,\nn1,64000,1024,2,P100\nn2,64000,1024,2,P100\n"


def test_openb(tmp_path: Path) -> None:
    text = PODS + (
        "openb-pod-0017,88000,327680,8,1000,,Burstable,Succeeded,10,110,20\n"
        "openb-pod-0022,4000,2,1,220,,BE,Running,30,50,30\n"
        "openb-pod-0035,16000,0,1,1000,V100M16|V100M32,LS,Running,20,40,25\n"
        "openb-pod-0040,2000,1,0,0,,LS,Pending,40,45,\n"
    )
    written(tmp_path, "openb_node_list_all_node.csv", NODES.replace("2,P100", "8,P100"))
    workload = read(tmp_path, "openb_pod_list_default.csv.gz", gzip.compress(text.encode()))
    assert [1, 3, 2, 4] == workload.job.tolist()
    assert [90_000, 15_000, 20_000, 5_000] == workload.run_ms.tolist()
    assert [8, 1, 1, 0] == workload.size.tolist()
    mebibyte = 2**20
    assert [
        JobClass(1, 8_000, 88_000, 327_680 * mebibyte),
        JobClass(1, 1_000, 16_000, 0, models=("V100M16", "V100M32")),
        JobClass(1, 220, 4_000, 2 * mebibyte),
        JobClass(1, 0, 2_000, mebibyte),
    ] == [workload.classes[each] for each in workload.job_class]
    assert 16 == workload.machine_size
    assert {} == dropped(workload)
    assert 4 == len(read_trace(tmp_path)), "the folder stands for its default list"
    assert "gpu_milli" in refusal(tmp_path, "openb_pod_list_default.csv", text.replace(",1,220,", ",1,0,"))


def test_openbs_nodes(tmp_path: Path) -> None:
    path = written(tmp_path, "openb_node_list_all_node.csv", NODES)
    assert (
        NodeGroup("", 1, 0, 32_000, 2**38),
        NodeGroup("P100", 2, 2, 64_000, 2**30),
    ) == read_nodes(Source(path))


SIA = "name,time,application,num_replicas,batch_size\n"


def test_sia(tmp_path: Path) -> None:
    text = SIA + "cifar10-0,401.0,cifar10,12,4096\nbert-1,12.5,bert,8,384\n"
    workload = read(tmp_path, "workload-1.csv", text)
    assert ([12_500, 401_000], [2_480_000, 573_000]) == (
        workload.submit_ms.tolist(),
        workload.run_ms.tolist(),
    )
    assert ["bert", "cifar10"] == named(workload.group, workload.groups)
    other = text + "gpt-2,1,gpt,8,1\n"
    assert "line 4: how long gpt runs on 8 GPUs" in refusal(tmp_path, "workload-2.csv", other)
    told = SIA.replace("\n", ",duration\n") + "gpt-2,1,gpt,8,1,99\nbert-1,12.5,bert,8,384,\n"
    assert [99_000, 2_480_000] == read(tmp_path, "workload-3.csv", told).run_ms.tolist()


THROUGHPUTS = {
    "v100": {
        "('LM (batch size 5)', 1)": {"null": 100.0, "('A3C', 1)": [1.0, 2.0]},
        "('LM (batch size 5)', 4)": {"null": 200.0},
        "('A3C', 1)": {"null": 5.0},
    }
}


def test_gavel_in_its_three_forms(tmp_path: Path) -> None:
    lines = (
        "LM (batch size 5)\tpython main.py\t--steps\t1\t1000\t6.5\t1\n",
        "LM (batch size 5)\tpython main.py\t--steps\t0\t1000\t8\t1\t-1.0\t3\n",
        "A3C\tpython main.py\trl\t--max-steps\t1\t500\t2\t1\t-1.0\t0\n",
    )
    written(tmp_path, "simulation_throughputs.json", json.dumps(THROUGHPUTS))
    path = written(tmp_path, "traces/msr/some.trace", "".join(lines))
    workload = read_trace(path)
    assert [3, 2, 1] == workload.job.tolist()
    assert [0, 3_000, 6_500] == workload.submit_ms.tolist()
    assert [
        100_000,
        5_000,
        10_000,
    ] == workload.run_ms.tolist()  # steps a second: 5 (as on one), 200 (as on four), 100
    assert [2, 8, 1] == workload.size.tolist()
    odd = "Unheard\tx\t-s\t1\t10\t0\t1\n" + lines[0] + "one\ttwo\n"
    assert "line 1: the throughputs have no 'Unheard' on v100" in refusal(tmp_path, "odd.trace", odd)
    told: list[tuple[int, str]] = []
    assert 1 == len(read(tmp_path, "odd.trace", odd, skip_bad=True, on_bad=lambda *each: told.append(each)))
    assert [1, 3] == [number for number, _ in told]
    written(tmp_path, "simulation_throughputs.json", "[]")
    assert "Gavel's table" in refusal(tmp_path, "odd.trace", lines[0])
    (tmp_path / "simulation_throughputs.json").write_text("{}")
    assert "throughputs of v100" in refusal(tmp_path, "odd.trace", lines[0])
    (tmp_path / "simulation_throughputs.json").unlink()
    assert "simulation_throughputs.json" in refusal(tmp_path, "odd.trace", lines[0])


def test_gavel_with_its_throughputs_in_the_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "gavel.tar.gz", "w:gz") as archive:
        for name, text in (
            ("traces/a.trace", "A3C\tx\t-s\t1\t10\t0\t1\n"),
            ("simulation_throughputs.json", json.dumps(THROUGHPUTS)),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    assert [2_000] == read_trace(tmp_path / "gavel.tar.gz" / "traces" / "a.trace").run_ms.tolist()
    assert "a" == read_trace(tmp_path / "gavel.tar.gz" / "traces" / "a.trace").name
