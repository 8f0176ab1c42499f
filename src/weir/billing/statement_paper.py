"""Statements on paper: CSV for a ledger, HTML for print, with the amount in words as Chinese vouchers want it."""

import csv
import html
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal

from weir.billing.statement import FEN, PartyKind, Statement
from weir.billing.statement_tax import TaxLine
from weir.units import format_time, format_yuan

COLUMNS = (
    "statement", "kind", "party", "month", "line", "period", "other_party", "contract", "item", "amount_yuan",
)  # fmt: skip
_DIGITS = "零壹贰叁肆伍陆柒捌玖"
_PLACES = ("", "拾", "佰", "仟")
_GROUPS = ("", "万", "亿", "万亿")
_UNITS = {
    "device_hour": "加速卡时 Device-hours",
    "core_hour": "核时 Core-hours",
    "memory_gb_hour": "内存 Memory (GB-hours)",
    "storage_tb_month": "存储 Storage (TB-months)",
    "qubit_second": "量子比特秒 Qubit-seconds",
    "transfer_gb": "数据传输 Transfer (GB)",
    "minimum": "最低消费 Minimum charge",
    "correction": "更正 Correction",
    "refund": "退费 Refund",
}
_KINDS = {
    PartyKind.TENANT: ("租户对账单", "Tenant's statement"),
    PartyKind.CENTRE: ("算力中心结算单", "Centre's statement"),
}
_DUE = {
    PartyKind.TENANT: ("应付金额 Amount due", "应退金额 Amount to be returned"),
    PartyKind.CENTRE: ("应结金额 Amount payable to the centre", "应收回金额 Amount that the centre returns"),
}
"""What the total is, from 0 on and below it."""


def statements_csv(statements: Iterable[Statement]) -> str:
    """Every line of every statement as a row, amounts exact in yuan; sums by `item`: carried in, total, carry.

    For a tenant the rows of lines, vouchers (below 0) and what was carried in add up to total and carry.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for one in statements:
        head = (one.id, one.kind.value, one.party, one.month)
        rows: list[tuple[str, str, str, str, int]] = [
            (line.period, line.other, line.contract, line.unit, line.amount) for line in one.lines
        ]
        sign = -1 if one.kind is PartyKind.TENANT else 0
        rows += [
            (line.period, line.scheme, "", "voucher", sign * line.amount) for line in one.vouchers if sign
        ]
        rows += [
            (one.month, "", "", "carried in", one.carried_in),
            (one.month, "", "", "total", one.total_fen * FEN),
            (one.month, "", "", "carry", one.carry),
        ]
        for place, (period, other, contract, item, amount) in enumerate(rows, 1):
            writer.writerow((*head, place, period, _cell(other), _cell(contract), item, _plain_yuan(amount)))
    return text.getvalue()


def statement_html(
    one: Statement,
    *,
    party_name: str = "",
    names: dict[str, str] | None = None,
    taxes: Sequence[TaxLine] = (),
) -> str:
    """One statement as a page for print, whole in itself; `names` are those of the other parties and schemes, `taxes`
    the tax that its charges include."""
    known = names or {}
    title_zh, title = _KINDS[one.kind]
    other_zh = "算力中心 Centre" if one.kind is PartyKind.TENANT else "租户 Tenant"
    lines = [
        (
            line.period,
            _named(line.other, known),
            _contract(line.contract),
            _unit(line.unit),
            _money(line.amount),
        )
        for line in one.lines
    ]
    rows = _rows(lines)
    vouchers = ""
    if one.vouchers:
        paid = [
            (
                line.period,
                _named(line.scheme, known),
                _money(-line.amount if one.kind is PartyKind.TENANT else line.amount),
            )
            for line in one.vouchers
        ]
        note = (
            "算力券抵扣 Paid by vouchers"
            if one.kind is PartyKind.TENANT
            else "其中由算力券支付 Of this paid by vouchers"
        )
        vouchers = (
            f"<h2>{note}</h2><table><thead><tr><th>归属期 Period</th><th>政策 Scheme</th>"
            f"<th class=n>金额(元) Amount</th></tr></thead><tbody>{_rows(paid)}</tbody></table>"
        )
    sums = [("本期发生额 Charges of this statement", _money(one.gross))]
    sums += [
        (f"其中税额 Of which tax ({html.escape(each.name)} {_percent(each.rate)})", _money(each.tax))
        for each in taxes
    ]
    if one.kind is PartyKind.TENANT:
        sums.append(("算力券抵扣 Less vouchers", _money(-one.voucher)))
    sums += [
        ("上期尾差 Carried in", _money(one.carried_in)),
        ("转下期尾差 Carried to the next", _money(-one.carry)),
    ]
    owed, returned = _DUE[one.kind]
    return _PAGE.format(
        title=f"{title_zh} {html.escape(one.id)}",
        title_zh=title_zh,
        title_en=title,
        id=html.escape(one.id),
        party=html.escape(f"{party_name} {one.party}".strip()),
        month=html.escape(one.month),
        issued=html.escape(format_time(one.issued_ms + 8 * 3_600_000)[:16].replace("T", " ")),
        other=other_zh,
        rows=rows,
        vouchers=vouchers,
        sums="".join(f"<tr><td>{name}</td><td class=n>{value}</td></tr>" for name, value in sums),
        due=owed if one.total_fen >= 0 else returned,
        total=html.escape(format_yuan(abs(one.total_fen) * FEN)),
        words=yuan_in_words(abs(one.total_fen)),
        hash=one.hash,
        previous=one.previous or "无 none",
    )


def yuan_in_words(fen: int) -> str:
    """An amount in the numerals of Chinese bills: 123456 is 壹仟贰佰叁拾肆元伍角陆分."""
    sign, fen = ("负", -fen) if fen < 0 else ("", fen)
    whole, rest = divmod(fen, 100)
    jiao, cents = divmod(rest, 10)
    text = _whole(whole) + "元" if whole else ""
    if not rest:
        return sign + (text or "零元") + "整"
    if jiao:
        text += _DIGITS[jiao] + "角"
    elif whole:
        text += "零"
    return sign + text + (_DIGITS[cents] + "分" if cents else "整")


def _whole(value: int) -> str:
    text, group, gap = "", 0, False
    while value:
        value, part = divmod(value, 10_000)
        if part:
            said = _four(part) + _GROUPS[group]
            text = said + ("零" if gap and text else "") + text
            gap = part < 1_000
        else:
            gap = bool(text)
        group += 1
    return text


def _four(part: int) -> str:
    text, zero = "", False
    for place in range(3, -1, -1):
        digit = part // 10**place % 10
        if digit:
            text += ("零" if zero and text else "") + _DIGITS[digit] + _PLACES[place]
            zero = False
        else:
            zero = True
    return text


def _rows(lines: Sequence[tuple[str, ...]]) -> str:
    shown = []
    for *texts, amount in lines:
        cells = "".join(f"<td>{html.escape(text)}</td>" for text in texts)
        shown.append(f"<tr>{cells}<td class=n>{html.escape(amount)}</td></tr>")
    return "".join(shown)


def _unit(unit: str) -> str:
    name, _, band = unit.partition("/")
    return _UNITS.get(name, name) + (f" ({band})" if band else "")


def _named(id_: str, names: dict[str, str]) -> str:
    return f"{names[id_]} ({id_})" if names.get(id_) else id_


def _contract(contract: str) -> str:
    return "长期 Standing" if contract.startswith("standing/") else contract


def _percent(rate: str) -> str:
    """A decimal such as 0.06 in hundredths: 6 %."""
    return f"{(Decimal(rate) * 100).normalize():f} %"


def _money(micro_yuan: int) -> str:
    """Always six decimals, so that columns stand under each other."""
    sign, (whole, rest) = "-" if micro_yuan < 0 else "", divmod(abs(micro_yuan), 1_000_000)
    return f"{sign}{whole:,}.{rest:06d}"


def _plain_yuan(micro_yuan: int) -> str:
    return _money(micro_yuan).replace(",", "")


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


_PAGE = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
@page {{ size: A4; margin: 18mm 16mm; }}
body {{ font: 10.5pt/1.5 "Noto Sans CJK SC", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC", sans-serif;
  color: #1a1a1a; max-width: 190mm; margin: 10mm auto; padding: 0 6mm; }}
header {{ border-bottom: 2px solid #1a1a1a; margin-bottom: 6mm; display: flex; justify-content: space-between;
  align-items: flex-end; flex-wrap: wrap; }}
h1 {{ font-size: 19pt; margin: 0; }}
h1 small {{ font-size: 11pt; font-weight: normal; color: #555; margin-left: .6em; }}
h2 {{ font-size: 11pt; margin: 7mm 0 2mm; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 1mm 5mm; margin: 0 0 6mm; }}
dt {{ color: #555; }} dd {{ margin: 0; overflow-wrap: anywhere; }}
table {{ width: 100%; border-collapse: collapse; }}
th {{ text-align: left; font-weight: 600; border-bottom: 1px solid #1a1a1a; padding: 1.2mm 2mm; }}
td {{ border-bottom: 1px solid #ddd; padding: 1.2mm 2mm; vertical-align: top; overflow-wrap: anywhere; }}
tr {{ break-inside: avoid; }} thead {{ display: table-header-group; }}
.n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
.sums {{ margin: 7mm 0 0 auto; width: auto; min-width: 60%; }}
.due td {{ font-size: 13pt; font-weight: 700; border-top: 2px solid #1a1a1a; border-bottom: 2px solid #1a1a1a; }}
.words {{ text-align: right; margin: 2mm 2mm 0; }}
footer {{ margin-top: 12mm; font-size: 8pt; color: #555; overflow-wrap: anywhere; }}
.sign {{ display: flex; justify-content: space-between; margin-top: 14mm; }}
.sign span {{ border-top: 1px solid #888; padding-top: 1mm; min-width: 45mm; }}
</style></head><body>
<header><h1>{title_zh}<small>{title_en}</small></h1><div>编号 No. <b>{id}</b></div></header>
<dl><dt>单位 Party</dt><dd>{party}</dd><dt>账期 Month</dt><dd>{month}</dd>
<dt>开具时间 Issued</dt><dd>{issued} (UTC+8)</dd><dt>币种 Currency</dt><dd>人民币 CNY</dd></dl>
<table><thead><tr><th>归属期 Period</th><th>{other}</th><th>合同 Contract</th><th>计费项 Item</th>
<th class=n>金额(元) Amount</th></tr></thead><tbody>{rows}</tbody></table>
{vouchers}
<table class=sums><tbody>{sums}<tr class=due><td>{due}</td><td class=n>{total}</td></tr></tbody></table>
<p class=words>大写 In words:{words}</p>
<div class=sign><span>编制 Prepared by</span><span>复核 Checked by</span><span>盖章 Seal</span></div>
<footer>金额按分四舍六入五成双,尾差转入下期。Rounded to the fen, half to even; the rest is carried to the next.<br>
SHA-256 {hash}<br>上一份 The one before: {previous}</footer>
</body></html>
"""

__all__ = ["COLUMNS", "statement_html", "statements_csv", "yuan_in_words"]
