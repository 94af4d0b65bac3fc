"""Films as frozen values: what is asked of a printer, and what a printer was asked.

Knows: the film session, the film box and its layouts, image boxes, presentation LUTs (PS3.3 C.13, C.11.6).
Does not know: how they travel, how they are drawn: a film that was printed holds who draws it.
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.entities.text import counted, html_safe
from workbench.errors import AttributeUnusable, WorkbenchError

__all__ = ["Film", "FilmBox", "FilmCell", "FilmImage", "FilmLut", "FilmSession"]

_LIMIT_CELLS = 400
_FORMAT = re.compile(r"(STANDARD|ROW|COL)\\(\d{1,3}(?:,\d{1,3})*)")
_SHORT = re.compile(r"(\d{1,3})\s*[xX×,]\s*(\d{1,3})")
_SHAPES = ("IDENTITY", "LIN OD", "INVERSE")
_SIZE = re.compile(r"(\d+(?:_\d+)?)(IN|CM)X(\d+(?:_\d+)?)(IN|CM)")
_SHOWN_PIXELS = 600  # the long side of a film in a notebook
_PAPER_INCH = {"A4": (8.27, 11.69), "A3": (11.69, 16.54)}


@dataclass(frozen=True, slots=True)
class FilmCell:
    """Where an image box is, in fractions of the printable area from its top left corner.

    Parameters
    ----------
    left, top, width, height : float
        0 to 1.
    """

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class FilmImage:
    """The pixels of one image box.

    Parameters
    ----------
    pixels : bytes
        Row by row; one byte a sample up to 8 bits, two bytes little endian beyond; colour by pixel.
    rows, columns : int
        1 to 65535.
    bits : int
        8, or 12 for grayscale.
    samples : int
        1 for grayscale, 3 for RGB.
    polarity : str
        NORMAL, or REVERSE to have black and white changed (2020,0020).
    is_inverse : bool
        The smallest value is white: MONOCHROME1.
    aspect : tuple of int
        Height and width of a pixel: Pixel Aspect Ratio (0028,0034).
    magnification, smoothing, configuration : str
        Of this image, instead of those of its film box.
    width_mm : float, optional
        Requested Image Size (2020,0030).
    too_large : str
        What to do where it is larger than its image box: DECIMATE, CROP, FAIL, or nothing said (2020,0040).

    Raises
    ------
    AttributeUnusable
        If the numbers do not fit the bytes, or a word is none of those.
    """

    pixels: bytes = field(repr=False)
    rows: int
    columns: int
    bits: int = 8
    samples: int = 1
    polarity: str = "NORMAL"
    is_inverse: bool = False
    aspect: tuple[int, int] = (1, 1)
    magnification: str = ""
    smoothing: str = ""
    configuration: str = field(default="", repr=False)
    width_mm: float | None = None
    too_large: str = ""

    def __post_init__(self) -> None:
        if (self.samples, self.bits) not in {(1, 8), (1, 12), (3, 8)}:
            raise AttributeUnusable(
                f"A printer takes 8 or 12 bits of gray, or 8 of each colour, not {self.samples} samples of {self.bits} bits "
                "(PS3.3 C.13.5)."
            )
        if not (0 < self.rows < 65_536 and 0 < self.columns < 65_536):
            raise AttributeUnusable("An image to print has 1 to 65535 rows and columns (PS3.3 C.7.6.3).")
        wanted = self.rows * self.columns * self.samples * (1 if self.bits == 8 else 2)
        if len(self.pixels) != wanted:
            raise AttributeUnusable(
                f"{self.columns} × {self.rows} pixels of {self.samples} × {self.bits} bits are {wanted} bytes, "
                f"not {len(self.pixels)}."
            )
        if self.polarity not in {"NORMAL", "REVERSE"} or self.too_large not in {"", "DECIMATE", "CROP", "FAIL"}:
            raise AttributeUnusable("Polarity is NORMAL or REVERSE; too_large is DECIMATE, CROP, FAIL or empty (PS3.3 C.13.5).")
        if min(self.aspect) < 1 or (self.width_mm is not None and not self.width_mm > 0):
            raise AttributeUnusable("Pixel aspect ratio and requested width are greater than 0 (PS3.3 C.13.5).")


@dataclass(frozen=True, slots=True)
class FilmLut:
    """A presentation LUT for printing (PS3.3 C.11.4): a shape, or a table.

    Parameters
    ----------
    shape : str
        IDENTITY, LIN OD or INVERSE; empty where there is a table.
    values : tuple of int
        One entry a pixel value, from 0 on: 256 for 8 bits, 4096 for 12.
    bits : int
        Bits of an entry, 10 to 16.

    Raises
    ------
    AttributeUnusable
        If it is neither or both, or an entry does not fit its bits.

    Examples
    --------
    >>> FilmLut("LIN OD").shape, FilmLut(values=tuple(range(256)), bits=10).shape
    ('LIN OD', '')
    """

    shape: str = ""
    values: tuple[int, ...] = field(default=(), repr=False)
    bits: int = 12

    def __post_init__(self) -> None:
        if bool(self.shape) == bool(self.values) or (self.shape and self.shape not in _SHAPES):
            raise AttributeUnusable(f"A presentation LUT is one of {', '.join(_SHAPES)}, or a table (PS3.3 C.11.4).")
        if self.values and (len(self.values) not in {256, 4096} or not 10 <= self.bits <= 16):
            raise AttributeUnusable("A presentation LUT for printing has 256 or 4096 entries of 10 to 16 bits (PS3.3 C.11.4.1).")
        if self.values and not 0 <= min(self.values) <= max(self.values) < 1 << self.bits:
            raise AttributeUnusable("An entry of the presentation LUT does not fit its bits (PS3.3 C.11.4.1).")

    def fits(self, image: FilmImage) -> bool:
        """Whether the table has an entry for each value of an image's bits; a shape always fits."""
        return not self.values or len(self.values) == 1 << image.bits


@dataclass(frozen=True, slots=True)
class FilmSession:
    """What holds for all films of a session (PS3.3 C.13.1). What is empty is left to the printer.

    Parameters
    ----------
    copies : int
        1 to 100.
    priority : str
        HIGH, MED or LOW.
    medium : str
        Such as PAPER, CLEAR FILM, BLUE FILM.
    destination : str
        Such as MAGAZINE, PROCESSOR.
    label : str
        Film Session Label (2000,0050).
    owner : str
        Owner ID (2100,0160).
    """

    copies: int = 1
    priority: str = ""
    medium: str = ""
    destination: str = ""
    label: str = field(default="", repr=False)
    owner: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.copies <= 100 or self.priority not in {"", "HIGH", "MED", "LOW"}:
            raise AttributeUnusable("A film session has 1 to 100 copies and priority HIGH, MED, LOW or none (PS3.3 C.13.1).")


@dataclass(frozen=True, slots=True)
class FilmBox:
    r"""How a film is laid out and exposed (PS3.3 C.13.3). What is empty is left to the printer.

    Parameters
    ----------
    layout : str
        ``STANDARD\C,R``, ``ROW\R1,R2,…``, ``COL\C1,C2,…``; or ``CxR`` for columns and rows.
    orientation : str
        PORTRAIT or LANDSCAPE.
    size : str
        Film Size ID (2010,0050), such as 14INX17IN or A4.
    magnification : str
        REPLICATE, BILINEAR, CUBIC or NONE.
    smoothing : str
        Of CUBIC; what it means is the printer's.
    border, empty : str
        Density around images, and of image boxes without one: BLACK, WHITE or hundredths of an optical density.
    least, most : int, optional
        Min Density and Max Density in hundredths of an optical density.
    trim : str
        YES or NO: a line around each image.
    configuration : str
        Configuration Information (2010,0150), in the printer's own words.
    annotation : str
        Annotation Display Format ID (2010,0030): whether there are annotation boxes, and where, is the printer's.
    resolution : str
        Requested Resolution ID (2020,0050): STANDARD or HIGH.
    illumination, ambient : int, optional
        Of the light box, and what the film reflects, in cd/m².

    Raises
    ------
    AttributeUnusable
        If there is no such layout, or a density or word is none.

    Examples
    --------
    >>> FilmBox("2x3").layout, len(FilmBox("ROW\\1,2").cells)
    ('STANDARD\\2,3', 3)
    """

    layout: str = "STANDARD\\1,1"
    orientation: str = "PORTRAIT"
    size: str = ""
    magnification: str = ""
    smoothing: str = ""
    border: str = ""
    empty: str = ""
    least: int | None = None
    most: int | None = None
    trim: str = ""
    configuration: str = field(default="", repr=False)
    annotation: str = ""
    resolution: str = ""
    illumination: int | None = None
    ambient: int | None = None

    def __post_init__(self) -> None:
        if short := _SHORT.fullmatch(self.layout.strip()):
            object.__setattr__(self, "layout", f"STANDARD\\{short[1]},{short[2]}")
        _ = self.cells
        if self.orientation not in {"", "PORTRAIT", "LANDSCAPE"} or self.trim not in {"", "YES", "NO"}:
            raise AttributeUnusable("Film orientation is PORTRAIT or LANDSCAPE, trim YES or NO (PS3.3 C.13.3).")
        for word in (self.border, self.empty):
            if not (word in {"", "BLACK", "WHITE"} or (word.isascii() and word.isdigit())):
                raise AttributeUnusable("A density is BLACK, WHITE or a number of hundredths of an optical density (PS3.3 C.13.3).")
        for number in (self.least, self.most, self.illumination, self.ambient):
            if number is not None and not 0 <= number < 65_536:
                raise AttributeUnusable("Densities and luminances are 0 to 65535 (PS3.3 C.13.3).")

    @property
    def cells(self) -> tuple[FilmCell, ...]:
        """The image boxes in the order of Image Box Position (2020,0010)."""
        match = _FORMAT.fullmatch(self.layout)
        counts = [int(n) for n in match[2].split(",")] if match else []
        if not match or 0 in counts or (match[1] == "STANDARD" and len(counts) != 2):
            raise AttributeUnusable(
                r"Image Display Format is 2x3 (2 columns, 3 rows: STANDARD\2,3), ROW\R1,R2,… or COL\C1,C2,… here (PS3.3 C.13.3)."
            )
        lines = [counts[0]] * counts[1] if match[1] == "STANDARD" else counts
        if sum(lines) > _LIMIT_CELLS:
            raise AttributeUnusable(f"A film of more than {_LIMIT_CELLS} images is refused.")
        across = [
            FilmCell(index / count, line / len(lines), 1 / count, 1 / len(lines))
            for line, count in enumerate(lines)
            for index in range(count)
        ]
        return tuple(FilmCell(c.top, c.left, c.height, c.width) for c in across) if match[1] == "COL" else tuple(across)

    @property
    def inches(self) -> tuple[float, float]:
        """Width and height of the film as it is oriented; a size that is not known is taken for 14INX17IN."""
        match = _SIZE.fullmatch(self.size.replace(".", "_"))
        if match:
            scale = {"IN": 1.0, "CM": 1 / 2.54}
            width, height = (float(n.replace("_", ".")) * scale[u] for n, u in (match.group(1, 2), match.group(3, 4)))
            if not (1 <= width <= 60 and 1 <= height <= 60):
                width, height = 14.0, 17.0
        else:
            width, height = _PAPER_INCH.get(self.size, (14.0, 17.0))
        return (max(width, height), min(width, height)) if self.orientation == "LANDSCAPE" else (width, height)


@dataclass(frozen=True, slots=True)
class Film:
    """A film as a printer would expose it.

    Parameters
    ----------
    session : FilmSession
        Copies, medium and destination.
    box : FilmBox
        Its layout.
    images : tuple of FilmImage or None
        One entry a cell of the layout; None where the image box is empty.
    texts : tuple of str
        Annotation boxes by their position, empty where nothing was written.
    lut : FilmLut, optional
        For all images; None is IDENTITY.
    luts : tuple of FilmLut or None
        One entry a cell where images have their own.
    is_color : bool
        Printed in colour.
    dots_per_inch : int
        Of the printer.
    uid : str
        Of the film box.
    draw : callable, optional
        Called with the film and the pixels of its long side; gives its picture as PNG. A notebook shows the film with it.
    """

    session: FilmSession
    box: FilmBox
    images: tuple[FilmImage | None, ...]
    texts: tuple[str, ...] = field(default=(), repr=False)
    lut: FilmLut | None = None
    luts: tuple[FilmLut | None, ...] = ()
    is_color: bool = False
    dots_per_inch: int = 300
    uid: str = ""
    draw: Callable[["Film", int], bytes] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.images) != len(self.box.cells) or (self.luts and len(self.luts) != len(self.images)):
            raise AttributeUnusable(f"A film of layout {self.box.layout} has {len(self.box.cells)} image boxes (PS3.3 C.13.3).")

    def lut_of(self, index: int) -> FilmLut | None:
        """Return the presentation LUT of a cell, from 0: its own, or the film's."""
        return (self.luts[index] if self.luts else None) or self.lut

    @property
    def summary(self) -> str:
        """Size, layout, images, copies, medium and presentation LUT in a line; nothing of annotations."""
        count, copies, lut = sum(image is not None for image in self.images), self.session.copies, self.lut
        words = (
            self.box.size or "14INX17IN", self.box.layout, counted(count, "image"),
            counted(copies, "copy"), self.session.medium,
            (lut.shape or f"LUT of {len(lut.values)}") if lut else "",
        )  # fmt: skip
        return " · ".join(word for word in words if word)

    def picture(self, *, long_side: int = _SHOWN_PIXELS) -> bytes | None:
        """Return a picture of it as PNG; None where nobody draws it, or it has no room for all image boxes."""
        try:
            return self.draw(self, long_side) if self.draw else None
        except WorkbenchError:
            return None

    def html(self, *, title: str = "Film", long_side: int = _SHOWN_PIXELS) -> str:
        """Return its picture with a line below, or the line alone."""
        said, picture = f"{html_safe(title)}: {html_safe(self.summary)}", self.picture(long_side=long_side)
        if picture is None:
            return f"<p>{said}</p>"
        data = base64.b64encode(picture).decode()
        return (
            "<figure style='display:inline-table;margin:0 1em 1em 0;vertical-align:top'>"
            f"<img src='data:image/png;base64,{data}' alt='{html_safe(title)}' style='max-width:100%;border:1px solid #999'>"
            f"<figcaption style='display:table-caption;caption-side:bottom'>{said}</figcaption></figure>"
        )

    def _repr_png_(self) -> bytes | None:
        return self.picture()

    def _repr_html_(self) -> str:
        return self.html()
