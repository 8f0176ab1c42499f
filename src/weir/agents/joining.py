"""How an agent joins its centre: a one-time code, never on a command line, is exchanged for its token."""

from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from weir.agents.folder import AgentFolder, read_secret
from weir.agents.transport import Transport
from weir.model.problem import conflict, refused


def read_code(code_file: Path | None, stdin: TextIO, prompt: Callable[[str], str]) -> str:
    """The one-time code: from a file that only its owner may read, else typed at a terminal, else from stdin.

    `prompt` asks without echo, as `getpass.getpass` does. Raises ProblemError when there is none.
    """
    if code_file is not None:
        try:
            code = read_secret(code_file)
        except FileNotFoundError:
            raise refused(
                "code file", code_file, "a file that holds the code of `weir centre invite`"
            ) from None
    elif stdin.isatty():
        code = prompt("One-time code (from `weir centre invite`): ")
    else:
        code = stdin.readline()
    code = code.strip()
    if not code:
        raise refused(
            "code", code, "the one-time code of `weir centre invite`, typed in, on stdin, or in a 0600 file"
        )
    if not code.isascii() or len(code) > 512 or any(c.isspace() for c in code):
        raise refused("code", "…", "the one-time code as `weir centre invite` printed it, on one line")
    return code


def join(transport: Transport, folder: AgentFolder, code: str) -> str:
    """Exchange the code and keep the token, durably and for nobody else to read. The id of the centre joined.

    The code is used up by it. Raises TransportError when the server refuses it or cannot be reached,
    ProblemError (conflict) when the folder has joined already.
    """
    if folder.token_file.exists():
        raise conflict(f"{folder.path} has joined a centre already; to join anew, remove {folder.token_file}")
    folder.create()
    joined = transport.join(code)
    folder.write_token(joined.token)
    return joined.centre


__all__ = ["join", "read_code"]
