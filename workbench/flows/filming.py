"""Filming: images as they are seen, onto films.

Knows: the order of work of a print job, and its audit line.
Does not know: DIMSE, how an image is rendered.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from pydicom.dataset import Dataset

from workbench.entities import FilmBox, FilmImage, Peer
from workbench.errors import InputError
from workbench.files import given
from workbench.flows.audit import Audit
from workbench.network import PrintReport, print_images
from workbench.rendering import film_image, resolve, series_in_order

__all__ = ["print_series"]


def print_series(
    peer: Peer | str,
    datasets: Dataset | Iterable[Dataset],
    *,
    layout: str | FilmBox = "1x1",
    bits: int = 8,
    window: tuple[float, float] | None = None,
    states: Iterable[Dataset] = (),
    by_series: bool = False,
    audit: Audit | None = None,
    **printing: Any,
) -> PrintReport:
    r"""Print images as they are seen, every frame of each.

    Parameters
    ----------
    peer : Peer or str
        The printer: a peer, its name in the address book, or ``AETITLE@HOST:PORT``.
    datasets : Dataset or iterable of Dataset
        Images, all gray or all colour, in the order in which they go on the films, unless `by_series`.
    layout : str or FilmBox
        ``2x3`` for two columns and three rows, ``ROW\1,2``, or a film box with all of its attributes.
    bits : int
        8, or 12 for grayscale.
    window : (center, width), optional
        In modality values, for all images.
    states : iterable of Dataset
        Presentation states; an image to which one refers is shown through it, without its graphics and texts.
    by_series : bool
        Whether to sort the images as :func:`workbench.rendering.series_in_order` does, and to begin a new film with each series.
    audit : Audit, optional
        Where the step is written down: verified when every step was done.
    **printing
        Of :func:`workbench.network.print_images`: session, lut, texts, collate, spelling, cancel.

    Returns
    -------
    PrintReport
        One row a step.

    Raises
    ------
    InputError, PixelDataUnusable, AttributeUnusable
        If an image can't be shown, or is not to be printed together with the others.
    NetworkError
        The leaf that says what went wrong.
    """
    images = given.several(datasets, what="images")
    if not images:
        raise InputError("There is nothing to print.")
    box = layout if isinstance(layout, FilmBox) else FilmBox(layout)
    kept = given.several(states, what="presentation states")
    groups = series_in_order(images) if by_series else [images]
    shown = _filled((_shown(some, kept, window=window, bits=bits) for some in groups), len(box.cells))
    with (audit or Audit()).step("print") as step:
        report = print_images(peer, shown, box=box, **printing)
        step.count, step.verified = report.films, report.is_printed
        step.note = "; ".join(f"{row.step} {row.status}".strip() for row in report.troubles)
    return report


def _filled(groups: Iterable[Iterable[FilmImage]], cells: int) -> Iterator[FilmImage | None]:
    """Yield the images of one group after the other, each from the first image box of a film on."""
    number = 0
    for images in groups:
        yield from [None] * (-number % cells)
        number = 0
        for number, image in enumerate(images, start=1):  # noqa: B007 - counted beyond the loop
            yield image


def _shown(images: list[Dataset], states: list[Dataset], *, window: tuple[float, float] | None, bits: int) -> Iterator[FilmImage]:
    """Yield what goes into the image boxes; one frame at a time is in memory besides the film's."""
    by_uid = {uid: state for state in states for uid in _referred(state)}
    for image in images:
        state = by_uid.get(str(image.get("SOPInstanceUID")))
        plan = resolve(image, state=state, window=window)
        for frame in range(plan.layout.frames):
            yield film_image(plan, frame=frame, bits=8 if plan.is_color else bits)


def _referred(state: Dataset) -> Iterator[str]:
    """Yield the instances to which a presentation state refers (PS3.3 C.11.11)."""
    for series in state.get("ReferencedSeriesSequence") or ():
        for item in series.get("ReferencedImageSequence") or ():
            yield str(item.get("ReferencedSOPInstanceUID"))
