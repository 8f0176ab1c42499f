"""What a job chooses of a Slurm site's means: typed, by name, and refused where it is no such thing."""

from dataclasses import replace

import pytest

from weir.engines.slurm.settings import PoolSettings, chosen
from weir.model.problem import ProblemError

POOL = PoolSettings(partition="npu", account="guest", qos="low", gres="gpu:ascend910b")


def test_what_a_job_chooses_goes_in_the_place_of_the_pools_own() -> None:
    given = {"account": "acme", "qos": "high", "constraint": "a100&nvlink", "licenses": "fluent:2"}
    assert chosen(POOL, given) == replace(
        POOL, account="acme", qos="high", constraint="a100&nvlink", licenses="fluent:2"
    )
    assert chosen(POOL, {}) == POOL


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("qos", "--uid=0", "give a name of letters"),
        ("account", "a b", "give a name of letters"),
        ("licenses", "fluent:2;rm", "give licences such as"),
        ("reservation", "mine", "a job may choose"),
        ("gres", "gpu", "a job may choose"),
    ],
)
def test_anything_else_is_refused_by_name(name: str, value: str, said: str) -> None:
    with pytest.raises(ProblemError, match=said) as refused:
        chosen(POOL, {name: value})
    assert f"options.{name}" in str(refused.value)
