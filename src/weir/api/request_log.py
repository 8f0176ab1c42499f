"""How this process logs: one line an event, as JSON for machines or in colours for people."""

import atexit
import logging
import logging.handlers
import sys
from queue import SimpleQueue

import structlog


def configure_logging(*, json: bool, level: str = "info") -> None:
    """Send everything that is logged here, through structlog or the standard library, to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if not json:
        # Plain tracebacks: those with local variables would show tokens.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    last: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if json:
        last.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    written = logging.StreamHandler(sys.stderr)
    written.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[*last, renderer], foreign_pre_chain=shared)
    )
    # Written by a thread of its own, so that no request waits for a terminal, a pipe or a disk.
    lines: SimpleQueue[logging.LogRecord] = SimpleQueue()
    listener = logging.handlers.QueueListener(lines, written)
    listener.start()
    atexit.register(listener.stop)
    root = logging.getLogger()
    root.handlers = [_Handing(lines)]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "alembic"):
        logging.getLogger(name).setLevel("WARNING")


class _Handing(logging.handlers.QueueHandler):
    """Hands records on as they are; structlog's are formatted where they are written."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


__all__ = ["configure_logging"]
