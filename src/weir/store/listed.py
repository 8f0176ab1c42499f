"""Long lists of values as one bound parameter, so that a statement is compiled once and has no limit on its length.

`number IN (…)` with thousands of parameters meets both databases' limits and is compiled anew for every length.
"""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

AnyRow = Row[*tuple[Any, ...]]
"""A row, whatever its columns."""


class _Listed(FunctionElement[Any]):
    """The values of a JSON list, as a subquery of one column."""

    inherit_cache = True


class _ListedNumbers(_Listed):
    type = BigInteger()
    inherit_cache = True


class _ListedTexts(_Listed):
    type = Text()
    inherit_cache = True


def among(column: ColumnElement[Any], parameter: str) -> ColumnElement[bool]:
    """Whether an integer column's value is in the list bound to `parameter` (see `number_list`)."""
    return column.op("IN", is_comparison=True)(_ListedNumbers(bindparam(parameter, type_=Text)))


def among_texts(column: ColumnElement[Any], parameter: str) -> ColumnElement[bool]:
    """Whether a text column's value is in the list bound to `parameter` (see `text_list`)."""
    return column.op("IN", is_comparison=True)(_ListedTexts(bindparam(parameter, type_=Text)))


def number_list(numbers: Iterable[int]) -> str:
    """What to bind for `among`."""
    return f"[{','.join(map(str, numbers))}]"


def text_list(texts: Iterable[str]) -> str:
    """What to bind for `among_texts`."""
    return json.dumps(list(texts))


# What is put into the texts below (S608) is the compiler's own form of a bound parameter.


@compiles(_Listed, "sqlite")
def _on_sqlite(element: _Listed, compiler: SQLCompiler, **options: Any) -> str:
    listed = compiler.process(element.clauses, **options)
    return f"(SELECT value FROM json_each({listed}))"  # noqa: S608


@compiles(_ListedNumbers, "postgresql")
def _numbers_on_postgresql(element: _ListedNumbers, compiler: SQLCompiler, **options: Any) -> str:
    listed = compiler.process(element.clauses, **options)
    return f"(SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST({listed} AS json)))"  # noqa: S608


@compiles(_ListedTexts, "postgresql")
def _texts_on_postgresql(element: _ListedTexts, compiler: SQLCompiler, **options: Any) -> str:
    listed = compiler.process(element.clauses, **options)
    return f"(SELECT value FROM json_array_elements_text(CAST({listed} AS json)))"  # noqa: S608


__all__ = ["AnyRow", "among", "among_texts", "number_list", "text_list"]
