"""Reading numbers out of datasets without surprises.

Knows: that a value may be absent, empty or not a number at all.
Does not know: what it means.
"""

import math

from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable


def named(image: Dataset) -> str:
    """Return what a message calls this image: by its UID, never by its patient."""
    return f"instance {image.get('SOPInstanceUID') or '(without SOP Instance UID)'}"


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return the numbers of an attribute; nothing where it is absent or empty.

    Raises
    ------
    AttributeUnusable
        If a value is not a finite number.
    """
    try:
        value = dataset.get(keyword)
        if value is None or value == "":
            return ()
        found = tuple(float(v) for v in (value if isinstance(value, list | tuple) or hasattr(value, "append") else [value]))
    except (ValueError, TypeError, OverflowError, ArithmeticError):
        found = (math.nan,)
    if not all(map(math.isfinite, found)):
        raise AttributeUnusable(f"{keyword} has a value that is not a number (PS3.5 6.2).")
    return found


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first number of an attribute, or None."""
    return next(iter(numbers(dataset, keyword)), None)
