"""What a printer can do, and what it holds for one association: film sessions, film boxes, image boxes, LUTs.

Knows: which belongs to which.
Does not know: requests and responses, printers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from workbench.entities import FilmBox, FilmImage, FilmLut, FilmSession, uid_checked
from workbench.errors import UidInvalid
from workbench.network.providing import Refused

__all__ = ["Box", "Desk", "ImageBox", "PrinterModel", "Session"]


@dataclass(frozen=True)
class PrinterModel:
    """What a printer can do.

    Parameters
    ----------
    name : str
        Printer Name (2110,0030).
    least, most : int
        Its range in hundredths of an optical density.
    dots_per_inch : int
        A larger image is made smaller, decimated, cropped or refused.
    annotations : mapping of str to int
        How many annotation boxes each Annotation Display Format ID gives.
    collates : bool
        Whether it prints a film session as a whole; if not, a film has to be printed before the next is created (0xC616).
    must_match : bool
        Whether a table has to have an entry for each value of an image's bits (0x0106).
    queue : int
        Films that wait while it is faulty; one more is refused (0xC601, 0xC602).
    memory_bytes : int
        For the images of one association (0xC605).
    """

    name: str = "WORKBENCH"
    least: int = 20
    most: int = 320
    dots_per_inch: int = 300
    annotations: Mapping[str, int] = field(default_factory=lambda: {"LABEL": 1, "BORDERS": 6})
    collates: bool = True
    must_match: bool = True
    queue: int = 20
    memory_bytes: int = 512 << 20


@dataclass(frozen=True)
class ImageBox:
    """An image box: its image where it has one, its own LUT, and the warning with which it was taken."""

    image: FilmImage | None = None
    lut: FilmLut | None = None
    warning: int = 0

    @property
    def pixels(self) -> bytes:
        """The bytes that it holds."""
        return self.image.pixels if self.image else b""


@dataclass
class Box:
    """A film box; its image boxes and annotation boxes by their UIDs, in the order of their positions."""

    uid: str
    dataset: Dataset
    value: FilmBox
    lut: FilmLut | None = None
    images: dict[str, ImageBox] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    is_printed: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether no image box has an image."""
        return all(image.image is None for image in self.images.values())

    @property
    def warning(self) -> int:
        """The first warning of its images."""
        return next((image.warning for image in self.images.values() if image.warning), 0)


@dataclass
class Session:
    """A film session with its film boxes."""

    uid: str
    dataset: Dataset
    value: FilmSession
    boxes: dict[str, Box] = field(default_factory=dict)


@dataclass
class Desk:
    """All that an association has created: a film session for each meta SOP class, and presentation LUTs."""

    sessions: dict[str, Session] = field(default_factory=dict)
    luts: dict[str, FilmLut] = field(default_factory=dict)

    @property
    def uids(self) -> set[str]:
        """All instances."""
        found = set(self.luts)
        for session in self.sessions.values():
            found |= {session.uid, *session.boxes}
            for box in session.boxes.values():
                found |= {*box.images, *box.texts}
        return found

    @property
    def held_bytes(self) -> int:
        """How much the images take."""
        boxes = (box for session in self.sessions.values() for box in session.boxes.values())
        return sum(len(image.pixels) for box in boxes for image in box.images.values())

    def new_uid(self, wanted: str) -> str:
        """Return the UID that the peer wants for its instance, or one of our own."""
        if not wanted:
            return str(generate_uid())
        try:
            uid = uid_checked(wanted, strict=False)
        except UidInvalid:
            raise Refused(0x0117, "that is no UID") from None
        if uid in self.uids:
            raise Refused(0x0111, "there is such an instance already")
        return uid

    def why_not(self, uid: str) -> int:
        """Return the status for an instance that is not of the class that was named: of another, or not there at all."""
        return 0x0119 if uid in self.uids else 0x0112

    def lut(self, dataset: Dataset) -> FilmLut | None:
        """Return the presentation LUT to which a film box or an image box refers."""
        items = dataset.get("ReferencedPresentationLUTSequence") or ()
        if not items:
            return None
        uid = str(items[0].get("ReferencedSOPInstanceUID") or "")
        if uid not in self.luts:
            raise Refused(0x0106, "there is no such presentation LUT")
        return self.luts[uid]
