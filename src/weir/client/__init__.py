"""The Python client of Weir: typed, synchronous, and what the command line itself speaks through."""

from weir.client.client import Client
from weir.client.errors import (
    AnswerError,
    ApiError,
    ChecksumError,
    ClientError,
    SettingsError,
    UnreachableError,
    UntrustedError,
)
from weir.client.settings import Settings, load_settings, settings_path, write_settings
from weir.client.transport import Answer, Transport


def connect(*, timeout_s: float = 30.0) -> Client:
    """A client from WEIR_URL and WEIR_TOKEN_FILE (or WEIR_TOKEN), else from the settings file.

    Raises SettingsError, whose message says what to do.
    """
    import os
    from pathlib import Path

    settings = load_settings(os.environ, Path.home())
    return Client(
        settings.url, settings.token, timeout_s=timeout_s, ca_file=settings.ca_file, proxy=settings.proxy
    )


__all__ = [
    "Answer",
    "AnswerError",
    "ApiError",
    "ChecksumError",
    "Client",
    "ClientError",
    "Settings",
    "SettingsError",
    "Transport",
    "UnreachableError",
    "UntrustedError",
    "connect",
    "load_settings",
    "settings_path",
    "write_settings",
]
