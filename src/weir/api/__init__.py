"""HTTP: the user API, the agent protocol, the events stream, metrics. It has no rules of its own."""

from weir.api.app import create_app
from weir.api.metrics import Meters
from weir.api.server import Server, listening_socket, run_server
from weir.api.services import ApiSettings, Services

__all__ = ["ApiSettings", "Meters", "Server", "Services", "create_app", "listening_socket", "run_server"]
