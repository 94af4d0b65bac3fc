"""CT phantoms: a breathing-free thorax, as many slices as wanted.

Knows: the CT image IOD (PS3.3 A.3) and what a thorax looks like in Hounsfield units.
Does not know: networks, files, how it is shown.
"""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from workbench.errors import BuildRefused
from workbench.phantoms import _identities as people
from workbench.phantoms import _modules as modules

__all__ = ["ct_series"]

_THICKNESS_MM = 2.5
_VISIT = ("20260212", "101500", "ACC20260212", "CT thorax")


def ct_image(values: NDArray[np.int16], *, time: str, window: tuple[int, int] = (40, 400)) -> Dataset:
    """General image, image pixel, CT image and VOI LUT modules (PS3.3 C.7.6.1, C.7.6.3, C.8.2.1, C.11.2).

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
        Hounsfield units; stored 12 bits unsigned with Rescale Intercept -1024.
    time : str
        Acquisition and Content Time.
    window : tuple of int
        Center and width.
    """
    stored = np.clip(values.astype(np.int32) + 1024, 0, 4095).astype(np.uint16)
    module = modules.image_pixel(stored, bits_stored=12)
    module.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    module.RescaleIntercept, module.RescaleSlope, module.RescaleType = -1024, 1, "HU"
    module.KVP, module.AcquisitionNumber = 120, 1
    module.AcquisitionTime = module.ContentTime = time
    module.WindowCenter, module.WindowWidth = window
    module.BurnedInAnnotation, module.LossyImageCompression = "NO", "00"
    module.ConvolutionKernel, module.XRayTubeCurrent, module.ExposureTime = "B30f", 180, 500
    return module


def ct_series(n: int, *, rows: int = 512, columns: int = 512, seed: int = 0) -> list[Dataset]:
    """Return `n` CT slices of a thorax, in the order of their position from feet to head.

    Parameters
    ----------
    n : int
        How many slices, 2.5 mm apart.
    rows, columns : int
        Size of each slice; the field of view is 400 mm wide.
    seed : int
        Another seed, another noise and other UIDs.

    Returns
    -------
    list of Dataset
        One study, one series, 12 bits stored in 16.

    Raises
    ------
    BuildRefused
        If `n` is less than 1 or a side has less than 16 or more than 65535 pixels.

    Examples
    --------
    >>> [int(s.InstanceNumber) for s in ct_series(3, rows=32, columns=32)]
    [1, 2, 3]
    """
    if n < 1 or not (16 <= rows <= 65535 and 16 <= columns <= 65535):
        raise BuildRefused(f"A CT phantom needs n of 1 or more and sides of 16 to 65535 pixels, not {n}, {rows}, {columns}.")
    key = f"ct/{seed}/{n}/{rows}/{columns}"
    date, time, accession, description = _VISIT
    visit = modules.Visit(people.THORAX, date, time, accession, description, key)
    series = modules.Series(visit, 2, "Thorax 2.5 mm", "CT", "101730", "thorax")
    spacing_mm = float(f"{400 / columns:.8g}")
    thorax = _Thorax(rows, columns, seed)
    return [
        modules.instance(
            series,
            sop_class=CTImageStorage,
            number=i + 1,
            modules=(
                _common(key, visit),
                ct_image(thorax.slice((i + 0.5) / n, roll=i), time="101742"),
                modules.image_plane(
                    position_mm=(
                        -spacing_mm * (columns - 1) / 2,
                        -spacing_mm * (rows - 1) / 2,
                        _THICKNESS_MM * (i - (n - 1) / 2),
                    ),
                    spacing_mm=spacing_mm,
                    thickness_mm=_THICKNESS_MM,
                ),
            ),
        )
        for i in range(n)
    ]


def _common(key: str, visit: modules.Visit) -> Dataset:
    module = modules.equipment("Tomograph 64")
    module.update(modules.frame_of_reference(key))
    module.AcquisitionDate = module.ContentDate = visit.date
    module.PatientPosition, module.BodyPartExamined = "HFS", "CHEST"
    return module


class _Thorax:
    """Ellipses whose size depends on the height; their radii are computed once."""

    def __init__(self, rows: int, columns: int, seed: int) -> None:
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
        self.x = (x - (columns - 1) / 2) * np.float32(2 / columns)
        self.y = (y - (rows - 1) / 2) * np.float32(2 / columns)
        random = np.random.default_rng(seed)
        self.noise = random.normal(0, 9, (rows, columns)).astype(np.float32)
        self.body = self._radius(0, 0, 0.80, 0.56)
        self.lungs = [self._radius(s * 0.36, -0.03, 0.29, 0.40) for s in (-1, 1)]
        self.heart = self._radius(0.12, -0.12, 0.27, 0.23)
        self.spine = self._radius(0, 0.36, 0.10, 0.09)
        self.canal = self._radius(0, 0.475, 0.035, 0.035)
        self.aorta = self._radius(0.12, 0.24, 0.055, 0.055)
        self.sternum = self._radius(0, -0.50, 0.11, 0.03)
        self.table = np.abs(self.y - 0.62 + 0.06 * self.x**2) < 0.018

    def _radius(self, x: float, y: float, a: float, b: float) -> NDArray[np.float32]:
        return np.asarray(np.hypot((self.x - x) / a, (self.y - y) / b), dtype=np.float32)

    def slice(self, height: float, *, roll: int) -> NDArray[np.int16]:
        """Return Hounsfield units at `height` between 0 (diaphragm) and 1 (apex)."""
        lung = np.float32(0.55 + 0.45 * np.sin(np.pi * min(0.15 + 0.8 * height, 1.0)))
        values = np.full(self.body.shape, -1000, np.float32)
        values[self.table] = 150
        values[self.body < 1] = -90
        values[self.body < 0.93] = 45
        ribs = (np.abs(self.body - 0.88) < 0.025) & (np.cos(9 * np.arctan2(self.y, self.x) + 12 * height) > 0.25)
        values[ribs] = 450
        for radius in self.lungs:
            values[radius < lung] = -840
            vessels = (np.sin(34 * self.x + 9 * height) * np.sin(38 * self.y - 7 * height) > 0.93) & (radius < 0.9 * lung)
            values[vessels] = -250
        values[self.heart < np.float32(max(0.0, 1.15 - 1.1 * height))] = 70
        values[self.aorta < 1] = 85
        values[self.spine < 1] = 320
        values[self.spine < 0.75] = 190
        values[self.canal < 1.5] = 380
        values[self.canal < 1] = 30
        values[self.sternum < 1] = 260
        values += np.roll(self.noise, (37 * roll, 101 * roll), axis=(0, 1))
        return np.rint(values).astype(np.int16)
