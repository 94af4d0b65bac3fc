"""Grayscale Softcopy Presentation States (PS3.3 A.33.1, C.11).

Knows: how a window, marks and layers are written down for a set of images.
Does not know: how they are drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

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

from workbench.builders import transformations
from workbench.builders.authors import WORKBENCH, Author, authored, building
from workbench.builders.sources import inherit, inheritable, plain
from workbench.entities import Mark, Text, is_inside
from workbench.errors import BuildRefused
from workbench.files import given

__all__ = ["Placed", "grayscale"]

MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})


@dataclass(frozen=True, slots=True)
class Placed:
    """Marks that belong to one image, or to one frame of it.

    Parameters
    ----------
    image : Dataset
        The image they were drawn on.
    marks : tuple of Mark
        In its coordinates (column, row).
    frame : int, optional
        Index of the frame, from 0; without it they belong to all its frames.
    """

    image: Dataset = field(repr=False)
    marks: tuple[Mark, ...]
    frame: int | None = None


def grayscale(
    images: Dataset | Sequence[Dataset],
    *,
    window: tuple[float, float] | None = None,
    marks: Sequence[Mark | Placed] = (),
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
    marks : sequence of Point, Polyline, Circle, Ellipse, Text and Placed
        Marks in image coordinates (column, row), drawn on all frames of all `images`; those of a :class:`Placed` only on its
        image and frame.
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
        If an image is in colour, sizes, polarity or modality transformations differ, the window's width is below 1, a mark
        lies outside the images, or is placed on another image or a frame that is not there.

    Notes
    -----
    A state replaces what the images say: so it repeats their modality transformation and, without `window`, their VOI
    transformations. A MONOCHROME1 image keeps its polarity by Presentation LUT Shape INVERSE (PS3.4 N.2.1, PS3.3 C.11.6).
    """
    images = given.several(images, what="images")
    placed = _placed(images, marks)
    _check(images, window=window, placed=placed)
    sources = inheritable(images)
    layer = GraphicLayer("ANNOTATIONS", order=1, description="Marks and words")
    with building("presentation state (PS3.3 A.33.1)", of=sources):
        own = transformations.own(images)
        state = GrayscaleSoftcopyPresentationState(
            referenced_images=sources,
            **authored(author, series_number=9003),
            content_label=label,
            content_description=description or None,
            content_creator_name=author.person or None,
            graphic_layers=[layer] if placed else None,
            graphic_annotations=[_annotation(sources, part, layer=layer) for part in placed] or None,
            modality_lut_transformation=ModalityLUTTransformation(0.0, 1.0, "US"),  # both are replaced below
            voi_lut_transformations=[SoftcopyVOILUTTransformation(window_center=0.0, window_width=1.0)],
            presentation_lut_transformation=PresentationLUTTransformation("INVERSE" if own.is_inverse != inverse else "IDENTITY"),
        )
    inherit(state, images[0])
    _transform(state, own.modality, [_window(window)] if window else own.vois)
    sides = {_side(image) for image in images}
    state.Laterality = sides.pop() if len(sides) == 1 else ""
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


@dataclass(frozen=True, slots=True)
class _Part:
    """Marks, and where in the listed images they belong; the frame counts from 0."""

    marks: tuple[Mark, ...]
    images: tuple[int, ...]
    frame: int | None = None


def _placed(images: Sequence[Dataset], marks: Sequence[Mark | Placed]) -> list[_Part]:
    """Return marks by the images they belong to, those of all images first."""
    common = tuple(m for m in marks if not isinstance(m, Placed))
    parts = [_Part(common, tuple(range(len(images))))] if common else []
    numbers = {str(image.get("SOPInstanceUID")): number for number, image in enumerate(images)}
    for part in (m for m in marks if isinstance(m, Placed) and m.marks):
        number = numbers.get(str(given.one(part.image, what="the image of placed marks").get("SOPInstanceUID")))
        if number is None:
            raise BuildRefused("Marks are placed on an image that is not among those of the presentation state (PS3.3 C.10.5).")
        parts.append(_Part(tuple(part.marks), (number,), part.frame))
    return parts


def _check(images: Sequence[Dataset], *, window: tuple[float, float] | None, placed: Sequence[_Part]) -> None:
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
    for part in placed:
        if part.frame is not None and not 0 <= part.frame < int(images[part.images[0]].get("NumberOfFrames") or 1):
            raise BuildRefused(f"There is no frame {part.frame}; frames count from 0 (PS3.3 C.7.6.6).")
    for rows, columns in sizes:
        if not all(is_inside(mark, rows=rows, columns=columns) for part in placed for mark in part.marks):
            raise BuildRefused(f"A mark lies outside the images of {rows} rows and {columns} columns (PS3.3 C.10.5.1.2).")


def _window(window: tuple[float, float]) -> Dataset:
    return SoftcopyVOILUTTransformation(window_center=float(window[0]), window_width=float(window[1]))


def _annotation(sources: Sequence[Dataset], part: _Part, *, layer: GraphicLayer) -> GraphicAnnotation:
    shapes = [m for m in part.marks if not isinstance(m, Text)]
    graphics = [GraphicObject(m.graphic_type, np.array(m.vertices, dtype=float), "PIXEL") for m in shapes]
    words = [TextObject(m.text, "PIXEL", anchor_point=m.at) for m in part.marks if isinstance(m, Text)]
    images = [sources[number] for number in part.images]
    annotation = GraphicAnnotation(images[:1], layer, graphic_objects=graphics or None, text_objects=words or None)
    frames = () if part.frame is None else (part.frame + 1,)
    annotation["ReferencedImageSequence"].value = Items(transformations.reference(image, frames) for image in images)
    return annotation
