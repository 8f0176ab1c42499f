"""The events stream: reading Server-Sent Events, and coming back to where it broke off."""

import json
from collections.abc import Iterable, Iterator

from weir.client.errors import AnswerError, ApiError, UnreachableError
from weir.client.transport import Sender
from weir.model.codec import CodecError, from_plain
from weir.model.view import EventView

SILENCE_S = 60.0
"""The server says something at least every 15 s; after this long the connection is given up."""
_LONGEST_LINE = 16 << 20


def follow_events(sender: Sender, since: int | None) -> Iterator[EventView]:
    """Events after position `since` (None: from now on), for ever, across broken connections.

    Raises ApiError: with status 410 the log no longer holds what comes after `since`, so list anew.
    """
    position = since
    failures = 0
    while True:
        headers = {"accept": "text/event-stream"}
        if position is not None:
            headers["last-event-id"] = str(position)
        try:
            answer = sender.send("GET", "/api/v1/events", headers=headers, wait_s=SILENCE_S)
            for name, number, data in parse_events(answer.stream()):
                failures = 0
                position = number if number is not None else position
                if name == "gone":
                    break
                if name == "change":
                    yield from_plain(EventView, json.loads(data))
        except UnreachableError:
            pass
        except (ValueError, CodecError) as error:
            raise AnswerError(f"the events of {sender.url} cannot be understood: {error}") from error
        except ApiError as refusal:
            if refusal.status not in (502, 503, 504):
                raise
        failures += 1
        sender.pause(failures)


def parse_events(pieces: Iterable[bytes]) -> Iterator[tuple[str, int | None, str]]:
    """(event name, id, data) of each whole event in a stream; comments yield nothing."""
    name, number, data = "message", None, list[str]()
    for line in _lines(pieces):
        if not line:
            if data:
                yield name, number, "\n".join(data)
            name, number, data = "message", None, []
            continue
        label, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if label == "data":
            data.append(value)
        elif label == "event":
            name = value
        elif label == "id" and value.isdigit():
            number = int(value)


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise AnswerError("an event has no end")
        for line in lines:
            yield line.removesuffix(b"\r").decode()


__all__ = ["follow_events", "parse_events"]
