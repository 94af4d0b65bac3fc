"""Measurement reports (PS3.16 TID 1500) as Comprehensive SR (PS3.3 A.35.3).

Knows: how regions and their numbers are written down as content items.
Does not know: how the numbers were found.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import highdicom.sr as hd
import numpy as np
from pydicom import Dataset
from pydicom.uid import generate_uid

from workbench.builders.authors import HIGHDICOM_ERRORS, WORKBENCH, Author, authored, building, observers
from workbench.builders.sources import inherit, inheritable, is_multi_frame, plain
from workbench.entities import Code, InstanceRef, Mark, Polyline, Text, html_table, is_inside
from workbench.errors import BuildRefused, InputError
from workbench.files import given

__all__ = ["Measurement", "Region", "measurement"]

IMAGING_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number with its meaning (PS3.16 TID 300).

    Parameters
    ----------
    name : Code
        What was measured, for example (42798000, SCT, "Area").
    value : float
        The number.
    unit : Code
        A UCUM code (PS3.16 CID 7181).
    derivation : Code, optional
        How it sums up the region, for example (373098007, SCT, "Mean") (CID 7464).
    """

    name: Code
    value: float
    unit: Code
    derivation: Code | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """A region of one frame with its measurements (PS3.16 TID 1410).

    Parameters
    ----------
    image : Dataset
        The image it was drawn on.
    mark : Point, Polyline, Circle or Ellipse
        The outline in image coordinates (column, row).
    measurements : tuple of Measurement
        Its numbers.
    frame : int
        Index of the frame, from 0.
    label : str
        Tracking Identifier: what a reader calls it.
    finding : Code, optional
        What it is.
    site : Code, optional
        Where in the body it is.
    """

    image: Dataset
    mark: Mark
    measurements: tuple[Measurement, ...]
    frame: int = 0
    label: str = "Region 1"
    finding: Code | None = None
    site: Code | None = None

    def __repr__(self) -> str:  # the image's own holds the patient's values
        return f"Region({self.label!r}, {self.mark}, frame {self.frame}, {len(self.measurements)} measurements)"

    def _repr_html_(self) -> str:
        rows: list[dict[str, object]] = [
            {
                "measurement": m.name.meaning,
                "of region": m.derivation.meaning if m.derivation else "",
                "value": f"{m.value:.5g}",
                "unit": m.unit.value,
            }
            for m in self.measurements
        ]
        return html_table(rows, caption=self.label)


def measurement(
    regions: Region | Sequence[Region],
    *,
    title: Code = IMAGING_REPORT,
    procedure: Code = IMAGING_PROCEDURE,
    author: Author = WORKBENCH,
) -> Dataset:
    """Return a measurement report on `regions`.

    Parameters
    ----------
    regions : Region or sequence of Region
        Of images of one patient and study, which are not changed.
    title : Code
        Document title (CID 7021).
    procedure : Code
        Procedure reported (CID 100).
    author : Author
        Who measured.

    Returns
    -------
    Dataset
        Comprehensive SR with template 1500, complete and unverified, in Explicit VR Little Endian.

    Raises
    ------
    InputError
        If there is anything but regions, or the image of one is not a dataset.
    BuildRefused
        If there is no region, a mark is a text or lies outside its image, a number is not finite, or the images are of
        several patients or studies.
    """
    found = _listed(regions)
    for region in found:
        _check(region)
    evidence = inheritable([*{str(r.image.get("SOPInstanceUID")): r.image for r in found}.values()])
    with building("measurement report (PS3.16 TID 1500)", of=evidence):
        report = hd.MeasurementReport(
            observation_context=hd.ObservationContext(**observers(author)),
            procedure_reported=_concept(procedure),
            imaging_measurements=[_group(region) for region in found],
            title=_concept(title),
            referenced_images=[image for image in evidence if _is_describable(image)] or None,
        )
        document = hd.ComprehensiveSR(
            evidence=evidence,
            content=report,
            **authored(author, series_number=9002),
            is_complete=True,
            series_description=title.meaning,
        )
    inherit(document, found[0].image)
    return plain(document)


def _listed(found: object) -> list[Region]:
    """Return regions as a list; a single one is a list of one."""
    listed: list[Region] = []
    for region in found if isinstance(found, Iterable) else [found]:
        if not isinstance(region, Region):
            raise InputError("Wanted are regions, as annotate.measure gives them: Region(image, mark, measurements).")
        given.one(region.image, what="the image of a region")
        listed.append(region)
    return listed


def _check(region: Region) -> None:
    ref = InstanceRef.of(region.image)
    if isinstance(region.mark, Text) or (
        isinstance(region.mark, Polyline) and not region.mark.closed and len(region.mark.vertices) > 2
    ):
        raise BuildRefused(
            "A measured region is a point, a line of two vertices, a closed polyline, a circle or an ellipse (PS3.16 TID 1410)."
        )
    rows, columns = int(region.image.get("Rows") or 0), int(region.image.get("Columns") or 0)
    if not is_inside(region.mark, rows=rows, columns=columns):
        raise BuildRefused(f"Region {region.label!r} lies outside its image of {rows} rows and {columns} columns (PS3.3 C.18.6.1).")
    if not 0 <= region.frame < int(region.image.get("NumberOfFrames") or 1):
        raise BuildRefused(f"Instance {ref.sop_instance_uid} has no frame {region.frame}; frames count from 0 (PS3.3 C.7.6.6).")
    if not region.measurements or not all(np.isfinite(m.value) for m in region.measurements):
        raise BuildRefused(f"Region {region.label!r} needs measurements that are finite numbers (PS3.16 TID 300).")


def _is_describable(image: Dataset) -> bool:
    """Whether an image has what its entry in the Image Library must tell (TID 1600, which a report may do without)."""
    try:
        hd.ImageLibrary([image])
    except HIGHDICOM_ERRORS:
        return False
    return True


def _group(region: Region) -> hd.PlanarROIMeasurementsAndQualitativeEvaluations:
    image = region.image
    source = hd.SourceImageForRegion(
        referenced_sop_class_uid=image.SOPClassUID,
        referenced_sop_instance_uid=image.SOPInstanceUID,
        referenced_frame_numbers=[region.frame + 1] if is_multi_frame(image) else None,
    )
    vertices = np.array(region.mark.vertices, dtype=np.float32)
    return hd.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.TrackingIdentifier(uid=generate_uid(None), identifier=region.label),
        referenced_region=hd.ImageRegion(region.mark.graphic_type, vertices, source),
        finding_type=_concept(region.finding) if region.finding else None,
        finding_sites=[hd.FindingSite(_concept(region.site))] if region.site else None,
        measurements=[
            hd.Measurement(
                name=_concept(m.name),
                value=float(m.value),
                unit=_concept(m.unit),
                derivation=_concept(m.derivation) if m.derivation else None,
            )
            for m in region.measurements
        ],
    )


def _concept(code: Code) -> hd.CodedConcept:
    return hd.CodedConcept(code.value, code.scheme, code.meaning)
