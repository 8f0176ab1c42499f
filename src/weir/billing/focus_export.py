"""The charges of a closed month as FOCUS 1.2 rows: one a charge and unit, and one credit a voucher that paid of it.

BilledCost and EffectiveCost of all rows of a tenant add up to the total of its statement: where that is rounded to the
fen or brings a rest from the month before, one row of adjustment says so. Usage of an earlier month that is on this
one's statements keeps its own charge period.
"""

import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal, localcontext
from fractions import Fraction

from sqlalchemy import Connection, and_, or_, select

from weir.billing.calendar_days import begin_of, next_month
from weir.billing.focus_rules import COLUMNS
from weir.billing.hold_offers import Cards
from weir.billing.hold_rows import SubmissionHold, submission_holds
from weir.billing.price_versions import version_of
from weir.billing.rate_card import Line, RateCard
from weir.billing.statement import PartyKind, statement_from
from weir.billing.statement_close import VOUCHER, name_of, on_statements
from weir.model.province import Centre, City, Organisation
from weir.registry.rows import from_body
from weir.store import schema as s
from weir.store.listed import AnyRow
from weir.units import format_time

DIGITS = 18
"""Significant digits of quantities and unit prices, whose products must be the costs."""
_charge = s.charge.c
_transfer = s.ledger_transfer.c
_UNITS = {
    "device_hour": ("Device-Hours", "Compute", "Other (Compute)"),
    "core_hour": ("Core-Hours", "Compute", "Other (Compute)"),
    "memory_gb_hour": ("GB-Hours", "Compute", "Other (Compute)"),
    "qubit_second": ("Qubit-Seconds", "Compute", "Quantum Compute"),
    "storage_tb_month": ("TB-Months", "Storage", "Other (Storage)"),
    "transfer_gb": ("GB", "Networking", "Other (Networking)"),
    "minimum": ("Minimum Charges", "Compute", "Other (Compute)"),
    "refund": ("Refunds", "Compute", "Other (Compute)"),
}
_OTHER = ("Units", "Other", "Other (Other)")
_SERVICES = {
    "Compute": "Computing power",
    "Storage": "Data storage",
    "Networking": "Data transfer",
    "Other": "Other services",
}
"""A service is of one category."""


def focus_csv(connection: Connection, month: date, organisation: str | None = None) -> str:
    """The rows of a closed month as CSV, of one tenant or of all. Raises ProblemError (409) for an open month."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [column.name for column in COLUMNS], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(focus_rows(connection, month, organisation))
    return text.getvalue()


def focus_rows(
    connection: Connection, month: date, organisation: str | None = None
) -> Iterator[dict[str, str]]:
    """The rows of a closed month, in order of tenant and entry."""
    month = month.replace(day=1)
    about = _About(connection, month)
    paid = and_(
        _transfer.entry == _charge.entry,
        or_(_transfer.debit.startswith(VOUCHER), _transfer.credit.startswith(VOUCHER)),
        or_(_transfer.debit.startswith("payable:"), _transfer.credit.startswith("payable:")),
    )
    query = (
        select(
            s.charge,
            s.job.c.submission,
            s.submission.c.name.label("job_name"),
            s.meter.c.tasks,
            _transfer.debit,
            _transfer.credit,
            _transfer.amount_micro_yuan.label("paid"),
        )
        .select_from(
            s.charge.outerjoin(s.job, s.job.c.number == _charge.job)
            .outerjoin(s.submission, s.submission.c.number == s.job.c.submission)
            .outerjoin(s.meter, (s.meter.c.job == _charge.job) & (s.meter.c.epoch == _charge.epoch))
            .outerjoin(s.ledger_transfer, paid)
        )
        .where(on_statements(connection, month))
        .order_by(_charge.organisation, _charge.entry, _transfer.line)
    )
    if organisation is not None:
        query = query.where(_charge.organisation == organisation)
    rows = connection.execute(query).all()
    holds = submission_holds(connection, {row.submission for row in rows if row.submission is not None})
    for _, group in itertools.groupby(rows, key=lambda row: row.entry):
        yield from _of_entry(connection, about, list(group), holds)
    for party, amount in about.rounded.items():
        if amount and organisation in (None, party):
            yield _rounding(about, party, amount)


class _About:
    """What all rows of a month share, and the names of what they are about."""

    def __init__(self, connection: Connection, month: date) -> None:
        self.begins_ms = begin_of(month)
        self.period = {
            "BillingCurrency": "CNY",
            "BillingPeriodStart": _time(self.begins_ms),
            "BillingPeriodEnd": _time(begin_of(next_month(month))),
            "ProviderName": "Weir",
            "InvoiceIssuerName": "Weir",
        }
        self.organisations = {
            row.id: from_body(Organisation, row.body).name
            for row in connection.execute(select(s.organisation))
        }
        self.centres = {
            row.id: from_body(Centre, row.body)
            for row in connection.execute(select(s.centre.c.id, s.centre.c.body))
        }
        self.cities = {row.id: from_body(City, row.body).name for row in connection.execute(select(s.city))}
        self.projects = {
            row.id: row.name or row.id for row in connection.execute(select(s.project.c.id, s.project.c.name))
        }
        self.invoices: dict[str, str] = {}
        self.rounded: dict[str, int] = {}
        """By how much each tenant's total is more than what the month comes to for it."""
        statement = s.statement.c
        query = select(statement.body).where(
            statement.kind == PartyKind.TENANT.value, statement.month == name_of(month)
        )
        for body in connection.scalars(query.order_by(statement.party)):
            one = statement_from(body)
            self.invoices[one.party] = one.id
            self.rounded[one.party] = one.carried_in - one.carry

    def account(self, organisation: str) -> dict[str, str]:
        """Whose costs a row has, and on which statement."""
        return dict.fromkeys((column.name for column in COLUMNS), "") | self.period | {
            "BillingAccountId": organisation,
            "BillingAccountName": self.organisations.get(organisation, ""),
            "BillingAccountType": "Organisation",
            "InvoiceId": self.invoices.get(organisation, ""),
        }  # fmt: skip


def _of_entry(
    connection: Connection, about: _About, rows: list[AnyRow], holds: Mapping[int, SubmissionHold]
) -> Iterator[dict[str, str]]:
    row = rows[0]
    hold = holds.get(row.submission)
    common = _common(about, row, hold)
    card = None if hold is None else Cards(connection).of(hold, row.centre, row.pool, row.tasks or 0)
    share = (
        Fraction(1)
        if hold is None
        else version_of(connection, hold.price_version).book.share_of(hold.tenant_class)
    )
    times: dict[str, int] = json.loads(row.times)
    parts: dict[str, int] = json.loads(row.parts)
    for part, amount in parts.items():
        yield common | _usage(part, amount, card if isinstance(card, RateCard) else None, times, share)
    for one in rows:
        if one.paid is not None:
            given = one.debit.startswith(VOUCHER)
            scheme = (one.debit if given else one.credit).removeprefix(VOUCHER).partition("/")[0]
            yield common | _credit(scheme, -one.paid if given else one.paid)


def _common(about: _About, row: AnyRow, hold: SubmissionHold | None) -> dict[str, str]:
    centre = about.centres.get(row.centre)
    city = "" if centre is None else centre.city
    correction = row.from_ms < about.begins_ms
    lasted_ms = max(1_000, -(-(row.to_ms - row.from_ms) // 1_000) * 1_000)
    tags = {
        "weir/pool": f"{row.centre}/{row.pool}",
        "weir/contract": row.contract,
        "weir/attempt": str(row.epoch),
    }
    return about.account(row.organisation) | {
        "ChargeClass": "Correction" if correction else "",
        "ChargePeriodStart": _time(row.from_ms),
        "ChargePeriodEnd": _time(row.from_ms + lasted_ms),
        "PublisherName": (centre.name if centre is not None else "") or row.centre,
        "RegionId": city,
        "RegionName": about.cities.get(city, city),
        "ResourceId": str(row.job),
        "ResourceName": row.job_name if row.job_name and row.job_name != str(row.job) else "",
        "ResourceType": "Job",
        "SubAccountId": "" if hold is None else hold.project,
        "SubAccountName": "" if hold is None else about.projects.get(hold.project, hold.project),
        "SubAccountType": "" if hold is None else "Project",
        "Tags": json.dumps(tags, ensure_ascii=False),
    }  # fmt: skip


def _usage(
    part: str, amount: int, card: RateCard | None, times: Mapping[str, int], share: Fraction
) -> dict[str, str]:
    unit, _, band = part.partition("/")
    said, category, sub = _UNITS.get(unit, _OTHER)
    quantity, list_price, price = _priced(unit, band, amount, card, times, share)
    cost, list_cost = _yuan(amount), _decimal(quantity * list_price / 1_000_000)
    sku = f"{card.pool}/{unit}" if card is not None else unit
    return {
        "BilledCost": cost,
        "EffectiveCost": cost,
        "ContractedCost": cost,
        "ListCost": list_cost,
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": f"{said}, {band}" if band else said,
        "ConsumedQuantity": _decimal(quantity),
        "ConsumedUnit": said,
        "PricingQuantity": _decimal(quantity),
        "PricingUnit": said,
        "ContractedUnitPrice": _decimal(price / 1_000_000),
        "ListUnitPrice": _decimal(list_price / 1_000_000),
        "PricingCategory": "Standard",
        "ServiceCategory": category,
        "ServiceSubcategory": sub,
        "ServiceName": _SERVICES[category],
        "SkuId": sku,
        "SkuMeter": said,
        "SkuPriceId": f"{sku}/{band}" if band else sku,
    }


def _priced(
    unit: str, band: str, amount: int, card: RateCard | None, times: Mapping[str, int], share: Fraction
) -> tuple[Fraction, Fraction, Fraction]:
    """How much of the unit, its list price and the tenant's in micro-yuan; what has no price is one at its amount.

    The quantity is of what was charged, whose rounding to the micro-yuan is therefore in it. A minimum charge is the
    same for every class, and so for one that pays nothing else.
    """
    line = _line(card, unit, band)
    price = line.price if line is not None and times.get(band) else 0
    if unit == "transfer_gb" and card is not None:
        price = card.transfer_price
    if price and share:
        return Fraction(amount) / (price * share), Fraction(price), price * share
    own = abs(Fraction(amount))
    listed = own if unit == "minimum" or not share else own / share
    return Fraction(1 if amount >= 0 else -1), listed, own


def _line(card: RateCard | None, unit: str, band: str) -> Line | None:
    lines: Iterable[Line] = () if card is None else card.lines
    return next((line for line in lines if (line.unit, line.band) == (unit, band)), None)


def _credit(scheme: str, amount: int) -> dict[str, str]:
    return _unpriced(amount) | {
        "ChargeCategory": "Credit",
        "ChargeFrequency": "One-Time",
        "ChargeDescription": f"Voucher of {scheme}",
        "ServiceCategory": "Compute",
        "ServiceSubcategory": "Other (Compute)",
        "ServiceName": _SERVICES["Compute"],
    }


def _rounding(about: _About, organisation: str, amount: int) -> dict[str, str]:
    period = about.period
    return about.account(organisation) | _unpriced(amount) | {
        "ChargeCategory": "Adjustment",
        "ChargeFrequency": "One-Time",
        "ChargeDescription": "Rounded to the fen, the rest carried",
        "ChargePeriodStart": period["BillingPeriodStart"],
        "ChargePeriodEnd": period["BillingPeriodEnd"],
        "PublisherName": "Weir",
        "ServiceCategory": "Other",
        "ServiceSubcategory": "Other (Other)",
        "ServiceName": _SERVICES["Other"],
    }  # fmt: skip


def _unpriced(amount: int) -> dict[str, str]:
    """The costs of what has no unit price: all the same."""
    return dict.fromkeys(("BilledCost", "EffectiveCost", "ContractedCost", "ListCost"), _yuan(amount))


def _yuan(micro_yuan: int) -> str:
    return f"{Decimal(micro_yuan) / 1_000_000:f}"


def _decimal(value: Fraction) -> str:
    with localcontext() as context:
        context.prec = DIGITS
        number = Decimal(value.numerator) / Decimal(value.denominator)
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _time(at_ms: int) -> str:
    return f"{format_time(at_ms)[:19]}Z"


__all__ = ["focus_csv", "focus_rows"]
