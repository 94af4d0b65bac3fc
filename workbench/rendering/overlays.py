"""Overlay planes: drawings of one bit a pixel that come with an image or a presentation state.

Knows: PS3.3 C.9.2 (Overlay Plane), packed overlay data and the retired ones in the unused bits of pixel data (PS3.5 8.1.2).
Does not know: colours and layers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench.entities import Finding, Severity
from workbench.errors import AttributeUnusable
from workbench.rendering._reading import attribute, floats, is_little_endian
from workbench.rendering.pixels import Layout

__all__ = ["Overlay", "overlays"]


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """One overlay plane.

    Parameters
    ----------
    group : int
        0x6000 to 0x601E, even.
    kind : str
        G for graphics, R for a region of interest.
    top, left : int
        Where its first pixel is in the image, from 0; it may be outside.
    first_frame : int
        Index of the image frame to which its first frame belongs.
    bits : ndarray of bool, shape (frames, rows, columns)
        True where something is drawn; read-only.
    label : str
        Overlay Label (60xx,1500).
    """

    group: int
    kind: str
    top: int
    left: int
    first_frame: int
    bits: NDArray[np.bool_]
    label: str = ""

    def mask(self, *, frame: int, rows: int, columns: int) -> NDArray[np.bool_]:
        """Return where something is drawn on a frame, shape (rows, columns); a single overlay frame is for all frames."""
        out = np.zeros((rows, columns), np.bool_)
        index = frame - self.first_frame if len(self.bits) > 1 else 0
        if not 0 <= index < len(self.bits):
            return out
        plane = self.bits[index][max(-self.top, 0) :, max(-self.left, 0) :]
        part = out[max(self.top, 0) :, max(self.left, 0) :]
        height, width = min(plane.shape[0], part.shape[0]), min(plane.shape[1], part.shape[1])
        part[:height, :width] = plane[:height, :width]
        return out


def overlays(image: Dataset, shape: Layout) -> tuple[tuple[Overlay, ...], tuple[Finding, ...]]:
    """Return the overlay planes of an image, and what is wrong with those that are left out."""
    found: list[Overlay] = []
    findings: list[Finding] = []
    for group in sorted({tag.group for tag in image.keys() if 0x6000 <= tag.group <= 0x601E and tag.group % 2 == 0}):  # noqa: SIM118
        try:
            found.append(_overlay(image, shape, group))
        except AttributeUnusable as error:
            findings.append(Finding(Severity.WARNING, f"({group:04X},3000)", "PS3.3 C.9.2", f"Left out: {error}"))
    return tuple(found), tuple(findings)


def _overlay(image: Dataset, shape: Layout, group: int) -> Overlay:
    rows, columns = (next(_numbers(image, group, element), 0) for element in (0x0010, 0x0011))
    frames = next(_numbers(image, group, 0x0015), 1)
    top, left = (*_numbers(image, group, 0x0050), 1, 1)[:2]
    if not (0 < rows < 65536 and 0 < columns < 65536 and 0 < frames <= max(shape.frames, 1)):
        raise AttributeUnusable("Overlay Rows, Columns or Number of Frames in Overlay are absent or out of range (PS3.3 C.9.2).")
    value = attribute(image, (group, 0x3000))
    if not isinstance(value, bytes) or not value:
        bits = _embedded(image, shape, next(_numbers(image, group, 0x0102), 0))
    else:
        bits = _packed(value, frames * rows * columns, is_swapped=image[group, 0x3000].VR == "OW" and not is_little_endian(image))
        bits = bits.reshape(frames, rows, columns)
    bits.flags.writeable = False
    kind, label = (str(attribute(image, (group, e)) or "") for e in (0x0040, 0x1500))
    return Overlay(group, kind.strip() or "G", top - 1, left - 1, next(_numbers(image, group, 0x0051), 1) - 1, bits, label)


def _numbers(image: Dataset, group: int, element: int) -> Iterator[int]:
    if (group, element) in image:
        holder = Dataset()
        holder.add_new("GraphicData", "FL", attribute(image, (group, element)))
        yield from (int(v) for v in floats(holder, "GraphicData"))


def _packed(value: bytes, count: int, *, is_swapped: bool) -> NDArray[np.bool_]:
    if len(value) * 8 < count:
        raise AttributeUnusable(f"Overlay Data has {len(value):,} bytes where {-(-count // 8):,} are needed (PS3.5 8.1.2).")
    packed = np.frombuffer(value, np.uint8)
    if is_swapped:
        packed = packed[: len(packed) // 2 * 2].reshape(-1, 2)[:, ::-1].ravel()
    return np.unpackbits(packed, bitorder="little", count=count).astype(np.bool_)


def _embedded(image: Dataset, shape: Layout, position: int) -> NDArray[np.bool_]:
    """Read an overlay from a bit of native pixel data that holds no part of the pixel (retired since 2004)."""
    needed = shape.frames * shape.rows * shape.columns
    if not shape.is_native or shape.bits_allocated != 16 or shape.samples != 1 or not shape.high_bit < position < 16:
        raise AttributeUnusable("There is neither Overlay Data nor an unused bit of the pixel data for it (PS3.3 C.9.2).")
    value = image[shape.keyword].value
    if len(value) < 2 * needed:
        raise AttributeUnusable("The pixel data, of which the overlay would be a part, are truncated (PS3.5 8.1).")
    words = np.frombuffer(value, "<u2" if is_little_endian(image) else ">u2", needed)
    return ((words >> position) & 1).astype(np.bool_).reshape(shape.frames, shape.rows, shape.columns)
