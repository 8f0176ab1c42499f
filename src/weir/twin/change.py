"""What-if changes in words: what to change in a province before, or at a moment of, a simulated run.

    add pool CENTRE/POOL of MODEL nodes N [OPTIONS] [at TIME]
    add AMOUNT P of MODEL PRECISION nominal|measured RATE in CENTRE[/POOL] [OPTIONS] [at TIME]
    price all|CENTRE|CENTRE/POOL|kind KIND|model MODEL device-hour|core-hour YUAN|+N%|-N%
    lose centre|pool NAME at TIME [back at TIME]
    drain centre|pool NAME at TIME [back at TIME]
    window all|centre NAME|pool NAME at TIME for DURATION [every DURATION]
    remove centre|pool NAME

OPTIONS of a new pool are devices N, cores N, memory SIZE (each of a node), device-hour YUAN, core-hour YUAN,
speed FACTOR, carbon GRAMS (a kWh) and like CENTRE, which founds a new centre in that one's city, of its kind and with
its links. What is not said is taken from the province's largest pool of that model. TIME counts from the beginning
of the run, such as 36h or 2d, or `start`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from weir.model.problem import refused
from weir.units import format_duration, parse_bytes, parse_duration_ms, parse_yuan
from weir.units.marker import parse_milli_cores
from weir.units.rate import parse_operations_per_second

FORMS = "add, price, lose, drain, window or remove; for example: lose centre wuhu-ai-1 at 2d back at 3d"
KINDS = ("edge", "general", "intelligent", "quantum", "supercomputing")
MOST_NODES = 1_000_000
MOST_DEVICES = 1_024


@dataclass(frozen=True, slots=True)
class NewPool:
    """What is said of a pool to be added; None where nothing is said."""

    devices: int | None = None
    cores_milli: int | None = None
    memory_bytes: int | None = None
    device_hour_micro_yuan: int | None = None
    core_hour_micro_yuan: int | None = None
    speed_milli: int | None = None
    carbon_g_per_kwh: int | None = None
    like: str = ""
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class AddPool:
    """So many nodes of a device model in a new pool."""

    centre: str
    pool: str
    model: str
    nodes: int
    said: NewPool = field(default=NewPool())


@dataclass(frozen=True, slots=True)
class AddPower:
    """As many whole nodes as give so much computing power, by a precision and a basis."""

    amount: Decimal
    """In P, 10**15 operations a second."""
    model: str
    precision: str
    measured: int
    """Operations a second of one device as measured; 0 takes the catalogue's dense peak, which is nominal."""
    centre: str
    pool: str
    """Empty: called after the model."""
    said: NewPool = field(default=NewPool())


@dataclass(frozen=True, slots=True)
class SetPrice:
    """Another price for a device hour or a core hour, in micro-yuan or as a change in percent."""

    where: str
    """`all`, a centre, or centre/pool; or what `by` says."""
    by: str
    """`place`, `kind` or `model`."""
    of: str
    """device-hour or core-hour"""
    micro_yuan: int | None
    percent: Decimal | None


@dataclass(frozen=True, slots=True)
class Close:
    """A centre or pool that takes no job from a moment on, and perhaps comes back."""

    what: str
    """centre or pool"""
    name: str
    at_ms: int
    back_ms: int | None
    lost: bool
    """Whether what runs there then is lost, or runs to its end."""


@dataclass(frozen=True, slots=True)
class Remove:
    """A centre or pool that is not there from the beginning."""

    what: str
    name: str


@dataclass(frozen=True, slots=True)
class AddWindow:
    """A time in which a centre or pool is out of service, known beforehand: nothing starts that might not end first."""

    what: str
    """all, centre or pool"""
    name: str
    at_ms: int
    lasts_ms: int
    every_ms: int
    """0: once."""


Change = AddPool | AddPower | SetPrice | Close | AddWindow | Remove


def parse_change(text: str) -> Change:
    """One change from its words. Raises ProblemError naming the part, what was given and what is accepted."""
    words = _Words(text)
    verb = words.take("verb", f"begin with {FORMS}")
    if verb == "add":
        change: Change = _add_pool(words) if words.then("pool") else _add_power(words)
    elif verb == "price":
        change = _price(words)
    elif verb in ("lose", "drain"):
        change = _close(words, lost=verb == "lose")
    elif verb == "window":
        change = _window(words)
    elif verb == "remove":
        change = Remove(
            words.one_of("what", ("centre", "pool")), words.take("name", "name a centre or CENTRE/POOL")
        )
    else:
        raise refused("change", verb, f"begin with {FORMS}")
    words.end()
    return change


@dataclass(slots=True)
class _Words:
    """The words of a change, taken one after the other."""

    text: str
    left: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.text.split()

    def take(self, part: str, accepted: str) -> str:
        if not self.left:
            raise refused(f"change.{part}", self.text, f"it ends too early; {accepted}")
        return self.left.pop(0)

    def then(self, word: str) -> bool:
        """Whether this word comes next; it is taken."""
        if self.left[:1] == [word]:
            self.left.pop(0)
            return True
        return False

    def need(self, word: str, accepted: str) -> None:
        found = self.take(word, accepted)
        if found != word:
            raise refused(f"change.{word}", found, accepted)

    def one_of(self, part: str, accepted: Sequence[str]) -> str:
        found = self.take(part, f"give {' or '.join(accepted)}")
        if found not in accepted:
            raise refused(f"change.{part}", found, f"give {' or '.join(accepted)}")
        return found

    def read(self, part: str, parse: Callable[[str], Any], accepted: str) -> Any:
        found = self.take(part, accepted)
        try:
            return parse(found)
        except (ValueError, InvalidOperation):
            raise refused(f"change.{part}", found, accepted) from None

    def end(self) -> None:
        if self.left:
            raise refused("change", " ".join(self.left), "nothing more is read here; leave it out")


_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def _named(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(text)
    return text


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text.replace(",", ""))
        if not least <= number <= most:
            raise ValueError(text)
        return number

    return parse


def _moment(text: str) -> int:
    return 0 if text == "start" else parse_duration_ms(text)


def _minutes(text: str) -> int:
    length = parse_duration_ms(text)
    if length < 60_000 or length % 60_000:
        raise ValueError(text)
    return length


def _paid(text: str) -> int:
    amount = parse_yuan(text)
    if amount < 0:
        raise ValueError(text)
    return amount


def _factor(text: str) -> int:
    factor = Decimal(text) * 1_000
    if not factor.is_finite() or not 1 <= factor <= 1_000_000:
        raise ValueError(text)
    return int(factor)


_TIME = "give a time since the beginning of the run, such as 36h or 2d, or start"
_YUAN = "give an amount in yuan, such as 12.50"
_OPTIONS: Mapping[str, tuple[str, Callable[[str], Any], str]] = {
    "devices": ("devices", _whole(0, MOST_DEVICES), f"give devices of a node, from 0 to {MOST_DEVICES}"),
    "cores": ("cores_milli", parse_milli_cores, "give cores of a node, such as 128"),
    "memory": ("memory_bytes", parse_bytes, "give memory of a node with its unit, such as 1024GiB"),
    "device-hour": ("device_hour_micro_yuan", _paid, _YUAN),
    "core-hour": ("core_hour_micro_yuan", _paid, _YUAN),
    "speed": ("speed_milli", _factor, "give a factor from 0.001 to 1000, such as 1.5"),
    "carbon": ("carbon_g_per_kwh", _whole(0, 10_000), "give grams of CO2 a kWh, from 0 to 10000"),
    "like": ("like", _named, "name a centre of the province"),
    "at": ("at_ms", _moment, _TIME),
}


def _said(words: _Words) -> NewPool:
    said: dict[str, Any] = {}
    while words.left:
        name = words.one_of("option", tuple(_OPTIONS))
        attribute, parse, accepted = _OPTIONS[name]
        if attribute in said:
            raise refused(f"change.{name}", name, "it is given twice; keep one")
        said[attribute] = words.read(name, parse, accepted)
    return NewPool(**said)


def _place(words: _Words, *, pool_needed: bool) -> tuple[str, str]:
    accepted = "give CENTRE/POOL, such as wuhu-ai-2/new" + ("" if pool_needed else ", or CENTRE alone")
    text = words.take("pool", accepted)
    centre, slash, pool = text.partition("/")
    if not _ID.fullmatch(centre) or (slash and not _ID.fullmatch(pool)) or (pool_needed and not slash):
        raise refused("change.pool", text, f"{accepted}; small letters, digits and single dashes")
    return centre, pool


def _add_pool(words: _Words) -> AddPool:
    centre, pool = _place(words, pool_needed=True)
    words.need("of", "say of which device model: of MODEL")
    model = words.take("model", "name a device model of the catalogue")
    words.need("nodes", "say how many nodes: nodes N")
    nodes = words.read("nodes", _whole(1, MOST_NODES), f"give a whole number from 1 to {MOST_NODES}")
    return AddPool(centre, pool, model, nodes, _said(words))


def _add_power(words: _Words) -> AddPower:
    form = "add 1,000 P of MODEL PRECISION nominal in CENTRE"
    text = words.take("amount", f"write `add pool …` or `{form}`")
    if text.endswith("P"):
        text = text[:-1]
    else:
        words.need("P", f"an amount of computing power is in P; write `{form}`, or `add pool …`")
    try:
        amount = Decimal(text.replace(",", ""))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 < amount <= 10_000_000:
        raise refused("change.amount", text, "give an amount of P above 0, such as 1,000")
    words.need("of", f"P of what is not said: name device model, precision and basis; write `{form}`")
    model = words.take("model", "name a device model of the catalogue")
    precision = words.take("precision", "name the precision that is meant, such as fp16")
    basis = words.one_of("basis", ("nominal", "measured"))
    measured = 0
    if basis == "measured":
        accepted = "give the rate measured on one device, such as 210TFLOPS"
        rate = words.take("rate", accepted)
        if rate.replace(".", "").isdigit():
            rate += " " + words.take("rate", accepted)
        try:
            measured = parse_operations_per_second(rate)
        except ValueError:
            raise refused("change.rate", rate, accepted) from None
        if not measured:
            raise refused("change.rate", rate, accepted)
    words.need("in", "say where: in CENTRE or in CENTRE/POOL")
    centre, pool = _place(words, pool_needed=False)
    return AddPower(amount, model, precision, measured, centre, pool, _said(words))


def _price(words: _Words) -> SetPrice:
    where = words.take("where", "say whose price: all, CENTRE, CENTRE/POOL, kind KIND or model MODEL")
    by = "place"
    if where == "kind":
        by, where = where, words.one_of("kind", KINDS)
    elif where == "model":
        by, where = where, words.take("model", "name a device model")
    of = words.one_of("of", ("device-hour", "core-hour"))
    accepted = "give an amount in yuan, such as 12.50, or a change in percent, such as -20%"
    value = words.take("price", accepted)
    if words.left[:1] == ["at"]:
        raise refused(
            "change.at", " ".join(words.left), "a price holds for the whole run; leave the time out"
        )
    if value.endswith("%"):
        if value[0] not in "+-":
            raise refused("change.price", value, "say whether it rises or falls: +20% or -20%")
        try:
            percent = Decimal(value[:-1])
        except InvalidOperation:
            raise refused("change.price", value, accepted) from None
        if not percent.is_finite() or not -100 <= percent <= 10_000:
            raise refused("change.price", value, "give a change from -100% to +10000%")
        return SetPrice(where, by, of, None, percent)
    try:
        return SetPrice(where, by, of, _paid(value), None)
    except ValueError:
        raise refused("change.price", value, accepted) from None


def _close(words: _Words, *, lost: bool) -> Close:
    what = words.one_of("what", ("centre", "pool"))
    name = words.take("name", "name a centre, or CENTRE/POOL")
    words.need("at", f"say when: at TIME; {_TIME}")
    at_ms = words.read("at", _moment, _TIME)
    back_ms = None
    if words.then("back"):
        words.need("at", "say when it is back: back at TIME")
        back_ms = words.read("back", _moment, _TIME)
        if back_ms <= at_ms:
            raise refused(
                "change.back",
                format_duration(back_ms),
                f"it is gone from {format_duration(at_ms)} on; give a later time",
            )
    return Close(what, name, at_ms, back_ms, lost)


def _window(words: _Words) -> AddWindow:
    what = words.one_of("what", ("all", "centre", "pool"))
    name = "all" if what == "all" else words.take("name", "name a centre, or CENTRE/POOL")
    words.need("at", f"say when: at TIME; {_TIME}")
    at_ms = words.read("at", _moment, _TIME)
    accepted = "give how long, in whole minutes, such as 4h"
    words.need("for", "say how long it is out of service: for DURATION")
    lasts_ms = words.read("for", _minutes, accepted)
    every_ms = 0
    if words.then("every"):
        every_ms = words.read("every", _minutes, "give after how long it comes again, such as 7d")
        if every_ms <= lasts_ms:
            raise refused(
                "change.every",
                format_duration(every_ms),
                f"it lasts {format_duration(lasts_ms)}; give a longer time",
            )
    return AddWindow(what, name, at_ms, lasts_ms, every_ms)


__all__ = [
    "MOST_NODES",
    "AddPool",
    "AddPower",
    "AddWindow",
    "Change",
    "Close",
    "NewPool",
    "Remove",
    "SetPrice",
    "parse_change",
]
