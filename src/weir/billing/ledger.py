"""The ledger: entries, each a set of transfers with one cause, in chains of hashes. Only ever added to.

An entry lies in one *book*, that of the party that pays (an organisation, or `funder/ID`). The entries of a book form
a chain: each one's hash is over the one before and over all that it says, so that what was posted cannot be changed
unseen, by whatever means. There is one chain a book rather than one for all, so that payers do not wait for each
other. `billing.ledger_verify` walks the chains.

Holds and limits follow from transfers: an account of a kind with the role `hold` is opened with the counters that it
counts against, and whatever is posted to it moves them in the same transaction (see `Movement`).
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from weir.billing.accounts import AccountRole, kind_of
from weir.billing.ledger_counters import Change, Shortage, change_counters
from weir.billing.ledger_counters import shortage as counter_shortage
from weir.billing.stored_text import detail_text, hashed_text
from weir.model.change import ChangeKind
from weir.store import Transaction, schema
from weir.store.bulk import run_many
from weir.store.listed import AnyRow, among_texts, text_list

BOOK_SHIFT = 32
"""An entry's number is its book's number shifted by so many bits, plus its place in the book from 1."""
GENESIS = "0" * 64
"""What the first entry of every book follows."""
CAUSES_AT_ONCE = 10_000
_SHA256 = hashlib.sha256()
"""Of nothing yet. A copy takes less to make than another one."""

_book = schema.ledger_book.c
_entry = schema.ledger_entry.c
_transfer = schema.ledger_transfer.c
_account = schema.ledger_account.c

_KNOWN_CAUSES = select(_entry.cause, _entry.number).where(among_texts(_entry.cause, "causes"))
_BOOKS = select(schema.ledger_book).where(among_texts(_book.id, "books")).order_by(_book.id).with_for_update()
_MOVE_BOOK = (
    update(schema.ledger_book)
    .where(_book.number == bindparam("of_book"))
    .values(length=bindparam("new_length"), hash=bindparam("new_hash"))
)
# A row is added by a statement of its own, of which nothing can be left to undo: told so, SQLite keeps no copies of
# the pages that it changes (see the triggers).
_ADD_ENTRY = insert(schema.ledger_entry).prefix_with("OR FAIL", dialect="sqlite")
_ADD_TRANSFER = insert(schema.ledger_transfer).prefix_with("OR FAIL", dialect="sqlite")
_ENTRY_COLUMNS = ("number", "cause", "kind", "at_ms", "corrects", "detail", "hash")
_TRANSFER_COLUMNS = ("entry", "line", "debit", "credit", "amount_micro_yuan")
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_ACCOUNTS = select(schema.ledger_account).where(among_texts(_account.code, "codes"))


class Transfer(NamedTuple):
    """So much money from the account that is debited to the one that is credited."""

    debit: str
    credit: str
    amount: int
    """Micro-yuan, more than 0."""


class Entry(NamedTuple):
    """Something to be posted: transfers that belong together.

    `cause` is what it comes from, once and for ever: an entry whose cause has been posted before is not posted
    again. `kind` says what it is, such as `hold`, `charge` or `release`. `detail` is plain JSON for people and for
    statements. A correction names in `corrects` the number of the entry that it puts right.
    """

    book: str
    cause: str
    kind: str
    at_ms: int
    transfers: tuple[Transfer, ...]
    corrects: int | None = None
    detail: Mapping[str, Any] = _NOTHING


class Posted(NamedTuple):
    """What became of an entry: its number, and whether it is new or was there by its cause already."""

    number: int
    new: bool


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it lies in the ledger."""

    number: int
    book: str
    cause: str
    kind: str
    at_ms: int
    corrects: int | None
    detail: Mapping[str, Any]
    hash: str
    transfers: tuple[Transfer, ...]


class Movement(NamedTuple):
    """What the transfers of an account of role `hold` come to, in micro-yuan.

    `held` is credits less debits. `spent` is what went from it to accounts that are not funding, less what came back
    from such: a charge moves held to spent, a release or a reversal moves it back.
    """

    held: int
    spent: int


def open_account(tx: Transaction, code: str, counters: Sequence[str]) -> None:
    """Begin an account of a kind with the role `hold`, which counts against these counters for ever.

    Harmless when it is open already. Raises ValueError for a code of another role, or open with other counters.
    """
    if kind_of(code).role is not AccountRole.HOLD:
        raise ValueError(f"{code} is not of a kind with the role hold")
    known = tx.connection.execute(_ACCOUNTS, {"codes": text_list([code])}).one_or_none()
    stored = json.dumps(sorted(counters))
    if known is None:
        tx.connection.execute(insert(schema.ledger_account), {"code": code, "counters": stored})
    elif known.counters != stored:
        raise ValueError(f"{code} is open with the counters {known.counters}, not {stored}")


def post(tx: Transaction, entries: Sequence[Entry]) -> list[Posted]:
    """Add the entries to their books, in order, and move the counters; what became of each, in order.

    An entry whose cause is known changes nothing. Raises OverLimitError where a counter would exceed its limit, and
    ValueError for an entry that is malformed; the transaction is then not to be committed. Appends one POSTED change
    for each book.
    """
    known, new = _sorted_out(tx.connection, entries)
    numbers: dict[str, int] = {}
    if new:
        change_counters(tx, _changes(tx.connection, new))
        numbers = dict(zip([entry.cause for entry in new], _append(tx, new), strict=True))
    made = []
    for entry in entries:
        number = numbers.pop(entry.cause, None)
        if number is None:
            made.append(Posted(known[entry.cause], new=False))
        else:
            known[entry.cause] = number
            made.append(Posted(number, new=True))
    return made


def post_within(tx: Transaction, entries: Sequence[Entry]) -> list[int] | Shortage:
    """As `post`, but where a counter would exceed its limit nothing is changed, and it is said by how much.

    Else the entries' numbers, in order.
    """
    known, new = _sorted_out(tx.connection, entries)
    if new:
        changes = _changes(tx.connection, new)
        short = counter_shortage(tx.connection, changes)
        if short is not None:
            return short
        change_counters(tx, changes)
        numbers = _append(tx, new)
        if not known and len(numbers) == len(entries):
            return numbers
        known |= zip([entry.cause for entry in new], numbers, strict=True)
    return [known[entry.cause] for entry in entries]


def movements(transfers: Iterable[tuple[str, str, int]]) -> dict[str, Movement]:
    """How the transfers move each account of role `hold` that they touch."""
    held: dict[str, int] = defaultdict(int)
    spent: dict[str, int] = defaultdict(int)
    for debit, credit, amount in transfers:
        one, other = kind_of(debit).role, kind_of(credit).role
        if credit and other is AccountRole.HOLD:
            held[credit] += amount
            if one is not AccountRole.FUNDING:
                spent[credit] -= amount
        if one is AccountRole.HOLD:
            held[debit] -= amount
            if other is not AccountRole.FUNDING:
                spent[debit] += amount
    return {code: Movement(moved, spent[code]) for code, moved in held.items()}


def entry_of(connection: Connection, number: int) -> StoredEntry | None:
    """The entry of this number."""
    return next(iter(entries_between(connection, number, number)), None)


def entries_by_cause(connection: Connection, causes: Collection[str]) -> dict[str, int]:
    """The numbers of the entries with these causes; unknown ones are left out."""
    rows = connection.execute(_KNOWN_CAUSES, {"causes": text_list(causes)})
    return {row.cause: row.number for row in rows}


def entries_between(
    connection: Connection, first: int, last: int, limit: int | None = None
) -> Iterator[StoredEntry]:
    """The entries with numbers from `first` to `last`, in order, with their transfers; `limit` of them at most."""
    query = select(schema.ledger_entry).where(_entry.number.between(first, last)).order_by(_entry.number)
    rows = connection.execute(query if limit is None else query.limit(limit)).all()
    if not rows:
        return
    books = {row.number: row.id for row in connection.execute(select(schema.ledger_book))}
    transfers: dict[int, list[Transfer]] = defaultdict(list)
    listed = (
        select(schema.ledger_transfer)
        .where(_transfer.entry.between(rows[0].number, rows[-1].number))
        .order_by(_transfer.entry, _transfer.line)
    )
    for row in connection.execute(listed):
        transfers[row.entry].append(Transfer(row.debit, row.credit, row.amount_micro_yuan))
    for row in rows:
        yield _stored(row, books[row.number >> BOOK_SHIFT], transfers[row.number])


def entries_of_book(
    connection: Connection, book: str, *, after: int = 0, limit: int = 1_000
) -> list[StoredEntry]:
    """A book's entries with numbers above `after`, oldest first; none for a book that does not exist."""
    number = connection.execute(select(_book.number).where(_book.id == book)).scalar()
    if number is None:
        return []
    first, last = book_range(number)
    return list(entries_between(connection, max(first, after + 1), last, limit))


def book_range(book_number: int) -> tuple[int, int]:
    """The first and the last number that an entry of this book can have."""
    return (book_number << BOOK_SHIFT) + 1, ((book_number + 1) << BOOK_SHIFT) - 1


def entry_hash(
    previous: str,
    number: int,
    cause: str,
    kind: str,
    at_ms: int,
    corrects: int | None,
    detail: str,
    transfers: Sequence[tuple[str, str, int]],
) -> str:
    """SHA-256 over the hash before and over all that an entry says; `detail` as its stored text."""
    said = hashed_text(number, cause, kind, at_ms, corrects, detail, transfers)
    digest = _SHA256.copy()
    digest.update(f"{previous}\n{said}".encode())
    return digest.hexdigest()


def _stored(row: AnyRow, book: str, transfers: Sequence[Transfer]) -> StoredEntry:
    return StoredEntry(
        row.number,
        book,
        row.cause,
        row.kind,
        row.at_ms,
        row.corrects,
        json.loads(row.detail),
        row.hash,
        tuple(transfers),
    )


def _summed(entries: Iterable[Entry]) -> list[tuple[str, str, int]]:
    """What the entries move between each two accounts. Raises ValueError for one that is malformed."""
    sums: dict[tuple[str, str], int] = {}
    for entry in entries:
        if not entry.transfers:
            raise ValueError(f"{entry.cause}: an entry has at least one transfer")
        if not entry.book or not entry.cause or not entry.kind:
            raise ValueError(f"{entry}: an entry has a book, a cause and a kind")
        for debit, credit, amount in entry.transfers:
            if amount <= 0 or debit == credit:
                raise ValueError(f"{entry.cause}: {amount} from {debit} to {credit} is no transfer")
            pair = (debit, credit)
            before = sums.get(pair)
            if before is None:
                if kind_of(debit).role is kind_of(credit).role is AccountRole.HOLD:
                    raise ValueError(
                        f"{entry.cause}: what is held goes back to its funding before it is held for another"
                    )
                before = 0
            sums[pair] = before + amount
    return [(debit, credit, amount) for (debit, credit), amount in sums.items()]


def _sorted_out(connection: Connection, entries: Sequence[Entry]) -> tuple[dict[str, int], Sequence[Entry]]:
    """The numbers of those entries whose causes were posted before, and the others, each cause once."""
    known: dict[str, int] = {}
    causes = [entry.cause for entry in entries]
    for first in range(0, len(causes), CAUSES_AT_ONCE):
        known |= entries_by_cause(connection, causes[first : first + CAUSES_AT_ONCE])
    firsts = dict(zip(reversed(causes), reversed(entries), strict=True))
    if not known and len(firsts) == len(entries):
        return known, entries
    return known, [firsts[cause] for cause in dict.fromkeys(causes) if cause not in known]


def _changes(connection: Connection, entries: Sequence[Entry]) -> dict[str, Change]:
    """How the entries move counters."""
    moved = movements(_summed(entries))
    if not moved:
        return {}
    rows = connection.execute(_ACCOUNTS, {"codes": text_list(moved)})
    named: dict[str, list[str]] = {row.code: json.loads(row.counters) for row in rows}
    missing = moved.keys() - named.keys()
    if missing:
        raise ValueError(f"{min(missing)} is not open")
    changes: dict[str, Change] = {}
    for code, movement in moved.items():
        for key in named[code]:
            before = changes.get(key, Change(0, 0))
            changes[key] = Change(before.held + movement.held, before.spent + movement.spent)
    return changes


def _append(tx: Transaction, entries: Sequence[Entry]) -> list[int]:
    """Number, hash and store the entries; their numbers, in order."""
    connection = tx.connection
    books = _books(connection, {entry.book for entry in entries})
    heads = {row.id: (row.number << BOOK_SHIFT, row.length, row.hash) for row in books}
    begun = dict(heads)
    rows: list[tuple[Any, ...]] = []
    lines: list[tuple[Any, ...]] = []
    numbers: list[int] = []
    last_ms: dict[str, int] = {}
    for book, cause, kind, at_ms, transfers, corrects, said in entries:
        base, length, previous = heads[book]
        number = base + length + 1
        detail = detail_text(said)
        digest = entry_hash(previous, number, cause, kind, at_ms, corrects, detail, transfers)
        heads[book] = (base, length + 1, digest)
        last_ms[book] = at_ms
        numbers.append(number)
        rows.append((number, cause, kind, at_ms, corrects, detail, digest))
        line = 0
        for debit, credit, amount in transfers:
            lines.append((number, line, debit, credit, amount))
            line += 1  # noqa: SIM113 - an enumeration takes longer to set up than its one or two turns
    run_many(connection, _ADD_ENTRY, _ENTRY_COLUMNS, rows)
    run_many(connection, _ADD_TRANSFER, _TRANSFER_COLUMNS, lines)
    run_many(
        connection,
        _MOVE_BOOK,
        ("of_book", "new_length", "new_hash"),
        [(base >> BOOK_SHIFT, length, digest) for base, length, digest in heads.values()],
    )
    for book, (base, length, _) in heads.items():
        first = begun[book][1] + 1
        body = {"first": base + first, "count": length - first + 1}
        tx.append(ChangeKind.POSTED, body, at_ms=last_ms[book], organisation=book)
    return numbers


def _books(connection: Connection, ids: set[str]) -> Sequence[AnyRow]:
    """The books, in order of their ids; those that are new are begun."""
    listed = {"books": text_list(sorted(ids))}
    rows = connection.execute(_BOOKS, listed).all()
    if len(rows) < len(ids):
        there = {row.id for row in rows}
        new = [{"id": name, "length": 0, "hash": GENESIS} for name in sorted(ids - there)]
        connection.execute(insert(schema.ledger_book), new)
        rows = connection.execute(_BOOKS, listed).all()
    return rows


__all__ = [
    "Entry",
    "Movement",
    "Posted",
    "StoredEntry",
    "Transfer",
    "book_range",
    "entries_between",
    "entries_by_cause",
    "entries_of_book",
    "entry_hash",
    "entry_of",
    "movements",
    "open_account",
    "post",
    "post_within",
]
