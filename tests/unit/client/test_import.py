"""The client starts light: a command line should not wait for it."""

import subprocess
import sys

import weir.client

HEAVY = ["pydantic", "numpy", "numba", "typer", "rich", "fastapi", "sqlalchemy", "yaml", "urllib3", "hashlib"]


def test_nothing_heavy_is_imported() -> None:
    code = f"import sys, weir.client; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == result.stdout.strip()


def test_public_face_is_what_it_says() -> None:
    assert sorted(weir.client.__all__) == weir.client.__all__
    assert all(hasattr(weir.client, name) for name in weir.client.__all__)
