"""A frame as it is seen: 8 bits of gray or colour.

Knows: the order of the stages (PS3.4 N.2), and how to be quick about it.
Does not know: where the plan came from.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import PixelDataUnusable
from workbench.rendering.palette import rgb
from workbench.rendering.pixels import decoded
from workbench.rendering.plan import FramePlan, RenderPlan

__all__ = ["render"]


def render(
    plan: RenderPlan, *, frame: int = 0, stored: NDArray[Any] | None = None, is_displayed: bool = True, with_overlays: bool = False
) -> NDArray[np.uint8]:
    """Return a frame as it is seen.

    Parameters
    ----------
    plan : RenderPlan
        From :func:`resolve`.
    frame : int
        Index of the frame, from 0.
    stored : ndarray, shape (rows, columns), optional
        Stored values of that frame, where the caller has them from :func:`pixels`; grayscale and palette images only.
    is_displayed : bool
        Cut out the displayed area, turn and flip as the plan says. Without it the image's own pixel grid is kept, in which
        annotations are.
    with_overlays : bool
        Draw the overlay planes in white.

    Returns
    -------
    ndarray of uint8, shape (rows, columns) or (rows, columns, 3)
        P-Values or RGB. Graphics and text are not drawn: they are in ``plan.frame(frame).annotations``.

    Raises
    ------
    PixelDataUnusable
        If the frame is not there or can't be decoded.
    """
    if stored is None or plan.layout.samples == 3:
        stored, photometric = decoded(plan.image, plan.layout, frame=frame, limit_bytes=plan.limit_bytes)
    else:
        photometric = plan.layout.photometric
        if stored.shape != (plan.layout.rows, plan.layout.columns):
            raise PixelDataUnusable(
                f"stored= has shape {stored.shape}, a frame of this image {plan.layout.rows, plan.layout.columns}."
            )
    settled = plan.frame(frame)
    if plan.layout.samples == 3:
        seen = rgb(stored, photometric=photometric, bits_stored=plan.layout.bits_stored)
    elif plan.layout.photometric == "PALETTE COLOR" and plan.palette is not None:
        seen = plan.palette(stored)
    else:
        seen = _gray(plan, settled, stored)
    if (plan.shutter is not None or with_overlays) and not (seen.flags.owndata and seen.flags.writeable):
        seen = seen.copy()
    for overlay in plan.overlays if with_overlays else ():
        seen[overlay.mask(frame=frame, rows=seen.shape[0], columns=seen.shape[1])] = 255
    if plan.shutter is not None:
        seen[plan.shutter.hidden(*seen.shape[:2])] = plan.shutter.value * 255 // 65535
    return settled.spatial(seen) if is_displayed else seen


def _gray(plan: RenderPlan, settled: FramePlan, stored: NDArray[Any]) -> NDArray[np.uint8]:
    """Grayscale through a table of all stored values where that is less work than the pixels themselves."""
    kind = stored.dtype
    if kind.kind in "iu" and kind.itemsize <= 2 and stored.size >= 2 ** (8 * kind.itemsize):
        unsigned = np.dtype(f"u{kind.itemsize}")
        every = np.arange(2 ** (8 * kind.itemsize), dtype=unsigned)
        return np.take(_stages(plan, settled, every.view(kind)), stored.view(unsigned))
    return _stages(plan, settled, stored)


def _stages(plan: RenderPlan, settled: FramePlan, stored: NDArray[Any]) -> NDArray[np.uint8]:
    values = settled.modality(stored)
    if values.dtype.kind == "f" and stored.dtype.kind == "f":
        values = np.nan_to_num(values, nan=settled.modality.intercept)
    fraction = plan.presentation(settled.voi.fraction(values))
    if plan.palette is not None:
        return plan.palette.spread(fraction)
    return np.rint(fraction * 255.0).astype(np.uint8)
