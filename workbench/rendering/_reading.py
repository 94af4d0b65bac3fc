"""Attributes of a dataset as plain numbers and words, wherever they stand.

Knows: empty, missing and malformed values; functional groups (PS3.3 C.7.6.16).
Does not know: what the attributes mean.
"""

from collections.abc import Iterator
from math import isfinite
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from workbench.errors import AttributeUnusable

__all__ = [
    "attribute",
    "floats",
    "frame_count",
    "functional_groups",
    "integer",
    "is_little_endian",
    "items",
    "text",
    "transfer_syntax_uid",
    "words",
]


def attribute(dataset: Dataset, key: str | tuple[int, int]) -> Any:
    """Return the value of an attribute by keyword or tag; None where it is absent.

    Raises
    ------
    AttributeUnusable
        If its bytes can't be what its VR says: pydicom finds that out only when they are asked for.
    """
    try:
        element = dataset[key] if key in dataset else None  # noqa: SIM401 - with a keyword, get gives the value
        value = None if element is None else element.value
    except Exception as error:
        name = key if isinstance(key, str) else f"({key[0]:04X},{key[1]:04X})"
        raise AttributeUnusable(f"{name} can't be read: its bytes are not what its VR says (PS3.5 6.2).") from error
    return value


def floats(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return the finite values of a numeric attribute; an attribute that is absent or empty has none.

    Raises
    ------
    AttributeUnusable
        If a value is not a number or not finite.
    """
    value = attribute(dataset, keyword)
    if value is None or value == "":
        return ()
    values = value if isinstance(value, (list, tuple)) or (hasattr(value, "__iter__") and not isinstance(value, str)) else [value]
    try:
        numbers = tuple(float(v) for v in values)
    except (TypeError, ValueError) as error:
        raise AttributeUnusable(f"{keyword} has a value that is not a number (PS3.5 6.2).") from error
    if any(not isfinite(n) for n in numbers):
        raise AttributeUnusable(f"{keyword} has a value that is not finite (PS3.5 6.2).")
    return numbers


def integer(dataset: Dataset, keyword: str, default: int | None = None) -> int | None:
    """Return a single integer, or `default` where it is absent, empty or not a whole number."""
    try:
        values = floats(dataset, keyword)
    except AttributeUnusable:
        return default
    return int(values[0]) if len(values) == 1 and values[0] == int(values[0]) else default


def text(dataset: Dataset, keyword: str) -> str:
    """Return a single word without padding, or an empty one."""
    value = attribute(dataset, keyword)
    return value.strip(" \0") if isinstance(value, str) else ""


def words(dataset: Dataset, keyword: str) -> list[str]:
    """Return the values of a text attribute, none where it is absent or empty."""
    value = attribute(dataset, keyword)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else [str(v) for v in value] if isinstance(value, (list, tuple, MultiValue)) else []


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; none where it is absent, empty or no sequence at all."""
    value = attribute(dataset, keyword)
    return (
        [item for item in value if isinstance(item, Dataset)] if hasattr(value, "__iter__") and not isinstance(value, str) else []
    )


def frame_count(dataset: Dataset) -> int:
    """Return Number of Frames (0028,0008), 1 where it is absent, empty or less."""
    return max(1, integer(dataset, "NumberOfFrames", 1) or 1)


def functional_groups(dataset: Dataset, frame: int) -> Iterator[Dataset]:
    """Yield the functional groups item of a frame, then the shared one, as far as they are there."""
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    if 0 <= frame < len(per_frame):
        yield per_frame[frame]
    yield from items(dataset, "SharedFunctionalGroupsSequence")[:1]


def transfer_syntax_uid(dataset: Dataset) -> str:
    """Return Transfer Syntax UID (0002,0010) of the file meta information, or an empty string."""
    return str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "") or "")


def is_little_endian(dataset: Dataset) -> bool:
    """Return whether OW values inside `dataset` are little endian."""
    uid = transfer_syntax_uid(dataset)
    if uid:
        return uid != "1.2.840.10008.1.2.2"
    return getattr(dataset, "original_encoding", (None, None))[1] is not False
