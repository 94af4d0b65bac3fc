"""Which values of interest fill the range from black to white: windows and VOI LUTs.

Knows: PS3.3 C.11.2 with its three functions, the functional group C.7.6.16.2.10 (Frame VOI LUT).
Does not know: pixels, palettes, screens.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench.entities import Finding, Severity
from workbench.errors import AttributeUnusable
from workbench.rendering._reading import floats, functional_groups, is_little_endian, items, text, words
from workbench.rendering.lookup import LookupTable, lookup_table

__all__ = ["Window", "choices", "range_window"]

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True, slots=True)
class Window:
    """A window of modality values.

    Parameters
    ----------
    center, width : float
        Window Center (0028,1050) and Window Width (0028,1051), in modality values.
    function : str
        VOI LUT Function (0028,1056): LINEAR, LINEAR_EXACT or SIGMOID.
    explanation : str
        Window Center & Width Explanation (0028,1055).

    Raises
    ------
    AttributeUnusable
        If the width is less than 1 with LINEAR, or not greater than 0 (PS3.3 C.11.2.1.2).
    """

    center: float
    width: float
    function: str = "LINEAR"
    explanation: str = ""

    def __post_init__(self) -> None:
        if self.function not in _FUNCTIONS:
            raise AttributeUnusable(f"VOI LUT Function is one of {', '.join(_FUNCTIONS)} (PS3.3 C.11.2.1.3).")
        least = 1 if self.function == "LINEAR" else 0
        if not (self.width >= least and self.width > 0 and abs(self.center) < float("inf")):
            wanted = "1 or more" if least else "greater than 0"
            raise AttributeUnusable(f"Window Width must be {wanted} with {self.function}, not {self.width:g} (PS3.3 C.11.2.1.2).")

    def fraction(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return the output of the window as a fraction of the output range, 0 to 1.

        Examples
        --------
        A width of 1 is a threshold between two values (PS3.3 C.11.2.1.2.1):

        >>> Window(100.0, 1.0).fraction(np.array([99.0, 99.5, 100.0])).tolist()
        [0.0, 0.0, 1.0]
        """
        if self.function == "SIGMOID":
            return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (x - self.center) / self.width, -700.0, 700.0))))
        center, width = (self.center - 0.5, self.width - 1.0) if self.function == "LINEAR" else (self.center, self.width)
        if width == 0:
            return np.asarray(x > center, np.float64)
        y = np.asarray((x - center) / width + 0.5, np.float64)
        return np.clip(y, 0.0, 1.0, out=y)

    @property
    def bounds(self) -> tuple[float, float]:
        """The values that are shown as black and as white (for SIGMOID: about so)."""
        if self.function == "LINEAR":
            return self.center - 0.5 - (self.width - 1) / 2, self.center - 0.5 + (self.width - 1) / 2
        return self.center - self.width / 2, self.center + self.width / 2


def range_window(low: float, high: float, explanation: str) -> Window:
    """Return the window that shows `low` as black and `high` as white."""
    width = high - low if high > low else 1.0
    return Window((low + high) / 2, width, "LINEAR_EXACT", explanation)


def choices(
    source: Dataset, *, frame: int = 0, is_signed: bool = True, is_little: bool | None = None
) -> tuple[tuple[Window | LookupTable, ...], tuple[Finding, ...]]:
    """Return the windows, then the VOI LUTs, that an image's frame or a Softcopy VOI LUT item offers, and what is wrong.

    Parameters
    ----------
    source : Dataset
        An image, or an item of Softcopy VOI LUT Sequence.
    frame : int
        Index of the frame, from 0.
    is_signed : bool
        Whether modality values may be negative.
    is_little : bool, optional
        Byte order of tables, where `source` is an item.
    """
    places = [i for g in functional_groups(source, frame) for i in items(g, "FrameVOILUTSequence")][:1] or [source]
    found: list[Window | LookupTable] = []
    findings: list[Finding] = []
    for place in places:
        windows, wrong = _windows(place)
        found += windows
        findings += wrong
        for index, item in enumerate(items(place, "VOILUTSequence")):
            try:
                little = is_little_endian(source) if is_little is None else is_little
                found.append(lookup_table(item, is_signed=is_signed, is_little_endian=little))
            except AttributeUnusable as error:
                findings.append(Finding(Severity.WARNING, f"VOILUTSequence[{index}]", "PS3.3 C.11.2", f"Left out: {error}"))
    return tuple(found), tuple(findings)


def _windows(place: Dataset) -> tuple[list[Window], list[Finding]]:
    try:
        centers, widths = floats(place, "WindowCenter"), floats(place, "WindowWidth")
    except AttributeUnusable as error:
        return [], [Finding(Severity.WARNING, "WindowCenter", "PS3.3 C.11.2.1.2", f"Left out: {error}")]
    explained = words(place, "WindowCenterWidthExplanation")
    function = text(place, "VOILUTFunction") or "LINEAR"
    windows: list[Window] = []
    findings: list[Finding] = []
    if len(centers) != len(widths):
        message = f"{len(centers)} centers and {len(widths)} widths: those without their other half are left out."
        findings.append(Finding(Severity.WARNING, "WindowCenter", "PS3.3 C.11.2.1.2", message))
    for index, (center, width) in enumerate(zip(centers, widths, strict=False)):
        try:
            windows.append(Window(center, width, function, explained[index] if index < len(explained) else ""))
        except AttributeUnusable as error:
            findings.append(Finding(Severity.WARNING, f"WindowWidth[{index}]", "PS3.3 C.11.2.1.2", f"Left out: {error}"))
    return windows, findings
