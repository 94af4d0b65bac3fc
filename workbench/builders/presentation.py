"""Grayscale Softcopy Presentation States (PS3.3 A.33.1, C.11).

Knows: how a window, marks and layers are written down for a set of images.
Does not know: how they are drawn.
"""

from collections.abc import Sequence

import numpy as np
from highdicom.content import ModalityLUTTransformation, PresentationLUTTransformation
from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    SoftcopyVOILUTTransformation,
    TextObject,
)
from pydicom import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import generate_uid

from workbench.builders import transformations
from workbench.builders.authors import HIGHDICOM_ERRORS, WORKBENCH, Author, equipment
from workbench.builders.sources import inherit, inheritable, plain
from workbench.entities import Mark, Text, is_inside
from workbench.errors import BuildRefused
from workbench.files import given

__all__ = ["grayscale"]

MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})


def grayscale(
    images: Dataset | Sequence[Dataset],
    *,
    window: tuple[float, float] | None = None,
    marks: Sequence[Mark] = (),
    frame: int | None = None,
    label: str = "WORKBENCH",
    description: str = "",
    inverse: bool = False,
    author: Author = WORKBENCH,
) -> Dataset:
    """Return a grayscale presentation state for `images`.

    Parameters
    ----------
    images : Dataset or sequence of Dataset
        Monochrome images of one patient and study, equal in rows and columns; they are not changed.
    window : (float, float), optional
        Window Center and Window Width (0028,1050), (0028,1051), in the units after the modality transformation; without it
        the window of the images is used.
    marks : sequence of Point, Polyline, Circle, Ellipse and Text
        Drawn on all `images`, in image coordinates (column, row).
    frame : int, optional
        Index of the one frame, from 0, that marks belong to in a multi-frame image; without it they belong to all frames.
    label, description : str
        Content Label (0070,0080), a CS value, and Content Description (0070,0081).
    inverse : bool
        Whether black and white are exchanged against how the images are shown without a state.
    author : Author
        Who made the state; the person becomes Content Creator's Name (0070,0084).

    Returns
    -------
    Dataset
        With file meta information, in Explicit VR Little Endian.

    Raises
    ------
    InputError
        If they are not datasets.
    BuildRefused
        If an image is in colour, sizes, polarity or modality transformations differ, the window's width is below 1, or a mark
        lies outside the images.

    Notes
    -----
    A state replaces what the images say: so it repeats their modality transformation and, without `window`, their VOI
    transformations. A MONOCHROME1 image keeps its polarity by Presentation LUT Shape INVERSE (PS3.4 N.2.1, PS3.3 C.11.6).
    """
    images = given.several(images, what="images")
    _check(images, window=window, marks=marks, frame=frame)
    sources = inheritable(images)
    layer = GraphicLayer("ANNOTATIONS", order=1, description="Marks and words")
    try:
        own = transformations.own(images)
        state = GrayscaleSoftcopyPresentationState(
            referenced_images=sources,
            series_instance_uid=generate_uid(None),
            series_number=9003,
            sop_instance_uid=generate_uid(None),
            instance_number=1,
            **equipment(author),
            content_label=label,
            content_description=description or None,
            content_creator_name=author.person or None,
            graphic_layers=[layer] if marks else None,
            graphic_annotations=[_annotation(sources, marks, layer=layer, frame=frame)] if marks else None,
            modality_lut_transformation=ModalityLUTTransformation(0.0, 1.0, "US"),  # both are replaced below
            voi_lut_transformations=[SoftcopyVOILUTTransformation(window_center=0.0, window_width=1.0)],
            presentation_lut_transformation=PresentationLUTTransformation("INVERSE" if own.is_inverse != inverse else "IDENTITY"),
        )
    except BuildRefused:
        raise
    except HIGHDICOM_ERRORS as error:
        raise BuildRefused(f"The presentation state can't be built (PS3.3 A.33.1): {error}") from error
    inherit(state, images[0])
    _transform(state, own.modality, [_window(window)] if window else own.vois)
    state.Laterality = _side(images[0])
    state.SeriesDescription = description[:64] or "Presentation state"
    return plain(state)


def _transform(state: Dataset, modality: Dataset, vois: Sequence[Dataset]) -> None:
    for keyword in ("RescaleIntercept", "RescaleSlope", "RescaleType"):
        del state[keyword]
    state.update(modality)
    if vois:
        state.SoftcopyVOILUTSequence = list(vois)
    else:
        del state.SoftcopyVOILUTSequence


def _side(image: Dataset) -> str:
    """Return R or L, or nothing: Laterality is type 2C, and empty where a paired part's side is not known (PS3.3 C.7.3.1)."""
    return next((s for s in (image.get("Laterality"), image.get("ImageLaterality")) if s in {"R", "L"}), "")


def _check(images: Sequence[Dataset], *, window: tuple[float, float] | None, marks: Sequence[Mark], frame: int | None) -> None:
    for image in images:
        if image.get("PhotometricInterpretation") not in MONOCHROME:
            raise BuildRefused(
                f"A grayscale presentation state is for MONOCHROME1 and MONOCHROME2 images (PS3.4 N.2.1); instance "
                f"{image.get('SOPInstanceUID')} is not one."
            )
    sizes = {(int(i.Rows), int(i.Columns)) for i in images}
    if len(sizes) > 1:
        raise BuildRefused("The images differ in rows and columns: marks and displayed area would not fit all (PS3.3 C.10.4).")
    if window is not None and not (np.isfinite(window[0]) and window[1] >= 1):
        raise BuildRefused("A window needs a finite center and a width of 1 or more (PS3.3 C.11.2.1.2.1).")
    if frame is not None and images and not 0 <= frame < int(images[0].get("NumberOfFrames") or 1):
        raise BuildRefused(f"There is no frame {frame}; frames count from 0 (PS3.3 C.7.6.6).")
    for rows, columns in sizes:
        if not all(is_inside(mark, rows=rows, columns=columns) for mark in marks):
            raise BuildRefused(f"A mark lies outside the images of {rows} rows and {columns} columns (PS3.3 C.10.5.1.2).")


def _window(window: tuple[float, float]) -> Dataset:
    return SoftcopyVOILUTTransformation(window_center=float(window[0]), window_width=float(window[1]))


def _annotation(images: Sequence[Dataset], marks: Sequence[Mark], *, layer: GraphicLayer, frame: int | None) -> GraphicAnnotation:
    graphics = [GraphicObject(m.graphic_type, np.array(m.vertices, dtype=float), "PIXEL") for m in marks if not isinstance(m, Text)]
    words = [TextObject(m.text, "PIXEL", anchor_point=m.at) for m in marks if isinstance(m, Text)]
    annotation = GraphicAnnotation(images[:1], layer, graphic_objects=graphics or None, text_objects=words or None)
    frames = () if frame is None else (frame + 1,)
    annotation["ReferencedImageSequence"].value = Items(transformations.reference(image, frames) for image in images)
    return annotation
