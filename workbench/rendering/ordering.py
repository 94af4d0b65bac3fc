"""Images in the order in which they are looked at.

Knows: which study, series and place in its series an image has (PS3.3 C.7.2.1, C.7.3.1, C.7.6.1, C.7.6.2).
Does not know: films, screens, what is in the pixels.
"""

from collections.abc import Iterable
from math import inf

from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.rendering._reading import attribute, floats, integer

__all__ = ["series_in_order"]


def series_in_order(images: Iterable[Dataset]) -> list[list[Dataset]]:
    """Return images sorted, a list a series.

    Studies follow by date and time, series by Series Number (those without one last). Within a series the order is that of
    Instance Number where each image has one of its own, else that of positions along the normal of the slices (the cross product
    of row and column direction) where all have one and are parallel; else it is as given.

    Parameters
    ----------
    images : iterable of Dataset
        In any order, of any studies; none is changed.

    Examples
    --------
    >>> from workbench.phantoms import ct_series
    >>> (series,) = series_in_order(reversed(ct_series(3, rows=16)))
    >>> [int(image.InstanceNumber) for image in series]
    [1, 2, 3]
    """
    series: dict[tuple[str, str], list[Dataset]] = {}
    for image in images:
        series.setdefault((_text(image, "StudyInstanceUID"), _text(image, "SeriesInstanceUID")), []).append(image)
    return [_in_order(some) for some in sorted(series.values(), key=lambda some: _place(some[0]))]


def _place(image: Dataset) -> tuple[str, str, str, float, str]:
    number = integer(image, "SeriesNumber")
    study = _text(image, "StudyDate"), _text(image, "StudyTime"), _text(image, "StudyInstanceUID")
    return *study, inf if number is None else number, _text(image, "SeriesInstanceUID")


def _in_order(images: list[Dataset]) -> list[Dataset]:
    numbers = [integer(image, "InstanceNumber") for image in images]
    places: list[float | None] = list(numbers)
    if None in numbers or len(set(numbers)) < len(numbers):
        places = _along(images)
    if any(place is None for place in places):
        return images
    order = sorted(range(len(images)), key=lambda index: places[index] or 0.0)
    return [images[index] for index in order]


def _along(images: list[Dataset]) -> list[float | None]:
    """Return where slices lie along the normal of the first, in mm; None where that can't be said."""
    try:
        directions = [floats(image, "ImageOrientationPatient") for image in images]
        positions = [floats(image, "ImagePositionPatient") for image in images]
    except AttributeUnusable:
        return [None]
    first = directions[0]
    if len(first) != 6 or any(len(position) != 3 for position in positions):
        return [None]
    if any(len(each) != 6 or max(abs(a - b) for a, b in zip(each, first, strict=True)) > 1e-3 for each in directions):
        return [None]
    (a, b, c), (d, e, f) = first[:3], first[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    return [sum(n * p for n, p in zip(normal, position, strict=True)) for position in positions]


def _text(image: Dataset, keyword: str) -> str:
    try:
        return str(attribute(image, keyword) or "")
    except AttributeUnusable:
        return ""
