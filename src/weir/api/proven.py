"""An agent's word that it has handed files over is held against what is here."""

from dataclasses import replace

from weir.files import BlobStore
from weir.model.agent import End, OutputFile, Report
from weir.model.problem import ProblemError
from weir.model.state import Cause


def with_proven_outputs(told: Report, blobs: BlobStore) -> Report:
    """The report with those outputs alone whose content is here, in the size told, or lies at a URL.

    What is here was proven by its digest when it came. An end that names another file has the cause `outputs`.
    """
    if not any(seen.end is not None and seen.end.outputs for seen in told.observations):
        return told
    seen_anew = tuple(
        seen if seen.end is None else replace(seen, end=_proven(seen.end, blobs))
        for seen in told.observations
    )
    return replace(told, observations=seen_anew)


def _proven(end: End, blobs: BlobStore) -> End:
    lacking = [file for file in end.outputs if not file.url and not _is_here(file, blobs)]
    if not lacking:
        return end
    said = f"the content of output {lacking[0].path!r} never came, or is another; {len(lacking)} of {len(end.outputs)}"
    return replace(
        end,
        outputs=tuple(file for file in end.outputs if file not in lacking),
        cause=end.cause or Cause.OUTPUTS,
        message=f"{end.message}; {said}" if end.message else said,
    )


def _is_here(file: OutputFile, blobs: BlobStore) -> bool:
    try:
        return blobs.size(file.digest) == file.size_bytes
    except ProblemError:
        return False


__all__ = ["with_proven_outputs"]
