"""Shell completion of ids: asked of the server, and silent when it cannot be asked."""

from collections.abc import Iterator

from weir.cli.session import client
from weir.client import ClientError
from weir.model.problem import ProblemError

MOST = 100


def complete_job(incomplete: str) -> Iterator[tuple[str, str]]:
    """Ids of the newest submissions that begin so, with their name."""
    try:
        page = client().jobs(limit=MOST)
    except (ClientError, ProblemError, OSError):
        return
    for submission in page.submissions:
        if submission.id.startswith(incomplete):
            yield submission.id, submission.name


def complete_centre(incomplete: str) -> Iterator[tuple[str, str]]:
    """Ids of centres that begin so, with their name."""
    try:
        centres = client().centres()
    except (ClientError, ProblemError, OSError):
        return
    for centre in centres:
        if centre.id.startswith(incomplete):
            yield centre.id, centre.name
