"""How long data takes from where it lies to each centre: one need after the other, over the direct link."""

from collections.abc import Mapping, Sequence

import numpy as np

from weir.scheduling.inputs import LinkRow
from weir.scheduling.tables import Int64s

LONGEST_MOVE_MS = 2**39
LARGEST_NEED = 2**62
MOST_BITS = 2**48
"""Bytes, and bits per second: what is more counts as this much."""
NO_LINK = -1
Data = tuple[tuple[str, int], ...]
Links = Mapping[tuple[str, str], LinkRow]


def links_by_centres(links: Sequence[LinkRow]) -> dict[tuple[str, str], LinkRow]:
    """Links by both orders of their centres."""
    return {pair: link for link in links for pair in ((link.a, link.b), (link.b, link.a))}


class Roads:
    """From where data lie to some centres, each named once."""

    def __init__(self, links: Links, centres: Sequence[str]) -> None:
        self.centres = tuple(centres)
        self._links = links
        self._from: dict[str, tuple[Int64s, Int64s]] = {}
        self._reached: dict[tuple[str, ...], np.ndarray[tuple[int], np.dtype[np.bool_]]] = {}

    def leading_from(self, at: str) -> tuple[Int64s, Int64s]:
        """To each centre: bits per second (0 where there is no link), and latency in ms; 0 ms in the centre itself.

        Within the centre itself the bits per second are NO_LINK, since nothing is moved.
        """
        known = self._from.get(at)
        if known is None:
            bits, latency = np.zeros((2, len(self.centres)), np.int64)
            for place, centre in enumerate(self.centres):
                link = self._links.get((at, centre))
                if centre == at:
                    bits[place] = NO_LINK
                elif link is not None and link.bits_per_second > 0:
                    bits[place] = min(MOST_BITS, link.bits_per_second)
                    latency[place] = min(LONGEST_MOVE_MS, max(0, link.latency_ms))
            known = self._from[at] = (bits, latency)
        return known

    def reached(self, data: Data) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether all of the data can get to each centre."""
        places = tuple(at for at, _ in data)
        known = self._reached.get(places)
        if known is None:
            known = np.ones(len(self.centres), np.bool_)
            for at in places:
                known &= self.leading_from(at)[0] != 0
            self._reached[places] = known
        return known


__all__ = [
    "LARGEST_NEED",
    "LONGEST_MOVE_MS",
    "MOST_BITS",
    "NO_LINK",
    "Data",
    "Links",
    "Roads",
    "links_by_centres",
]
