"""Every element of a dataset with its path, without recursion.

Knows: pydicom's elements, and how deep is too deep.
Does not know: what is done with an element.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydicom import config
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from workbench.errors import LimitExceeded

__all__ = ["MAX_DEPTH", "Place", "decoded", "path_of", "places", "quiet"]

MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Place:
    """An element at its path, with the tags and paths of the sequences around it; no element where its value can't be decoded."""

    path: str
    tag: BaseTag
    element: DataElement | None
    within: tuple[tuple[BaseTag, str], ...]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from quoting values in warnings and log lines."""
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def path_of(parent: str, tag: BaseTag) -> str:
    """Return the path of an element: its keyword, or ``(gggg,eeee)`` where it has none."""
    name = keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})"
    return f"{parent}.{name}" if parent else name


def decoded(dataset: Dataset, tag: BaseTag) -> DataElement | None:
    """Return an element, or None where its value can't be decoded."""
    found: object = dataset.get_item(tag)
    if isinstance(found, DataElement):
        return found
    with quiet():
        try:
            element = dataset[tag]
            _ = element.value, element.VR
        except Exception:  # noqa: BLE001 - whatever a bad value raises: what can't be read can't be judged
            return None
        return element


def places(dataset: Dataset) -> Iterator[tuple[Place, list[bool]]]:
    """Yield each element in order of tag together with a list; append True to it to be led into a sequence's items.

    Raises
    ------
    LimitExceeded
        If sequences are nested deeper than 64 levels.
    """
    stack: list[Iterator[Place]] = [_of(dataset, "", ())]
    while stack:
        place = next(stack[-1], None)
        if place is None:
            stack.pop()
            continue
        enter: list[bool] = []
        yield place, enter
        if enter and place.element is not None and isinstance(place.element.value, Sequence):
            if len(place.within) >= MAX_DEPTH:
                raise LimitExceeded(f"Sequences are nested more than {MAX_DEPTH} levels deep; such a dataset is not de-identified.")
            stack.append(_items(place))


def _of(dataset: Dataset, parent: str, within: tuple[tuple[BaseTag, str], ...]) -> Iterator[Place]:
    for key in sorted(dataset.keys()):
        tag = Tag(key)
        yield Place(path_of(parent, tag), tag, decoded(dataset, tag), within)


def _items(place: Place) -> Iterator[Place]:
    if place.element is not None:
        for index, item in enumerate(place.element.value):
            yield from _of(item, f"{place.path}[{index}]", (*place.within, (place.tag, place.path)))
