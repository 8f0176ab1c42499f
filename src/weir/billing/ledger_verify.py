"""Walking the ledger: every chain of hashes, every transfer, and the counters that must follow from them."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from weir.billing.accounts import Side, kind_of
from weir.billing.ledger import (
    GENESIS,
    Movement,
    StoredEntry,
    Transfer,
    book_range,
    entries_between,
    entry_hash,
    movements,
)
from weir.billing.ledger_counters import all_counters
from weir.store import schema

AT_ONCE = 5_000
MOST_FAULTS = 100

_book = schema.ledger_book.c


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk over the whole ledger found.

    `root` is SHA-256 over the last hashes of all books, by id: whoever notes it down can tell later whether
    anything up to then was changed. `faults` is empty where everything holds, and names at most MOST_FAULTS.
    """

    books: int
    entries: int
    transfers: int
    root: str
    faults: tuple[str, ...]


def verify(connection: Connection) -> Verification:
    """Walk every book: places without gaps, hashes, transfers, accounts, and the counters made anew.

    Memory does not grow with the ledger.
    """
    faults: list[str] = []
    held: dict[str, Movement] = {}
    entries = transfers = 0
    heads = []
    books = connection.execute(select(schema.ledger_book).order_by(_book.id)).all()
    for row in books:
        heads.append(f"{row.id} {row.length} {row.hash}")
        previous = GENESIS
        position, last = book_range(row.number)
        begun = position
        while True:
            batch = list(entries_between(connection, position, last, AT_ONCE))
            for entry in batch:
                faults += _faults_of(entry, position, previous)
                previous, position = entry.hash, entry.number + 1
                transfers += len(entry.transfers)
                _add(held, entry.transfers)
            entries += len(batch)
            if len(batch) < AT_ONCE:
                break
        if (position - begun, previous) != (row.length, row.hash):
            faults.append(f"book {row.id}: its last entry is not the one that it says, so some are missing")
    faults += _stray(connection, entries, transfers)
    faults += counter_faults(connection, held)
    root = hashlib.sha256("\n".join(heads).encode()).hexdigest()
    return Verification(len(books), entries, transfers, root, tuple(faults[:MOST_FAULTS]))


def recomputed_counters(connection: Connection) -> dict[str, Movement]:
    """What each counter must hold by the transfers alone."""
    held: dict[str, Movement] = {}
    for row in connection.execute(select(schema.ledger_book)):
        position, last = book_range(row.number)
        while batch := list(entries_between(connection, position, last, AT_ONCE)):
            for entry in batch:
                _add(held, entry.transfers)
            position = batch[-1].number + 1
    return _by_counter(connection, held)


def balances(connection: Connection, prefix: str = "") -> dict[str, int]:
    """The balance of every account whose code begins with `prefix`, in micro-yuan, on its kind's own side.

    Counted from all transfers. An account that was never used is left out.
    """
    totals: dict[str, int] = defaultdict(int)
    transfer = schema.ledger_transfer.c
    for side, sign in ((transfer.debit, 1), (transfer.credit, -1)):
        query = select(side, func.sum(transfer.amount_micro_yuan)).group_by(side)
        if prefix:
            query = query.where(side.startswith(prefix, autoescape=True))
        for code, amount in connection.execute(query):
            totals[code] += sign * int(amount)
    return {
        code: total if kind_of(code).side is Side.DEBIT else -total for code, total in sorted(totals.items())
    }


def _faults_of(entry: StoredEntry, position: int, previous: str) -> list[str]:
    faults = []
    if entry.number != position:
        faults.append(f"entry {entry.number} follows where {position} should be")
    detail = json.dumps(entry.detail, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    digest = entry_hash(
        previous,
        entry.number,
        entry.cause,
        entry.kind,
        entry.at_ms,
        entry.corrects,
        detail,
        entry.transfers,
    )
    if digest != entry.hash:
        faults.append(f"entry {entry.number} ({entry.cause}): its hash is not that of what it says")
    if not entry.transfers:
        faults.append(f"entry {entry.number} has no transfers")
    for debit, credit, amount in entry.transfers:
        try:
            kind_of(debit)
            kind_of(credit)
        except ValueError as error:
            faults.append(f"entry {entry.number}: {error}")
        if amount <= 0 or debit == credit:
            faults.append(f"entry {entry.number}: {amount} from {debit} to {credit} is no transfer")
    return faults


def _add(held: dict[str, Movement], transfers: tuple[Transfer, ...]) -> None:
    for code, moved in movements(transfers).items():
        before = held.get(code, Movement(0, 0))
        held[code] = Movement(before.held + moved.held, before.spent + moved.spent)


def _stray(connection: Connection, entries: int, transfers: int) -> list[str]:
    """Rows that belong to no book."""
    faults = []
    for table, seen in ((schema.ledger_entry, entries), (schema.ledger_transfer, transfers)):
        count = connection.execute(select(func.count()).select_from(table)).scalar_one()
        if count != seen:
            faults.append(f"{table.name} has {count} rows, of which {seen} belong to entries of the books")
    return faults


def _by_counter(connection: Connection, held: dict[str, Movement]) -> dict[str, Movement]:
    found: dict[str, Movement] = {}
    for row in connection.execute(select(schema.ledger_account)):
        moved = held.get(row.code, Movement(0, 0))
        for key in json.loads(row.counters):
            before = found.get(key, Movement(0, 0))
            found[key] = Movement(before.held + moved.held, before.spent + moved.spent)
    return found


def counter_faults(connection: Connection, held: dict[str, Movement]) -> list[str]:
    """Where counters are not what the movements of all accounts of role `hold` make them, in words."""
    wanted = _by_counter(connection, held)
    faults = [f"account {code}: {moved.held} is held" for code, moved in held.items() if moved.held < 0]
    for key, counter in all_counters(connection).items():
        moved = wanted.get(key, Movement(0, 0))
        if (counter.held, counter.spent) != moved:
            faults.append(
                f"counter {key} says {counter.held} held and {counter.spent} spent; the transfers make it "
                f"{moved.held} and {moved.spent}"
            )
    faults += [f"counter {key} is missing" for key in wanted.keys() - all_counters(connection).keys()]
    return faults


__all__ = ["Verification", "balances", "counter_faults", "recomputed_counters", "verify"]
