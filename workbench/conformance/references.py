"""References that must resolve within one object: evidence, images of a presentation state, segments, regions.

Knows: PS3.3 C.17 (structured reports), C.10 and C.11 (presentation states), C.8.20 (segmentations), C.8.8 (RT),
C.7.6.16 and C.7.6.17 (functional groups, dimensions), C.12.2 (common instance reference).
Does not know: other objects, dciodvfy.
"""

from collections.abc import Callable, Iterator
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID

from workbench.conformance.presentation import presentation_findings
from workbench.conformance.reports import report_findings
from workbench.entities import Finding, Severity

__all__ = ["reference_findings"]


def reference_findings(dataset: Dataset) -> Iterator[Finding]:
    """Yield an error for each reference of `dataset` that leads nowhere within it."""
    yield from report_findings(dataset)
    yield from presentation_findings(dataset)
    checks: tuple[Callable[[Dataset], Iterator[Finding]], ...] = (_frames, _dimensions, _segments, _sources, _regions_of_interest)
    for check in checks:
        yield from check(dataset)


def _error(path: str, section: str, message: str, remedy: str = "") -> Finding:
    return Finding(Severity.ERROR, path, section, message, remedy)


def _frames(dataset: Dataset) -> Iterator[Finding]:
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups is None:
        return
    frames = int(dataset.get("NumberOfFrames") or 1)
    if len(groups) != frames:
        message = f"There are {len(groups)} items for {frames} frames."
        yield _error("PerFrameFunctionalGroupsSequence", "PS3.3 C.7.6.16", message, "One item a frame, in the order of the frames.")


def _dimensions(dataset: Dataset) -> Iterator[Finding]:
    declared = {str(item.get("DimensionOrganizationUID")) for item in dataset.get("DimensionOrganizationSequence") or ()}
    indices = dataset.get("DimensionIndexSequence") or ()
    for i, item in enumerate(indices):
        uid = item.get("DimensionOrganizationUID")
        if uid and str(uid) not in declared:
            path = f"DimensionIndexSequence[{i}].DimensionOrganizationUID"
            yield _error(path, "PS3.3 C.7.6.17", "The dimension organization is not in DimensionOrganizationSequence.")
    for i, group in enumerate(dataset.get("PerFrameFunctionalGroupsSequence") or ()):
        for content in group.get("FrameContentSequence") or ():
            count = _count(content.get("DimensionIndexValues"))
            if indices and count and count != len(indices):
                path = f"PerFrameFunctionalGroupsSequence[{i}].FrameContentSequence[0].DimensionIndexValues"
                yield _error(path, "PS3.3 C.7.6.16.2.2", f"There are {count} values for {len(indices)} dimensions.")
                return


def _count(value: Any) -> int:
    if value is None:
        return 0
    return len(value) if hasattr(value, "__len__") else 1


def _segments(dataset: Dataset) -> Iterator[Finding]:
    if "SegmentSequence" not in dataset:
        return
    declared = [int(item.SegmentNumber) for item in dataset.SegmentSequence if item.get("SegmentNumber") is not None]
    if len(set(declared)) != len(declared):
        yield _error("SegmentSequence", "PS3.3 C.8.20.2", "Segment Number (0062,0004) is not unique.", "Number the segments anew.")
    for path, group in _groups(dataset):
        for item in group.get("SegmentIdentificationSequence") or ():
            number = item.get("ReferencedSegmentNumber")
            if number is not None and int(number) not in declared:
                message = f"Segment {int(number)} is not in SegmentSequence."
                yield _error(f"{path}.SegmentIdentificationSequence[0].ReferencedSegmentNumber", "PS3.3 C.8.20.3.1", message)


def _groups(dataset: Dataset) -> Iterator[tuple[str, Dataset]]:
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for i, item in enumerate(dataset.get(keyword) or ()):
            yield f"{keyword}[{i}]", item


def _sources(dataset: Dataset) -> Iterator[Finding]:
    """Source images of frames must be in the common instance reference module, where there is one."""
    if "ReferencedSeriesSequence" not in dataset and "StudiesContainingOtherReferencedInstancesSequence" not in dataset:
        return
    listed = set(_listed(dataset))
    if not listed:
        return
    for path, group in _groups(dataset):
        for uid in _frame_references(group):
            if uid not in listed:
                message = f"Instance {uid} is referenced by a frame, but is not in the list of referenced instances."
                yield _error(path, "PS3.3 C.12.2", message, "Add it to ReferencedSeriesSequence with its series.")
                return


def _listed(dataset: Dataset) -> Iterator[str]:
    studies = [dataset, *(dataset.get("StudiesContainingOtherReferencedInstancesSequence") or ())]
    for study in studies:
        for series in study.get("ReferencedSeriesSequence") or ():
            for item in [*(series.get("ReferencedInstanceSequence") or ()), *(series.get("ReferencedSOPSequence") or ())]:
                yield str(item.get("ReferencedSOPInstanceUID"))


def _frame_references(group: Dataset) -> Iterator[str]:
    for derivation in group.get("DerivationImageSequence") or ():
        for source in derivation.get("SourceImageSequence") or ():
            yield str(source.get("ReferencedSOPInstanceUID"))
    for location in group.get("OphthalmicFrameLocationSequence") or ():
        yield str(location.get("ReferencedSOPInstanceUID"))


def _regions_of_interest(dataset: Dataset) -> Iterator[Finding]:
    if "StructureSetROISequence" not in dataset or UID(str(dataset.get("SOPClassUID"))).keyword != "RTStructureSetStorage":
        return
    declared = {str(item.get("ROINumber")) for item in dataset.StructureSetROISequence}
    for keyword in ("ROIContourSequence", "RTROIObservationsSequence"):
        for i, item in enumerate(dataset.get(keyword) or ()):
            if str(item.get("ReferencedROINumber")) not in declared:
                message = "The region of interest is not in StructureSetROISequence."
                yield _error(f"{keyword}[{i}].ReferencedROINumber", "PS3.3 C.8.8.6", message)
    frames = {str(item.get("FrameOfReferenceUID")) for item in dataset.get("ReferencedFrameOfReferenceSequence") or ()}
    for i, item in enumerate(dataset.StructureSetROISequence):
        uid = item.get("ReferencedFrameOfReferenceUID")
        if uid and frames and str(uid) not in frames:
            path = f"StructureSetROISequence[{i}].ReferencedFrameOfReferenceUID"
            yield _error(path, "PS3.3 C.8.8.5", "The frame of reference is not in ReferencedFrameOfReferenceSequence.")
