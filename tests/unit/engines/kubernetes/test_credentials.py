"""Kubeconfigs: what is read, and what is refused, each with a word on what to do."""

import json
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from weir.engines.kubernetes.credentials import find_access
from weir.engines.kubernetes.plain_yaml import PlainYamlError, read_plain_yaml
from weir.engines.kubernetes.settings import Settings
from weir.model.problem import ProblemError

WRITTEN = """\
# as kubectl writes it
apiVersion: v1
kind: Config
current-context: one
clusters:
- cluster:
    server: "http://127.0.0.1:6443/prefix/"   # here
  name: c
- name: tls
  cluster: {}
contexts:
- context:
    cluster: c
    user: u
    namespace: jobs
  name: one
- context: {}
  name: none
preferences: {}
users:
- name: u
  user:
    token: 'abc:def'
"""


def config(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = read_plain_yaml(WRITTEN)
    for path, value in changes.items():
        part, _, field = path.partition("__")
        [row] = [row for row in found[f"{part}s"] if row["name"] in ("c", "one", "u")]
        if value is None:
            del row[part][field]
        else:
            row[part][field.replace("_", "-")] = value
    return found


def access_of(folder: Path, text: str, **options: str) -> Any:
    path = folder / "given.yaml"
    path.write_text(text)
    return find_access(Settings.read({"kubeconfig": str(path), **options}), folder, {})


def test_a_kubeconfig_as_kubectl_writes_it(tmp_path: Path) -> None:
    for text in (WRITTEN, json.dumps(config())):
        found = access_of(tmp_path, text)
        assert ("127.0.0.1", 6443, "/prefix", "jobs", None) == (
            found.host,
            found.port,
            found.path,
            found.namespace,
            found.tls,
        )
        assert {"Authorization": "Bearer abc:def"} == found.headers()


def test_a_token_file_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    found = access_of(tmp_path, json.dumps(config(user__tokenFile="token")))
    assert {"Authorization": "Bearer first"} == found.headers()
    (tmp_path / "token").write_text("second\n")
    assert {"Authorization": "Bearer second"} == found.headers()


def test_one_in_the_agents_folder_needs_no_option(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(WRITTEN)
    assert 6443 == find_access(Settings(), tmp_path, {}).port


def test_a_pod_uses_its_own_account(tmp_path: Path) -> None:
    for name, text in (("token", "t"), ("namespace", "here\n"), ("ca.crt", certificate(tmp_path))):
        (tmp_path / name).write_text(text)
    environment = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    found = find_access(Settings(), tmp_path / "none", environment, account=tmp_path)
    assert ("10.0.0.1", 6443, "here") == (found.host, found.port, found.namespace)
    assert isinstance(found.tls, ssl.SSLContext)
    with pytest.raises(ProblemError, match="give the path of a kubeconfig"):
        find_access(Settings(), tmp_path / "none", {}, account=tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"user__exec": {"command": "aws"}}, "Weir runs no login programs"),
        ({"user__auth_provider": {"name": "gcp"}}, "Weir runs no login programs"),
        ({"user__username": "admin"}, "no longer take passwords"),
        ({"cluster__server": "http://192.0.2.1:80"}, "plain http is accepted to this machine only"),
        ({"cluster__server": "ftp://x"}, "give https://HOST:PORT"),
        ({"cluster__server": None}, "it is missing"),
        ({"cluster__proxy_url": "http://x"}, "not supported"),
        ({"context__cluster": "other"}, "it has no 'other'; it has c, tls"),
        ({"cluster__server": "https://x", "cluster__insecure_skip_tls_verify": True}, "always checked"),
        ({"cluster__server": "https://x", "cluster__certificate_authority": "none.pem"}, "cannot be used"),
        ({"cluster__server": "https://x", "user__client_certificate_data": "eA=="}, "belong together"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        access_of(tmp_path, json.dumps(config(**changes)))


def test_other_contexts_and_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="it has no 'x'; it has one, none"):
        access_of(tmp_path, WRITTEN, context="x")
    with pytest.raises(ProblemError, match="cannot be read: No such file"):
        find_access(Settings.read({"kubeconfig": "/nowhere/at/all"}), tmp_path, {})
    with pytest.raises(ProblemError, match=r"line 1: '\*x' is no plain value"):
        access_of(tmp_path, "a: &x 1\n".replace("&x 1", "*x"))


def test_certificates_are_loaded(tmp_path: Path) -> None:
    certificate(tmp_path)
    changes = {
        "cluster__server": "https://kubernetes.example.org",
        "cluster__certificate_authority": "cert.pem",
        "user__client_certificate": "cert.pem",
        "user__client_key": "key.pem",
    }
    found = access_of(tmp_path, json.dumps(config(**changes)))
    assert 443 == found.port
    assert found.tls.check_hostname


def certificate(folder: Path) -> str:
    openssl = shutil.which("openssl")
    assert openssl, "openssl makes the certificate"
    options = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    options += ["-days", "2", "-subj", "/CN=x"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([openssl, *options, *files], check=True, capture_output=True)
    return (folder / "cert.pem").read_text()


words = st.text("abcXYZ019 .:/_-#'\"\\é", max_size=12)
plain = st.recursive(
    words,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc-_.", min_size=1), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text("abc-_.", min_size=1, max_size=4), plain, min_size=1))
def test_what_it_reads_is_what_yaml_means(value: dict[str, Any]) -> None:
    text = yaml.safe_dump(value, default_flow_style=False, width=10_000, allow_unicode=True)
    try:
        found = read_plain_yaml(text)
    except PlainYamlError:
        return  # what it does not know it refuses
    assert as_text(yaml.load(text, yaml.BaseLoader)) == as_text(found)  # noqa: S506 (makes nothing but text)


def as_text(value: Any) -> Any:
    """All scalars as the text that was written; empty is empty."""
    if isinstance(value, dict):
        return {str(key): as_text(item) for key, item in value.items()} or ""
    if isinstance(value, list):
        return [as_text(item) for item in value] or ""
    return (
        ""
        if value in (None, "null", "~", "{}", "[]")
        else str(value).lower()
        if isinstance(value, bool)
        else value
    )


@pytest.mark.parametrize(
    "text",
    ["a: &x 1", "a: *x", "a: !t 1", "a: |\n  b", "a: {b: c}", "a: [b]", "a\n", "a: 1\na: 2", "a:\n\tb: 1",
     "a: 1\n---\nb: 2", "a: 'b", "a: b: c", "a: 1\n  b: 2"],
)  # fmt: skip
def test_what_is_more_than_plain_is_refused(text: str) -> None:
    with pytest.raises(PlainYamlError, match="line"):
        read_plain_yaml(text)
