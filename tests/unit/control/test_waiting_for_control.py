"""Whoever asks the scheduler for a forecast does not wait for a step."""

import threading
from typing import Any, cast

import pytest

from weir.control.cycle import Control, ControlSettings
from weir.control.expectations import Kind


class Busy:
    """A store whose reader and writer are taken until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def read(self, work: Any) -> Any:
        self.entered.set()
        assert self.let_go.wait(30)
        raise TimeoutError

    write = read


def test_a_forecast_is_not_waited_for_while_a_step_waits_for_the_store() -> None:
    store = Busy()
    control = Control(cast("Any", store), ControlSettings(), "holder")

    def step() -> None:
        with pytest.raises(TimeoutError):
            control.step(1)

    stepping = threading.Thread(target=step)
    stepping.start()
    try:
        assert store.entered.wait(30)
        assert control.forecast(Kind("o", "u", "p", 1, 1_000), 1) is None
    finally:
        store.let_go.set()
        stepping.join()
