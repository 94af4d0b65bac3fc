"""A specular microscopy image of the corneal endothelium whose cells are known.

Knows: the ophthalmic photography 8 bit IOD (PS3.3 A.41) and a mosaic of cells.
Does not know: how cells are counted.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import OphthalmicPhotography8BitImageStorage

from workbench.entities import Code
from workbench.phantoms import _identities as people
from workbench.phantoms import _modules as modules
from workbench.phantoms import _ophthalmic as ophthalmic

__all__ = ["Endothelium", "endothelium"]

ROWS, COLUMNS, SPACING_MM = 512, 256, 0.001
_PITCH_PX = 20.6
_MICROSCOPE = Code("409899004", "SCT", "Specular Microscope")


@dataclass(frozen=True, slots=True)
class Endothelium:
    """An image of endothelial cells and what is true of them.

    Parameters
    ----------
    image : Dataset
        Ophthalmic Photography 8 Bit Image Storage, 512 x 256 pixels of 1 micrometre.
    cells : int
        Cells that lie wholly inside; the following three are of them.
    density_per_mm2 : float
        1 000 000 divided by the mean area in square micrometres.
    variation_percent : float
        Standard deviation (n - 1) of the areas divided by their mean.
    hexagonality_percent : float
        Share of cells with exactly six neighbours.
    labels : ndarray, shape (512, 256)
        Which cell each pixel belongs to, from 1; cells that touch the edge have 0.
    """

    image: Dataset = field(repr=False)
    cells: int
    density_per_mm2: float
    variation_percent: float
    hexagonality_percent: float
    labels: NDArray[np.int32] = field(repr=False)


def endothelium(eye: str = "R", *, seed: int = 0) -> Endothelium:
    """Return a specular microscopy image with a known cell density.

    Parameters
    ----------
    eye : str
        ``R`` or ``L``.
    seed : int
        Another seed, another mosaic and other UIDs.

    Returns
    -------
    Endothelium
        Image and truth.

    Raises
    ------
    BuildRefused
        If `eye` is neither R nor L.
    """
    laterality = ophthalmic.eye_checked(eye)
    labels, pixels = _seen(seed)
    inside = np.setdiff1d(labels, np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    areas = np.bincount(labels.ravel())[inside] * (SPACING_MM * 1000) ** 2
    neighbours = _neighbours(labels)
    number = np.zeros(int(labels.max()) + 1, np.int32)
    number[inside] = np.arange(1, inside.size + 1)
    return Endothelium(
        image=_image(laterality, seed, pixels),
        cells=int(inside.size),
        density_per_mm2=float(1e6 / areas.mean()),
        variation_percent=float(100 * areas.std(ddof=1) / areas.mean()),
        hexagonality_percent=float(100 * np.mean(neighbours[inside] == 6)),
        labels=number[labels],
    )


@lru_cache(maxsize=2)
def _seen(seed: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return which cell each pixel belongs to, and the pixels: the same for both eyes."""
    random = np.random.default_rng(seed + 70)
    labels, ridge = _mosaic(random)
    return labels, _lit(labels, ridge, random)


def _mosaic(random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which cell each pixel belongs to, and its distance to the border in pixels."""
    step = _PITCH_PX * np.sqrt(3) / 2
    points = [
        (column + (i % 2) * _PITCH_PX / 2, row)
        for i, row in enumerate(np.arange(-2 * step, ROWS + 2 * step, step))
        for column in np.arange(-2 * _PITCH_PX, COLUMNS + 2 * _PITCH_PX, _PITCH_PX)
    ]
    centers = np.array(points) + random.normal(0, _PITCH_PX * 0.19, (len(points), 2))
    labels = np.empty((ROWS, COLUMNS), np.int64)
    ridge = np.empty((ROWS, COLUMNS))
    column = np.arange(COLUMNS) + 0.5
    for row in range(ROWS):
        near = np.flatnonzero(np.abs(centers[:, 1] - row) < 3 * _PITCH_PX)
        away = np.hypot(column[:, None] - centers[near, 0], row + 0.5 - centers[near, 1])
        first, second = np.argpartition(away, (0, 1), axis=1)[:, :2].T
        labels[row] = near[first]
        along = np.arange(COLUMNS)
        gap = np.hypot(*(centers[near[first]] - centers[near[second]]).T)
        ridge[row] = (away[along, second] ** 2 - away[along, first] ** 2) / (2 * gap)
    return labels, ridge


def _neighbours(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each cell how many others share an edge of two pixels or more with it."""
    pairs = np.concatenate(
        [
            np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()]),
            np.stack([labels[:-1].ravel(), labels[1:].ravel()]),
        ],
        axis=1,
    )
    pairs = np.sort(pairs[:, pairs[0] != pairs[1]], axis=0)
    edges, lengths = np.unique(pairs, axis=1, return_counts=True)
    return np.bincount(edges[:, lengths >= 2].ravel(), minlength=int(labels.max()) + 1)


def _lit(labels: NDArray[np.int64], ridge: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.uint8]:
    """Return bright cells with dark borders under an uneven light."""
    tone = random.normal(1.0, 0.07, int(labels.max()) + 1)[labels]
    light = ophthalmic.smooth(random.normal(size=labels.shape), 40)
    light = 1 + 0.12 * light / light.std() - 0.25 * (np.linspace(-1, 1, COLUMNS) ** 2)[None, :]
    image = 150 * tone * light * (1 - 0.68 * np.exp(-((ridge / 1.9) ** 2)))
    image = ophthalmic.smooth(image, 1) + random.normal(0, 6, labels.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _image(eye: ophthalmic.Eye, seed: int, pixels: NDArray[np.uint8]) -> Dataset:
    visit = modules.Visit(people.CORNEA, "20260223", "093000", "ACC20260223", "Corneal endothelium", f"cornea/{seed}")
    series = modules.Series(visit, 1 if eye == "R" else 2, f"Specular microscopy, {eye}", "OP", "093200", f"endothelium/{eye}")
    parts = (
        modules.equipment("Specular Scope"),
        modules.synchronization(visit.key),
        ophthalmic.photography(_MICROSCOPE, date=visit.date, time="093210", spacing_mm=SPACING_MM, colour=False),
        ophthalmic.acquisition_parameters(field_deg=1.0, dilated=False),
        ophthalmic.ocular_region(eye, ophthalmic.CORNEA),
        modules.image_pixel(pixels),
    )
    return modules.instance(series, sop_class=OphthalmicPhotography8BitImageStorage, number=1, modules=parts)
