"""Which container images a centre lets jobs ask for."""

from collections.abc import Iterable

__all__ = ["image_among"]


def image_among(allowed: Iterable[str], image: str) -> bool:
    """Whether the image is one of those: `*` is any, what ends with a slash all that begin so, and another one
    that repository with any tag or digest."""
    return any(
        one == "*"
        or (one.endswith("/") and image.startswith(one))
        or image == one
        or image.startswith((f"{one}:", f"{one}@"))
        for one in allowed
    )
