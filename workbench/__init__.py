"""The workbench: everything DICOM from a notebook.

The house, from the ground up (arrows point down only):

=============================  ====================================================
``errors``, ``entities``       one tree of exceptions; small frozen values
``standard``, ``files``        tables of the standard; files read and written safely
``devices``                    five real systems, as data
``archive``                    files on disk, an index, attribute matching
``inspection``                 a dataset read aloud: summary, tree, table, differences
``deid``                       PS3.15 Annex E: plan, apply, verify
``builders``                   SR, KO, GSPS
``rendering``                  the pixel pipeline: resolve, render
``quantification``             SUV, regions
``conformance``                findings about datasets
``phantoms``                   deterministic synthetic objects with known answers
``network``                    DIMSE and DICOMweb
``figures``, ``widgets``       paper and browser
``flows``                      the order of work: pull, release, annotate, exchange
``department``                 a simulated imaging department in the kernel
``cli``                        the command line
=============================  ====================================================

Rooms load when first used: ``import workbench as wb; wb.phantoms.fundus()``.
"""

import logging
from importlib import import_module
from types import ModuleType

logging.getLogger(__name__).addHandler(logging.NullHandler())  # who wants to hear it says so: logging.basicConfig()

__version__ = "0.1.0"

__all__ = [
    "archive",
    "builders",
    "conformance",
    "deid",
    "department",
    "devices",
    "entities",
    "errors",
    "figures",
    "files",
    "flows",
    "inspection",
    "network",
    "phantoms",
    "quantification",
    "rendering",
    "standard",
    "widgets",
]


def __getattr__(name: str) -> ModuleType:
    """Load a room when it is first named."""
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
