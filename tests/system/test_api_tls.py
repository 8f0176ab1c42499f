"""Over https: the client believes the certificates that it is told to, and no others."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.api_world import now_ms
from weir.access import create_token
from weir.api import Services, create_app, listening_socket
from weir.api.server import ServerThread
from weir.client import Client, UnreachableError, UntrustedError
from weir.files import BlobStore, LogStore
from weir.model.role import Role
from weir.store import open_store


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own for 127.0.0.1, with its key beside it."""
    openssl = shutil.which("openssl")
    if openssl is None and "CI" not in os.environ:
        pytest.skip("the openssl program makes the certificate; it is not here")
    assert openssl, "CI must have the openssl program"
    folder = tmp_path_factory.mktemp("tls")
    asked = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=weir -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([openssl, *asked.split(), *files], cwd=folder, check=True, capture_output=True, timeout=60)
    return folder / "cert.pem"


@pytest.fixture(scope="module")
def served(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and token of a server with that certificate."""
    folder = tmp_path_factory.mktemp("api")
    with open_store(f"sqlite:///{folder / 'weir.db'}") as store:
        _, token = store.write(
            lambda tx: create_token(
                tx, name="c", role=Role.COORDINATOR, now_ms=now_ms(), random_bits=secrets.randbits
            )
        )
        blobs, logs = BlobStore(folder / "blobs"), LogStore(folder / "logs")
        app = create_app(Services(store, blobs, logs, now_ms, secrets.randbits, "test"))
        listening = listening_socket("127.0.0.1", 0)
        with ServerThread(
            app, listening, certificate=certificate, key=certificate.with_name("key.pem")
        ) as server:
            yield server.url, token


def test_known_certificate_is_believed(served: tuple[str, str], certificate: Path) -> None:
    url, token = served
    assert url.startswith("https://")
    with Client(url, token, ca_file=str(certificate)) as client:
        assert "coordinator" == client.whoami().role


def test_unknown_certificate_is_refused_with_what_to_do(served: tuple[str, str]) -> None:
    url, token = served
    pauses: list[float] = []
    with (
        Client(url, token, sleep=pauses.append) as client,
        pytest.raises(UntrustedError, match="WEIR_CA_FILE"),
    ):
        client.whoami()
    assert [] == pauses


def test_file_that_holds_no_certificate_is_named(served: tuple[str, str], tmp_path: Path) -> None:
    url, token = served
    (tmp_path / "ca.pem").write_text("nonsense")
    with (
        Client(url, token, ca_file=str(tmp_path / "ca.pem"), sleep=lambda _: None) as client,
        pytest.raises(UnreachableError, match=r"certificate|CA"),
    ):
        client.whoami()
