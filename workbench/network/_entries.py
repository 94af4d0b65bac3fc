"""Worklist items from what is scheduled: a table, a CSV file, mappings, datasets.

Knows: what an item must have (PS3.4 Table K.6-1), what tables do to identifiers and dates, where something stood.
Does not know: how a worklist is asked.
"""

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from workbench.errors import InputError, QueryKeyInvalid
from workbench.network._entry_values import values_checked
from workbench.network._made_names import Places, name_missing
from workbench.standard import place, worklist_path

__all__ = ["STEP", "item_of", "items_of"]

STEP = "ScheduledProcedureStepSequence"
#: What an item must have (return key type 1 of PS3.4 Table K.6-1); the UIDs and identifiers can be made.
_NEEDED = ("PatientName", "PatientID", f"{STEP}.ScheduledStationAETitle", f"{STEP}.ScheduledProcedureStepStartDate",
           f"{STEP}.Modality")  # fmt: skip
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_EXACT = 2**53  # from here on a float does not hold every whole number
_NUMBERS = frozenset({"DS", "FD", "FL"})
_HEADED = "The first line of the file names the columns, by keywords, with commas between them."


def items_of(scheduled: Any, places: Places) -> Iterator[Dataset]:
    """Yield the item of each entry of a DataFrame, a path of a CSV file, or an iterable of datasets or mappings.

    `places` counts the steps of each requested procedure, and goes on to count.

    Raises
    ------
    QueryKeyInvalid
        If a column is no attribute of a worklist item.
    InputError
        If an entry lacks something or a value can't stand, or the file is no table. The message names the item, or file and
        line, and the column, never what is in a cell.
    """
    if isinstance(scheduled, str | Path):
        for number, (line, row) in enumerate(_of_file(Path(scheduled)), start=1):
            yield item_of(row, number, places, where=f"{Path(scheduled).name}, line {line}")
        return
    if not isinstance(scheduled, Iterable) or isinstance(scheduled, bytes):
        kind = type(scheduled).__name__
        raise InputError(f"A worklist is made of a DataFrame, the path of a CSV file, or several items, not of a {kind}.")
    entries = _of_frame(scheduled) if hasattr(scheduled, "to_dict") and hasattr(scheduled, "columns") else scheduled
    for number, entry in enumerate(entries, start=1):
        yield item_of(entry, number, places)


def item_of(entry: Dataset | Mapping[str, Any], number: int, places: Places, *, where: str = "") -> Dataset:
    """Return an item that has what every item must have; `number` is its place in the worklist.

    Raises
    ------
    QueryKeyInvalid, InputError
        As for :func:`items_of`.
    """
    where, item = where or f"Worklist item {number}", Dataset()
    if isinstance(entry, Dataset):
        item.update({element.tag: element for element in entry})
    elif isinstance(entry, Mapping):
        for name, value in entry.items():
            if not _is_missing(value):
                _put(item, name, value, where)
    else:
        raise InputError(f"{where} is a {type(entry).__name__}: an item is a mapping of keywords to values, or a dataset.")
    steps = item.get(STEP) or [Dataset()]
    if len(steps) != 1:
        raise InputError(f"{where} has {len(steps)} scheduled steps: make one item of each (PS3.4 K.6.1.2.2).")
    step = Dataset()
    step.update({element.tag: element for element in steps[0]})
    item.ScheduledProcedureStepSequence = [step]
    lacking = [path for path in _NEEDED if not _value(item, path)]
    if lacking:
        raise InputError(f"{where} lacks {', '.join(p.split('.')[-1] for p in lacking)} (PS3.4 Table K.6-1, type 1).")
    values_checked(item, where=where)
    name_missing(item, places, number=number)
    for keyword, usual in (("ScheduledProcedureStepStatus", "SCHEDULED"), ("ScheduledProcedureStepStartTime", "000000")):
        if not step.get(keyword):
            setattr(step, keyword, usual)
    return item


def _put(item: Dataset, name: object, value: Any, where: str) -> None:
    try:
        path = worklist_path(str(name))
        place(item, path, _plain(value, path[-1]))
    except InputError as error:
        kind = QueryKeyInvalid if isinstance(error, QueryKeyInvalid) else InputError
        raise kind(f"{where}: {error}") from None


def _plain(value: Any, keyword: str) -> Any:
    """Return a value as it was before a table made something else of it, or say that this is lost."""
    representation = dictionary_VR(keyword)
    if hasattr(value, "dtype") and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value.is_integer() and representation not in _NUMBERS:
        if abs(value) >= _EXACT:
            raise InputError(f"{keyword} is a number too large for a table with gaps to hold exactly: read the column as text.")
        value = int(value)
    if representation not in {"DA", "TM", "DT"}:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if representation == "TM" and not 100_000 <= value < 240_000:  # 930 may be half past nine, or nine minutes past midnight
            raise InputError(f"{keyword} is a number, which has no leading zeros: pass text such as '093000', or a time.")
        value = str(value)
    if representation == "DA" and isinstance(value, str) and _ISO_DATE.fullmatch(value.strip()):  # as tables show it
        value = value.strip().replace("-", "")
    if representation == "DA" and not isinstance(value, date) and not (isinstance(value, str) and value.strip().isdecimal()):
        raise InputError(f"{keyword} of an item is one date, as text YYYYMMDD (20261121) or YYYY-MM-DD, or a date (PS3.5 6.2).")
    if representation == "TM" and isinstance(value, tuple | str) and "-" in value:
        raise InputError(f"{keyword} of an item is one time, as text HHMMSS or a time (PS3.5 6.2).")
    return value


def _is_missing(value: Any) -> bool:
    return value is None or str(value) in {"", "NaT", "<NA>"} or (isinstance(value, float) and math.isnan(value))


def _value(item: Dataset, path: str) -> Any:
    for part in path.split("."):
        found = item.get(part)
        if not found:
            return None
        item = found[0] if part == STEP else found
    return item


# ------------------------------------------------------------ tables
def _of_frame(frame: Any) -> Iterator[dict[Any, Any]]:
    names = list(frame.columns)
    if len(set(names)) < len(names):
        raise InputError("A table of worklist items has several columns of one name: which is meant can't be known.")
    columns = [frame[name].tolist() for name in names]
    for row in zip(*columns, strict=True):
        yield dict(zip(names, row, strict=True))


def _of_file(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line and cells of each row of a CSV file: text as it stands, with its leading zeros."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    names: list[str] = []
    begin = 1
    try:
        for cells in reader:
            line, begin = begin, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = _headings(path, cells)
            elif len(cells) != len(names):
                raise InputError(
                    f"{path.name}, line {line} has {len(cells)} cells where the first line names {len(names)} columns."
                )
            else:
                yield line, dict(zip(names, cells, strict=True))
    except csv.Error:
        text = (
            f"{path.name}, line {begin} is not CSV: a quotation mark is not closed, or stands in the middle of a cell (RFC 4180)."
        )
        raise InputError(text) from None
    if not names:
        raise InputError(f"{path.name} is empty. {_HEADED}")


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name} can't be read: {error.strerror}.") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path.name}, line {line} is not UTF-8. Save the file as 'CSV UTF-8', as spreadsheets call it.") from None


def _headings(path: Path, cells: list[str]) -> list[str]:
    """Return the names of the columns; one that is wrong is not repeated: without a heading, it is somebody's value."""
    names = [cell.strip() for cell in cells]
    for number, name in enumerate(names, start=1):
        try:
            worklist_path(name)
        except QueryKeyInvalid as error:
            _, meant, near = str(error).partition(" Do you mean ")
            text = f"{path.name}: column {number} is headed by no key of the Modality Worklist model (PS3.4 K.6.1.2.2)."
            raise QueryKeyInvalid(f"{text}{meant}{near} {_HEADED}") from None
    for earlier, later in pairwise(sorted(names)):
        if earlier == later:
            raise InputError(f"{path.name} has several columns that are headed {later}.")
    return names
