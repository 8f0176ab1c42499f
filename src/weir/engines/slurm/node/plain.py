"""JSON by the interpreter's own reader, without the package `json`: to import that costs a task's runner more
processor time than everything else it does."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["read_plain", "written_plain"]


class _Rules:
    """What `json` tells that reader by default."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def read_plain(text: str) -> "Any":
    """The value that a text without space around it stands for. Raises ValueError."""
    try:
        from _json import make_scanner

        scan = make_scanner(_Rules)  # type: ignore[arg-type]  # anything with these names does
    except (ImportError, AttributeError, TypeError):  # another interpreter, or one that asks for more rules
        import json

        return json.loads(text)
    try:
        return scan(text, 0)[0]
    except StopIteration:
        raise ValueError("a text that was cut short") from None


def written_plain(value: "Any") -> str:
    """The text of a value made of dicts by name, lists, tuples, texts, whole numbers, truths and None."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, dict):
        return "{" + ", ".join([_quoted(name) + ": " + written_plain(value[name]) for name in value]) + "}"
    return "[" + ", ".join([written_plain(each) for each in value]) + "]"


def _quoted(text: str) -> str:
    try:
        from _json import encode_basestring_ascii as quoted
    except ImportError:
        from json import dumps as quoted

    return str(quoted(text))
