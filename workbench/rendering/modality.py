"""From stored values to values that mean something: Modality LUT or rescale.

Knows: PS3.3 C.11.1 and its functional group C.7.6.16.2.9 (Pixel Value Transformation), and the units of the result.
Does not know: windows, screens.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.files import given
from workbench.rendering._reading import floats, functional_groups, is_little_endian, items, text
from workbench.rendering.lookup import LookupTable, lookup_table
from workbench.rendering.pixels import LIMIT_BYTES, decoded, layout

__all__ = ["Modality", "modality", "modality_values", "units"]


@dataclass(frozen=True, slots=True)
class Modality:
    """How stored values become modality values.

    Parameters
    ----------
    slope, intercept : float
        Modality value = stored value · slope + intercept; not used where there is a table.
    table : LookupTable, optional
        Modality LUT (PS3.3 C.11.1).
    units : str
        Units of the result as the dataset names them, such as HU or BQML; empty where it does not.
    """

    slope: float = 1.0
    intercept: float = 0.0
    table: LookupTable | None = None
    units: str = ""

    @property
    def is_identity(self) -> bool:
        """Whether modality values are the stored values."""
        return self.table is None and self.slope == 1 and self.intercept == 0

    def __call__(self, stored: NDArray[Any]) -> NDArray[np.float64]:
        """Return modality values of stored values, shape kept.

        Examples
        --------
        >>> Modality(slope=2.0, intercept=-1024.0)(np.array([0, 1])).tolist()
        [-1024.0, -1022.0]
        """
        if self.table is not None:
            return self.table(stored).astype(np.float64)
        values = stored.astype(np.float64)
        if not self.is_identity:
            values *= self.slope
            values += self.intercept
        return values


def modality(source: Dataset, *, frame: int = 0, is_signed: bool = False) -> Modality:
    """Return the modality transformation of an image's frame, or of a presentation state.

    Parameters
    ----------
    source : Dataset
        An image or a softcopy presentation state.
    frame : int
        Index of the frame, from 0: an enhanced image may have another transformation for each.
    is_signed : bool
        Whether stored values may be negative (Pixel Representation).

    Raises
    ------
    AttributeUnusable
        If slope or intercept is no number, the slope is 0, or a table is malformed (PS3.3 C.11.1).
    """
    named = units(source, frame=frame)
    for group in functional_groups(source, frame):
        for item in items(group, "PixelValueTransformationSequence")[:1]:
            return _rescale(item, named)
    for item in items(source, "ModalityLUTSequence")[:1]:
        table = lookup_table(item, is_signed=is_signed, is_little_endian=is_little_endian(source))
        return Modality(table=table, units=named)
    return _rescale(source, named)


def _rescale(source: Dataset, named: str) -> Modality:
    slope = (floats(source, "RescaleSlope") or (1.0,))[0]
    intercept = (floats(source, "RescaleIntercept") or (0.0,))[0]
    if slope == 0:
        raise AttributeUnusable("Rescale Slope (0028,1053) is 0, so all pixels would be alike (PS3.3 C.11.1).")
    return Modality(slope, intercept, units=named)


def units(source: Dataset, *, frame: int = 0) -> str:
    """Return the units of modality values, such as HU, BQML or mGy; empty where the dataset does not say.

    Units (0054,1001) of a PET series count first, then Modality LUT Type and Rescale Type (``US`` means unspecified). A CT image
    that does not say is in HU (PS3.3 C.8.2.1.1.2).
    """
    if text(source, "Units"):
        return text(source, "Units")
    groups = [i for g in functional_groups(source, frame) for i in items(g, "PixelValueTransformationSequence")]
    named = [text(i, "ModalityLUTType") for i in items(source, "ModalityLUTSequence")]
    named += [text(i, "RescaleType") for i in (*groups, source)]
    found = next((n for n in named if n), "")
    if not found and text(source, "Modality") == "CT" and ("RescaleIntercept" in source or groups):
        return "HU"
    return "" if found == "US" else found


def modality_values(image: Dataset, *, frame: int | None = None, limit_bytes: int = LIMIT_BYTES) -> NDArray[np.float64]:
    """Return values after the modality transformation, such as HU or Bq/ml.

    Parameters
    ----------
    image : Dataset
        A grayscale image.
    frame : int, optional
        Index of a frame, from 0. All frames where it is not given.
    limit_bytes : int
        What is refused rather than allocated, counted in stored values.

    Returns
    -------
    ndarray of float64, shape (rows, columns) or (frames, rows, columns)
        The frames axis is there when `frame` is not given and the image has more than one. Each frame of an enhanced image is
        transformed by its own functional group (PS3.3 C.7.6.16.2.9).

    Raises
    ------
    InputError
        If it is not a dataset.
    PixelDataUnusable
        If the pixels can't be decoded.
    AttributeUnusable
        If it is a colour image, or its modality transformation is malformed.
    """
    shape = layout(given.one(image, what="an image"))
    if shape.is_color:
        raise AttributeUnusable("A colour image has no modality values: they belong to MONOCHROME1 and MONOCHROME2 (PS3.3 C.11.1).")
    stored, _ = decoded(image, shape, frame=frame, limit_bytes=limit_bytes)
    if frame is not None or shape.frames == 1 or not items(image, "PerFrameFunctionalGroupsSequence"):
        return modality(image, frame=frame or 0, is_signed=shape.is_signed)(stored)
    return np.stack([modality(image, frame=i, is_signed=shape.is_signed)(stored[i]) for i in range(shape.frames)])
