"""Annotate: from a drawn mark to numbers, and from numbers to a report, a presentation state and a key object selection.

Knows: which code stands for which unit, and that the three objects belong together.
Does not know: how a region is measured or an object is built.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench import builders
from workbench.builders import Author, Measurement, Region
from workbench.entities import Circle, Code, Ellipse, InstanceRef, Mark, Polyline, Text
from workbench.errors import AttributeUnusable
from workbench.flows.audit import Audit
from workbench.quantification import regions
from workbench.rendering import modality_values, units

__all__ = ["Derived", "annotate", "measure"]

AREA = Code("42798000", "SCT", "Area")
SQUARE_MM = Code("mm2", "UCUM", "square millimeter")
MEAN, DEVIATION = Code("373098007", "SCT", "Mean"), Code("386136009", "SCT", "Standard Deviation")
LARGEST, SMALLEST = Code("56851009", "SCT", "Maximum"), Code("255605001", "SCT", "Minimum")
#: what a value is called and in which unit it is counted (PS3.16 CID 7469, CID 84)
INTENSITIES = {
    "HU": (Code("112031", "DCM", "Attenuation Coefficient"), Code("[hnsf'U]", "UCUM", "Hounsfield unit")),
    "g/ml": (Code("126401", "DCM", "SUVbw"), Code("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight")),
    "BQML": (Code("126402", "DCM", "Tracer Concentration"), Code("Bq/ml", "UCUM", "Becquerels/milliliter")),
}


@dataclass(frozen=True, slots=True)
class Derived:
    """Three objects about the same regions."""

    report: Dataset
    presentation: Dataset | None
    selection: Dataset

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """Those that there are."""
        return tuple(d for d in (self.report, self.presentation, self.selection) if d is not None)

    def __repr__(self) -> str:
        return f"Derived({', '.join(InstanceRef.of(d).sop_class_name for d in self.datasets)})"


def measure(
    image: Dataset,
    mark: Mark,
    *,
    frame: int = 0,
    values: NDArray[np.floating] | None = None,
    unit: str | None = None,
    label: str = "Region 1",
    finding: Code | None = None,
    site: Code | None = None,
) -> Region:
    """Return a region with its measurements: mean, standard deviation, extremes and area.

    Parameters
    ----------
    image : Dataset
        The image on which it was drawn; it is not changed.
    mark : Circle, Ellipse or closed Polyline
        The outline in image coordinates (column, row).
    frame : int
        Index of the frame, from 0.
    values : ndarray, shape (rows, columns), optional
        What is measured instead of the image's own modality values, such as SUV.
    unit : str, optional
        ``HU``, ``g/ml`` (SUV by body weight) or ``BQML``; by default that of the image. Values in any other unit have no
        standard code: of them only the area is given.
    label : str
        What a reader calls it.
    finding, site : Code, optional
        What it is, and where in the body.

    Returns
    -------
    Region
        For :func:`workbench.builders.measurement`.

    Raises
    ------
    AttributeUnusable
        If there is no image, the mark has no inside, holds no pixel centre, or neither area nor values can be given.
    """
    shape = _shape(image)
    mask = _mask(mark, shape)
    if not mask.any():
        raise AttributeUnusable(f"Region {label!r} holds no pixel centre: draw it larger or inside the image.")
    named = unit if unit is not None else units(image, frame=frame)
    spacing = _spacing_mm(image)
    taken = modality_values(image, frame=frame) if values is None and named in INTENSITIES else values
    statistics = regions.statistics(np.zeros(shape) if taken is None else taken, mask, units=named or "1", pixel_spacing_mm=spacing)
    numbers: list[Measurement] = []
    if named in INTENSITIES:
        name, counted = INTENSITIES[named]
        found = [
            (statistics.mean, MEAN), (statistics.std, DEVIATION), (statistics.max, LARGEST), (statistics.min, SMALLEST),
        ]  # fmt: skip
        numbers += [Measurement(name, value, counted, how) for value, how in found if math.isfinite(value)]
    if statistics.area_mm2 is not None:
        numbers.append(Measurement(AREA, statistics.area_mm2, SQUARE_MM))
    if not numbers:
        raise AttributeUnusable(
            f"Region {label!r} can't be measured: the image has neither Pixel Spacing (0028,0030) nor a unit with a standard code."
        )
    return Region(image, mark, tuple(numbers), frame=frame, label=label, finding=finding, site=site)


def annotate(
    found: Sequence[Region],
    *,
    window: tuple[float, float] | None = None,
    description: str = "Measured regions",
    author: Author = builders.WORKBENCH,
    audit: Audit | None = None,
) -> Derived:
    """Return a measurement report, a presentation state with the marks, and a key object selection of the images and both.

    Parameters
    ----------
    found : sequence of Region
        On images of one patient and study.
    window : (float, float), optional
        Center and width that the presentation state keeps.
    description : str
        Of the presentation state and the selection.
    author : Author
        Who made them.
    audit : Audit, optional
        Where the step is written down.

    Returns
    -------
    Derived
        There is no presentation state where the first region's image is in colour.

    Raises
    ------
    BuildRefused
        If there are no regions, or their images are of several patients or studies.
    """
    with (audit or Audit()).step("build") as step:
        report = builders.measurement(found, author=author)
        presentation = _presentation(found, window=window, description=description, author=author)
        images = list({str(r.image.SOPInstanceUID): r.image for r in found}.values())
        others = [d for d in (report, presentation) if d is not None]
        selection = builders.selection([*images, *others], description=description, author=author)
        derived = Derived(report, presentation, selection)
        step.count, step.verified = len(derived.datasets), True
        step.note = ", ".join(InstanceRef.of(d).sop_class_name for d in derived.datasets)
    return derived


def _presentation(
    found: Sequence[Region], *, window: tuple[float, float] | None, description: str, author: Author
) -> Dataset | None:
    """Return a state of the first image with its regions: marks belong to all images that a state refers to."""
    first = found[0]
    if not str(first.image.get("PhotometricInterpretation")).startswith("MONOCHROME"):
        return None
    same = [r for r in found if r.image.SOPInstanceUID == first.image.SOPInstanceUID and r.frame == first.frame]
    marks = [m for r in same for m in (r.mark, Text(_words(r), r.mark.vertices[0]))]
    frame = first.frame if "NumberOfFrames" in first.image else None
    return builders.grayscale([first.image], window=window, marks=marks, frame=frame, description=description, author=author)


def _words(region: Region) -> str:
    mean = next((m for m in region.measurements if m.derivation == MEAN), None)
    said = next((unit for unit, (name, _) in INTENSITIES.items() if mean and name == mean.name), "")
    return f"{region.label}: {mean.value:.3g} {said}" if mean else region.label


def _shape(image: Dataset) -> tuple[int, int]:
    rows, columns = image.get("Rows"), image.get("Columns")
    if not isinstance(rows, int) or not isinstance(columns, int) or rows < 1 or columns < 1:
        raise AttributeUnusable("A region needs an image with Rows (0028,0010) and Columns (0028,0011) (PS3.3 C.7.6.3).")
    return rows, columns


def _mask(mark: Mark, shape: tuple[int, int]) -> NDArray[np.bool_]:
    if isinstance(mark, Circle):
        return regions.ellipse(shape, center=mark.center, radii=(mark.radius, mark.radius))
    if isinstance(mark, Ellipse):
        return regions.ellipse(shape, center=mark.center, radii=mark.radii, angle_deg=mark.angle_deg)
    if isinstance(mark, Polyline) and mark.closed:
        return regions.polygon(shape, mark.vertices[:-1])
    raise AttributeUnusable("Only a circle, an ellipse or a closed polyline has an inside to measure.")


def _spacing_mm(image: Dataset) -> tuple[float, float] | None:
    """Return the distance of rows and of columns (PS3.3 10.7.1.3), for a multi-frame image that which all frames share."""
    for holder in (
        image,
        *(i for g in image.get("SharedFunctionalGroupsSequence") or () for i in g.get("PixelMeasuresSequence") or ()),
    ):
        spacing = holder.get("PixelSpacing")
        if spacing is not None and not isinstance(spacing, str) and len(spacing) == 2:
            return float(spacing[0]), float(spacing[1])
    return None
