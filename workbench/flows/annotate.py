"""Annotate: from a drawn mark to numbers, and from numbers to a report, a presentation state and a key object selection.

Knows: which code stands for which unit, and that the three objects belong together.
Does not know: how a region is measured or an object is built.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench import builders
from workbench.builders import Author, Measurement, Placed, Region
from workbench.conformance import check
from workbench.entities import Circle, Code, Ellipse, InstanceRef, Mark, Polyline, Text, html_table, is_inside
from workbench.errors import AttributeUnusable, BuildRefused, InputError
from workbench.files import given
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
    "BQML": (Code("126377", "DCM", "Tracer Concentration"), Code("Bq/ml", "UCUM", "Becquerels/milliliter")),
}
_SYNONYMS = {
    "hu": "HU", "hounsfield": "HU", "[hnsf'u]": "HU",
    "g/ml": "g/ml", "g/ml{suvbw}": "g/ml", "suv": "g/ml", "suvbw": "g/ml",
    "bqml": "BQML", "bq/ml": "BQML",
}  # fmt: skip
_ACCEPTED = "'HU', 'g/ml' (SUV by body weight) or 'BQML' (Bq/ml)"
_IN_COLOUR = "grayscale presentation states are for MONOCHROME images (PS3.4 N.2.1)"
_UNLIKE = "other images differ from the first in size, polarity or modality transformation, of which a state has one (PS3.3 C.11.1)"


@dataclass(frozen=True, slots=True)
class Derived:
    """Three objects about the same regions.

    Parameters
    ----------
    report, selection : Dataset
        The measurement report and the key object selection.
    presentation : Dataset, optional
        The presentation state.
    note : str
        Why there is no presentation state, or which regions it does not show.
    """

    report: Dataset
    presentation: Dataset | None
    selection: Dataset
    note: str = ""

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """Those that there are."""
        return tuple(d for d in (self.report, self.presentation, self.selection) if d is not None)

    def __repr__(self) -> str:
        said = ", ".join(InstanceRef.of(d).sop_class_name for d in self.datasets)
        return f"Derived({said}{'; ' if self.note else ''}{self.note})"

    def _repr_html_(self) -> str:
        named = (("report", self.report), ("presentation", self.presentation), ("selection", self.selection))
        rows: list[dict[str, object]] = []
        for name, dataset in named:
            ref = InstanceRef.of(dataset) if dataset is not None else None
            uid = ref.sop_instance_uid if ref else "none"
            rows.append({"object": name, "SOP class": ref.sop_class_name if ref else "", "SOP Instance UID": uid})
        return html_table(rows, caption=self.note)


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
        What is measured instead of the image's own modality values, such as SUV; `unit` says what they count.
    unit : str, optional
        ``HU``, ``g/ml`` (SUV by body weight) or ``BQML``, or another common name of one of them; by default that of the image.
        Where that is none of these there is no standard code: only the area is given.
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
    InputError
        If there is no dataset, the unit is not known or is not that of the image, or `values` come without a unit.
    AttributeUnusable
        If there is no image, the mark has no inside, reaches outside the image or holds no pixel centre, the values have another
        shape, or neither area nor values can be given.
    """
    shape = _shape(given.one(image, what="an image"))
    if values is not None and np.shape(values) != shape:
        raise AttributeUnusable(f"values= has the shape {np.shape(values)}; (rows, columns) of this image are {shape}.")
    mask = _mask(mark, shape)
    _refuse_outside(mark, shape, label=label)
    if not mask.any():
        raise AttributeUnusable(f"Region {label!r} holds no pixel centre: draw it larger or inside the image.")
    named = _unit(image, unit, frame=frame, is_own=values is None)
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
    found: Region | Sequence[Region],
    *,
    window: tuple[float, float] | None = None,
    description: str = "Measured regions",
    author: Author = builders.WORKBENCH,
    audit: Audit | None = None,
) -> Derived:
    """Return a measurement report, a presentation state with the marks, and a key object selection of the images and both.

    Parameters
    ----------
    found : Region or sequence of Region
        On images of one patient and study.
    window : (float, float), optional
        Center and width that the presentation state keeps.
    description : str
        Of the presentation state and the selection.
    author : Author
        Who made them.
    audit : Audit, optional
        Where the step is written down: verified when the check finds no error in any of them.

    Returns
    -------
    Derived
        The presentation state shows each region on its own image and frame. It leaves out those on images in colour, and those on
        images that one state can't show together with the first; where it does, or where there is none, `note` says so.

    Raises
    ------
    InputError
        If there is anything but regions.
    BuildRefused
        If there are no regions, or their images are of several patients or studies.
    """
    with (audit or Audit()).step("build") as step:
        listed = list(found) if isinstance(found, Iterable) else [found]
        report = builders.measurement(listed, author=author)
        shown, note = _showable(listed)
        presentation = _presentation(shown, window=window, description=description, author=author) if shown else None
        images = list({str(r.image.SOPInstanceUID): r.image for r in listed}.values())
        others = [d for d in (report, presentation) if d is not None]
        selection = builders.selection([*images, *others], description=description, author=author)
        derived = Derived(report, presentation, selection, note)
        wrong = sum(len(check(dataset).errors) for dataset in derived.datasets)
        step.count, step.verified = len(derived.datasets), wrong == 0
        step.note = ", ".join(InstanceRef.of(d).sop_class_name for d in derived.datasets)
    return derived


def _showable(found: Sequence[Region]) -> tuple[list[Region], str]:
    """Return the regions that one grayscale state can show, and a note on the others."""
    gray = [r for r in found if str(r.image.get("PhotometricInterpretation")).startswith("MONOCHROME")]
    images = {str(r.image.SOPInstanceUID): r.image for r in gray}
    first = next(iter(images.values()), None)
    if first is None:
        return [], f"no presentation state: all images are in colour; {_IN_COLOUR}"
    alike = {uid for uid, image in images.items() if image is first or _is_alike(first, image)}
    shown = [r for r in gray if str(r.image.SOPInstanceUID) in alike]
    why = [_IN_COLOUR] * (len(gray) < len(found)) + [_UNLIKE] * (len(shown) < len(gray))
    return shown, f"the presentation state shows {len(shown)} of {len(found)} regions: {'; '.join(why)}" if why else ""


def _is_alike(first: Dataset, image: Dataset) -> bool:
    try:
        builders.grayscale([first, image])
    except BuildRefused:
        return False
    return True


def _presentation(found: Sequence[Region], *, window: tuple[float, float] | None, description: str, author: Author) -> Dataset:
    """Return a state of all images with their regions, each drawn on its own image and frame."""
    images = list({str(r.image.SOPInstanceUID): r.image for r in found}.values())
    places: dict[tuple[str, int | None], list[Region]] = {}
    for region in found:
        frame = region.frame if "NumberOfFrames" in region.image else None
        places.setdefault((str(region.image.SOPInstanceUID), frame), []).append(region)
    marks = [
        Placed(here[0].image, tuple(m for r in here for m in (r.mark, Text(_words(r), _beside(r.mark, _shape(r.image))))), frame)
        for (_, frame), here in places.items()
    ]
    return builders.grayscale(images, window=window, marks=marks, description=description, author=author)


def _beside(mark: Mark, shape: tuple[int, int]) -> tuple[float, float]:
    """Return where words do not cover a mark: to the right of it, at its top, inside the image."""
    _, top, right, _ = mark.bounds
    return min(max(right, 0.0), float(shape[1])), min(max(top, 0.0), float(shape[0]))


def _words(region: Region) -> str:
    mean = next((m for m in region.measurements if m.derivation == MEAN), None)
    said = next((unit for unit, (name, _) in INTENSITIES.items() if mean and name == mean.name), "")
    if mean is None:
        return region.label
    number = f"{mean.value:.0f}" if abs(mean.value) >= 100 else f"{mean.value:.3g}"  # never a power of ten
    return f"{region.label}: {number} {said}"


def _shape(image: Dataset) -> tuple[int, int]:
    rows, columns = image.get("Rows"), image.get("Columns")
    if not isinstance(rows, int) or not isinstance(columns, int) or rows < 1 or columns < 1:
        raise AttributeUnusable("A region needs an image with Rows (0028,0010) and Columns (0028,0011) (PS3.3 C.7.6.3).")
    return rows, columns


def _unit(image: Dataset, unit: str | None, *, frame: int, is_own: bool) -> str:
    """Return the unit of what is measured, by the key of :data:`INTENSITIES` where it has one."""
    own = units(image, frame=frame)
    if own == "GML" and (image.get("SUVType") or "BW") == "BW":  # PS3.3 C.8.9.1: BW where it is absent
        own = "g/ml"
    own = _SYNONYMS.get(own.lower(), own)
    if unit is None:
        if not is_own:
            raise InputError(f"values= need unit=: {_ACCEPTED}.")
        return own
    asked = _SYNONYMS.get(str(unit).strip().lower())
    if asked is None:
        raise InputError(f"unit= is not known: accepted are {_ACCEPTED}.")
    if is_own and own and own != asked:
        raise InputError(f"The values of this image are in {own}, not in {asked}: leave unit= out, or pass values= in {asked}.")
    return asked


def _refuse_outside(mark: Mark, shape: tuple[int, int], *, label: str) -> None:
    rows, columns = shape
    if not is_inside(mark, rows=rows, columns=columns):
        raise AttributeUnusable(
            f"Region {label!r} reaches outside the image of {rows} rows and {columns} columns (PS3.3 C.18.6.1): "
            "move it or draw it smaller."
        )


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
