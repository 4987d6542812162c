"""The five tools of the desk, over the tables of one task: look_up, search, calculate, convert, calendar.

They are ordinary typed methods; `Toolbox` makes their schemas, and what they refuse they say in the words of a `ToolError`.
"""

from __future__ import annotations

from rewardlab.environments.tool_desk.arithmetic import ArithmeticRefusal, evaluate, written
from rewardlab.environments.tool_desk.dates import later, read_date, weekday, write_date
from rewardlab.environments.tool_desk.tables import Tables
from rewardlab.environments.tool_desk.units import UnitRefusal, converted
from rewardlab.environments.tools import Toolbox, ToolError

FURTHEST = 3660
"""How many days the calendar counts, either way."""


class Desk:
    """The tools over one set of tables.

    Args:
        tables: table -> row -> column -> cell.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def toolbox(self) -> Toolbox:
        """The tools under their names."""
        return Toolbox([self.look_up, self.search, self.calculate, self.convert, self.calendar])

    def look_up(self, table: str, row: str, column: str) -> str:
        """Read one cell of a table.

        Args:
            table: name of the table.
            row: name of the row.
            column: name of the column.
        """
        rows = self._rows(table)
        if row not in rows:
            raise ToolError(f"{table} has no row {row!r:.30}")
        if column not in rows[row]:
            raise ToolError(f"{table} has no column {column!r:.30}; columns: {', '.join(rows[row])}")
        return str(rows[row][column])

    def search(self, table: str, column: str, value: str) -> str:
        """Find the rows of a table that have a value in a column.

        Args:
            table: name of the table.
            column: name of the column.
            value: the whole cell, as look_up would show it.
        """
        rows = self._rows(table)
        columns = next(iter(rows.values()), {})
        if column not in columns:
            raise ToolError(f"{table} has no column {column!r:.30}; columns: {', '.join(columns)}")
        wanted = value.strip().casefold()
        return ", ".join(name for name, cells in rows.items() if str(cells[column]).casefold() == wanted) or "no match"

    def calculate(self, expression: str) -> str:
        """Work out an arithmetic expression.

        Args:
            expression: numbers, + - * / // % ** and brackets.
        """
        try:
            return written(evaluate(expression))
        except ArithmeticRefusal as error:
            raise ToolError(str(error)) from error

    def convert(self, value: float, unit: str, to: str) -> str:
        """Convert a quantity to another unit.

        Args:
            value: how much.
            unit: the unit it is in.
            to: the unit wanted.
        """
        try:
            return f"{written(converted(value, unit, to))} {to}"
        except UnitRefusal as error:
            raise ToolError(str(error)) from error

    def calendar(self, date: str, days: int) -> str:
        """Count days from a date, and say which weekday that is.

        Args:
            date: where to start, like 14 Mar.
            days: how many days later; negative for earlier.
        """
        start = read_date(date)
        if start is None:
            raise ToolError(f"{date!r:.30} is not a date; write it like 14 Mar")
        if abs(days) > FURTHEST:
            raise ToolError(f"days must be at most {FURTHEST} either way, got {days}")
        day = later(start, days)
        return f"{write_date(day)} ({weekday(day)})"

    def _rows(self, table: str) -> dict[str, dict[str, object]]:
        if table not in self.tables:
            raise ToolError(f"there is no table {table!r:.30}; tables: {', '.join(self.tables)}")
        return self.tables[table]


TOOL_SCHEMAS = Desk({}).toolbox().schemas
"""Descriptions of the five tools; they do not depend on the tables."""
