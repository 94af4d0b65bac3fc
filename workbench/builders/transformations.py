"""How images come to the screen by themselves, as a presentation state writes it down.

Knows: Modality LUT (PS3.3 C.11.1), VOI LUT (C.11.2, C.11.8), polarity (C.11.6), also in functional groups (C.7.6.16.2).
Does not know: how any of it is computed.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.filewriter import correct_ambiguous_vr

from workbench.builders.sources import is_multi_frame
from workbench.errors import BuildRefused

__all__ = ["Own", "own", "reference"]

_VOI = ("VOILUTSequence", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction")
# whose Modality LUT Sequence tells intensities and is not for display (PS3.3 C.8.7.1.1.2)
_INTENSITY_ONLY = {"1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.2"}


@dataclass(frozen=True, slots=True)
class Own:
    """What images say of how they are to be shown.

    Parameters
    ----------
    modality : Dataset
        The attributes of the Modality LUT module, or none.
    vois : list of Dataset
        The items of the Softcopy VOI LUT Sequence, or none.
    is_inverse : bool
        Whether the smallest value is white.
    """

    modality: Dataset
    vois: list[Dataset]
    is_inverse: bool


def own(images: Sequence[Dataset]) -> Own:
    """Return what `images` say of how they are to be shown.

    Raises
    ------
    BuildRefused
        If they differ in what a presentation state says once for all of them.
    """
    return Own(_modalities(images), _vois(images), _polarity(images))


def _modalities(images: Sequence[Dataset]) -> Dataset:
    """Return the one modality transformation that all frames of all images have."""
    found: dict[_Key, Dataset] = {}
    for image in images:
        for frame in range(_frames(image)) if "PerFrameFunctionalGroupsSequence" in image else (0,):
            one = _modality(image, frame)
            found[_key(one)] = one
    if len(found) > 1:
        raise BuildRefused(
            "The images or frames differ in their modality transformation, of which a presentation state has one "
            "(PS3.3 C.11.1). Make a state for each group with equal Rescale Slope and Intercept."
        )
    return next(iter(found.values()))


def _modality(image: Dataset, frame: int) -> Dataset:
    groups = [i for g in _groups(image, frame) for i in g.get("PixelValueTransformationSequence") or ()]
    state = Dataset()
    if "ModalityLUTSequence" in image and not groups:
        if image.get("SOPClassUID") not in _INTENSITY_ONLY:
            state.ModalityLUTSequence = _settled(image, ("ModalityLUTSequence",), image=image).ModalityLUTSequence
        return state
    source = (*groups, image)[0]
    if source.get("RescaleSlope") is not None and source.get("RescaleIntercept") is not None:
        state.RescaleIntercept, state.RescaleSlope = source.RescaleIntercept, source.RescaleSlope
        state.RescaleType = source.get("RescaleType") or "US"
    return state


@dataclass
class _Use:
    """A VOI transformation and the frames, from 1, that have it."""

    item: Dataset
    frames: dict[int, list[int]] = field(default_factory=dict)


def _vois(images: Sequence[Dataset]) -> list[Dataset]:
    """Return each VOI transformation once; one that all frames of all images have refers to none of them (PS3.3 C.11.8)."""
    uses: dict[_Key, _Use] = {}
    for number, image in enumerate(images):
        for frame in range(_frames(image)) if "PerFrameFunctionalGroupsSequence" in image else (None,):
            item = _voi(image, frame or 0)
            use = uses.setdefault(_key(item), _Use(item))
            use.frames.setdefault(number, []).extend([] if frame is None else [frame + 1])
    is_one = len(uses) == 1
    for use in uses.values():
        if not is_one and len(use.item):
            references = [_partly(images[number], frames) for number, frames in use.frames.items()]
            use.item.ReferencedImageSequence = references
    return [use.item for use in uses.values() if len(use.item)]


def _voi(image: Dataset, frame: int) -> Dataset:
    """Return the first choice of a frame: a state shows one (PS3.3 C.11.8), windows before tables as without a state."""
    groups = [i for g in _groups(image, frame) for i in g.get("FrameVOILUTSequence") or ()]
    own_item = _settled((*groups, image)[0], _VOI, image=image)
    chosen = Dataset()
    if _has_window(own_item):
        for keyword in _VOI[1:]:
            if keyword in own_item:
                element = own_item[keyword]
                chosen.add(DataElement(element.tag, element.VR, element.value[0] if element.VM > 1 else element.value))
    elif own_item.get("VOILUTSequence"):
        chosen.VOILUTSequence = own_item.VOILUTSequence[:1]
    return chosen


def _has_window(item: Dataset) -> bool:
    centers, widths = (np.atleast_1d(np.asarray(item.get(k, []), float)) for k in ("WindowCenter", "WindowWidth"))
    return len(centers) == len(widths) > 0 and bool((widths > 0).all())


def _partly(image: Dataset, frames: list[int]) -> Dataset:
    return reference(image, frames if frames and len(frames) < _frames(image) else ())


def reference(image: Dataset, frames: Sequence[int] = ()) -> Dataset:
    """Return an item of Referenced Image Sequence (PS3.3 Table 10-3).

    Parameters
    ----------
    image : Dataset
        With its UIDs.
    frames : sequence of int
        Frame numbers, from 1; all frames where there are none, or where the image has but one.
    """
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    if frames and is_multi_frame(image):
        item.ReferencedFrameNumber = list(frames)
    return item


def _polarity(images: Sequence[Dataset]) -> bool:
    found = {_is_inverse(image) for image in images}
    if len(found) > 1:
        raise BuildRefused(
            "Some of the images are MONOCHROME1 and some are not: one presentation state can't show both (PS3.3 C.11.6)."
        )
    return found == {True}


def _is_inverse(image: Dataset) -> bool:
    shape = image.get("PresentationLUTShape")
    return (
        bool(shape == "INVERSE")
        if shape in {"IDENTITY", "INVERSE"}
        else bool(image.get("PhotometricInterpretation") == "MONOCHROME1")
    )


def _frames(image: Dataset) -> int:
    return int(image.get("NumberOfFrames") or 1)


def _groups(image: Dataset, frame: int) -> Iterator[Dataset]:
    """Yield the functional groups of a frame, its own first."""
    own, shared = image.get("PerFrameFunctionalGroupsSequence") or (), image.get("SharedFunctionalGroupsSequence") or ()
    yield from own[frame : frame + 1]
    yield from shared[:1]


def _settled(source: Dataset, keywords: Sequence[str], *, image: Dataset) -> Dataset:
    """Return copies of attributes of `source`, a part of `image`, that no longer depend on its encoding and its signs."""
    is_little = image.original_encoding[1] is not False
    part = Dataset()
    part.set_original_encoding(*image.original_encoding)
    part.PixelRepresentation = image.get("PixelRepresentation") or 0
    for keyword in keywords:
        if source.get(keyword) is not None and source.get(keyword) != "":
            part.add(copy.deepcopy(source[keyword]))
    part = correct_ambiguous_vr(part, is_little_endian=is_little)
    for item in (i for k in ("ModalityLUTSequence", "VOILUTSequence") for i in part.get(k) or ()):
        item["LUTData"] = DataElement("LUTData", "OW", _words(item.LUTData, is_little=is_little))
    del part.PixelRepresentation
    return part


def _words(values: bytes | int | Sequence[int], *, is_little: bool) -> bytes:
    """Return table entries as little endian words: as numbers they have no order of bytes, and may be too many for VR US."""
    if isinstance(values, bytes):
        return values if is_little else np.frombuffer(values, ">u2").astype("<u2").tobytes()
    return np.atleast_1d(np.asarray(values, dtype="<u2")).tobytes()


_Key = tuple[Any, ...]


def _key(dataset: Dataset) -> _Key:
    """Return what two datasets with the same values have in common."""
    return tuple((int(e.tag), tuple(map(_key, e.value)) if e.VR == "SQ" else repr(e.value)) for e in dataset)
