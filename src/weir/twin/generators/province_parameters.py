"""What a generated province is like: every number that the generator uses, with its reason.

The province is made up. Its scale follows what is published of Anhui's platform (34 centres; see provinces/anhui.yaml);
device models are those of the catalogue; prices are that file's illustrative ones.
"""

from dataclasses import dataclass, field, replace

from weir.twin.generators.estimates import ATTENTIVE, Estimates
from weir.twin.generators.people import Habits


@dataclass(frozen=True, slots=True)
class NodeModel:
    """A kind of node that centres buy."""

    device: str
    """Id in the device catalogue: the accelerator, or the CPU where it has none."""
    weight: float
    """How often a centre chooses it, among those of its kind."""
    devices: int
    cores: int
    memory_gib: int
    price_yuan: float
    """For a device and hour; for a core and hour where there are no devices. Before the centre's own factor."""
    speed: float
    """Of one device (or core) against the reference, for work that suits it."""


# Speeds of accelerators are the catalogue's dense fp16 peak over 312 TFLOPS (A100, the reference), to the power 0.7:
# real training gains less than the peak promises; Gavel's measured throughputs from K80 to V100 show the same. H20 has
# a low peak and fast memory, so it is set to 0.75. The catalogue has no power for some domestic cards (see `watts`).
ACCELERATORS = (
    NodeModel("huawei-ascend-910b2", 4.0, 8, 192, 1_536, 9.00, 1.15),
    NodeModel("huawei-ascend-910b3", 3.0, 8, 192, 1_536, 8.00, 1.00),
    NodeModel("huawei-ascend-910b", 2.0, 8, 192, 1_024, 7.50, 0.95),
    NodeModel("huawei-ascend-910c", 2.0, 8, 256, 2_048, 18.00, 1.85),
    NodeModel("nvidia-a100-sxm-80gb", 3.0, 8, 128, 2_048, 10.50, 1.00),
    NodeModel("nvidia-a100-sxm-40gb", 1.5, 8, 128, 1_024, 8.00, 1.00),
    NodeModel("nvidia-h100-sxm-80gb", 1.5, 8, 112, 2_048, 20.00, 2.25),
    NodeModel("nvidia-h20-sxm-96gb", 2.0, 8, 112, 2_048, 10.00, 0.75),
    NodeModel("nvidia-rtx-4090", 1.0, 8, 64, 512, 2.40, 0.65),
    NodeModel("hygon-dcu-bw1000", 2.0, 8, 128, 1_024, 9.50, 1.35),
    NodeModel("hygon-dcu-k100-ai", 1.5, 8, 64, 1_024, 5.00, 0.70),
    NodeModel("metax-c500", 2.0, 8, 112, 1_024, 6.50, 0.95),
    NodeModel("cambricon-mlu370-x8", 0.8, 8, 64, 512, 3.00, 0.45),
    NodeModel("iluvatar-bi-v100", 0.8, 8, 64, 512, 3.00, 0.60),
)
EDGE_ACCELERATORS = (
    NodeModel("nvidia-rtx-4090", 2.0, 4, 32, 256, 2.40, 0.65),
    NodeModel("cambricon-mlu370-x4", 1.0, 4, 64, 256, 2.00, 0.45),
    NodeModel("iluvatar-mr-v100", 1.0, 4, 64, 256, 1.80, 0.45),
)
# Speeds of cores are estimates from fp64 peak and clock, the reference being the Xeon 8358.
CPUS = (
    NodeModel("intel-xeon-platinum-8358", 3.0, 0, 64, 512, 0.10, 1.00),
    NodeModel("intel-xeon-platinum-8480-plus", 2.0, 0, 112, 1_024, 0.12, 1.10),
    NodeModel("amd-epyc-9654", 2.0, 0, 192, 1_536, 0.11, 1.15),
    NodeModel("amd-epyc-7763", 2.0, 0, 128, 1_024, 0.09, 1.00),
    NodeModel("hygon-c86-7390", 1.5, 0, 64, 512, 0.08, 0.75),
    NodeModel("huawei-kunpeng-920-7260", 2.0, 0, 128, 512, 0.07, 0.70),
    NodeModel("phytium-s2500", 1.0, 0, 128, 512, 0.05, 0.50),
)


@dataclass(frozen=True, slots=True)
class ProvinceParameters:
    """One province and its year of work, before the seed is drawn. Fixed before any policy was tuned."""

    cities: int = 16
    """As many as Anhui has."""
    extent_km: tuple[float, float] = (400.0, 500.0)
    city_weight: float = 0.8
    """The city of rank r has r**-0.8 of users and of centres beyond its first, as a capital outweighs the others."""
    intelligent: int = 18
    supercomputing: int = 4
    general: int = 6
    edge: int = 6
    """Centres by kind: 34."""
    devices: int = 47_000
    """Accelerators in all, within one node a pool."""
    cpu_nodes: int = 1_200
    """Nodes without accelerators, of about 100 cores each."""
    size_spread: float = 0.8
    """Deviation of the logarithm of pool sizes: the largest of 18 centres is about ten times the smallest."""
    least_nodes: int = 16
    edge_nodes: tuple[int, int] = (10, 24)
    second_pool: float = 0.5
    """Share of the intelligent centres with a second device model."""
    price_spread: float = 0.30
    """Centres ask from 30 % below to 30 % above the list price, evenly."""
    speed_spread: float = 0.05
    """Cooling, network and drivers make equal devices differ by up to so much between centres."""
    carbon_g_per_kwh: tuple[int, int] = (450, 750)
    """Around Anhui's average of 678 g: centres buy unlike shares of green power."""
    watts: int = 350
    """Of a device whose model has no published power."""
    core_hour_yuan: float = 0.10
    """Of a core in nodes with accelerators."""

    same_city_gbit_s: float = 20.0
    backbone_gbit_s: tuple[float, float] = (2.0, 10.0)
    edge_gbit_s: float = 1.0
    """What one transfer gets of a link: within a city, between cities, to an edge centre. Every two centres are
    linked; latency is 0.3 ms and 1 ms for each 100 km."""

    jobs: int = 300_000
    cpu_share: float = 0.45
    """Of the jobs (in the Helios logs about half of the jobs use CPUs alone)."""
    cpu_load: float = 0.8
    """Load of the CPU pools as a part of the binding kind's, which so always is of accelerators."""
    tenants: int = 150
    """Organisations; the one of rank r has r**-0.9 of the users."""
    habits: Habits = field(default=Habits())
    estimates: Estimates = field(default=replace(ATTENTIVE, longest_s=7 * 86_400))

    gangs: tuple[tuple[int, float], ...] = (
        (1, 0.480), (2, 0.100), (4, 0.120), (8, 0.160), (16, 0.060), (32, 0.040), (64, 0.022), (128, 0.011),
        (256, 0.005), (512, 0.002),
    )  # fmt: skip
    """Devices of a job and their share of the jobs: about half use one and nearly nine in ten at most eight, as in
    Philly, Helios and PAI; those above take nine tenths of the device hours, as in clusters that train large models."""
    run_median_s: float = 900.0
    run_growth: float = 0.35
    run_spread: float = 1.8
    run_narrowing: float = 0.05
    longest_run_s: int = 3 * 86_400
    """Run time at reference speed: log-normal, median 15 minutes for one device and more by 42 % (exp 0.35) at each
    doubling, the deviation of its logarithm falling by 0.05: in the mean two hours, against 3.6 in Philly, whose
    larger jobs run longer too. Cut off at three days."""
    cpu_cores: tuple[tuple[int, float], ...] = (
        (1, 0.20), (2, 0.06), (4, 0.12), (8, 0.12), (16, 0.14), (32, 0.14), (64, 0.09), (128, 0.07), (256, 0.04),
        (512, 0.015), (1_024, 0.005),
    )  # fmt: skip
    cpu_run_median_s: float = 1_200.0
    cpu_run_growth: float = 0.12
    """Cores of a CPU job, after the Parallel Workloads Archive: a fifth to two fifths serial, powers of two."""

    native: float = 0.72
    stack_noise: float = 0.05
    """Share of the accelerator users whose programs run on one software stack alone. Work is spread over the stacks
    by what the province has of each, give or take a twentieth (the deviation of the logarithm): nobody builds for years
    what nobody uses."""
    ported: tuple[float, float] = (0.60, 1.00)
    """A ported program's speed on each other stack, against its own, in steps of 0.05."""
    most_stacks: int = 3
    cpu_native: float = 0.80
    """Share of the CPU users who are bound to one instruction set."""
    domestic: float = 0.10
    """Share of the users who may use devices of Chinese vendors alone (信创)."""
    large_memory: float = 0.20
    large_memory_gib: int = 64
    """Share of programs that need a device with so much memory, as large models do."""
    with_data: float = 0.60
    data_median_gib: float = 32.0
    data_spread: float = 2.0
    most_data_gib: int = 8_192
    """Share of programs with input at the user's home city, and how much; log-normal, in powers of two."""
    preferences: tuple[tuple[float, int, int, int], ...] = field(
        default=(
            (0.6, 1_000, 1_000, 0),
            (0.15, 3_000, 1_000, 0),
            (0.2, 1_000, 3_000, 0),
            (0.05, 1_000, 1_000, 1_000),
        )
    )
    """Share of the users, and their weights of time, money and carbon: even, in a hurry, thrifty, green."""

    day_swing: float = 0.45
    day_peak_h: float = 15.0
    weekend: float = 0.65
    """Sessions begin at a rate that swings by 45 % around its mean over the day, most at 15:00, and falls to 65 % of
    a weekday's on Saturday and Sunday, so that at 0.85 the afternoons of weekdays are overloaded and nights are not."""


__all__ = ["ACCELERATORS", "CPUS", "EDGE_ACCELERATORS", "NodeModel", "ProvinceParameters"]
