"""What the core is told of a specification."""

from weir.control.pull import image_for
from weir.control.shapes import class_of, class_of_stored, stored_form
from weir.model.job import Delivery, Input, JobSpecification, Variant
from weir.registry.pool_rows import CAPABILITIES


def by_url(*urls: str) -> JobSpecification:
    inputs = tuple(Input(file=f"x{place}", url=url) for place, url in enumerate(urls))
    return JobSpecification(command=("true",), inputs=inputs)


def test_an_input_by_url_asks_for_a_centre_that_fetches_it() -> None:
    made = class_of(by_url("s3://b/x", "https://h.example/x", "https://h.example/y"))
    assert ("url/https", "url/s3") == made.capabilities
    assert CAPABILITIES >= set(made.capabilities), "what is declared alone rules nothing out"
    assert (
        ()
        == class_of(
            JobSpecification(command=("true",), inputs=(Input(file="x", digest="0" * 64),))
        ).capabilities
    )


def test_a_delivery_asks_for_a_centre_that_writes_there_wherever_it_is() -> None:
    jobs = [
        JobSpecification(command=("true",), deliver=(Delivery("x", url), Delivery("y", f"{url}z/")))
        for url in ("s3://b/x/", "s3://c/")
    ]
    assert all(("deliver/s3",) == class_of(job).capabilities for job in jobs)
    assert {"deliver/s3"} <= CAPABILITIES
    stored = [class_of_stored(stored_form(job, "p", 1_000)) for job in jobs]
    assert stored[0] is stored[1]
    assert class_of(jobs[0]) == stored[0]


def test_an_image_asks_for_a_centre_that_runs_it_whichever_it_is() -> None:
    jobs = [JobSpecification(command=("true",), image=image) for image in ("a/b:1", "c")]
    assert all(("containers",) == class_of(job).capabilities for job in jobs)
    stored = [class_of_stored(stored_form(job, "p", 1_000)) for job in jobs]
    assert stored[0] is stored[1]
    assert class_of(jobs[0]) == stored[0]
    by_stack = JobSpecification(
        variants=(Variant("cann", ("a",), image="npu:1"), Variant("cuda", ("b",))), image="gpu:1"
    )
    assert ("npu:1", "gpu:1") == (image_for(by_stack, "cann"), image_for(by_stack, "cuda"))


def test_from_where_does_not_shape_a_class() -> None:
    one, other = by_url("https://h.example/x"), by_url("https://h.example/y", "https://z.example/q")
    stored = [class_of_stored(stored_form(each, "p", 1_000)) for each in (one, other)]
    assert stored[0] is stored[1]
    assert class_of(one) == stored[0]
