"""The column types for text that clients send."""

from __future__ import annotations

from typing import Any

from sqlalchemy import String, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from tracehoused.house.text import original, stored_or_none


class SafeText(TypeDecorator[str]):
    """A text column that holds every Python string, and sorts it by its bytes whatever language a server speaks."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return Text(collation="C") if dialect.name == "postgresql" else self.impl_instance

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return stored_or_none(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:
        return None if value is None else original(value)


class SafeString(TypeDecorator[str]):
    """A short text column of plain words, in which any Python string may be looked for."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return stored_or_none(value)
