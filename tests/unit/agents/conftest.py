"""What the agent's tests share: a centre whose agent has told and heard everything there was."""

import pytest

from tests.unit.agents.centre import Centre


@pytest.fixture
def centre() -> Centre:
    made = Centre()
    made.settle()
    return made
