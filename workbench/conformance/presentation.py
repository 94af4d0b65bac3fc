"""References and shapes within softcopy presentation states (PS3.3 C.10, C.11).

Knows: referenced images, graphic layers, presentation LUT, graphic data.
Does not know: how they are drawn.
"""

from collections.abc import Iterator

from pydicom import Dataset

from workbench.entities import Finding, Severity

__all__ = ["presentation_findings"]

_STATES = "1.2.840.10008.5.1.4.1.1.11."
_GRAYSCALE = {_STATES + n for n in ("1", "5", "6")}  # grayscale, XA/XRF, planar MPR: softcopy presentation LUT module
_WITH_IMAGES = ("GraphicAnnotationSequence", "DisplayedAreaSelectionSequence", "SoftcopyVOILUTSequence", "MaskSubtractionSequence")
_POINTS = {"POINT": (1, 1), "POLYLINE": (2, None), "INTERPOLATED": (2, None), "CIRCLE": (2, 2), "ELLIPSE": (4, 4)}


def presentation_findings(dataset: Dataset) -> Iterator[Finding]:
    """Yield an error for each image, layer and shape of a presentation state that does not fit the rest of it."""
    sop_class = str(dataset.get("SOPClassUID") or "")
    if not sop_class.startswith(_STATES):
        return
    if sop_class in _GRAYSCALE:
        yield from _presentation_lut(dataset)
    yield from _images(dataset)
    yield from _layers(dataset)
    yield from _graphics(dataset)


def _error(path: str, section: str, message: str, remedy: str = "") -> Finding:
    return Finding(Severity.ERROR, path, section, message, remedy)


def _presentation_lut(dataset: Dataset) -> Iterator[Finding]:
    has_table, shape = bool(dataset.get("PresentationLUTSequence")), str(dataset.get("PresentationLUTShape") or "")
    if has_table == bool(shape):
        message = "There must be either a Presentation LUT Sequence or a Presentation LUT Shape (2050,0020)."
        yield _error("PresentationLUTShape", "PS3.3 C.11.6", message, "Set PresentationLUTShape to IDENTITY or INVERSE.")
    elif shape and shape not in ("IDENTITY", "INVERSE"):
        message = "Presentation LUT Shape (2050,0020) is neither IDENTITY nor INVERSE."
        yield _error("PresentationLUTShape", "PS3.3 C.11.6", message, "Set it to one of them.")


def _references(item: Dataset) -> list[str]:
    return [str(image.get("ReferencedSOPInstanceUID")) for image in item.get("ReferencedImageSequence") or ()]


def _images(dataset: Dataset) -> Iterator[Finding]:
    series = list(dataset.get("ReferencedSeriesSequence") or ())
    for blending in dataset.get("BlendingSequence") or ():
        series += blending.get("ReferencedSeriesSequence") or ()
    listed = {uid for item in series for uid in _references(item)}
    if not listed and series:
        yield _error(
            "ReferencedSeriesSequence", "PS3.3 C.11.11", "No image is referenced.", "Add ReferencedImageSequence to each series."
        )
    for keyword in _WITH_IMAGES:
        for i, item in enumerate(dataset.get(keyword) or ()):
            for j, uid in enumerate(_references(item)):
                if uid not in listed:
                    path = f"{keyword}[{i}].ReferencedImageSequence[{j}]"
                    message = f"Image {uid} is not among the images that the presentation state references."
                    yield _error(path, "PS3.3 C.11.11", message, "Add it to ReferencedSeriesSequence with its series.")
    areas = dataset.get("DisplayedAreaSelectionSequence") or ()
    covered = {uid for item in areas for uid in _references(item)}
    if areas and covered and all(_references(item) for item in areas):
        for uid in sorted(listed - covered):
            message = f"Image {uid} has no displayed area."
            yield _error("DisplayedAreaSelectionSequence", "PS3.3 C.10.4", message, "Add an item that references it.")


def _layers(dataset: Dataset) -> Iterator[Finding]:
    names = [str(item.get("GraphicLayer") or "") for item in dataset.get("GraphicLayerSequence") or ()]
    if len(set(names)) != len(names):
        yield _error("GraphicLayerSequence", "PS3.3 C.10.7", "Graphic Layer (0070,0002) is not unique.", "Name the layers apart.")
    for i, item in enumerate(dataset.get("GraphicAnnotationSequence") or ()):
        if str(item.get("GraphicLayer") or "") not in names:
            path = f"GraphicAnnotationSequence[{i}].GraphicLayer"
            yield _error(path, "PS3.3 C.10.5", "The graphic layer is not in GraphicLayerSequence.", "Add an item with that name.")
    for group in range(0x6000, 0x6020, 2):
        layer = str(dataset[group, 0x1001].value or "") if (group, 0x1001) in dataset else ""
        if layer not in (*names, ""):
            path = f"({group:04X},1001)"
            yield _error(path, "PS3.3 C.11.7", "The layer that activates an overlay is not in GraphicLayerSequence.")


def _graphics(dataset: Dataset) -> Iterator[Finding]:
    for i, annotation in enumerate(dataset.get("GraphicAnnotationSequence") or ()):
        for j, graphic in enumerate(annotation.get("GraphicObjectSequence") or ()):
            path = f"GraphicAnnotationSequence[{i}].GraphicObjectSequence[{j}]"
            data, count = graphic.get("GraphicData"), int(graphic.get("NumberOfGraphicPoints") or 0)
            values = len(data) if hasattr(data, "__len__") else 0
            if values != 2 * count:
                message = f"Graphic Data (0070,0022) has {values} values for {count} points."
                yield _error(f"{path}.GraphicData", "PS3.3 C.10.5", message, "Two values a point, column first.")
            least, most = _POINTS.get(str(graphic.get("GraphicType")), (1, None))
            if count < least or (most and count > most):
                message = f"A graphic of this type can't have {count} points."
                yield _error(f"{path}.NumberOfGraphicPoints", "PS3.3 C.10.5.1.2", message)
