"""Who only lists centres does not pay for reading files."""

import subprocess
import sys


def test_yaml_and_pydantic_are_loaded_only_where_a_file_is_read() -> None:
    program = "import sys, weir.registry; print(sorted({'yaml', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "[]" == done.stdout.strip()
