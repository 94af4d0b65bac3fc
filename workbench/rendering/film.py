"""Films: images made ready for a printer, and films as they look on a light box.

Knows: layouts, densities, polarity, magnification, presentation LUTs of print management (PS3.3 C.13, C.11.4; PS3.14).
Does not know: printers, the network, figures.
"""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from workbench.entities import Film, FilmImage, FilmLut, plain
from workbench.errors import AttributeUnusable, InputError
from workbench.rendering.pixels import decoded
from workbench.rendering.plan import RenderPlan
from workbench.rendering.render import render

__all__ = ["Place", "film", "film_image", "film_picture", "film_places", "p_value"]

#: Top, left, bottom and right of a picture, in its own pixels.
Place = tuple[int, int, int, int]

_MARGIN_INCH, _GAP_INCH, _STRIP_INCH = 0.3, 0.1, 0.4
_LEAST, _MOST = 20, 300  # hundredths of an optical density, where the film box leaves it to the printer
_ILLUMINATION, _AMBIENT = 2_000, 10  # cd/m², the defaults of PS3.3 C.13.3
#: Coefficients of the just noticeable difference as a polynomial of log10 of luminance (PS3.14 Section 7).
_JND = (71.498068, 94.593053, 41.912053, 9.8247004, 0.28175407, -1.1878455, -0.18014349, 0.14710899, -0.017046845)
_FILTERS = {"REPLICATE": Image.Resampling.NEAREST, "NONE": Image.Resampling.NEAREST, "CUBIC": Image.Resampling.BICUBIC}


# ------------------------------------------------------------ to the printer
def film_image(plan: RenderPlan, *, frame: int = 0, bits: int = 8, **settings: Any) -> FilmImage:
    """Return a frame as it is seen, as the content of an image box.

    Parameters
    ----------
    plan : RenderPlan
        From :func:`resolve`: window, presentation state, turning, shutters are in the pixels then; graphics and texts of a state
        are not.
    frame : int
        Index of the frame, from 0.
    bits : int
        8, or 12 for grayscale.
    **settings
        Of :class:`workbench.entities.FilmImage`: polarity, magnification, width_mm, too_large …

    Raises
    ------
    PixelDataUnusable
        If the frame is not there or can't be decoded.
    InputError
        If 12 bits are wanted of a colour image.
    """
    if bits not in {8, 12} or (bits == 12 and plan.is_color):
        raise InputError("A film takes 8 bits of gray or colour, or 12 of gray (PS3.3 C.13.5).")
    seen: NDArray[Any] = render(plan, frame=frame, with_overlays=True) if bits == 8 else _deep(plan, frame)
    packed = np.ascontiguousarray(seen.astype("<u2" if bits == 12 else "u1")).tobytes()
    samples = 3 if seen.ndim == 3 else 1
    return FilmImage(
        packed, rows=seen.shape[0], columns=seen.shape[1], bits=bits, samples=samples, aspect=_aspect(plan, frame), **settings
    )


def _deep(plan: RenderPlan, frame: int) -> NDArray[np.uint16]:
    """Return P-Values of 12 bits (PS3.4 N.2), displayed area, shutter and overlays included."""
    stored, _ = decoded(plan.image, plan.layout, frame=frame, limit_bytes=plan.limit_bytes)
    settled = plan.frame(frame)
    values = settled.modality(stored)
    if values.dtype.kind == "f" and stored.dtype.kind == "f":
        values = np.nan_to_num(values, nan=settled.modality.intercept)
    seen = np.rint(plan.presentation(settled.voi.fraction(values)) * 4095.0).astype(np.uint16)
    for overlay in plan.overlays:
        seen[overlay.mask(frame=frame, rows=seen.shape[0], columns=seen.shape[1])] = 4095
    if plan.shutter is not None:
        seen[plan.shutter.hidden(*seen.shape[:2])] = plan.shutter.value * 4095 // 65535
    return settled.spatial(seen)


def _aspect(plan: RenderPlan, frame: int) -> tuple[int, int]:
    """Return height and width of a displayed pixel in whole numbers."""
    area = plan.frame(frame).spatial
    ratio = area.pixel_aspect if area.rotation_deg % 180 == 0 else 1 / area.pixel_aspect
    return (1, 1) if abs(ratio - 1) < 1e-4 else (max(1, round(ratio * 1000)), 1000)


# ------------------------------------------------------------ on the light box
def p_value(
    density: float | NDArray[np.float64], *, least: int = _LEAST, most: int = _MOST, illumination: int | None = None,
    ambient: int | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    """Return how bright an optical density looks on a light box, from 0 (`most`) to 1 (`least`), in equal steps to the eye.

    Parameters
    ----------
    density : float or ndarray
        In hundredths of an optical density.
    least, most : int
        Min Density and Max Density.
    illumination, ambient : int, optional
        Of the light box and reflected by the film, in cd/m²; 2000 and 10 unless given.

    Notes
    -----
    L = La + L0 · 10^-D, and its just noticeable difference by the Grayscale Standard Display Function (PS3.14 Section 7).
    """
    lit = _ILLUMINATION if illumination is None else illumination
    around = _AMBIENT if ambient is None else ambient

    def seen(hundredths: Any) -> NDArray[np.float64]:
        luminance = np.clip(around + lit * 10.0 ** (-np.asarray(hundredths, np.float64) / 100.0), 0.05, 3993.0)
        noticed: NDArray[np.float64] = np.polynomial.polynomial.polyval(np.log10(luminance), np.array(_JND))
        return noticed

    dark, bright = float(seen(most)), float(seen(least))
    if not bright > dark:
        return np.zeros_like(np.asarray(density, np.float64))
    found: NDArray[np.float64] = np.clip((seen(density) - dark) / (bright - dark), 0.0, 1.0)
    return found


def film_places(film: Film, *, pixels_per_inch: int = 75) -> tuple[Place, ...]:
    """Return where the image boxes are in the picture of a film, in the order of their positions.

    Raises
    ------
    AttributeUnusable
        If `pixels_per_inch` is not 10 to 600, or an image box has no pixel left.
    """
    if not 10 <= pixels_per_inch <= 600:
        raise AttributeUnusable(f"pixels_per_inch is 10 to 600, not {pixels_per_inch}.")
    width, height = (round(inch * pixels_per_inch) for inch in film.box.inches)
    margin, gap = round(_MARGIN_INCH * pixels_per_inch), max(1, round(_GAP_INCH * pixels_per_inch / 2))
    strip = round(_STRIP_INCH * pixels_per_inch) if film.texts else 0
    top = margin + (strip if len(film.texts) > 1 else 0)
    across, down = width - 2 * margin, height - top - margin - strip
    places = tuple(
        (top + round(c.top * down) + gap, margin + round(c.left * across) + gap,
         top + round((c.top + c.height) * down) - gap, margin + round((c.left + c.width) * across) - gap)
        for c in film.box.cells
    )  # fmt: skip
    if any(bottom <= upper or right <= left for upper, left, bottom, right in places):
        raise AttributeUnusable(f"At {pixels_per_inch} pixels per inch nothing is left of an image box: take more.")
    return places


def film(film: Film, *, pixels_per_inch: int = 75) -> NDArray[np.uint8]:
    """Return a film as it looks on a light box.

    Parameters
    ----------
    film : Film
        What was printed.
    pixels_per_inch : int
        Of the picture, 10 to 600.

    Returns
    -------
    ndarray of uint8, shape (rows, columns) or (rows, columns, 3)
        P-Values or RGB: equal steps look equal, as on a film of the same densities.

    Raises
    ------
    AttributeUnusable
        If `pixels_per_inch` is out of range.
    """
    places = film_places(film, pixels_per_inch=pixels_per_inch)
    width, height = (round(inch * pixels_per_inch) for inch in film.box.inches)
    border, empty = _density(film, film.box.border), _density(film, film.box.empty)
    sheet = Image.new("RGB" if film.is_color else "L", (width, height), _ink(film, border))
    draw = ImageDraw.Draw(sheet)
    for index, (place, content) in enumerate(zip(places, film.images, strict=True)):
        top, left, bottom, right = place
        draw.rectangle((left, top, right - 1, bottom - 1), fill=_ink(film, empty))
        if content is None:
            continue
        picture = _scaled(_seen(film, content, film.lut_of(index)), content, film, place, pixels_per_inch)
        x, y = left + (right - left - picture.width) // 2, top + (bottom - top - picture.height) // 2
        sheet.paste(picture, (x, y))
        if film.box.trim == "YES":
            frame = (x - 1, y - 1, x + picture.width, y + picture.height)
            draw.rectangle(frame, outline=_ink(film, 255 if border < 128 else 0))
    _write(draw, film, (width, height), pixels_per_inch, fill=_ink(film, 255 if border < 128 else 0))
    return np.asarray(sheet).copy()


def film_picture(printed: Film, long_side: int = 600) -> bytes:
    """Return a film as a PNG for a screen.

    Parameters
    ----------
    printed : Film
        What was printed.
    long_side : int
        So many pixels at most has its longer side, unless that were fewer than 10 per inch.

    Returns
    -------
    bytes
        A PNG file.

    Raises
    ------
    AttributeUnusable
        If an image box has no pixel left.
    """
    per_inch = min(600, max(10, int(long_side / max(printed.box.inches))))
    file = io.BytesIO()
    Image.fromarray(film(printed, pixels_per_inch=per_inch)).save(file, "PNG")
    return file.getvalue()


def _range(film: Film) -> tuple[int, int]:
    least = _LEAST if film.box.least is None else film.box.least
    return least, max(_MOST if film.box.most is None else film.box.most, least + 1)


def _density(film: Film, said: str) -> int:
    """Return how bright a density is that was asked for: 0 to 255; black unless something was."""
    if said in {"", "BLACK", "WHITE"}:
        return 255 if said == "WHITE" else 0
    least, most = _range(film)
    shown = p_value(float(said), least=least, most=most, illumination=film.box.illumination, ambient=film.box.ambient)
    return round(float(shown) * 255)


def _ink(film: Film, gray: int) -> int | tuple[int, int, int]:
    return (gray, gray, gray) if film.is_color else gray


def _seen(film: Film, content: FilmImage, lut: FilmLut | None) -> NDArray[np.uint8]:
    """Return the pixels of an image as they look: polarity, then presentation LUT (PS3.4 H.4.9)."""
    kind = "u1" if content.bits == 8 else "<u2"
    top = (1 << content.bits) - 1
    shape = (content.rows, content.columns, 3)[: 3 if content.samples == 3 else 2]
    stored = np.minimum(np.frombuffer(content.pixels, kind), top).reshape(shape)
    values = np.arange(top + 1, dtype=np.float64) / top
    if content.is_inverse != (content.polarity == "REVERSE"):
        values = values[::-1]
    table: NDArray[np.uint8] = np.rint(_presented(film, values, None if content.samples == 3 else lut) * 255).astype(np.uint8)
    seen: NDArray[np.uint8] = table[stored]
    return seen


def _presented(film: Film, values: NDArray[np.float64], lut: FilmLut | None) -> NDArray[np.float64]:
    if lut is None or lut.shape == "IDENTITY":
        return values
    if lut.shape == "INVERSE":
        return 1.0 - values
    if lut.shape == "LIN OD":
        least, most = _range(film)
        densities = most - (most - least) * values
        return p_value(densities, least=least, most=most, illumination=film.box.illumination, ambient=film.box.ambient)
    entries = np.array(lut.values, np.float64) / ((1 << lut.bits) - 1)
    found: NDArray[np.float64] = entries[np.rint(values * (len(entries) - 1)).astype(np.intp)]
    return found


def _scaled(pixels: NDArray[np.uint8], content: FilmImage, film: Film, place: Place, pixels_per_inch: int) -> Image.Image:
    """Return an image in the size in which it is printed, cut at its image box where it is cropped."""
    room_high, room_wide = place[2] - place[0], place[3] - place[1]
    high, wide = content.rows * content.aspect[0] / content.aspect[1], float(content.columns)
    fit = min(room_high / high, room_wide / wide)
    dot = pixels_per_inch / film.dots_per_inch  # an image pixel that is a dot of the printer
    magnification = content.magnification or film.box.magnification
    if content.width_mm is not None:
        scale = content.width_mm / 25.4 * pixels_per_inch / wide
    elif magnification == "NONE" or (content.too_large == "CROP" and dot > fit):
        scale = dot
    else:
        scale = fit
    if scale > fit and content.too_large != "CROP":
        scale = fit
    keep_rows = min(content.rows, max(1, round(content.rows * room_high / (high * scale))))
    keep_columns = min(content.columns, max(1, round(content.columns * room_wide / (wide * scale))))
    y, x = (content.rows - keep_rows) // 2, (content.columns - keep_columns) // 2
    kept = np.ascontiguousarray(pixels[y : y + keep_rows, x : x + keep_columns])
    size = (min(room_wide, max(1, round(keep_columns * wide / content.columns * scale))),
            min(room_high, max(1, round(keep_rows * high / content.rows * scale))))  # fmt: skip
    resampling = _FILTERS.get(magnification, Image.Resampling.BILINEAR)
    if (size[0] < keep_columns or size[1] < keep_rows) and content.too_large != "DECIMATE":
        resampling = Image.Resampling.BOX if resampling is Image.Resampling.NEAREST else resampling
    elif content.too_large == "DECIMATE":
        resampling = Image.Resampling.NEAREST
    return Image.fromarray(kept).resize(size, resampling)


def _write(draw: ImageDraw.ImageDraw, film: Film, size: tuple[int, int], pixels_per_inch: int, *, fill: Any) -> None:
    """Write annotations: a single one at the foot, of several one half at the head; left, in the middle, right."""
    count = len(film.texts)
    at_head = count // 2 if count > 1 else 0
    font = ImageFont.load_default(max(8.0, 0.17 * pixels_per_inch))
    margin, strip = round(_MARGIN_INCH * pixels_per_inch), round(_STRIP_INCH * pixels_per_inch)
    for index, words in enumerate(film.texts):
        line, number = (at_head, index) if index < at_head else (count - at_head, index - at_head)
        y = margin + strip // 2 if index < at_head else size[1] - margin - strip // 2
        part = 0.5 if line == 1 else number / (line - 1)
        x = margin + part * (size[0] - 2 * margin)
        draw.text((x, y), plain(words), fill=fill, font=font, anchor={0.0: "lm", 1.0: "rm"}.get(part, "mm"))
