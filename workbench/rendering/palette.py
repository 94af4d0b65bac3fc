"""Colour: palettes, and from the colour space of the data to RGB.

Knows: PALETTE COLOR with plain and segmented tables (PS3.3 C.7.6.3.1.5, C.7.9), YBR_FULL (C.7.6.3.1.2).
Does not know: ICC profiles, grayscale.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.rendering._reading import attribute, is_little_endian
from workbench.rendering.lookup import LookupTable, descriptor, table_words

__all__ = ["Palette", "palette", "rgb"]

_SEGMENTS_LIMIT = 65536


@dataclass(frozen=True, slots=True)
class Palette:
    """Three tables from stored values to colour.

    Parameters
    ----------
    red, green, blue : LookupTable
        Of one length and first value.
    """

    red: LookupTable
    green: LookupTable
    blue: LookupTable

    def __call__(self, index: NDArray[Any]) -> NDArray[np.uint8]:
        """Return RGB, shape (..., 3); an index beyond the table takes its nearest entry (PS3.3 C.7.6.3.1.5)."""
        colors = np.stack([np.rint(t.values * (255.0 / (2**t.bits - 1))) for t in (self.red, self.green, self.blue)], axis=-1)
        at = np.clip(index.astype(np.int64) - self.red.first, 0, len(colors) - 1)
        return np.take(np.minimum(colors, 255).astype(np.uint8), at, axis=0)

    def spread(self, fraction: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return RGB of fractions 0 to 1 over the whole palette, as pseudo-colour presentation states do (PS3.4 N.2.3)."""
        return self(np.rint(fraction * (len(self.red.values) - 1)) + self.red.first)


def palette(source: Dataset, *, is_signed: bool = False) -> Palette:
    """Return the palette of an image, a presentation state or a Color Palette object.

    Raises
    ------
    AttributeUnusable
        If a descriptor or table is absent or malformed, or the three do not agree (PS3.3 C.7.6.3.1.5).
    """
    red, green, blue = (_table(source, color, is_signed=is_signed) for color in ("Red", "Green", "Blue"))
    if len({(len(t.values), t.first) for t in (red, green, blue)}) != 1:
        raise AttributeUnusable("The red, green and blue palettes have different lengths or first values (PS3.3 C.7.6.3.1.5).")
    return Palette(red, green, blue)


def _table(source: Dataset, color: str, *, is_signed: bool) -> LookupTable:
    entries, first, bits = descriptor(source, f"{color}PaletteColorLookupTableDescriptor", is_signed=is_signed)
    little = is_little_endian(source)
    segmented = f"Segmented{color}PaletteColorLookupTableData"
    if segmented in source:
        values = _expanded(attribute(source, segmented), bits=bits, entries=entries, is_little_endian=little)
    else:
        keyword = f"{color}PaletteColorLookupTableData"
        values = table_words(source, keyword, entries=entries, bits=bits, is_little_endian=little)
    largest = int(values.max())
    if bits <= 8 < largest.bit_length():  # 8 bits said, 16 bits written
        bits = 16
    elif bits > 8 >= largest.bit_length() and largest:  # 16 bits said, 8 bits written in the lower half
        bits = 8
    return LookupTable(first, values, bits)


def _expanded(value: object, *, bits: int, entries: int, is_little_endian: bool) -> NDArray[np.uint16]:
    """Expand segments: discrete, linear and indirect (PS3.3 C.7.9.2)."""
    if not isinstance(value, bytes):
        raise AttributeUnusable("The segmented palette is empty or of another VR than OW (PS3.3 C.7.9.2).")
    if bits <= 8:
        words = np.frombuffer(value, np.uint8)
    else:
        words = np.frombuffer(value[: len(value) // 2 * 2], "<u2" if is_little_endian else ">u2")
    out: list[int] = []
    _segments(words.tolist(), 0, None, out, is_wide=bits > 8)
    if len(out) != entries:
        raise AttributeUnusable(f"The segmented palette has {len(out)} entries, its descriptor says {entries} (PS3.3 C.7.9.2).")
    return np.array(out, np.uint16)


def _segments(words: list[int], at: int, count: int | None, out: list[int], *, is_wide: bool) -> None:
    done = 0
    while at + 2 < len(words) and (count is None or done < count):
        opcode, length = words[at], words[at + 1]
        done += 1
        if opcode == 0:
            out += words[at + 2 : at + 2 + length]
            at += 2 + length
        elif opcode == 1 and out:
            steps = np.linspace(out[-1], words[at + 2], length + 1)[1:]
            out += np.rint(steps).astype(int).tolist()
            at += 3
        elif opcode == 2 and count is None and at + 3 < len(words):  # an indirect segment does not lead to another
            start, at = _target(words, at, is_wide=is_wide)
            _segments(words, start, length, out, is_wide=is_wide)
        else:
            raise AttributeUnusable("The segmented palette has an unknown or misplaced segment (PS3.3 C.7.9.2).")
        if len(out) > _SEGMENTS_LIMIT:
            raise AttributeUnusable("The segmented palette expands to more than 65536 entries (PS3.3 C.7.9.2).")


def _target(words: list[int], at: int, *, is_wide: bool) -> tuple[int, int]:
    """Where an indirect segment leads, and where the next one begins; its offset counts bytes."""
    if is_wide:
        return (words[at + 2] + (words[at + 3] << 16)) // 2, at + 4
    return int.from_bytes(bytes(words[at + 2 : at + 6]), "little"), at + 6


def rgb(array: NDArray[Any], *, photometric: str, bits_stored: int) -> NDArray[np.uint8]:
    """Return colour pixels as 8-bit RGB.

    Parameters
    ----------
    array : ndarray, shape (..., 3)
        Decoded samples in the colour space `photometric`; decoders return YBR_RCT and YBR_ICT as RGB.
    photometric : str
        RGB, YBR_FULL or YBR_FULL_422.
    bits_stored : int
        Samples with other than 8 bits are brought to 8.

    Examples
    --------
    >>> rgb(np.array([[[76, 85, 255]]], np.uint8), photometric="YBR_FULL", bits_stored=8).tolist()
    [[[254, 0, 0]]]
    """
    if bits_stored > 8:
        array = array >> (bits_stored - 8)
    elif bits_stored < 8:
        array = np.rint(array * (255.0 / (2**bits_stored - 1)))
    samples = np.clip(array, 0, 255)
    if photometric not in {"YBR_FULL", "YBR_FULL_422"}:
        return np.ascontiguousarray(samples, np.uint8)
    y, cb, cr = (samples[..., i].astype(np.float32) for i in range(3))
    cb -= 128.0
    cr -= 128.0
    out = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    rounded: NDArray[np.uint8] = np.clip(np.rint(out), 0, 255).astype(np.uint8)
    return rounded
