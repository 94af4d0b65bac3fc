"""Which images and frames a part of a presentation state is about.

Knows: Referenced Image Sequence with Referenced Frame Number (PS3.3 C.11.8, Table 10-3).
Does not know: what is done with them.
"""

from pydicom.dataset import Dataset

from workbench.rendering._reading import floats, items, text

__all__ = ["frames_named", "refers_to", "state_refers_to"]


def refers_to(item: Dataset, image: Dataset, *, frame: int) -> bool:
    """Return whether an item is about a frame (from 0) of an image; an item that names no image is about all."""
    named = items(item, "ReferencedImageSequence")
    uid = text(image, "SOPInstanceUID")
    return not named or any(text(r, "ReferencedSOPInstanceUID") == uid and _has_frame(r, frame) for r in named)


def _has_frame(reference: Dataset, frame: int) -> bool:
    frames = floats(reference, "ReferencedFrameNumber")
    return not frames or frame + 1 in frames


def state_refers_to(state: Dataset, image: Dataset) -> bool:
    """Return whether a presentation state lists an image among those it applies to (PS3.3 C.11.11)."""
    uid = text(image, "SOPInstanceUID")
    references = [r for s in items(state, "ReferencedSeriesSequence") for r in items(s, "ReferencedImageSequence")]
    return any(text(r, "ReferencedSOPInstanceUID") == uid for r in references)


def frames_named(state: Dataset) -> bool:
    """Return whether any part of a presentation state is about some frames only."""
    keywords = ("SoftcopyVOILUTSequence", "DisplayedAreaSelectionSequence", "GraphicAnnotationSequence")
    parts = [i for k in keywords for i in items(state, k)]
    return any(floats(r, "ReferencedFrameNumber") for i in parts for r in items(i, "ReferencedImageSequence"))
