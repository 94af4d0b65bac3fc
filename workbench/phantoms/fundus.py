"""Colour fundus photographs.

Knows: the ophthalmic photography 8 bit IOD (PS3.3 A.41) and what a fundus looks like.
Does not know: how it is shown.
"""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import OphthalmicPhotography8BitImageStorage

from workbench.entities import Code
from workbench.phantoms import _identities as people
from workbench.phantoms import _modules as modules
from workbench.phantoms import _ophthalmic as ophthalmic

__all__ = ["fundus"]

_SIDE, _FIELD_DEG = 640, 45.0
_SPACING_MM = 0.02
_CAMERA = Code("409898007", "SCT", "Fundus Camera")


def fundus(eye: str = "R", *, seed: int = 0) -> Dataset:
    """Return a colour fundus photograph of one eye: 640 x 640 RGB, 45 degrees, centered between disc and macula.

    Parameters
    ----------
    eye : str
        ``R`` or ``L``. As always in a fundus photograph, the optic disc of the right eye is to the right of the
        macula (nasal), that of the left eye to the left.
    seed : int
        Another seed, other vessels and UIDs.

    Returns
    -------
    Dataset
        Ophthalmic Photography 8 Bit Image Storage. Both eyes share a study; each has its own series.

    Raises
    ------
    BuildRefused
        If `eye` is neither R nor L.
    """
    laterality = ophthalmic.eye_checked(eye)
    visit = eye_visit(seed)
    number = 1 if laterality == "R" else 2
    description = "Color fundus 45 deg, right eye" if laterality == "R" else "Color fundus 45 deg, left eye"
    series = modules.Series(visit, number, description, "OP", f"1402{number}0", f"fundus/{eye}")
    time = f"1402{number}5"
    parts = (
        modules.equipment("Fundus Camera 45"),
        modules.synchronization(visit.key),
        ophthalmic.photography(_CAMERA, date=visit.date, time=time, spacing_mm=_SPACING_MM, colour=True),
        ophthalmic.acquisition_parameters(field_deg=_FIELD_DEG, dilated=True),
        ophthalmic.ocular_region(laterality, ophthalmic.RETINA),
        modules.image_pixel(_drawn(laterality, seed)),
    )
    return modules.instance(series, sop_class=OphthalmicPhotography8BitImageStorage, number=1, modules=parts)


def eye_visit(seed: int) -> modules.Visit:
    """Return the study in which the eye was photographed and scanned."""
    return modules.Visit(people.EYES, "20260217", "140000", "ACC20260217", "Retina, both eyes", f"eye/{seed}")


def _drawn(eye: ophthalmic.Eye, seed: int) -> NDArray[np.uint8]:
    """Return RGB pixels of a right eye, mirrored for a left one."""
    random = np.random.default_rng(seed + (0 if eye == "R" else 1000))
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] + 0.5
    disc, fovea = (432.0, 312.0), (236.0, 330.0)
    center = np.hypot(x - _SIDE / 2, y - _SIDE / 2) / (_SIDE * 0.485)
    texture = ophthalmic.smooth(random.normal(size=(_SIDE, _SIDE)), 3)
    texture = texture / texture.std() + 1.5 * _normal(ophthalmic.smooth(random.normal(size=(_SIDE, _SIDE)), 24))
    light = (1.06 - 0.42 * center**2 + 0.018 * texture)[..., None]
    image = light * np.array([205.0, 104.0, 52.0])
    macula = np.exp(-((np.hypot(x - fovea[0], (y - fovea[1]) * 1.08) / 52) ** 2))
    pit = np.exp(-((np.hypot(x - fovea[0], y - fovea[1]) / 15) ** 2))
    image *= 1 - (0.30 * macula + 0.22 * pit)[..., None] * np.array([0.75, 1.0, 0.9])
    radius = np.hypot((x - disc[0]) / 40, (y - disc[1]) / 45)
    glow = np.exp(-((np.maximum(radius - 0.9, 0) / 0.35) ** 2)) * (radius > 0.9)
    image *= 1 + 0.10 * glow[..., None]
    _over(image, _edge(1 - radius, 0.06), (246, 196, 122))
    _over(image, _edge(0.52 - np.hypot(radius * 0.98, (x - disc[0] + 4) / 400), 0.10), (255, 228, 178))
    blood = ophthalmic.vessel_map(_SIDE, disc, fovea, scale=196 / 160, seed=seed + (7 if eye == "R" else 8))
    image *= 1 - blood[..., None] * np.array([0.30, 0.62, 0.66])
    image *= _edge(1 - center, 0.012)[..., None]
    notch = (np.abs(x - _SIDE + 12) < 8) & (np.abs(y - 150) < 8)  # the camera's mark at the edge of the circle
    image[notch] = 0
    image += random.normal(0, 1.6, image.shape) * (center < 1)[..., None]
    return ophthalmic.as_seen(np.clip(np.rint(image), 0, 255).astype(np.uint8), eye)


def _normal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values / values.std())


def _edge(depth: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    return np.asarray(np.clip(depth / width + 0.5, 0, 1))


def _over(image: NDArray[np.float64], share: NDArray[np.float64], colour: tuple[int, int, int]) -> None:
    image += share[..., None] * (np.array(colour, dtype=np.float64) - image)
