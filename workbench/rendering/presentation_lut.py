"""From values of interest to P-Values: shape or table.

Knows: PS3.3 C.11.4 and C.11.6 (Presentation LUT), the polarity of MONOCHROME1 (C.7.6.3.1.2).
Does not know: monitors and their calibration (PS3.14).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench.rendering._reading import is_little_endian, items, text
from workbench.rendering.lookup import LookupTable, lookup_table

__all__ = ["PresentationLut", "presentation_lut"]


@dataclass(frozen=True, slots=True)
class PresentationLut:
    """The last grayscale stage.

    Parameters
    ----------
    is_inverse : bool
        The smallest value is shown as white.
    table : LookupTable, optional
        Presentation LUT (PS3.3 C.11.6.1.1): the whole range of the stage before is spread over its entries.
    """

    is_inverse: bool = False
    table: LookupTable | None = None

    def __call__(self, fraction: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return P-Values as fractions of their range, 0 to 1.

        Examples
        --------
        >>> PresentationLut(is_inverse=True)(np.array([0.0, 0.25])).tolist()
        [1.0, 0.75]
        """
        if self.table is not None:
            fraction = self.table.fraction(fraction * (len(self.table.values) - 1) + self.table.first)
        return 1.0 - fraction if self.is_inverse else fraction


def presentation_lut(source: Dataset, *, photometric: str = "") -> PresentationLut:
    """Return the presentation LUT of an image or a presentation state.

    Parameters
    ----------
    source : Dataset
        Presentation LUT Sequence (2050,0010) or Presentation LUT Shape (2050,0020); neither means identity.
    photometric : str
        Photometric Interpretation of an image that is shown without a presentation state: MONOCHROME1 is inverse unless the
        shape says otherwise. A presentation state alone decides on polarity, so it is read without.

    Raises
    ------
    AttributeUnusable
        If the table is malformed (PS3.3 C.11.6.1.1).
    """
    for item in items(source, "PresentationLUTSequence")[:1]:
        return PresentationLut(table=lookup_table(item, is_signed=False, is_little_endian=is_little_endian(source)))
    shape = text(source, "PresentationLUTShape")
    if shape in {"IDENTITY", "INVERSE"}:
        return PresentationLut(is_inverse=shape == "INVERSE")
    return PresentationLut(is_inverse=photometric == "MONOCHROME1")
