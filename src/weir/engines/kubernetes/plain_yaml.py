"""The plain part of YAML in which kubeconfigs are written, read with the standard library alone.

Block mappings and block sequences of one-line scalars, plain or quoted, with comments. Whatever else YAML knows
(anchors, tags, flow collections with content, block scalars, several documents) is refused, never guessed at.
"""

import json
import re
from typing import Any

__all__ = ["PlainYamlError", "read_plain_yaml"]

_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#'"&*!|>{}\[\],@`%-][^#:]*?|-[^\s#:]+)\s*:(?:\s+(.*))?$"""
)
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False, "{}": {}, "[]": []}
_Line = tuple[int, int, str]


class PlainYamlError(Exception):
    """A line that is no plain YAML; the message gives its number."""


def read_plain_yaml(text: str) -> Any:
    """The value of a document: mappings, lists, text, true, false and None. Numbers stay text.

    Raises PlainYamlError.
    """
    lines: list[_Line] = []
    for number, raw in enumerate(text.splitlines(), 1):
        body = raw.rstrip()
        if not body.strip() or body.lstrip().startswith("#") or (body == "---" and not lines):
            continue
        if body in ("---", "..."):
            raise PlainYamlError(f"line {number}: only one document is read")
        if "\t" in body[: len(body) - len(body.lstrip())]:
            raise PlainYamlError(f"line {number}: indented with a tab")
        lines.append((number, len(body) - len(body.lstrip(" ")), body.strip()))
    if not lines:
        return None
    reader = _Reader(lines)
    value = reader.block(lines[0][1])
    if reader.place < len(lines):
        raise PlainYamlError(f"line {lines[reader.place][0]}: unexpected indentation")
    return value


class _Reader:
    def __init__(self, lines: list[_Line]) -> None:
        self._lines = lines
        self.place = 0

    def block(self, indent: int) -> Any:
        """The mapping or sequence whose lines have this indentation."""
        return self._sequence(indent) if _is_item(self._lines[self.place][2]) else self._mapping(indent)

    def _mapping(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.place < len(self._lines):
            number, here, text = self._lines[self.place]
            if here != indent or _is_item(text):
                break
            match = _KEY.match(text)
            if match is None:
                raise PlainYamlError(f"line {number}: not `key: value`")
            key = str(_scalar(number, match[1]))
            if key in found:
                raise PlainYamlError(f"line {number}: {key!r} stands twice")
            self.place += 1
            found[key] = self._value(number, indent, match[2] or "", items_at=indent)
        return found

    def _sequence(self, indent: int) -> list[Any]:
        found: list[Any] = []
        while self.place < len(self._lines):
            number, here, text = self._lines[self.place]
            if here != indent or not _is_item(text):
                break
            rest = text[1:].lstrip()
            if rest and (_is_item(rest) or _KEY.match(rest)):
                inner = indent + len(text) - len(rest)
                self._lines[self.place] = (number, inner, rest)
                found.append(self.block(inner))
            else:
                self.place += 1
                found.append(self._value(number, indent, rest, items_at=indent + 1))
        return found

    def _value(self, number: int, indent: int, text: str, items_at: int) -> Any:
        """What stands behind a key or dash: on its line, or in the lines below it."""
        if text and not text.startswith("#"):
            return _scalar(number, text)
        if self.place < len(self._lines):
            _, here, below = self._lines[self.place]
            if here > indent or (here >= items_at and _is_item(below)):
                return self.block(here)
        return None


def _is_item(text: str) -> bool:
    return text == "-" or text.startswith("- ")


def _scalar(number: int, text: str) -> Any:
    if text[0] in "\"'":
        return _quoted(number, text)
    text = re.split(r"\s#", text, maxsplit=1)[0].rstrip()
    if text in _WORDS:
        word = _WORDS[text]
        return word.copy() if isinstance(word, dict | list) else word
    if text[0] in "&*!|>{}[],@`%" or ": " in text:
        raise PlainYamlError(f"line {number}: {text[:20]!r} is no plain value")
    return text


def _quoted(number: int, text: str) -> str:
    pattern = r'"(?:[^"\\]|\\.)*"' if text[0] == '"' else r"'(?:[^']|'')*'"
    match = re.match(pattern, text)
    rest = "" if match is None else text[match.end() :].strip()
    if match is None or (rest and not rest.startswith("#")):
        raise PlainYamlError(f"line {number}: a quotation does not end")
    if text[0] == "'":
        return match[0][1:-1].replace("''", "'")
    try:
        return str(json.loads(match[0]))
    except ValueError as error:
        raise PlainYamlError(f"line {number}: {error}") from error
