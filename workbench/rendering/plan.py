"""What will be shown, settled before anything is drawn.

Knows: how an image's own attributes, a presentation state and the caller's wish come together (PS3.4 N.2).
Does not know: how a frame is computed from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench.entities import Finding, Findings, Severity
from workbench.errors import AttributeUnusable, InputError
from workbench.files import given
from workbench.rendering._reading import floats, is_little_endian, items, text, words
from workbench.rendering._referring import frames_named, refers_to, state_refers_to
from workbench.rendering.annotations import Annotation, annotations
from workbench.rendering.displayed_area import Spatial, spatial
from workbench.rendering.lookup import LookupTable
from workbench.rendering.modality import Modality, modality
from workbench.rendering.overlays import Overlay, overlays
from workbench.rendering.palette import Palette, palette
from workbench.rendering.pixels import LIMIT_BYTES, Layout, decoded, layout
from workbench.rendering.presentation_lut import PresentationLut, presentation_lut
from workbench.rendering.shutters import Shutter, shutter
from workbench.rendering.voi import Window, choices, range_window

__all__ = ["FramePlan", "RenderPlan", "resolve"]

Voi = Window | LookupTable
_PSEUDO_COLOR = "1.2.840.10008.5.1.4.1.1.11.3"
_STATES = {f"1.2.840.10008.5.1.4.1.1.11.{n}" for n in (1, 2, 3, 8)}  # grayscale, colour, pseudo-colour, XA/XRF grayscale
_SAMPLED_FRAMES = 9
# X-ray angiographic and fluoroscopic images: their Modality LUT gives values proportional to intensity, it is not for display
_INTENSITY_ONLY = {"1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.2"}


@dataclass(frozen=True, slots=True)
class FramePlan:
    """What is settled for one frame.

    Parameters
    ----------
    modality : Modality
        Stored values to modality values.
    voi : Window or LookupTable
        Modality values to the range from black to white.
    spatial : Spatial
        Image pixels to displayed pixels.
    annotations : tuple of GraphicObject and TextObject
        In drawing order, in image pixel coordinates.
    """

    modality: Modality
    voi: Voi
    spatial: Spatial
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class RenderPlan:
    """All that :func:`render` needs.

    Parameters
    ----------
    image : Dataset
        Where the pixels are; it is only read.
    layout : Layout
        How they are laid out.
    frames : tuple of FramePlan
        One a frame, or a single one for all frames.
    presentation : PresentationLut
        The last grayscale stage.
    palette : Palette, optional
        Of a PALETTE COLOR image, or of a pseudo-colour presentation state.
    shutter : Shutter, optional
        What is hidden.
    overlays : tuple of Overlay
        Overlay planes of the image, and of the state; :func:`render` draws them when asked to.
    choices : tuple of str
        What ``voi=`` can choose by its index: windows first, then VOI LUTs, by their explanations.
    findings : Findings
        What was left out and why.
    limit_bytes : int
        What decoding may allocate.
    """

    image: Dataset = field(repr=False)
    layout: Layout
    frames: tuple[FramePlan, ...] = field(repr=False)
    presentation: PresentationLut = field(default=PresentationLut(), repr=False)
    palette: Palette | None = field(default=None, repr=False)
    shutter: Shutter | None = None
    overlays: tuple[Overlay, ...] = field(default=(), repr=False)
    choices: tuple[str, ...] = ()
    findings: Findings = field(default=Findings(), repr=False)
    limit_bytes: int = LIMIT_BYTES

    @property
    def is_color(self) -> bool:
        """Whether :func:`render` gives RGB."""
        return self.layout.is_color or self.palette is not None

    @property
    def window(self) -> Window | None:
        """Window of the first frame; None where it is a colour image or shown through a VOI LUT."""
        voi = self.frames[0].voi
        return voi if isinstance(voi, Window) and not self.layout.is_color else None

    def frame(self, index: int) -> FramePlan:
        """Return what is settled for the frame of that index, from 0."""
        return self.frames[index if len(self.frames) > 1 else 0]

    def with_window(self, window: tuple[float, float] | Window) -> "RenderPlan":
        """Return this plan with another window for all frames, as when someone drags over the image.

        Raises
        ------
        AttributeUnusable
            If it is a colour image, or the width is less than 1 (PS3.3 C.11.2.1.2).
        """
        if self.layout.is_color:
            raise AttributeUnusable("A colour image has no window: it belongs to MONOCHROME1 and MONOCHROME2 (PS3.3 C.11.2).")
        return replace(self, frames=tuple(replace(f, voi=_wished(window)) for f in self.frames))


def resolve(
    image: Dataset,
    *,
    state: Dataset | None = None,
    window: tuple[float, float] | Window | None = None,
    voi: str | int = "first",
    limit_bytes: int = LIMIT_BYTES,
) -> RenderPlan:
    """Settle how an image will be shown.

    Parameters
    ----------
    image : Dataset
        An image with pixel data.
    state : Dataset, optional
        A grayscale, colour or pseudo-colour softcopy presentation state that refers to it. Its transformations replace those of
        the image; what it does not have is identity (PS3.4 N.2.1).
    window : (center, width) or Window, optional
        In modality values; it is stronger than `voi`, the state and the image.
    voi : str or int
        ``first``: the state's choice, or the first window or VOI LUT of the image; where it has none, its full range up to 8 bits
        stored, else ``percentile``. A number: that of :attr:`RenderPlan.choices`. ``full``: all values that Bits Stored can hold.
        ``percentile``: from the 0.5th to the 99.5th percentile of the pixels that are not padding.
    limit_bytes : int
        What is refused rather than allocated.

    Returns
    -------
    RenderPlan
        Frozen.

    Raises
    ------
    PixelDataUnusable
        If there are no pixel data, or their description is out of range.
    InputError
        If image or state is not a dataset, or the window not two numbers.
    AttributeUnusable
        If the state does not refer to the image, a transformation is malformed, or there is no such choice.
    """
    shape = layout(given.one(image, what="an image"))
    if state is not None:
        given.one(state, what="a presentation state")
        _check_state(state, image, shape)
    if shape.is_color and (window is not None or voi not in {"first", "full"}):
        raise AttributeUnusable("A colour image has no window: it belongs to MONOCHROME1 and MONOCHROME2 (PS3.3 C.11.2).")
    wish = None if window is None else _wished(window)
    source = image if state is None else state
    if text(image, "PhotometricInterpretation") != shape.photometric:
        message = "Photometric Interpretation does not fit one sample a pixel: shown as MONOCHROME2."
        doubts = [Finding(Severity.WARNING, "PhotometricInterpretation", "PS3.3 C.7.6.3.1.2", message)]
    else:
        doubts = []
    planes, faults = overlays(image, shape)
    if state is not None:
        more, more_faults = overlays(state, shape)
        planes, faults = tuple(p for p in planes if _is_active(state, p)) + more, faults + more_faults
    doubts += [*faults, *_not_applied(source)]
    maker = _Maker(image, state, shape, wish, voi, limit_bytes)
    count = shape.frames if _differs_by_frame(image, state) else 1
    frames = tuple(maker.frame_plan(i) for i in range(count))
    colors = palette(image, is_signed=shape.is_signed) if shape.photometric == "PALETTE COLOR" else None
    if state is not None and text(state, "SOPClassUID") == _PSEUDO_COLOR:
        colors = palette(state)
    return RenderPlan(
        image=image,
        layout=shape,
        frames=frames,
        presentation=presentation_lut(source, photometric=shape.photometric if state is None else ""),
        palette=colors,
        shutter=shutter(source),
        overlays=planes,
        choices=maker.named,
        findings=Findings(dict.fromkeys([*doubts, *maker.findings])),
        limit_bytes=limit_bytes,
    )


def _wished(window: Any) -> Window:
    if isinstance(window, Window):
        return window
    try:
        center, width = (float(part) for part in ([] if isinstance(window, str) else window))
    except (TypeError, ValueError) as error:
        raise InputError("A window is (center, width): two numbers in modality values, such as (40, 400).") from error
    return Window(center, width)


def _check_state(state: Dataset, image: Dataset, shape: Layout) -> None:
    uid = text(state, "SOPClassUID")
    if uid not in _STATES:
        raise AttributeUnusable(
            "state= takes a grayscale, colour or pseudo-colour softcopy presentation state; this dataset is none (PS3.4 N.1)."
        )
    if not state_refers_to(state, image):
        raise AttributeUnusable(
            f"The presentation state does not refer to instance {text(image, 'SOPInstanceUID') or '(without UID)'} (PS3.3 C.11.11)."
        )
    if uid == _PSEUDO_COLOR and shape.is_color:
        raise AttributeUnusable("A pseudo-colour presentation state applies to grayscale images only (PS3.4 N.2.3).")


def _is_active(state: Dataset, overlay: Overlay) -> bool:
    """Return whether a state wants an overlay of the image to be seen (PS3.3 C.11.7)."""
    return bool(state[overlay.group, 0x1001].value) if (overlay.group, 0x1001) in state else False


def _not_applied(source: Dataset) -> Iterator[Finding]:
    """Yield what a state or an image asks for and is not done here."""
    if "BITMAP" in words(source, "ShutterShape"):
        yield Finding(Severity.WARNING, "ShutterShape", "PS3.3 C.7.6.15", "A bitmap shutter is not applied.")
    if items(source, "MaskSubtractionSequence") and "ReferencedSeriesSequence" in source:
        yield Finding(Severity.WARNING, "MaskSubtractionSequence", "PS3.3 C.11.13", "The mask is not subtracted.")


def _differs_by_frame(image: Dataset, state: Dataset | None) -> bool:
    if state is not None:
        return frames_named(state)
    groups = items(image, "PerFrameFunctionalGroupsSequence")
    return any("PixelValueTransformationSequence" in g or "FrameVOILUTSequence" in g for g in groups)


class _Maker:
    """Settles one frame after the other, and collects what it finds."""

    def __init__(
        self, image: Dataset, state: Dataset | None, shape: Layout, wish: Window | None, voi: str | int, limit_bytes: int
    ) -> None:
        self.image, self.state, self.shape, self.wish, self.voi, self.limit_bytes = image, state, shape, wish, voi, limit_bytes
        self.findings: list[Finding] = []
        self.named: tuple[str, ...] = ()
        self._percentile: Window | None = None

    def frame_plan(self, frame: int) -> FramePlan:
        """Return what is settled for a frame."""
        shape = self.shape
        area = spatial(self.state, self.image, rows=shape.rows, columns=shape.columns, frame=frame)
        marks: tuple[Annotation, ...] = ()
        if self.state is not None:
            marks, wrong = annotations(self.state, self.image, area=area, frame=frame)
            self.findings += wrong
        if shape.is_color:
            return FramePlan(Modality(), range_window(0, 255, ""), area, marks)
        values = self._modality(frame)
        return FramePlan(values, self.wish or self._chosen(values, frame), area, marks)

    def _modality(self, frame: int) -> Modality:
        if self.state is not None:
            stated = modality(self.state, frame=frame, is_signed=self.shape.is_signed)
            return stated if stated.units else self._with_units(stated, frame)
        if text(self.image, "SOPClassUID") in _INTENSITY_ONLY and "ModalityLUTSequence" in self.image:
            message = "The Modality LUT of an XA or XRF image is not for display: windows apply to stored values."
            self.findings.append(Finding(Severity.NOTE, "ModalityLUTSequence", "PS3.3 C.8.7.1.1.2", message))
            return Modality()
        return modality(self.image, frame=frame, is_signed=self.shape.is_signed)

    def _with_units(self, stated: Modality, frame: int) -> Modality:
        """Return the state's transformation with the image's units, where it is the same one."""
        try:
            own = modality(self.image, frame=frame, is_signed=self.shape.is_signed)
        except AttributeUnusable:
            return stated
        is_same = stated.table is None and own.table is None and (stated.slope, stated.intercept) == (own.slope, own.intercept)
        return replace(stated, units=own.units) if is_same else stated

    def _chosen(self, values: Modality, frame: int) -> Voi:
        offered = self._offered(frame, is_signed=self.shape.is_signed or values.intercept < 0)
        if frame == 0:
            self.named = tuple(o.explanation or _described(o) for o in offered)
        if self.voi == "percentile":
            return self._percentiles()
        if self.voi == "first":
            if offered:
                return offered[0]
            if self.state is not None or (self.shape.bits_stored <= 8 and self.shape.keyword == "PixelData"):
                return _full(values, self.shape)
            return self._percentiles()
        if self.voi == "full":
            return _full(values, self.shape) if self.shape.keyword == "PixelData" else self._percentiles()
        if isinstance(self.voi, int) and 0 <= self.voi < len(offered):
            return offered[self.voi]
        raise AttributeUnusable(
            f"voi is first, full, percentile or a number below {len(offered)}, as many as there are choices; not {self.voi!r}."
        )

    def _offered(self, frame: int, *, is_signed: bool) -> tuple[Voi, ...]:
        if self.state is None:
            found, wrong = choices(self.image, frame=frame, is_signed=is_signed)
            self.findings += wrong
            return found
        little = is_little_endian(self.state)
        offered: list[Voi] = []
        for item in items(self.state, "SoftcopyVOILUTSequence"):
            if refers_to(item, self.image, frame=frame):
                found, wrong = choices(item, is_signed=is_signed, is_little=little)
                offered += found
                self.findings += wrong
        return tuple(offered)

    def _percentiles(self) -> Window:
        """One window for all frames, from some of them."""
        if self._percentile is None:
            step = max(1, -(-self.shape.frames // _SAMPLED_FRAMES))
            parts = [self._shown(frame) for frame in range(0, self.shape.frames, step)]
            values = np.concatenate(parts)
            if not values.size:
                self.findings.append(Finding(Severity.WARNING, self.shape.keyword, "PS3.3 C.7.5.1.1.2", "All pixels are padding."))
                values = np.zeros(1)
            low, high = np.percentile(values, (0.5, 99.5))
            if not high > low:
                low, high = values.min(), values.max()
            self._percentile = range_window(float(low), float(high), "0.5th to 99.5th percentile")
        return self._percentile

    def _shown(self, frame: int) -> NDArray[np.float64]:
        stored, _ = decoded(self.image, self.shape, frame=frame, limit_bytes=self.limit_bytes)
        flat = stored.ravel()[:: max(1, stored.size // 262_144)]
        kept = flat[~_padding(self.image, flat)]
        values = self._modality(frame)(kept)
        return values[np.isfinite(values)]


def _described(voi: Voi) -> str:
    return f"center {voi.center:g}, width {voi.width:g}" if isinstance(voi, Window) else f"table of {len(voi.values)} entries"


def _full(values: Modality, shape: Layout) -> Window:
    """Return the whole range of stored values, as the modality transformation leaves it."""
    if values.table is not None:
        return range_window(0, 2**values.table.bits - 1, "full range")
    low, high = sorted(v * values.slope + values.intercept for v in shape.value_range)
    return range_window(low, high, "full range")


def _padding(image: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where stored values are padding: one value, or a range (PS3.3 C.7.5.1.1.2)."""
    keyword = {"f": "FloatPixelPadding" if stored.dtype.itemsize == 4 else "DoubleFloatPixelPadding"}.get(
        stored.dtype.kind, "PixelPadding"
    )
    first = floats(image, f"{keyword}Value")
    if len(first) != 1:
        return np.zeros(stored.shape, np.bool_)
    second = floats(image, f"{keyword}RangeLimit") or first
    low, high = sorted((first[0], second[0]))
    return np.asarray((stored >= low) & (stored <= high))
