"""Where the client finds its server and token, and what it refuses."""

from pathlib import Path

import pytest

from weir.client import SettingsError, load_settings, settings_path, write_settings
from weir.client.settings import checked_url, read_token


def token_file(folder: Path, text: str = "secret\n", mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_environment_names_server_and_token_file(tmp_path: Path) -> None:
    environment = {"WEIR_URL": "https://weir.example/", "WEIR_TOKEN_FILE": str(token_file(tmp_path))}
    settings = load_settings(environment, tmp_path)
    assert ("https://weir.example", "secret") == (settings.url, settings.token)


def test_settings_file_is_used_and_honours_xdg(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    path = settings_path(environment, tmp_path)
    assert tmp_path / "xdg" / "weir" / "client.json" == path
    write_settings(path, "http://127.0.0.1:7411", token_file(tmp_path))
    settings = load_settings(environment, tmp_path)
    assert ("http://127.0.0.1:7411", "secret") == (settings.url, settings.token)


def test_token_of_the_file_is_not_sent_to_another_server(tmp_path: Path) -> None:
    write_settings(settings_path({}, tmp_path), "http://127.0.0.1:7411", token_file(tmp_path))
    with pytest.raises(SettingsError, match="no token for https://other"):
        load_settings({"WEIR_URL": "https://other.example"}, tmp_path)


def test_nothing_known_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="weir serve"):
        load_settings({}, tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_token_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SettingsError, match="chmod 600"):
        read_token(token_file(tmp_path, mode=mode))


@pytest.mark.parametrize("text", ["", "\n", "two words", "a\x00b", "schlüssel"])
def test_token_that_no_header_can_carry_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="no token"):
        read_token(token_file(tmp_path, text))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://localhost", "http://[::1]:7411", "https://far.example"]
)
def test_url_that_keeps_the_token_safe_is_taken(url: str) -> None:
    assert url == checked_url(url + "/")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://far.example", "plain http"),
        ("http://127.0.0.1.far.example", "plain http"),
        ("http://10.0.0.1", "plain http"),
        ("far.example", "not a server's address"),
        ("ftp://far.example", "not a server's address"),
        ("https://user:pass@far.example", "neither user"),
    ],
)
def test_other_urls_are_refused(url: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        checked_url(url)


@pytest.mark.parametrize("text", ["{", "[]", '{"url": 3}', '{"adress": "x"}'])
def test_damaged_settings_file_is_named(tmp_path: Path, text: str) -> None:
    path = settings_path({}, tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"client\.json"):
        load_settings({}, tmp_path)


def test_proxy_is_honoured_for_https_alone(tmp_path: Path) -> None:
    environment = {"WEIR_TOKEN": "t", "HTTPS_PROXY": "proxy.example:3128", "NO_PROXY": "near.example"}
    assert (
        "http://proxy.example:3128"
        == load_settings(environment | {"WEIR_URL": "https://far.example"}, tmp_path).proxy
    )
    assert "" == load_settings(environment | {"WEIR_URL": "https://a.near.example"}, tmp_path).proxy
    assert "" == load_settings(environment | {"WEIR_URL": "http://127.0.0.1"}, tmp_path).proxy


def test_settings_do_not_show_the_token(tmp_path: Path) -> None:
    settings = load_settings({"WEIR_URL": "https://far.example", "WEIR_TOKEN": "hidden"}, tmp_path)
    assert "hidden" not in repr(settings)
