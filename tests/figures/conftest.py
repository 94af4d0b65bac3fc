"""What a figure says, and whether its words stand apart."""

from collections.abc import Callable
from itertools import combinations

import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def words_of(figure: Figure) -> list[Text]:
    """All texts that are drawn: visible, not empty, and no labels of ticks beyond an axis."""
    FigureCanvasAgg(figure).draw()
    beyond = set()
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_major_ticks()
            beyond |= {t.label1 for t in ticks if not low <= t.get_loc() <= high} | {t.label2 for t in ticks}
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in beyond]


@pytest.fixture(scope="session")
def words() -> Callable[[Figure], list[str]]:
    """A function that gives all texts of a figure."""
    return lambda figure: [t.get_text() for t in words_of(figure)]


@pytest.fixture(scope="session")
def overlaps() -> Callable[[Figure], list[tuple[str, str]]]:
    """A function that gives the pairs of texts that cover each other, and texts that leave the paper."""

    def of(figure: Figure) -> list[tuple[str, str]]:
        drawn = [(t.get_text(), t.get_window_extent()) for t in words_of(figure)]
        pairs = [
            (a, b)
            for (a, x), (b, y) in combinations(drawn, 2)
            if x.shrunk(0.9, 0.8).overlaps(y.shrunk(0.9, 0.8)) and x.width and y.width
        ]
        paper = figure.bbox.padded(2)
        outside = [(a, "the paper's edge") for a, x in drawn if not (paper.x0 <= x.x0 and x.x1 <= paper.x1 and x.y1 <= paper.y1)]
        return pairs + outside

    return of
