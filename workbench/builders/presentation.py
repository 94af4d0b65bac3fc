"""Grayscale Softcopy Presentation States (PS3.3 A.33.1, C.11).

Knows: how a window, marks and layers are written down for a set of images.
Does not know: how they are drawn.
"""

from collections.abc import Sequence
from datetime import date

import numpy as np
from highdicom.content import PresentationLUTTransformation
from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    SoftcopyVOILUTTransformation,
    TextObject,
)
from pydicom import Dataset
from pydicom.uid import generate_uid

from workbench.builders.authors import WORKBENCH, Author, equipment
from workbench.builders.sources import inheritable
from workbench.entities import Mark, Text
from workbench.errors import BuildRefused

__all__ = ["grayscale"]

MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})


def grayscale(
    images: Sequence[Dataset],
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
    images : sequence of Dataset
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
        Whether Presentation LUT Shape (2050,0020) is INVERSE.
    author : Author
        Who made the state; the person becomes Content Creator's Name (0070,0084).

    Returns
    -------
    Dataset
        With file meta information, in Explicit VR Little Endian.

    Raises
    ------
    BuildRefused
        If an image is in colour, sizes differ, the window's width is below 1, or a mark lies outside the images.
    """
    _check(images, window=window, marks=marks, frame=frame)
    sources = inheritable(images)
    layer = GraphicLayer("ANNOTATIONS", order=1, description="Marks and words")
    try:
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
            graphic_annotations=_annotations(sources, marks, layer=layer, frame=frame) if marks else None,
            voi_lut_transformations=[_window(window)] if window else None,
            presentation_lut_transformation=PresentationLUTTransformation("INVERSE" if inverse else "IDENTITY"),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise BuildRefused(f"The presentation state can't be built (PS3.3 A.33.1): {error}") from error
    if "Laterality" not in state:
        state.Laterality = str(sources[0].get("Laterality") or "")  # type 2C in General Series (PS3.3 C.7.3.1)
    state.SeriesDescription = description[:64] or "Presentation state"
    state.PresentationCreationDate = state.get("PresentationCreationDate") or f"{date.today():%Y%m%d}"  # noqa: DTZ011 - local, as DA is
    return state


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
        if not all(0 <= c <= columns and 0 <= r <= rows for m in marks for c, r in m.vertices):
            raise BuildRefused(f"A mark lies outside the images of {rows} rows and {columns} columns (PS3.3 C.10.5.1.2).")


def _window(window: tuple[float, float]) -> SoftcopyVOILUTTransformation:
    return SoftcopyVOILUTTransformation(window_center=float(window[0]), window_width=float(window[1]))


def _annotations(
    images: Sequence[Dataset], marks: Sequence[Mark], *, layer: GraphicLayer, frame: int | None
) -> list[GraphicAnnotation]:
    by_series: dict[str, list[Dataset]] = {}
    for image in images:
        by_series.setdefault(str(image.SeriesInstanceUID), []).append(image)
    graphics = [GraphicObject(m.graphic_type, np.array(m.vertices, dtype=float), "PIXEL") for m in marks if not isinstance(m, Text)]
    words = [TextObject(m.text, "PIXEL", anchor_point=m.at) for m in marks if isinstance(m, Text)]
    number = None if frame is None else [frame + 1]
    groups = [group for series in by_series.values() for group in _groups(series)]
    return [
        GraphicAnnotation(
            group, layer, referenced_frame_number=number, graphic_objects=graphics or None, text_objects=words or None
        )
        for group in groups
    ]


def _groups(series: list[Dataset]) -> list[list[Dataset]]:
    """Multi-frame images are referred to one by one, others together."""
    if any("NumberOfFrames" in image for image in series):
        return [[image] for image in series]
    return [series]
