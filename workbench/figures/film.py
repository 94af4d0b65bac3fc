"""A film on a light box.

Knows: what belongs beside a film on paper: its size, layout, copies and medium.
Does not know: printers, how a film is rendered.
"""

from matplotlib.figure import Figure

from workbench.entities import Film, counted
from workbench.errors import InputError
from workbench.figures._drawing import FAINT, add_axes, heading, paper, settled, show
from workbench.rendering import film as rendered

__all__ = ["film"]

_LONG_SIDE = 6.4


def film(film: Film, *, pixels_per_inch: int = 75, title: str | None = None) -> Figure:
    """Return a figure of a film as it looks on a light box.

    Parameters
    ----------
    film : Film
        Such as one of :attr:`workbench.network.Printer.films`.
    pixels_per_inch : int
        Of the picture, 10 to 600.
    title : str, optional
        Instead of size and layout; the default holds nothing that the film's sender wrote freely.

    Returns
    -------
    Figure
        Not known to pyplot; a notebook shows it when it is the last value of a cell.

    Raises
    ------
    InputError
        If it is no film.
    """
    if not isinstance(film, Film):
        raise InputError(f"Wanted is a film, such as printer.films[0], not {type(film).__name__}.")
    array = rendered(film, pixels_per_inch=pixels_per_inch)
    tall = array.shape[0] / array.shape[1]
    width, height = (_LONG_SIDE, _LONG_SIDE * tall) if tall <= 1 else (_LONG_SIDE / tall, _LONG_SIDE)
    figure = paper(width + 0.2, height + 0.62)
    axes = add_axes(figure)
    show(axes, array)
    for spine in axes.spines.values():  # a white film on white paper has an edge too
        spine.set(visible=True, color=FAINT, linewidth=0.6)
    heading(axes, _size(film) if title is None else title, _about(film))
    return settled(figure)


def _size(film: Film) -> str:
    return f"Film {film.box.size or '14INX17IN'} · {film.box.layout}"


def _about(film: Film) -> str:
    count, copies = sum(image is not None for image in film.images), film.session.copies
    lut = film.lut.shape or f"LUT of {len(film.lut.values)}" if film.lut else ""
    words = [counted(count, "image"), counted(copies, "copy"), film.session.medium, lut]
    return " · ".join(word for word in words if word)
