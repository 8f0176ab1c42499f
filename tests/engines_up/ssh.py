"""An SSH server on this machine for tests: OpenSSH's own, on a port of its own, with keys of its own."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

__all__ = ["SshServer", "ssh_missing"]

HOST = "login"
_SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
"""
_CLIENT = """\
Host {name}
HostName 127.0.0.1
HostKeyAlias {name}
Port {port}
IdentityFile {folder}/user
IdentitiesOnly yes
UserKnownHostsFile {known}
GlobalKnownHostsFile /dev/null
StrictHostKeyChecking {strict}
"""


def ssh_missing() -> str:
    """Why no server can be brought up here; empty where one can."""
    lacking = [name for name in ("ssh", "ssh-keygen") if shutil.which(name) is None]
    lacking += [] if _sshd() else ["sshd"]
    return f"no {', '.join(lacking)}: install openssh-server and openssh-client" if lacking else ""


class SshServer:
    """Takes the one key that it has made, for whoever runs it. It listens once this is made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("host", "other", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True, timeout=20
            )
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            self.port = int(trial.getsockname()[1])
        (folder / "sshd_config").write_text(_SERVER.format(port=self.port, folder=folder))
        if os.geteuid() == 0:
            # Where the server's unprivileged part lives; a service manager would make it.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_sshd(), "-D", "-e", "-f", folder / "sshd_config"], stdin=subprocess.DEVNULL, stderr=log
            )
        self._wait()

    def config(self, name: str, *, port: int | None = None, known: str = "host", strict: bool = True) -> Path:
        """A client's configuration, in which the server is called HOST.

        `known` names the key that the client takes for the server's: `host`, `other`, or none. `port` is that of a
        wire to it.
        """
        place = self._folder / f"{name}.config"
        hosts = self._folder / f"{name}.known"
        hosts.write_text(f"{HOST} {(self._folder / f'{known}.pub').read_text()}" if known else "")
        place.write_text(
            _CLIENT.format(
                name=HOST,
                port=port or self.port,
                folder=self._folder,
                known=hosts,
                strict="yes" if strict else "ask",
            )
        )
        return place

    def close(self) -> None:
        """End it; sessions that are open go on to their ends."""
        self._process.terminate()
        self._process.wait(10)

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                said = (self._folder / "log").read_text()
                assert self._process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.05)
            else:
                return


def _sshd() -> str:
    # It must be started by its absolute path.
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin") or ""
