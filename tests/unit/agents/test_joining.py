"""Joining: where the code comes from, how the token is kept."""

import io
import stat
from pathlib import Path

import pytest

from tests.unit.agents.web import web
from weir.agents.folder import AgentFolder, Settings
from weir.agents.joining import join, read_code
from weir.agents.transport import ForbiddenError, HttpTransport
from weir.model.problem import ProblemError


def no_prompt(text: str) -> str:
    raise AssertionError("nothing is asked without a terminal")


def test_the_token_is_kept_for_the_owner_alone(tmp_path: Path) -> None:
    folder = AgentFolder(tmp_path / "agent")
    with web(lambda request: (200, {"token": "s3cret", "centre": "hefei"}, {})) as (server, port):
        there = HttpTransport(f"http://127.0.0.1:{port}", environ={})
        assert "hefei" == join(there, folder, "once")
        there.close()
    assert b'{"code":"once"}' == server.requests[0].body
    assert "Authorization" not in server.requests[0].headers
    assert 0o600 == stat.S_IMODE(folder.token_file.stat().st_mode)
    assert "s3cret" == folder.read_token()
    with pytest.raises(ProblemError, match="has joined a centre already"):
        join(there, folder, "twice")


def test_a_refused_code_leaves_no_token(tmp_path: Path) -> None:
    folder = AgentFolder(tmp_path / "agent")
    refusal: tuple[int, dict[str, str], dict[str, str]] = (403, {"title": "this code was used"}, {})
    with web(lambda request: refusal) as (_, port), pytest.raises(ForbiddenError, match="this code was used"):
        join(HttpTransport(f"http://127.0.0.1:{port}", environ={}), folder, "used")
    assert "" == folder.read_token()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_token_that_others_could_touch_is_refused(tmp_path: Path, mode: int) -> None:
    folder = AgentFolder(tmp_path)
    folder.write_token("s3cret")
    folder.token_file.chmod(mode)
    with pytest.raises(ProblemError, match="chmod 600"):
        folder.read_token()


def test_the_code_comes_from_a_file_of_the_owner_or_from_stdin(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.write_text("once\n")
    code.chmod(0o600)
    assert "once" == read_code(code, io.StringIO("other"), no_prompt)
    assert "other" == read_code(None, io.StringIO("other\nmore"), no_prompt)
    code.chmod(0o644)
    with pytest.raises(ProblemError, match="only its owner"):
        read_code(code, io.StringIO(), no_prompt)


def test_at_a_terminal_the_code_is_asked_for() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert "typed" == read_code(None, Terminal(), lambda text: "typed ")


@pytest.mark.parametrize("code", ["", "two words", "x" * 600])
def test_what_is_no_code_is_refused_before_anything_is_sent(code: str) -> None:
    with pytest.raises(ProblemError, match="one-time code"):
        read_code(None, io.StringIO(code), no_prompt)


def test_settings_are_kept_and_checked(tmp_path: Path) -> None:
    folder = AgentFolder(tmp_path)
    assert None is folder.read_settings()
    folder.write_settings(Settings("https://weir.example.org", work_root="/shared"))
    assert Settings("https://weir.example.org", work_root="/shared") == folder.read_settings()
    folder.settings_file.write_text('{"adress": "https://weir.example.org"}')
    with pytest.raises(ProblemError, match="an object with url"):
        folder.read_settings()


def test_one_agent_holds_a_folder(tmp_path: Path) -> None:
    folder = AgentFolder(tmp_path / "agent")
    assert not folder.is_locked()
    with folder.locked():
        assert folder.is_locked()
        with (
            pytest.raises(ProblemError, match="another agent runs"),
            AgentFolder(tmp_path / "agent").locked(),
        ):
            raise AssertionError("two hold it")
    assert not folder.is_locked()
