"""What every figure shares: paper, type, scale bars, letters, colour bars.

Knows: matplotlib's objects; no pyplot and no global settings.
Does not know: DICOM attributes.
"""

import io
from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import fontManager
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray

from workbench.entities import plain
from workbench.rendering import Sides, Spacing

__all__ = [
    "ACCENT",
    "FAINT",
    "INK",
    "add_axes",
    "color_bar",
    "families",
    "group_bar",
    "heading",
    "length_words",
    "letters",
    "nice_length",
    "paper",
    "scale_bar",
    "settled",
    "show",
    "text",
]

INK, FAINT, ACCENT = "#1c2733", "#667788", "#ffd23f"
_OUTLINE = [withStroke(linewidth=2.2, foreground="black", alpha=0.75)]
_HALO = [withStroke(linewidth=2.2, foreground="white", alpha=0.8)]
_STEPS = (1, 2, 5)
_SCRIPTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans",
    "Hiragino Sans",
    "PingFang SC",
    "Yu Gothic",
    "Microsoft YaHei",
    "Arial",
)


class Sheet(Figure):
    """A figure that a notebook shows although pyplot does not know it."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png")
        return picture.getvalue()


@cache
def families() -> list[str]:
    """Return fonts of this machine in which names of any script can be written, the usual one first."""
    here = {entry.name for entry in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _SCRIPTS if name in here)]


def paper(width: float, height: float) -> Figure:
    """Return an empty white figure, in inches, that arranges its axes itself."""
    figure = Sheet(figsize=(width, height), dpi=120, facecolor="white", layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.06, h_pad=0.06, wspace=0.03, hspace=0.03)
    return figure


def settled(figure: Figure) -> Figure:
    """Return the figure arranged: sizes of words and pictures depend on each other, which takes a first pass."""
    figure.draw_without_rendering()
    return figure


def add_axes(where: Figure | SubFigure, spec: Any = 111, *, face: str = "black") -> Axes:
    """Return axes for an image: no ticks, no frame."""
    axes: Axes = where.add_subplot(spec)
    axes.set_facecolor(face)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def show(axes: Axes, array: NDArray[Any], *, aspect: float = 1.0) -> AxesImage:
    """Draw an 8-bit frame so that data coordinates are (column, row) from the top left corner of the top left pixel."""
    rows, columns = array.shape[:2]
    drawn = axes.imshow(
        array,
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=(0, columns, rows, 0),
        aspect=aspect,
        interpolation="antialiased",
        origin="upper",
    )
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    return drawn


def text(axes: Axes, x: float, y: float, words: str, **style: Any) -> Any:
    """Write words that come from a dataset: no mathematics, no control characters."""
    settings = {"parse_math": False, "fontfamily": families(), "fontsize": 8, "color": INK, "transform": axes.transAxes, **style}
    return axes.text(x, y, plain(words), **settings)


def heading(axes: Axes, title: str, subtitle: str = "", *, size: float = 10.5) -> None:
    """Write a title, and a smaller line beneath it, above an image."""
    if subtitle:
        axes.annotate(
            plain(subtitle), (0, 1), xytext=(0, 4), xycoords="axes fraction", textcoords="offset points",
            fontsize=size * 0.76, color=FAINT, va="bottom", fontfamily=families(), parse_math=False,
        )  # fmt: skip
    if title:
        axes.set_title(
            plain(title),
            loc="left",
            fontsize=size,
            color=INK,
            fontweight="bold",
            pad=size * 1.55 if subtitle else 5,
            fontfamily=families(),
            parse_math=False,
        )


def nice_length(available_mm: float) -> float:
    """Return 1, 2 or 5 times a power of ten, the largest that fits.

    Examples
    --------
    >>> nice_length(73.0), nice_length(0.3)
    (50.0, 0.2)
    """
    power = 10.0 ** np.floor(np.log10(available_mm))
    return float(round(max(s for s in _STEPS if s * power <= available_mm * 1.000001) * power, 9))


def length_words(length_mm: float) -> str:
    """Return a length as one reads it, in µm, mm or cm.

    Examples
    --------
    >>> length_words(0.2), length_words(50.0)
    ('200 µm', '5 cm')
    """
    if length_mm < 1:
        return f"{length_mm * 1000:g} µm"
    return f"{length_mm:g} mm" if length_mm < 10 else f"{length_mm / 10:g} cm"


def scale_bar(axes: Axes, spacing: Spacing, *, columns: int, rows: int = 0, color: str = "white") -> None:
    """Draw a horizontal scale bar at the bottom right; where `rows` is given, a vertical one of its own length too."""
    length = nice_length(columns * spacing.column_mm * 0.28)
    width = length / spacing.column_mm
    outline = _OUTLINE if color == "white" else None
    start, end = axes.get_xlim()
    right = start + (end - start) * 0.965
    across = blended_transform_factory(axes.transData, axes.transAxes)
    axes.plot(
        [right - width, right],
        [0.045, 0.045],
        color=color,
        lw=2.4,
        transform=across,
        path_effects=outline,
        solid_capstyle="butt",
    )
    words = length_words(length) + (f"\n{spacing.caveat}" if spacing.caveat else "")
    style = {"color": color, "path_effects": outline, "fontsize": 8, "linespacing": 1.05}
    text(axes, right - width / 2 if not spacing.caveat else right, 0.062, words, transform=across,
         ha="right" if spacing.caveat else "center", va="bottom", **style)  # fmt: skip
    if rows:
        tall = nice_length(rows * spacing.row_mm * 0.28)
        height = tall / spacing.row_mm
        down = blended_transform_factory(axes.transAxes, axes.transData)
        axes.plot(
            [0.02, 0.02], [rows * 0.955 - height, rows * 0.955], color=color, lw=2.4, transform=down, path_effects=outline,
            solid_capstyle="butt",
        )  # fmt: skip
        text(axes, 0.03, rows * 0.955 - height / 2, length_words(tall), transform=down, va="center", **style)


def letters(axes: Axes, sides: Sides, *, color: str = ACCENT) -> None:
    """Write orientation letters at the middle of each side."""
    style = {"color": color, "fontsize": 9.5, "fontweight": "bold", "path_effects": _HALO if color == INK else _OUTLINE}
    text(axes, 0.015, 0.5, sides.left, ha="left", va="center", **style)
    text(axes, 0.985, 0.5, sides.right, ha="right", va="center", **style)
    text(axes, 0.5, 0.985, sides.top, ha="center", va="top", **style)
    text(axes, 0.5, 0.015, sides.bottom, ha="center", va="bottom", **style)


def color_bar(
    axes: Axes,
    cmap: Colormap | str,
    *,
    low: float,
    high: float,
    label: str,
    at: tuple[float, float, float, float] = (1.02, 0, 0.035, 1),
) -> None:
    """Draw a colour bar of values beside (or, where it is wider than tall, beneath) axes; `at` is in fractions of them."""
    place = axes.inset_axes(at)
    is_flat = at[2] > at[3]
    bar: Any = axes.figure.colorbar(
        ScalarMappable(Normalize(low, high), cmap),
        cax=place,
        orientation="horizontal" if is_flat else "vertical",
        ticks=MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]),
    )
    bar.outline.set_linewidth(0.6)
    bar.outline.set_edgecolor(FAINT)
    place.tick_params(labelsize=8, color=FAINT, labelcolor=INK, length=3, width=0.6)
    bar.set_label(plain(label), fontsize=8.5, color=INK)


def group_bar(figure: Figure, axes: list[Axes], cmap: Colormap | str, *, low: float, high: float, label: str) -> None:
    """Draw one flat colour bar beneath several axes."""
    bar: Any = figure.colorbar(
        ScalarMappable(Normalize(low, high), cmap),
        ax=axes,
        location="bottom",
        panchor=False,
        fraction=0.045,
        pad=0.02,
        shrink=0.5 if len(axes) > 1 else 0.85,
        aspect=36 if len(axes) > 1 else 18,
        ticks=MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]),
    )
    bar.outline.set_linewidth(0.6)
    bar.outline.set_edgecolor(FAINT)
    bar.ax.tick_params(labelsize=8, color=FAINT, labelcolor=INK, length=3, width=0.6)
    bar.set_label(plain(label), fontsize=8.5, color=INK)
