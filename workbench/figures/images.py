"""One image, or many small ones.

Knows: what belongs beside an image on paper: scale, orientation, units, a title without a name.
Does not know: files, the pixel pipeline.
"""

from collections.abc import Iterable
from itertools import islice

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench.entities import plain
from workbench.errors import InputError
from workbench.figures._drawing import add_axes, color_bar, families, heading, letters, paper, scale_bar, settled, show, text
from workbench.files import given
from workbench.rendering import RenderPlan, Spacing, Window, orientation, render, resolve, spacing

__all__ = ["caption", "contact_sheet", "image", "panel"]

_UNITS = {"BQML": "Bq/ml", "GML": "g/ml", "CNTS": "counts", "MGML": "mg/ml", "PROPCNTS": "counts", "OD": "optical density"}
_LONG_SIDE = 6.4


def image(
    dataset: Dataset,
    frame: int = 0,
    *,
    window: tuple[float, float] | Window | None = None,
    state: Dataset | None = None,
    title: str | None = None,
) -> Figure:
    """Return a figure of one frame with scale bar, orientation letters and, for grayscale, a colour bar in units.

    Parameters
    ----------
    dataset : Dataset
        An image.
    frame : int
        Index of the frame, from 0.
    window : (center, width) or Window, optional
        In modality values.
    state : Dataset, optional
        A presentation state that refers to it; its graphics are drawn by :func:`workbench.figures.presentation`.
    title : str, optional
        Instead of modality and description; the default holds no name and no ID.

    Returns
    -------
    Figure
        Not known to pyplot; a notebook shows it when it is the last value of a cell.

    Raises
    ------
    PixelDataUnusable, AttributeUnusable
        As :func:`workbench.rendering.resolve` and :func:`workbench.rendering.render` do.
    """
    figure, _ = panel(dataset, resolve(dataset, state=state, window=window), frame=frame, title=title)
    return settled(figure)


def panel(dataset: Dataset, plan: RenderPlan, *, frame: int, title: str | None) -> tuple[Figure, Axes]:
    """Return a figure with one image and its axes, whose data coordinates are those of the displayed array."""
    array = render(plan, frame=frame, with_overlays=True)
    area = plan.frame(frame).spatial
    aspect = area.pixel_aspect if area.rotation_deg % 180 == 0 else 1 / area.pixel_aspect
    rows, columns = array.shape[:2]
    bar = not plan.is_color and (plan.layout.bits_stored > 8 or bool(plan.frame(frame).modality.units))
    tall = rows * aspect / columns
    width, height = (_LONG_SIDE, _LONG_SIDE * tall) if tall <= 1 else (_LONG_SIDE / tall, _LONG_SIDE)
    figure = paper(max(width, 2.6) + 0.2 + 0.9 * bar, max(height, 1.4) + 0.62)
    axes = add_axes(figure)
    show(axes, array, aspect=aspect)
    heading(axes, caption(dataset) if title is None else title, _subtitle(plan, frame))
    letters(axes, orientation(dataset, frame=frame).turned(rotation_deg=area.rotation_deg, is_flipped=area.is_flipped))
    if size := _displayed_spacing(dataset, frame=frame, is_turned=area.rotation_deg % 180 != 0):
        scale_bar(axes, size, columns=columns)
    if bar:
        _value_bar(axes, plan, frame)
    return figure, axes


def _displayed_spacing(dataset: Dataset, *, frame: int, is_turned: bool) -> Spacing | None:
    size = spacing(dataset, frame=frame)
    return Spacing(size.column_mm, size.row_mm, size.caveat) if size and is_turned else size


def caption(dataset: Dataset) -> str:
    """Return what the image is, without saying whose: modality, eye or body part, descriptions."""
    eye = {"R": "right eye", "L": "left eye"}.get(_said(dataset, "ImageLaterality"), "")
    is_eye = _said(dataset, "Modality") in {"OP", "OPT", "OPM", "OAM"}
    description = _said(dataset, "SeriesDescription") or _said(dataset, "StudyDescription")
    words = [_said(dataset, "Modality"), eye if is_eye else "", description]
    return " · ".join(w for w in words if w) or "Image"


def _said(dataset: Dataset, keyword: str) -> str:
    """Return what an attribute says in one line; nothing where it is absent or unreadable."""
    try:
        value = dataset.get(keyword)
    except Exception:  # noqa: BLE001 - pydicom finds out only here that bytes do not fit their VR
        return ""
    return "" if value is None else value if isinstance(value, str) else str(value).strip("[]").replace("'", "")


def _subtitle(plan: RenderPlan, frame: int) -> str:
    shape, settled = plan.layout, plan.frame(frame)
    words = [f"{shape.columns} × {shape.rows}"]
    if shape.frames > 1:
        words.append(f"frame {frame + 1} of {shape.frames}")
    if not plan.layout.is_color:
        voi, unit = settled.voi, _unit(settled.modality.units)
        if isinstance(voi, Window) and voi.explanation == "full range" and shape.bits_stored <= 8:
            pass  # as it is
        elif isinstance(voi, Window):
            words.append(f"center {voi.center:g}, width {voi.width:g} {unit}".strip())
        else:
            words.append("VOI LUT")
    elif shape.photometric == "PALETTE COLOR":
        words.append("palette")
    return " · ".join(words)


def _unit(units: str) -> str:
    return _UNITS.get(units, units)


def _value_bar(axes: Axes, plan: RenderPlan, frame: int) -> None:
    settled = plan.frame(frame)
    if isinstance(settled.voi, Window):
        low, high = settled.voi.bounds
    else:
        low, high = float(settled.voi.first), float(settled.voi.first + len(settled.voi.values) - 1)
    if not high > low:
        return
    gray: NDArray[np.float64] = plan.presentation(settled.voi.fraction(np.linspace(low, high, 256)))
    label = _unit(settled.modality.units) or ("stored value" if settled.modality.is_identity else "modality value")
    colors = ListedColormap(np.repeat(np.clip(gray, 0, 1)[:, None], 3, axis=1))
    color_bar(axes, colors, low=low, high=high, label=label)


def contact_sheet(datasets: Dataset | Iterable[Dataset], *, columns: int = 6, limit: int = 60, title: str = "") -> Figure:
    """Return a figure with one small picture an image: the middle frame where there are several.

    Parameters
    ----------
    datasets : Dataset or iterable of Dataset
        Images; what can't be shown is a gray tile that says so.
    columns : int
        Pictures in a line.
    limit : int
        Pictures at most; those beyond are counted.
    title : str
        Above all.

    Raises
    ------
    InputError
        If there are no datasets, something else is among them, or `columns` or `limit` is less than 1.
    """
    source = iter(given.many(datasets, what="images"))
    if columns < 1 or limit < 1:
        raise InputError("A contact sheet needs at least one column and one picture.")
    shown = given.several(islice(source, limit), what="images")
    if not shown:
        raise InputError("A contact sheet needs at least one dataset.")
    rest = sum(1 for _ in source)
    columns = min(columns, len(shown))
    lines = -(-len(shown) // columns)
    figure = paper(max(1.5 * columns, 2.0), 1.72 * lines + (0.35 if title or rest else 0.1))
    words = " · ".join(w for w in (plain(title), f"and {rest} more" if rest else "") if w)
    if words:
        figure.suptitle(words, x=0.012, ha="left", fontsize=10.5, fontweight="bold", fontfamily=families(), parse_math=False)
    grid = figure.add_gridspec(lines, columns)
    for index, dataset in enumerate(shown):
        _tile(add_axes(figure, grid[index // columns, index % columns]), dataset)
    return settled(figure)


def _tile(axes: Axes, dataset: Dataset) -> None:
    words = [w for w in (_said(dataset, k) for k in ("Modality", "InstanceNumber")) if w]
    try:
        plan = resolve(dataset)
        array = render(plan, frame=plan.layout.frames // 2)
        show(axes, array, aspect=plan.frame(plan.layout.frames // 2).spatial.pixel_aspect)
        if plan.layout.frames > 1:
            words.append(f"{plan.layout.frames} frames")
    except InputError as error:
        axes.set_facecolor("#e8ecf0")
        axes.set_aspect(1)
        text(axes, 0.5, 0.5, f"can't be shown:\n{type(error).__name__}", ha="center", va="center", fontsize=6.5)
    axes.set_title(plain(" · ".join(words)), fontsize=7.5, pad=3, loc="left", parse_math=False)
