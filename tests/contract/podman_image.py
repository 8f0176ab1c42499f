"""A podman for tests, with a store and an image of its own: nothing of the machine's is seen or touched."""

import io
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

__all__ = ["IMAGE", "OPTIONS", "PodmanStore", "podman_problem"]

IMAGE = "localhost/weir-test:1"
OPTIONS = {} if os.geteuid() == 0 else {"limits": "off"}
"""The engine's: whether anybody but root may limit memory is up to the machine."""
_PROGRAMS = ("sh", "cat", "env", "ls", "sleep")


def podman_problem() -> str:
    """What is missing to test on a real podman; empty for nothing."""
    if shutil.which("podman") is None:
        return "podman is not installed"
    if os.geteuid() != 0 and subprocess.run(["podman", "unshare", "true"], check=False).returncode:
        return "podman does not work for this user, who may lack subordinate ids (package uidmap)"
    return ""


class PodmanStore:
    """Settings and a store in a folder; `environment` makes every podman use them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        storage, engine = folder / "storage.conf", folder / "containers.conf"
        # Copies instead of an overlay, which needs a file system that a test machine may not have.
        places = f'graphroot = "{folder}/store"\nrunroot = "{folder}/run"\n'
        storage.write_text(f'[storage]\ndriver = "vfs"\n{places}')
        engine.write_text(
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            + ('runtime = "runc"\n' if shutil.which("runc") else "")
        )
        self.environment = {"CONTAINERS_STORAGE_CONF": str(storage), "CONTAINERS_CONF": str(engine)}
        archive = folder / "image.tar"
        with tarfile.open(archive, "w") as image:
            for place, file in sorted({pair for program in _PROGRAMS for pair in _files(program)}):
                image.add(os.path.realpath(file), arcname=place)
            image.addfile(tarfile.TarInfo("only-in-the-image"), io.BytesIO())
        self.run("import", "--quiet", str(archive), IMAGE)

    def run(self, *arguments: str) -> str:
        """What podman writes; raises CalledProcessError where it fails."""
        return subprocess.run(
            ["podman", *arguments],
            check=True,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def names(self) -> list[str]:
        """The containers that there are."""
        return self.run("ps", "--all", "--format={{.Names}}").split()

    def close(self) -> None:
        self.run("rm", "--all", "--force", "--time=0")
        shutil.rmtree(self._folder, ignore_errors=True)


def _files(program: str) -> set[tuple[str, str]]:
    """Where a program and the libraries that it needs lie in the image, and here."""
    found = shutil.which(program)
    assert found
    libraries = subprocess.run(["ldd", found], check=True, capture_output=True, text=True).stdout
    return {(f"bin/{program}", found)} | {(place[1:], place) for place in re.findall(r"(/\S+) \(", libraries)}
