"""How the API server is reached: from a kubeconfig, or as a pod of the cluster itself."""

import base64
import json
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from weir.engines.kubernetes.plain_yaml import PlainYamlError, read_plain_yaml
from weir.engines.kubernetes.settings import Settings
from weir.model.problem import ProblemError, refused

__all__ = ["POD_ACCOUNT", "Access", "find_access"]

POD_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds the token of its service account."""

_LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Access:
    """An API server, and how to be let in. The token, where there is one, is read anew at each use of it."""

    host: str
    port: int
    path: str
    """What stands before every path, such as that of a proxy; empty for nothing."""
    tls: ssl.SSLContext | None
    token: str = ""
    token_file: Path | None = None
    namespace: str = "default"

    def headers(self) -> dict[str, str]:
        """What every request carries. Raises OSError where the token's file cannot be read."""
        token = self.token
        if self.token_file is not None:
            token = self.token_file.read_text(encoding="utf-8").strip()
        return {"Authorization": f"Bearer {token}"} if token else {}


def find_access(
    settings: Settings, folder: Path, environment: Mapping[str, str], account: Path = POD_ACCOUNT
) -> Access:
    """The access that the settings name, else `kubeconfig` in the agent's folder, else the pod's own.

    Raises ProblemError for a kubeconfig that cannot be used, naming the part and what is accepted.
    """
    path = settings.kubeconfig
    if path is None and (folder / "kubeconfig").exists():
        path = folder / "kubeconfig"
    if path is not None:
        return _of_kubeconfig(path, settings.context)
    if "KUBERNETES_SERVICE_HOST" in environment and (account / "token").exists():
        namespace = account / "namespace"
        return Access(
            environment["KUBERNETES_SERVICE_HOST"],
            int(environment.get("KUBERNETES_SERVICE_PORT", "443")),
            "",
            ssl.create_default_context(cafile=os.fspath(account / "ca.crt")),
            token_file=account / "token",
            namespace=namespace.read_text(encoding="utf-8").strip() if namespace.exists() else "default",
        )
    raise refused(
        "engine.options.kubeconfig",
        "",
        f"give the path of a kubeconfig here, or lay one at {folder / 'kubeconfig'}, "
        "or run the agent in a pod with a service account",
    )


def _of_kubeconfig(path: Path, wanted: str) -> Access:
    plain = _read(path)
    name = wanted or _text(path, plain, "current-context")
    context = _named(path, plain, "contexts", "context", name)
    cluster = _named(path, plain, "clusters", "cluster", _text(path, context, "cluster"))
    user = _named(path, plain, "users", "user", str(context["user"])) if context.get("user") else {}
    for unusable in ("exec", "auth-provider"):
        if unusable in user:
            raise _unusable(
                path,
                f"users[{context.get('user')}].user.{unusable}",
                "Weir runs no login programs: give a token, a tokenFile or a client certificate, "
                "such as a service account's",
            )
    if "username" in user:
        raise _unusable(
            path, "users.username", "servers no longer take passwords: give a token or certificate"
        )
    if cluster.get("proxy-url"):
        raise _unusable(path, "clusters.proxy-url", "not supported: let the agent reach the server itself")
    server = urlsplit(_text(path, cluster, "server"))
    if server.scheme not in ("http", "https") or not server.hostname:
        raise _unusable(path, "clusters.server", "give https://HOST:PORT")
    if server.scheme == "http" and server.hostname not in _LOCAL:
        raise _unusable(path, "clusters.server", "plain http is accepted to this machine only; give https")
    token, token_file = str(user.get("token", "")), user.get("tokenFile")
    return Access(
        server.hostname,
        server.port or (443 if server.scheme == "https" else 80),
        server.path.rstrip("/"),
        _tls(path, cluster, user) if server.scheme == "https" else None,
        "" if token_file else token,
        _beside(path, str(token_file)) if token_file else None,
        str(context.get("namespace") or "default"),
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise refused("engine.options.kubeconfig", path, f"it cannot be read: {error.strerror}") from error
    try:
        plain = json.loads(text) if text.lstrip().startswith("{") else read_plain_yaml(text)
    except (ValueError, PlainYamlError) as error:
        raise _unusable(
            path, "the file", f"{error}; `kubectl config view --raw -o json` writes one"
        ) from error
    if not isinstance(plain, dict):
        raise _unusable(path, "the file", "give a mapping, as kubectl writes it")
    return plain


def _tls(path: Path, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    if cluster.get("insecure-skip-tls-verify") in (True, "true"):
        raise _unusable(
            path,
            "clusters.insecure-skip-tls-verify",
            "the server's certificate is always checked: name its authority",
        )
    try:
        if "certificate-authority-data" in cluster:
            given = base64.b64decode(str(cluster["certificate-authority-data"]), validate=True)
            context = ssl.create_default_context(cadata=given.decode("ascii"))
        elif "certificate-authority" in cluster:
            context = ssl.create_default_context(cafile=_beside(path, str(cluster["certificate-authority"])))
        else:
            context = ssl.create_default_context()
        _load_client_certificate(context, path, user)
    except (OSError, ValueError) as error:
        raise _unusable(path, "its certificates", f"they cannot be used: {error}") from error
    if cluster.get("tls-server-name"):
        raise _unusable(
            path, "clusters.tls-server-name", "not supported: give the server by its certificate's name"
        )
    return context


def _load_client_certificate(context: ssl.SSLContext, path: Path, user: Mapping[str, Any]) -> None:
    parts = []
    for name in ("client-certificate", "client-key"):
        if f"{name}-data" in user:
            parts.append(base64.b64decode(str(user[f"{name}-data"]), validate=True))
        elif name in user:
            parts.append(_beside(path, str(user[name])).read_bytes())
    if len(parts) == 1:
        raise ValueError("client-certificate and client-key belong together")
    if parts:
        # The standard library reads keys from files alone; this one is gone before anything else happens.
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"\n".join(parts))
            file.flush()
            context.load_cert_chain(file.name)


def _named(path: Path, plain: Mapping[str, Any], listed: str, inner: str, name: str) -> Mapping[str, Any]:
    rows = plain.get(listed) or []
    for row in rows:
        if isinstance(row, dict) and str(row.get("name")) == name:
            found = row.get(inner) or {}
            if isinstance(found, dict):
                return found
    known = ", ".join(str(row.get("name")) for row in rows if isinstance(row, dict)) or "none"
    raise _unusable(path, listed, f"it has no {name!r}; it has {known}")


def _text(path: Path, plain: Mapping[str, Any], name: str) -> str:
    if not plain.get(name):
        raise _unusable(path, name, "it is missing")
    return str(plain[name])


def _beside(path: Path, name: str) -> Path:
    """A path in a kubeconfig is relative to the kubeconfig."""
    return path.parent / name


def _unusable(path: Path, part: str, accepted: str) -> ProblemError:
    return refused("engine.options.kubeconfig", f"{path}: {part}", accepted)
