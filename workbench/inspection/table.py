"""Many datasets as one table with good column types, and tables as CSV that no spreadsheet runs.

Knows: which column type a value representation wants (PS3.5 6.2), and pandas.
Does not know: where the datasets come from.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from workbench.entities import cell_safe, counted, plain
from workbench.errors import AttributeUnusable
from workbench.files import character_sets, given, write_whole
from workbench.inspection._walk import BULK, element, multiple, text_of

__all__ = ["lines", "table", "to_csv", "to_parquet"]

_INTEGERS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV", "US or SS"})
_REALS = frozenset({"DS", "FD", "FL"})
_STEP = re.compile(r"([^.\[\]]+)(?:\[(\d+)\])?")
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")  # the form with points is that of ACR-NEMA (PS3.5 6.2, note to DA)


def table(datasets: Dataset | Iterable[Dataset], keywords: str | Iterable[str] | None = None) -> pd.DataFrame:
    r"""Return a DataFrame with one row a dataset and one column a keyword.

    Parameters
    ----------
    datasets : pydicom.Dataset or iterable of pydicom.Dataset
        Instances, or the identifiers that a query gave.
    keywords : str or iterable of str, optional
        Keywords or tags (``00100010``), or dotted paths through sequences such as
        ``RadiopharmaceuticalInformationSequence.RadionuclideTotalDose`` (all items) or with an index
        (``ReferencedSeriesSequence[0].SeriesInstanceUID``). By default every standard attribute at the top level
        that any dataset has, in order of tag, without sequences and bulk data.

    Returns
    -------
    pandas.DataFrame
        DA as datetime64, IS and the binary integers as Int64, DS, FD and FL as float64, CS as category, everything
        else as string. Several values: numbers as tuples, text joined by a backslash. A sequence gives its number of
        items, bulk data their number of bytes. What a dataset does not have is NA. A column in which any value does
        not fit its type is kept whole as text and named in ``frame.attrs["kept_as_text"]``.

    Raises
    ------
    AttributeUnusable
        If a keyword is not in the data dictionary (PS3.6).
    InputError
        If `datasets` are not datasets.

    Examples
    --------
    >>> image = Dataset()
    >>> image.StudyDate, image.Rows, image.PixelSpacing = "20260102", 512, [0.5, 0.5]
    >>> frame = table([image])
    >>> frame.StudyDate[0].year, int(frame.Rows[0]), frame.PixelSpacing[0]
    (2026, 512, (0.5, 0.5))
    """
    rows = given.several(datasets)
    keywords = [keywords] if isinstance(keywords, str) else keywords
    paths = _present(rows) if keywords is None else {name: _steps(name) for name in keywords}
    columns: dict[str, pd.Series[Any]] = {}
    kept: list[str] = []
    for name, steps in paths.items():
        found = [_values(row, steps) for row in rows]
        vr = next((v for v, values in found if values), "") or _dictionary_vr(steps[-1][0])
        columns[name], fits = _column(vr, [values for _, values in found])
        if not fits:
            kept.append(name)
    frame = pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))
    if kept:
        frame.attrs["kept_as_text"] = tuple(kept)
    return frame


def lines(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Return one dictionary a row of a table, to be shown: dates without a time, sequences by their items, nothing for NA.

    Examples
    --------
    >>> item = Dataset()
    >>> item.PatientBirthDate, item.ReferencedStudySequence, item.PatientID = "19710314", [Dataset()], ""
    >>> lines(table(item, ["PatientBirthDate", "ReferencedStudySequence", "PatientID"]))
    [{'PatientBirthDate': '1971-03-14', 'ReferencedStudySequence': '1 item', 'PatientID': ''}]
    """
    shown = {str(name): [_as_seen(str(name), value) for value in frame[name].astype(object)] for name in frame.columns}
    return [{name: column[number] for name, column in shown.items()} for number in range(len(frame))]


def _as_seen(name: str, value: object) -> object:
    if _missing(value):
        return ""
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    tag = _tag(re.split(r"[.\[]", re.sub(r"\[\d+\]$", "", name))[-1])
    if isinstance(value, int) and tag is not None and _dictionary_vr(tag) == "SQ":
        return counted(value, "item") if value else ""
    return value


def _present(rows: list[Dataset]) -> dict[str, list[tuple[BaseTag, int | None]]]:
    tags = sorted({key for row in rows for key in row.keys()})  # noqa: SIM118 - iterating would decode every value
    found: dict[str, list[tuple[BaseTag, int | None]]] = {}
    for key in tags:
        tag = Tag(key)
        name = keyword_for_tag(tag)
        if name and _dictionary_vr(tag) not in BULK | {"SQ"} and tag.element != 0:
            found[name] = [(tag, None)]
    return found


def _dictionary_vr(tag: BaseTag) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _steps(path: str) -> list[tuple[BaseTag, int | None]]:
    steps: list[tuple[BaseTag, int | None]] = []
    for part in path.split("."):
        match = _STEP.fullmatch(part)
        tag = _tag(match[1]) if match else None
        if match is None or tag is None:
            raise AttributeUnusable(
                f"{plain(part)[:64]!r} is not a keyword of the data dictionary (PS3.6 6), nor eight hexadecimal digits."
            )
        steps.append((tag, int(match[2]) if match[2] else None))
    return steps


def _tag(name: str) -> BaseTag | None:
    tag = tag_for_keyword(name)
    if tag is None and re.fullmatch("[0-9A-Fa-f]{8}", name):
        tag = int(name, 16)
    return None if tag is None else Tag(tag)


def _values(dataset: Dataset, steps: list[tuple[BaseTag, int | None]]) -> tuple[str, list[object]]:
    """Return the VR and all values at the end of a path, over all items that it leads through."""
    level = [dataset]
    for tag, index in steps[:-1]:
        sequences = [value for d in level if tag in d and isinstance(value := element(d, tag)[2], Sequence)]
        level = [item for s in sequences for i, item in enumerate(s) if index is None or i == index]
    tag, vr = steps[-1][0], ""
    values: list[object] = []
    for item in level:
        if tag in item:
            vr, _, value = element(item, tag)
            values += list(value) if multiple(value) else [value]  # type: ignore[call-overload]
    return vr, [v for v in values if v is not None and v != ""]


def _column(vr: str, found: list[list[object]]) -> tuple["pd.Series[Any]", bool]:
    """Return a column of the type that `vr` wants, or of text where a value does not fit it."""
    if vr == "SQ" or vr in BULK:
        return pd.Series([_length(values) for values in found], dtype="Int64"), True
    try:
        if vr in _INTEGERS:
            return _numbers(found, _integer, "Int64"), True
        if vr in _REALS:
            return _numbers(found, lambda v: float(str(v)), "float64"), True
        if vr == "DA" and all(len(v) <= 1 for v in found):
            return pd.Series(np.array([_date(v[0]) if v else np.datetime64("NaT", "s") for v in found], dtype="M8[s]")), True
    except (ValueError, TypeError, OverflowError):
        return _text(found), False
    return (_text(found).astype("category") if vr == "CS" else _text(found)), True


def _numbers(found: list[list[object]], number: Callable[[object], float], dtype: str) -> "pd.Series[Any]":
    if any(len(values) > 1 for values in found):
        return pd.Series([tuple(number(v) for v in values) if values else pd.NA for values in found], dtype=object)
    return pd.Series([number(values[0]) if values else None for values in found], dtype=dtype)


def _integer(value: object) -> int:
    number = int(str(value))
    if not -(2**63) <= number < 2**63:
        raise OverflowError
    return number


def _date(value: object) -> np.datetime64:
    match = _DATE.fullmatch(str(value).strip())
    if not match:
        raise ValueError
    return np.datetime64("-".join(match.groups()), "s")


def _text(found: list[list[object]]) -> "pd.Series[Any]":
    return pd.Series([character_sets.spelled(text_of(values)) if values else pd.NA for values in found], dtype="string")


def _length(values: list[object]) -> int | None:
    """Return the number of items of a sequence, or of bytes."""
    return sum(len(v) if isinstance(v, (bytes, bytearray, Sequence)) else 0 for v in values) if values else None


def to_csv(frame: pd.DataFrame, path: Path | str, *, as_it_is: bool = False) -> Path:
    """Write a table as CSV in which no text cell is taken for a formula.

    Cells, column names and index labels that begin with ``= + - @``, a tab or a line end, or with their full-width forms,
    get an apostrophe in front; numbers stay numbers. The file appears whole or not at all.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table, such as that of :func:`table`.
    path : path
        The file, replaced if it is there.
    as_it_is : bool
        True writes text unchanged, for programs that read it back; never open such a file in a spreadsheet.
    """
    out = frame.copy()
    safe: Callable[[object], object] = _joined if as_it_is else lambda v: cell_safe(_joined(v))
    for position in range(out.shape[1]):
        column = out.iloc[:, position]
        if not (pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype)):
            out.isetitem(position, np.array([v if _missing(v) else safe(v) for v in column], dtype=object))
    out.columns = pd.Index([safe(str(name)) for name in out.columns], dtype=object)
    has_index = not isinstance(out.index, pd.RangeIndex)
    if has_index and not isinstance(out.index, pd.MultiIndex):
        out.index = pd.Index([safe(v) for v in out.index], name=safe(out.index.name), dtype=object)
    elif has_index:
        out = out.reset_index()
        return to_csv(out, path, as_it_is=as_it_is)
    text = out.to_csv(index=has_index, quoting=csv.QUOTE_NONNUMERIC)
    return write_whole(path, text.encode("utf-8" if as_it_is else "utf-8-sig"))


def to_parquet(frame: pd.DataFrame, path: Path | str) -> Path:
    """Write a table as Parquet, which keeps column types and needs no escaping: the form for programs.

    Several values of one cell (tuples of numbers) become text joined by backslashes where their column is not numeric.
    The file appears whole or not at all.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table, such as that of :func:`table`.
    path : path
        The file, replaced if it is there.
    """
    out = frame.copy()
    out.attrs = {}
    for position in range(out.shape[1]):
        column = out.iloc[:, position]
        if column.dtype == object:
            texts = [None if _missing(value) else str(_joined(value)) for value in column]
            out.isetitem(position, pd.array(texts, dtype="string"))
    content = io.BytesIO()
    out.to_parquet(content, index=not isinstance(out.index, pd.RangeIndex))
    return write_whole(path, content.getvalue())


def _missing(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value))


def _joined(value: object) -> object:
    return text_of(value) if multiple(value) else value
