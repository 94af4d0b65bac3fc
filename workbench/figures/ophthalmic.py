"""Optical coherence tomography beside the photograph that says where each B-scan lies.

Knows: Ophthalmic Frame Location (PS3.3 C.8.17.10), the two scales of a B-scan.
Does not know: layers and their thickness.
"""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.figures._drawing import ACCENT, add_axes, heading, letters, paper, scale_bar, settled, show, text
from workbench.figures.images import caption
from workbench.files import given
from workbench.rendering import orientation, render, resolve, spacing

__all__ = ["ophthalmic"]

_OTHER = "#7fe3a1"
_HEIGHT = 4.3
_LINE_KINDS = {"LINEAR", "NONLINEAR", ""}


def ophthalmic(
    volume: Dataset, localizer: Dataset, *, bscan: int | None = None, is_stretched: bool = True, title: str | None = None
) -> Figure:
    """Return a figure of a B-scan beside its localizer, with all B-scan positions drawn and this one highlighted.

    Parameters
    ----------
    volume : Dataset
        Ophthalmic Tomography Image (OPT), one B-scan a frame.
    localizer : Dataset
        The fundus photograph or scanning laser image that its frames refer to.
    bscan : int, optional
        Index of the frame, from 0; the middle one where it is not given.
    is_stretched : bool
        Show the B-scan with square pixels, as the devices do, which makes layers appear thicker than they are; each direction has
        a scale bar of its own. Otherwise both directions have the same scale.
    title : str, optional
        Instead of modality, eye and description.

    Returns
    -------
    Figure
        Not known to pyplot.

    Raises
    ------
    InputError
        If one of them is not a dataset.
    AttributeUnusable
        If no frame of the volume has its place in this localizer (PS3.3 C.8.17.10.1).
    PixelDataUnusable
        If there is no such frame, or an image can't be decoded.
    """
    given.one(volume, what="a tomography image")
    given.one(localizer, what="its localizer")
    places = dict(_places(volume, localizer))
    if not places:
        raise AttributeUnusable(
            f"No frame of instance {volume.get('SOPInstanceUID', '(without UID)')} has Reference Coordinates (0022,0032) in "
            f"instance {localizer.get('SOPInstanceUID', '(without UID)')} (PS3.3 C.8.17.10.1). "
            "Pass the localizer that the volume refers to."
        )
    scans, photograph = resolve(volume), resolve(localizer)
    current = scans.layout.frames // 2 if bscan is None else bscan
    section = render(scans, frame=current)
    picture = render(photograph)
    aspect = 1.0 if is_stretched else scans.frame(current).spatial.pixel_aspect
    tall = section.shape[0] * aspect / section.shape[1]
    width = min(max(_HEIGHT / tall, 3.0), 8.0)
    across = _HEIGHT * picture.shape[1] / (picture.shape[0] * photograph.frame(0).spatial.pixel_aspect)
    figure = paper(across + width + 0.3, _HEIGHT + 0.5)
    grid = figure.add_gridspec(1, 2, width_ratios=(across, width))
    _photograph(add_axes(figure, grid[0, 0]), localizer, picture, places, current, photograph.frame(0).spatial.pixel_aspect)
    axes = add_axes(figure, grid[0, 1])
    show(axes, section, aspect=aspect)
    heading(axes, caption(volume) if title is None else title, f"B-scan {current + 1} of {scans.layout.frames}")
    letters(axes, orientation(volume, frame=current))
    if size := spacing(volume, frame=current):
        scale_bar(axes, size, columns=section.shape[1], rows=section.shape[0])
    axes.add_patch(_frame(axes))
    return settled(figure)


def _frame(axes: Axes) -> Rectangle:
    return Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=ACCENT, linewidth=2.2, clip_on=False)


def _photograph(
    axes: Axes, localizer: Dataset, picture: NDArray[np.uint8], places: dict[int, NDArray[np.float64]], current: int, aspect: float
) -> None:
    show(axes, picture, aspect=aspect)
    for index, line in places.items():
        if index != current:
            axes.plot(*line.T, color=_OTHER, lw=0.7, alpha=0.75)
    if current in places:
        line = places[current]
        axes.plot(*line.T, color="black", lw=3.6, alpha=0.45)
        axes.plot(*line.T, color=ACCENT, lw=2.2)
        x, y = line[-1]
        style = {"color": ACCENT, "transform": axes.transData, "va": "center", "fontsize": 9, "fontweight": "bold"}
        text(axes, x + picture.shape[1] * 0.012, y, str(current + 1), **style)
    heading(axes, caption(localizer), f"{len(places)} B-scan positions")
    letters(axes, orientation(localizer), color="white")
    if size := spacing(localizer):
        scale_bar(axes, size, columns=picture.shape[1])


def _places(volume: Dataset, localizer: Dataset) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield frame indices with the line in the localizer on which they lie, as (column, row) points."""
    uid = localizer.get("SOPInstanceUID")
    for index, group in enumerate(volume.get("PerFrameFunctionalGroupsSequence") or ()):
        for place in group.get("OphthalmicFrameLocationSequence") or ():
            values = np.atleast_1d(np.array(place.get("ReferenceCoordinates") or (), np.float64))
            is_line = str(place.get("OphthalmicImageOrientation") or "") in _LINE_KINDS
            if place.get("ReferencedSOPInstanceUID") == uid and is_line and len(values) >= 4 and len(values) % 2 == 0:
                yield index, values.reshape(-1, 2)[:, ::-1]  # the attribute has (row, column)
