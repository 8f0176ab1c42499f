"""The formats that can be read: what each says and lacks, where it comes from, and how a file of it is told."""

from collections.abc import Callable
from dataclasses import dataclass

_Told = Callable[[str, bytes], bool]


@dataclass(frozen=True, slots=True)
class Format:
    """One format. `recognises` is given a file's name, unpacked, in lower case, and the first bytes of what it says."""

    name: str
    title: str
    says: str
    lacks: str
    source: str
    recognises: _Told


def _header(*names: str) -> _Told:
    """Told by a header line that has these columns."""

    def recognises(_: str, head: bytes) -> bool:
        return {name.encode() for name in names} <= set(_cells(head))

    return recognises


def _cells(head: bytes) -> list[bytes]:
    lines = [line for line in head.splitlines()[:50] if line.strip() and not line.startswith(b"#")]
    return [cell.strip().strip(b'"') for cell in lines[0].split(b",")] if lines else []


def _first_line(head: bytes) -> bytes:
    return next((line.strip() for line in head.splitlines() if line.strip()), b"")


def _swf(name: str, head: bytes) -> bool:
    first = _first_line(head)
    fields = first.split()
    numeric = len(fields) >= 18 and all(
        each.lstrip(b"+-").replace(b".", b"", 1).isdigit() for each in fields[:18]
    )
    return name.endswith(".swf") or first.startswith(b";") or numeric


def _gavel(name: str, head: bytes) -> bool:
    return name.endswith(".trace") or _first_line(head).count(b"\t") in (6, 8, 9)


def _pai_tasks(name: str, head: bytes) -> bool:
    return "pai_task_table" in name or {b"job_name", b"inst_num", b"plan_gpu"} <= set(_cells(head))


def _generic(_: str, head: bytes) -> bool:
    cells = set(_cells(head))
    return bool({b"submit_ms", b"submit_s", b"submit"} & cells and {b"run_ms", b"run_s", b"run"} & cells)


def _never(_name: str, _head: bytes) -> bool:
    return False


FORMATS = (
    Format(
        "parquet",
        "Weir's own table of jobs, as Parquet (docs/reference/traces.md)",
        "whatever its columns hold",
        "what they do not",
        "`weir history export`, or anyone",
        lambda name, head: head.startswith(b"PAR1"),
    ),
    Format(
        "csv",
        "Weir's own table of jobs, as CSV (docs/reference/traces.md)",
        "whatever its columns hold",
        "what they do not",
        "`weir history export --format csv`, or anyone",
        _generic,
    ),
    Format(
        "swf",
        "Standard Workload Format",
        "submit, run, processors, estimates, users, groups; the machine in the header",
        "node shapes, accelerators, priorities; synthetic logs also estimates",
        "Parallel Workloads Archive: Feitelson, Tsafrir, Krakov, JPDC 74(10), 2014, and whoever gave the log",
        _swf,
    ),
    Format(
        "philly",
        "Philly, as reduced by the authors of Pollux and Sia",
        "submit, run, GPUs, virtual cluster",
        "users, limits, cores, memory, and about a third of the original's jobs",
        "Jeon et al., USENIX ATC 2019; siasosp23/artifacts",
        _header("timestamp", "duration", "num_gpus"),
    ),
    Format(
        "philly-log",
        "Philly's cluster_job_log (JSON)",
        "submit, attempts with GPUs, virtual cluster, user, status",
        "limits, cores, memory",
        "Jeon et al., USENIX ATC 2019; msr-fiddle/philly-traces",
        lambda _, head: head.lstrip().startswith(b"[") and b'"attempts"' in head,
    ),
    Format(
        "helios",
        "Helios (Earth, Saturn, Uranus, Venus): cluster_log.csv",
        "submit, start, end, GPUs, cores, nodes, virtual cluster, user, state",
        "limits, memory",
        "Hu et al., SC 2021; S-Lab-System-Group/HeliosData",
        _header("job_id", "user", "vc", "gpu_num", "submit_time", "duration"),
    ),
    Format(
        "acme",
        "Acme (Seren, Kalos): trace_seren.csv, trace_kalos.csv",
        "submit, start, end, GPUs, cores, nodes, kind of work, user, state; Kalos also memory",
        "limits",
        "Hu et al., NSDI 2024; InternLM/AcmeTrace",
        _header("job_id", "user", "gpu_num", "type", "submit_time", "duration"),
    ),
    Format(
        "pai",
        "Alibaba PAI 2020: pai_task_table, with pai_job_table beside it",
        "start, end, instances, shares of GPUs, cores, memory; with the job table submit and user",
        "limits, which models a job could have used",
        "Weng et al., NSDI 2022; alibaba/clusterdata, cluster-trace-gpu-v2020",
        _pai_tasks,
    ),
    Format(
        "pai-simulator",
        "Alibaba PAI 2020: the table of its own simulator",
        "submit, run, instances, shares of GPUs, cores, user, group",
        "limits, memory",
        "Weng et al., NSDI 2022; alibaba/clusterdata, cluster-trace-gpu-v2020/simulator",
        _header("submit_time", "duration", "num_gpu"),
    ),
    Format(
        "gaia",
        "GAIA's workloads, times in seconds (pai_1k)",
        "arrival, length, CPUs",
        "accelerators, users, limits",
        "Hanafy et al., ASPLOS 2024; umassos/GAIA",
        _header("arrival_time", "length", "cpus"),
    ),
    Format(
        "gaia-hours",
        "GAIA's workloads, times in hours (100,000 jobs); only by name, since nothing in a file tells",
        "arrival, length, CPUs",
        "accelerators, users, limits",
        "Hanafy et al., ASPLOS 2024; umassos/GAIA",
        _never,
    ),
    Format(
        "openb",
        "openb: pod list, with its node list beside it",
        "creation, scheduling, deletion, shares of GPUs, GPU models, cores, memory, quality of service",
        "users, limits, gangs",
        "Weng et al., USENIX ATC 2023; alibaba/clusterdata, cluster-trace-gpu-v2023",
        _header("cpu_milli", "memory_mib", "num_gpu", "gpu_milli"),
    ),
    Format(
        "sia",
        "Sia's workloads",
        "arrival, application, GPUs, batch size",
        "run times (those known from Sia's profiles on T4 are put in), users, limits",
        "Subramanya et al., SOSP 2023; siasosp23/artifacts",
        _header("name", "time", "application", "num_replicas", "batch_size"),
    ),
    Format(
        "gavel",
        "Gavel's traces, with simulation_throughputs.json beside or above",
        "arrival, kind of job, steps, accelerators",
        "run times (from the throughputs, on v100), users, limits",
        "Narayanan et al., OSDI 2020; stanford-futuredata/gavel",
        _gavel,
    ),
)
"""In the order in which a file is held against them."""
