"""SQL expressions that databases spell differently."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Float, and_, case, func, literal_column, null
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

# A server refuses a statement whose sum no double holds; beyond this it tells none.
_LARGEST: ColumnElement[float] = literal_column("1e300", Float(53))
# It refuses a quotient, too, that is too small to be told from nothing.
_SMALLEST: ColumnElement[float] = literal_column("1e-290", Float(53))


class added(FunctionElement[float]):  # noqa: N801 - reads as SQL's own functions do
    """The sum of two columns."""

    type = Float(53)
    inherit_cache = True


class mean(FunctionElement[float]):  # noqa: N801
    """The mean of a column over a group."""

    type = Float(53)
    inherit_cache = True


@compiles(added)
def _added(element: added, compiler: Any, **options: Any) -> str:
    one, other = element.clauses
    return str(compiler.process(one + other, **options))


@compiles(added, "postgresql")
def _added_within(element: added, compiler: Any, **options: Any) -> str:
    one, other = element.clauses
    fits = and_(func.abs(one) < _LARGEST, func.abs(other) < _LARGEST)
    return str(compiler.process(case((fits, one + other), else_=null()), **options))


@compiles(mean)
def _mean(element: mean, compiler: Any, **options: Any) -> str:
    return str(compiler.process(func.avg(*element.clauses), **options))


@compiles(mean, "postgresql")
def _mean_within(element: mean, compiler: Any, **options: Any) -> str:
    # avg() keeps squares too, which are out of bounds much earlier.
    (value,) = element.clauses
    fits = case((func.abs(value) < _LARGEST, value), else_=null())
    total = func.sum(fits)
    near = func.greatest(func.min(value), func.least(func.max(value), total))
    whole = case((func.abs(total) > _SMALLEST, total / func.count(value)), else_=near)
    return str(compiler.process(case((func.max(func.abs(value)) < _LARGEST, whole), else_=null()), **options))


def in_order(column: Column[Any] | ColumnElement[Any], *, descending: bool) -> ColumnElement[Any]:
    """An ORDER BY in which what is missing is less than anything else."""
    return column.desc().nulls_last() if descending else column.asc().nulls_first()
