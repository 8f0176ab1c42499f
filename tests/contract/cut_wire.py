"""A wire between a driver and its engine's server that can be cut, and that can lose answers."""

import contextlib
import socket
import threading
from collections.abc import Iterator


class CutWire:
    """Passes connections on to a port of this machine."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._cut = False
        self._deaf = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.getsockname()[1])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """While entered, every connection is closed."""
        self._cut = True
        self._close_all()
        try:
            yield
        finally:
            self._cut = False

    @contextlib.contextmanager
    def deaf(self) -> Iterator[None]:
        """While entered, what is asked arrives, and no answer comes back."""
        self._deaf = True
        try:
            yield
        finally:
            self._deaf = False
            self._close_all()

    def close(self) -> None:
        self._server.close()
        self._close_all()

    def _close_all(self) -> None:
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if self._cut:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._to_port))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            threading.Thread(target=self._pass_on, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(far, near, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65_536):
                if answers and self._deaf:
                    break
                sink.sendall(piece)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        source.close()
