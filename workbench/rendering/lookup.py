"""Lookup tables: modality, VOI, presentation and palette alike.

Knows: LUT Descriptor and LUT Data (PS3.3 C.11.1.1.1, C.11.2.1.1) and the ways in which they are written.
Does not know: which stage a table belongs to.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.rendering._reading import attribute, floats, text

__all__ = ["LookupTable", "lookup_table", "table_words"]


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """A table from input values to output values.

    Parameters
    ----------
    first : int
        Input value that is mapped to the first entry; smaller ones are too, and larger ones than the last to the last.
    values : ndarray of uint16, shape (entries,)
        Output values; read-only.
    bits : int
        Bits of the output range, which is 0 to 2**bits - 1.
    explanation : str
        LUT Explanation (0028,3003).
    """

    first: int
    values: NDArray[np.uint16]
    bits: int
    explanation: str = ""

    def __post_init__(self) -> None:
        values = np.array(self.values, np.uint16)
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    def __call__(self, x: NDArray[Any]) -> NDArray[np.uint16]:
        """Return the output values for input values `x`, rounded to whole numbers first."""
        index = np.rint(x) if x.dtype.kind == "f" else x.astype(np.int64)
        at = np.clip(index - self.first, 0, len(self.values) - 1).astype(np.intp)
        found: NDArray[np.uint16] = self.values[at]
        return found

    def fraction(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return the output as a fraction of the output range, 0 to 1."""
        return np.minimum(self(x) / (2.0**self.bits - 1.0), 1.0)


def lookup_table(item: Dataset, *, is_signed: bool, is_little_endian: bool = True) -> LookupTable:
    """Return the table of a LUT sequence item.

    Parameters
    ----------
    item : Dataset
        With LUT Descriptor (0028,3002) and LUT Data (0028,3006).
    is_signed : bool
        Whether the input may be negative: the first value mapped is then read as signed.
    is_little_endian : bool
        Of LUT Data, where its VR is OW.

    Raises
    ------
    AttributeUnusable
        If the descriptor has no three values, or there are no data (PS3.3 C.11.1.1.1).
    """
    entries, first, bits = descriptor(item, "LUTDescriptor", is_signed=is_signed)
    values = table_words(item, "LUTData", entries=entries, bits=bits, is_little_endian=is_little_endian)
    largest = int(values.max())
    return LookupTable(first, values, max(bits, largest.bit_length()), text(item, "LUTExplanation"))


def descriptor(dataset: Dataset, keyword: str, *, is_signed: bool) -> tuple[int, int, int]:
    """Return entries (0 means 65536), first value mapped and bits of an entry.

    Raises
    ------
    AttributeUnusable
        If there are no three values or the bits are not 1 to 16.
    """
    values = floats(dataset, keyword)
    if len(values) != 3 or not 1 <= values[2] <= 16:
        raise AttributeUnusable(f"{keyword} needs three values, the last from 1 to 16 bits (PS3.3 C.11.1.1.1).")
    entries, first = int(values[0]) % 65536 or 65536, int(values[1])
    if is_signed and first > 32767:
        first -= 65536
    return entries, (first if is_signed else first % 65536), int(values[2])


def table_words(dataset: Dataset, keyword: str, *, entries: int, bits: int, is_little_endian: bool = True) -> NDArray[np.uint16]:
    """Return `entries` values of table data, of VR US, SS or OW, one or two of them in a word.

    Raises
    ------
    AttributeUnusable
        If there are no data, or fewer than half of what the descriptor says.
    """
    value = attribute(dataset, keyword)
    if isinstance(value, (bytes, bytearray)):
        packed = bits <= 8 and len(value) < 2 * entries
        kind = "u1" if packed else ("<u2" if is_little_endian else ">u2")
        words = np.frombuffer(value[: len(value) // np.dtype(kind).itemsize * np.dtype(kind).itemsize], kind)
    else:
        numbers = np.array(floats(dataset, keyword), np.int64) & 0xFFFF
        is_packed = bits <= 8 and len(numbers) == (entries + 1) // 2 < entries
        words = numbers.astype("<u2").view(np.uint8) if is_packed else numbers.astype(np.uint16)
    if 2 * len(words) < entries or not len(words):
        raise AttributeUnusable(f"{keyword} has {len(words)} entries where its descriptor says {entries} (PS3.3 C.11.1.1.1).")
    words = words[:entries].astype(np.uint16)
    return np.pad(words, (0, entries - len(words)), mode="edge")
