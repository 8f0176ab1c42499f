from pathlib import Path

from weir.agents.reserve import Reserve


def test_room_is_kept_and_given_up_once(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 8_192)
    assert reserve.keep()
    assert reserve.keep()
    assert 16 <= (tmp_path / "reserve").stat().st_blocks, "the room is really taken"
    assert reserve.give_up()
    assert not reserve.give_up()
    assert [] == list(tmp_path.iterdir())


def test_where_there_is_no_room_nothing_is_left(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 1 << 60)
    assert not reserve.keep()
    assert [] == list(tmp_path.iterdir())
