"""What a function was given: a dataset, or what stands in its place and how to come from there to the dataset.

Knows: what people pass by mistake: paths, readings, lists, references.
Does not know: what is done with the dataset.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from workbench.entities import InstanceRef
from workbench.errors import InputError
from workbench.files.reading import Reading

__all__ = ["many", "one", "several"]


def one(value: object, *, what: str = "a dataset") -> Dataset:
    """Return `value` if it is a dataset.

    Parameters
    ----------
    value : object
        What was passed.
    what : str
        What is wanted, with its article, for the message.

    Raises
    ------
    InputError
        If it is anything else; the message says how to come to the dataset, and never quotes the value.

    Examples
    --------
    >>> one("scan.dcm")
    Traceback (most recent call last):
        ...
    workbench.errors.InputError: Wanted is a dataset, not a path (str): read it first: files.read(path).dataset.
    """
    if isinstance(value, Dataset):
        return value
    raise InputError(f"Wanted is {what}, not {_refused(value)}.")


def several(value: object, *, what: str = "datasets") -> list[Dataset]:
    """Return datasets as a list; a single one is a list of one. `what` is wanted, in the plural, for the message.

    Raises
    ------
    InputError
        If it is not an iterable of datasets.
    """
    found = list(many(value, what=what))
    for number, item in enumerate(found, 1):
        if not isinstance(item, Dataset):
            raise InputError(f"Wanted are {what}; number {number} is {_refused(item)}.")
    return found


def many(value: object, *, what: str = "datasets") -> Iterable[Any]:
    """Return an iterable without looking at what it holds, so that a stream stays one; a single dataset is a list of one.

    Raises
    ------
    InputError
        If it is not an iterable, or one of something else, such as a path.
    """
    if isinstance(value, Dataset):
        return [value]
    if isinstance(value, str | bytes | Path | Reading) or not isinstance(value, Iterable):
        raise InputError(f"Wanted are {what}, not {_refused(value)}.")
    return value


def _refused(value: object) -> str:
    kind = type(value).__name__
    known: tuple[tuple[bool, str], ...] = (
        (value is None, "None"),
        (isinstance(value, str | Path), f"a path ({kind}): read it first: files.read(path).dataset"),
        (isinstance(value, bytes | bytearray), f"{kind}: read them first: files.read(data).dataset"),
        (isinstance(value, InstanceRef), "a reference: open it first: archive.open(reference)"),
        (isinstance(getattr(value, "dataset", None), Dataset), f"a {kind}: pass its .dataset"),
        (isinstance(value, list | tuple), f"a {kind}: pass one of them"),
    )
    return next((words for is_so, words in known if is_so), f"of type {kind}")
