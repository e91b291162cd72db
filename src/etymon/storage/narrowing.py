# SPDX-License-Identifier: Apache-2.0
"""Filters of a collection as far as indexes help: the rest is judged entity by entity, page by page."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from etymon.wire import odata


def found_by(expression: odata.Expression, columns: Mapping[str, sa.Column[Any]]) -> sa.ColumnElement[bool] | None:
    """Return a condition that every row has which fulfils `expression`, where `columns` find them; else None."""
    if isinstance(expression, odata.And):
        left, right = found_by(expression.left, columns), found_by(expression.right, columns)
        return sa.and_(left, right) if left is not None and right is not None else left if left is not None else right
    if not isinstance(expression, odata.Comparison) or expression.operator != "eq":
        return None
    column = columns.get(expression.path)
    if column is None or not isinstance(expression.value, str):
        return None
    if not isinstance(column.type, sa.Uuid):
        return column == expression.value
    try:
        return column == UUID(expression.value)
    except ValueError:
        return sa.false()
