"""Tables of frozen values: what a check or a transfer hands back.

Knows: dataclasses, and pandas when a table is asked for.
Does not know: what the rows mean.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from workbench.entities.text import html_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Rows"]

Row = TypeVar("Row", bound=Any)


class Rows(tuple[Row, ...]):
    """A tuple of frozen dataclass instances of one kind that shows itself as a table.

    Subclasses set `row_type`; an empty table still has its columns then.
    """

    __slots__ = ()
    row_type: ClassVar[type | None] = None

    def __new__(cls, rows: Iterable[Row] = ()) -> Self:  # noqa: D102 - the class says it
        return super().__new__(cls, rows)

    def records(self) -> list[dict[str, object]]:
        """Return one dictionary a row; enumerations become their values."""
        return [{f.name: _shown(getattr(row, f.name)) for f in fields(row)} for row in self]

    def table(self) -> "pd.DataFrame":
        """Return a DataFrame, one row a value and one column a field, with nullable dtypes."""
        import pandas as pd  # noqa: PLC0415 - half a second, and only wanted here

        columns = [f.name for f in fields(self.row_type)] if self.row_type else None
        return pd.DataFrame.from_records(self.records(), columns=columns).convert_dtypes()

    def _repr_html_(self) -> str:
        records = self.records()
        names = [name for name in (records[0] if records else ()) if any(record[name] not in (None, "") for record in records)]
        shown = [{name: record[name] for name in names} for record in records]  # a column without any value says nothing
        return html_table(shown, caption=f"{type(self).__name__}: {len(self)}", limit=25, rest=": .table() has all of them")


def _shown(value: object) -> object:
    value = getattr(value, "value", value)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value
