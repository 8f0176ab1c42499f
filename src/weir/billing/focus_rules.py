"""FOCUS 1.2 (FinOps Open Cost and Usage Specification): its columns, and our own check of each column's rules.

Written from the specification's normative requirements as we read them; a data set passes where every rule of every
column holds in every row, and what one row says agrees with the others. Values are texts as they stand in the CSV,
empty for null. What no data set shows by itself (that a currency is the invoice's, that names are readable) is not
checked; that BilledCost adds up to the invoice is checked where the export is made.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

Row = Mapping[str, str]
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_CURRENCY = re.compile(r"[A-Z]{3}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(E-?[0-9]+)?", re.ASCII)
TOLERANCE = Decimal("0.000001")
"""In the billing currency: costs are whole micro-yuan, unit prices and quantities have more digits."""

CHARGE_CATEGORIES = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")
FREQUENCIES = ("One-Time", "Recurring", "Usage-Based")
PRICING_CATEGORIES = ("Standard", "Dynamic", "Committed", "Other")
SERVICE_CATEGORIES = (
    "AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools",
    "Multicloud", "Identity", "Integration", "Internet of Things", "Management and Governance", "Media", "Migration",
    "Mobile", "Networking", "Security", "Storage", "Web", "Other",
)  # fmt: skip
SUBCATEGORIES = {
    "Quantum Compute": "Compute",
    "Other (Compute)": "Compute",
    "Other (Networking)": "Networking",
    "Other (Storage)": "Storage",
    "Other (Other)": "Other",
}
"""Those that Weir writes, each with the category that it belongs to."""
SKU_PROPERTIES = (
    "CoreCount", "DiskMaxIops", "DiskSpace", "DiskType", "GpuCount", "InstanceSeries", "InstanceType", "MemorySize",
    "NetworkMaxIops", "NetworkMaxThroughput", "OperatingSystem", "Redundancy", "StorageClass",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its form, whether it may be null, and the values it is limited to."""

    name: str
    form: str = "text"
    """text, time, decimal, price (a decimal that is not below 0), currency or json"""
    null: bool = True
    allowed: tuple[str, ...] = ()


COLUMNS = (
    Column("BilledCost", "decimal", null=False),
    Column("BillingAccountId", null=False),
    Column("BillingAccountName"),
    Column("BillingAccountType"),
    Column("BillingCurrency", "currency", null=False),
    Column("BillingPeriodEnd", "time", null=False),
    Column("BillingPeriodStart", "time", null=False),
    Column("ChargeCategory", null=False, allowed=CHARGE_CATEGORIES),
    Column("ChargeClass", allowed=("Correction",)),
    Column("ChargeDescription", null=False),
    Column("ChargeFrequency", null=False, allowed=FREQUENCIES),
    Column("ChargePeriodEnd", "time", null=False),
    Column("ChargePeriodStart", "time", null=False),
    Column("ConsumedQuantity", "decimal"),
    Column("ConsumedUnit"),
    Column("ContractedCost", "decimal", null=False),
    Column("ContractedUnitPrice", "price"),
    Column("EffectiveCost", "decimal", null=False),
    Column("InvoiceId"),
    Column("InvoiceIssuerName", null=False),
    Column("ListCost", "decimal", null=False),
    Column("ListUnitPrice", "price"),
    Column("PricingCategory", allowed=PRICING_CATEGORIES),
    Column("PricingQuantity", "decimal"),
    Column("PricingUnit"),
    Column("ProviderName", null=False),
    Column("PublisherName", null=False),
    Column("RegionId"),
    Column("RegionName"),
    Column("ResourceId"),
    Column("ResourceName"),
    Column("ResourceType"),
    Column("ServiceCategory", null=False, allowed=SERVICE_CATEGORIES),
    Column("ServiceName", null=False),
    Column("ServiceSubcategory", null=False, allowed=tuple(SUBCATEGORIES)),
    Column("SkuId"),
    Column("SkuMeter"),
    Column("SkuPriceDetails", "json"),
    Column("SkuPriceId"),
    Column("SubAccountId"),
    Column("SubAccountName"),
    Column("SubAccountType"),
    Column("Tags", "json"),
)
"""In the order in which they are written. Columns about commitments, reservations, zones and a pricing currency are
conditional on what Weir has not, and are left out as the specification allows."""


def focus_faults(header: Iterable[str], rows: Iterable[Row]) -> Iterator[str]:
    """What breaks a rule, in words that name row and column; nothing for a data set that keeps them all."""
    names = tuple(header)
    for column in COLUMNS:
        if names.count(column.name) != 1:
            yield f"column {column.name} is there {names.count(column.name)} times, not once"
    for name in names:
        if name not in {column.name for column in COLUMNS} and not name.startswith("x_"):
            yield f"column {name} is not of FOCUS, and its name does not begin with x_"
    parents: dict[tuple[str, str], str] = {}
    for place, row in enumerate(rows, 1):
        for said, child, parent in ONE_PARENT:
            name = row.get(child, "")
            if name and parents.setdefault((child, name), row.get(parent, "")) != row.get(parent, ""):
                yield f"row {place}: {said}"
        for column in COLUMNS:
            fault = _form_fault(column, row.get(column.name, ""))
            if fault:
                yield f"row {place}: {column.name} {fault}"
        for said, holds in RULES:
            try:
                good = holds(row)
            except (KeyError, InvalidOperation):
                good = False
            if not good:
                yield f"row {place}: {said}"


def _form_fault(column: Column, value: str) -> str:
    if not value:
        return "" if column.null else "must not be null"
    if column.allowed and value not in column.allowed:
        return f"{value!r} is not one of {', '.join(column.allowed)}"
    if column.form == "time" and not _TIME.fullmatch(value):
        return f"{value!r} is no time in UTC such as 2025-06-01T00:00:00Z"
    if column.form == "currency" and not _CURRENCY.fullmatch(value):
        return f"{value!r} is no code of ISO 4217"
    if column.form in ("decimal", "price"):
        if not _NUMBER.fullmatch(value):
            return f"{value!r} is no decimal number"
        if column.form == "price" and Decimal(value) < 0:
            return f"{value!r} is out of range"
    if column.form == "json":
        return _json_fault(value)
    if not value.strip():
        return "must not consist of spaces"
    return ""


def _json_fault(value: str) -> str:
    try:
        pairs = json.loads(value, object_pairs_hook=list)
    except ValueError:
        return "is no JSON"
    if not value.lstrip().startswith("{") or any(isinstance(each, list) for _, each in pairs):
        return "is no flat JSON object"
    return "" if len(pairs) == len(dict(pairs)) else "has a key twice"


def _both(one: str, other: str) -> Callable[[Row], bool]:
    """Null together, or neither."""
    return lambda row: bool(row[one]) == bool(row[other])


def _needs(one: str, other: str) -> Callable[[Row], bool]:
    """Where `one` is null, so is `other`."""
    return lambda row: bool(row[one]) or not row[other]


def _priced(column: str) -> Callable[[Row], bool]:
    """Not null for usage and purchases that are no corrections; null for taxes."""

    def holds(row: Row) -> bool:
        if row["ChargeCategory"] == "Tax":
            return not row[column]
        wanted = row["ChargeCategory"] in ("Usage", "Purchase") and row["ChargeClass"] != "Correction"
        return bool(row[column]) or not wanted

    return holds


def _product(cost: str, price: str) -> Callable[[Row], bool]:
    """Cost is unit price times quantity, where both are there and it is no correction."""

    def holds(row: Row) -> bool:
        if not row[price] or not row["PricingQuantity"] or row["ChargeClass"] == "Correction":
            return True
        return abs(Decimal(row[price]) * Decimal(row["PricingQuantity"]) - Decimal(row[cost])) <= TOLERANCE

    return holds


def _unpriced(cost: str, price: str) -> Callable[[Row], bool]:
    """Without a unit price, the cost of what no other charge is the basis of is what is billed."""

    def holds(row: Row) -> bool:
        related = row[price] or row["ChargeCategory"] == "Tax" or row["ChargeClass"] == "Correction"
        return bool(related) or Decimal(row[cost]) == Decimal(row["BilledCost"])

    return holds


def _known_properties(row: Row) -> bool:
    details = row["SkuPriceDetails"]
    if not details or _json_fault(details):
        return True  # what is no object at all is its form's fault
    return all(key in SKU_PROPERTIES or key.startswith("x_") for key in json.loads(details))


RULES: tuple[tuple[str, Callable[[Row], bool]], ...] = (
    (
        "BillingPeriodStart is before BillingPeriodEnd",
        lambda row: row["BillingPeriodStart"] < row["BillingPeriodEnd"],
    ),
    (
        "ChargePeriodStart is before ChargePeriodEnd",
        lambda row: row["ChargePeriodStart"] < row["ChargePeriodEnd"],
    ),
    (
        "no charge begins after its billing period",
        lambda row: row["ChargePeriodStart"] < row["BillingPeriodEnd"],
    ),
    (
        "a correction corrects an earlier billing period",
        lambda row: (
            row["ChargeClass"] != "Correction" or row["ChargePeriodStart"] < row["BillingPeriodStart"]
        ),
    ),
    (
        "ConsumedQuantity is null for what is no usage, and is there for usage that is no correction",
        lambda row: (
            not row["ConsumedQuantity"]
            if row["ChargeCategory"] != "Usage"
            else bool(row["ConsumedQuantity"]) or row["ChargeClass"] == "Correction"
        ),
    ),
    ("ConsumedUnit is null exactly where ConsumedQuantity is", _both("ConsumedQuantity", "ConsumedUnit")),
    ("PricingUnit is null exactly where PricingQuantity is", _both("PricingQuantity", "PricingUnit")),
    (
        "a purchase is not Usage-Based",
        lambda row: (row["ChargeCategory"], row["ChargeFrequency"]) != ("Purchase", "Usage-Based"),
    ),
    ("ContractedUnitPrice is there for usage", _priced("ContractedUnitPrice")),
    ("ListUnitPrice is there for usage", _priced("ListUnitPrice")),
    ("PricingCategory is there for usage", _priced("PricingCategory")),
    ("PricingQuantity is there for usage", _priced("PricingQuantity")),
    ("SkuId is there for usage", _priced("SkuId")),
    ("SkuPriceId is there for usage", _priced("SkuPriceId")),
    ("SkuMeter is null where SkuId is", _needs("SkuId", "SkuMeter")),
    ("SkuPriceDetails is null where SkuPriceId is", _needs("SkuPriceId", "SkuPriceDetails")),
    (
        "ContractedCost is ContractedUnitPrice times PricingQuantity",
        _product("ContractedCost", "ContractedUnitPrice"),
    ),
    ("ListCost is ListUnitPrice times PricingQuantity", _product("ListCost", "ListUnitPrice")),
    (
        "ContractedCost is BilledCost where there is no ContractedUnitPrice",
        _unpriced("ContractedCost", "ContractedUnitPrice"),
    ),
    ("ListCost is BilledCost where there is no ListUnitPrice", _unpriced("ListCost", "ListUnitPrice")),
    (
        "EffectiveCost is BilledCost for what is unrelated to other charges",
        lambda row: (
            row["ChargeCategory"] not in ("Credit", "Adjustment") or row["EffectiveCost"] == row["BilledCost"]
        ),
    ),
    ("BillingAccountType is there with BillingAccountId", _both("BillingAccountId", "BillingAccountType")),
    (
        "ResourceName is not ResourceId",
        lambda row: not row["ResourceName"] or row["ResourceName"] != row["ResourceId"],
    ),
    (
        "SkuPriceDetails' keys are of FOCUS or begin with x_",
        _known_properties,
    ),
    ("RegionName is null exactly where RegionId is", _both("RegionId", "RegionName")),
    ("ResourceName is null where ResourceId is", _needs("ResourceId", "ResourceName")),
    ("ResourceType is null exactly where ResourceId is", _both("ResourceId", "ResourceType")),
    ("SubAccountName is null exactly where SubAccountId is", _both("SubAccountId", "SubAccountName")),
    ("SubAccountType is null exactly where SubAccountId is", _both("SubAccountId", "SubAccountType")),
    (
        "ServiceSubcategory belongs to ServiceCategory",
        lambda row: SUBCATEGORIES.get(row["ServiceSubcategory"]) == row["ServiceCategory"],
    ),
    (
        "a credit is not above 0, unless it is a correction",
        lambda row: (
            row["ChargeCategory"] != "Credit"
            or row["ChargeClass"] == "Correction"
            or Decimal(row["BilledCost"]) <= 0
        ),
    ),
)

ONE_PARENT = (
    ("SkuPriceId has one SkuId", "SkuPriceId", "SkuId"),
    ("ServiceName has one ServiceCategory", "ServiceName", "ServiceCategory"),
    ("InvoiceId has one BillingAccountId", "InvoiceId", "BillingAccountId"),
    ("RegionId has one RegionName", "RegionId", "RegionName"),
    ("SkuId has one SkuMeter", "SkuId", "SkuMeter"),
)
"""Rules over all rows: what is said, and the column whose every value stands with one value of another."""

__all__ = ["COLUMNS", "ONE_PARENT", "RULES", "SUBCATEGORIES", "Column", "Row", "focus_faults"]
