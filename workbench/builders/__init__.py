"""Derived objects: measurement reports, key object selections, presentation states.

Knows: IODs and templates, through highdicom; which patient, study and evidence a derived object inherits, and what
images say of their own display.
Does not know: how it looks, where it goes.
"""

from workbench.builders.authors import WORKBENCH, Author
from workbench.builders.key_objects import SelectionTitle, selection
from workbench.builders.presentation import Placed, grayscale
from workbench.builders.reports import Measurement, Region, measurement

__all__ = [  # noqa: RUF022 - in plain order, as every room's door
    "Author",
    "Measurement",
    "Placed",
    "Region",
    "SelectionTitle",
    "WORKBENCH",
    "grayscale",
    "measurement",
    "selection",
]
