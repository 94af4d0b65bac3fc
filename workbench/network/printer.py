"""A printer whose films are values: print management as a provider (PS3.4 H).

Knows: film sessions, film boxes, image and annotation boxes, presentation LUTs, the printer; the statuses of PS3.4 H.4.
Does not know: how a film is drawn (its `draw` does), how PDUs are framed.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, generate_uid
from pynetdicom.dimse_primitives import N_ACTION, N_CREATE, N_DELETE, N_EVENT_REPORT, N_GET, N_SET
from pynetdicom.presentation import PresentationContext

from workbench.entities import Film, FilmImage, html_table, plain
from workbench.errors import AttributeUnusable, InputError
from workbench.network._desk import Box, Desk, ImageBox, PrinterModel, Session
from workbench.network._films import (
    ANNOTATION_BOX,
    COLOR,
    COLOR_IMAGE_BOX,
    FILM_BOX,
    FILM_SESSION,
    GRAY_IMAGE_BOX,
    GRAYSCALE,
    LUT,
    PRINTER,
    PRINTER_INSTANCE,
    box_of,
    image_of,
    lut_of,
    reference,
    session_of,
)
from workbench.network._guard import Acceptor
from workbench.network._suboperations import encode
from workbench.network.providing import Refused, answer, dataset_of
from workbench.rendering import film_picture

__all__ = ["Printer", "PrinterModel"]

log = logging.getLogger(__name__)

_EVENTS = {"NORMAL": 1, "WARNING": 2, "FAILURE": 3}
_NO_ATTRIBUTE, _INVALID_VALUE, _LIST_ERROR, _DUPLICATE, _NO_INSTANCE = 0x0105, 0x0106, 0x0107, 0x0111, 0x0112
_OUT_OF_RANGE, _NO_CLASS, _CONFLICT, _MISSING, _NO_ACTION, _UNRECOGNIZED = 0x0116, 0x0118, 0x0119, 0x0120, 0x0123, 0x0211
_SIZES = frozenset({"8INX10IN", "8_5INX11IN", "10INX12IN", "10INX14IN", "11INX14IN", "11INX17IN", "14INX14IN", "14INX17IN",
                    "24CMX24CM", "24CMX30CM", "A4", "A3"})  # fmt: skip
_THUMBNAILS, _THUMBNAIL_PIXELS = 4, 240  # the last films, as a notebook shows the printer
_MAGNIFICATIONS = frozenset({"", "NONE", "REPLICATE", "BILINEAR", "CUBIC"})


@dataclass(frozen=True)
class _Asked:
    """A request with all that is known about it."""

    desk: Desk
    meta: str
    request: Any
    context: PresentationContext
    dataset: Dataset

    @property
    def uid(self) -> str:
        """The instance that it names."""
        return str(
            getattr(self.request, "RequestedSOPInstanceUID", None) or getattr(self.request, "AffectedSOPInstanceUID", None) or ""
        )

    @property
    def session(self) -> Session:
        """The film session of its meta SOP class; refused where there is none."""
        if (session := self.desk.sessions.get(self.meta)) is None:
            raise Refused(_NO_INSTANCE, "there is no film session")
        return session


#: Status, attributes, and the instance that was created.
_Told = tuple[int, Dataset | None, str]


class Printer:
    """A printer: a provider for :class:`workbench.network.Server` that keeps what it prints as :class:`Film` values.

    Parameters
    ----------
    model : PrinterModel, optional
        What it can do.
    on_film : callable, optional
        Called with each film that is printed, in the thread of its association.
    kept : int
        So many films stay in :attr:`films`, the last ones.
    draw : callable, optional
        Gives the picture of a film as PNG, with which a notebook shows it and the printer; None shows words.

    Examples
    --------
    >>> printer = Printer()
    >>> printer.status, len(printer.films)
    ('NORMAL', 0)
    """

    sop_classes = (GRAYSCALE, COLOR, ANNOTATION_BOX, LUT)

    def __init__(
        self, model: PrinterModel | None = None, *, on_film: Callable[[Film], object] | None = None, kept: int = 200,
        draw: Callable[[Film, int], bytes] | None = film_picture,
    ) -> None:  # fmt: skip
        self.model = model or PrinterModel()
        self._on_film, self._draw = on_film, draw
        self._lock = threading.RLock()
        self._desks: dict[Acceptor, Desk] = {}
        self._films: deque[Film] = deque(maxlen=kept)
        self._waiting: list[Film] = []
        self._status, self._info, self._event = "NORMAL", "NORMAL", 0
        self._acts: dict[tuple[type[Any], str], Callable[[_Asked], _Told]] = {
            (N_CREATE, FILM_SESSION): self._create_session, (N_SET, FILM_SESSION): self._set_session,
            (N_ACTION, FILM_SESSION): self._print_session, (N_DELETE, FILM_SESSION): self._delete_session,
            (N_CREATE, FILM_BOX): self._create_box, (N_SET, FILM_BOX): self._set_box,
            (N_ACTION, FILM_BOX): self._print_box, (N_DELETE, FILM_BOX): self._delete_box,
            (N_SET, GRAY_IMAGE_BOX): self._set_image, (N_SET, COLOR_IMAGE_BOX): self._set_image,
            (N_SET, ANNOTATION_BOX): self._set_text, (N_GET, PRINTER): self._get_printer,
            (N_CREATE, LUT): self._create_lut, (N_DELETE, LUT): self._delete_lut,
        }  # fmt: skip

    # ------------------------------------------------------------ what a person sees and does
    @property
    def films(self) -> tuple[Film, ...]:
        """What was printed, in order."""
        with self._lock:
            return tuple(self._films)

    @property
    def waiting(self) -> int:
        """How many films wait for the printer to recover."""
        with self._lock:
            return len(self._waiting)

    @property
    def status(self) -> str:
        """NORMAL, WARNING or FAILURE."""
        return self._status

    def fault(self, info: str) -> None:
        """Be faulty, such as ``FILM JAM``: films wait, and who is associated is told (PS3.4 H.4.6.2.1).

        Raises
        ------
        AttributeUnusable
            If `info` is not a code of at most 16 characters (PS3.3 C.13.9.1).
        """
        self._become("FAILURE", info)

    def warn(self, info: str) -> None:
        """Need attention, such as ``SUPPLY LOW``; films are printed.

        Raises
        ------
        AttributeUnusable
            As for :meth:`fault`.
        """
        self._become("WARNING", info)

    def recover(self) -> None:
        """Be well again, and print what waits."""
        self._become("NORMAL", "NORMAL")

    def _become(self, status: str, info: str) -> None:
        if not (0 < len(info) <= 16 and all(c in " _" or (c.isascii() and (c.isupper() or c.isdigit())) for c in info)):
            raise AttributeUnusable(
                "Printer Status Info is a code of up to 16 capital letters, digits and spaces (PS3.3 C.13.9.1)."
            )
        with self._lock:
            self._status, self._info = status, info
            released = [] if status == "FAILURE" else self._waiting
            self._waiting = self._waiting if status == "FAILURE" else []
            told = list(self._desks)
            self._event = self._event % 65_535 + 1
            number = self._event
        for film in released:
            self._out(film)
        for association in told:
            self._tell(association, _EVENTS[status], number)

    def _tell(self, association: Acceptor, event: int, number: int) -> None:
        context = next((c for c in association.accepted_contexts if str(c.abstract_syntax) in {GRAYSCALE, COLOR}), None)
        if context is None or not association.is_alive_and_well:
            return
        information = Dataset()
        information.PrinterStatusInfo, information.PrinterName = self._info, self.model.name
        request: Any = N_EVENT_REPORT()
        request.MessageID, request.EventTypeID = number, event
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(PRINTER), UID(PRINTER_INSTANCE)
        request.EventInformation = encode(information, context.transfer_syntax[0])
        with association.turn:
            association.dimse.send_msg(request, cast("int", context.context_id))

    def records(self) -> list[dict[str, object]]:
        """Return one dictionary a film."""
        return [
            {"film": number, "layout": film.box.layout, "size": film.box.size, "orientation": film.box.orientation,
             "images": sum(image is not None for image in film.images), "copies": film.session.copies,
             "medium": film.session.medium, "color": film.is_color, "LUT": _lut_words(film)}
            for number, film in enumerate(self.films, start=1)
        ]  # fmt: skip

    def __repr__(self) -> str:
        return f"<Printer: {self._status}, {len(self._films)} films, {self.waiting} waiting>"

    def _repr_html_(self) -> str:
        last = list(enumerate(self.films, start=1))[-_THUMBNAILS:]
        shown = "".join(film.html(title=f"Film {number}", long_side=_THUMBNAIL_PIXELS) for number, film in last if film.draw)
        return shown + html_table(self.records(), caption=f"Printer: {self._status}, {self.waiting} waiting")

    # ------------------------------------------------------------ the provider
    def serve(self, association: Acceptor, request: Any, context: PresentationContext) -> bool:
        """Serve N-CREATE, N-SET, N-GET, N-ACTION and N-DELETE of print management."""
        meta = str(context.abstract_syntax)
        if meta not in self.sop_classes:
            return False
        sop_class = str(getattr(request, "RequestedSOPClassUID", None) or getattr(request, "AffectedSOPClassUID", None) or "")
        if sop_class not in _within(meta):
            raise Refused(_NO_CLASS, "no such SOP class in this presentation context")
        act = self._acts.get((type(request), sop_class))
        if act is None:
            raise Refused(_UNRECOGNIZED, "this SOP class has no such operation here")
        with self._lock:
            desk = self._desks.setdefault(association, Desk())
        try:
            status, attributes, created = act(_Asked(desk, meta, request, context, dataset_of(request, context)))
        except InputError as error:
            log.info("%s: %s refused: %s", association.caller, type(request).__name__, type(error).__name__)
            raise Refused(_INVALID_VALUE, _comment(error)) from None
        fields = {"AffectedSOPInstanceUID": UID(created)} if created else {}
        answer(association, request, context, status, dataset=attributes, **fields)
        return True

    def ended(self, association: Acceptor) -> None:
        """Forget what the association has created (PS3.4 H.4.1.2.1.3)."""
        with self._lock:
            self._desks.pop(association, None)

    # ------------------------------------------------------------ film session
    def _create_session(self, asked: _Asked) -> _Told:
        if asked.meta in asked.desk.sessions:
            raise Refused(_DUPLICATE, "this association has a film session already")
        uid = asked.desk.new_uid(asked.uid)
        asked.desk.sessions[asked.meta] = Session(uid, asked.dataset, session_of(asked.dataset))
        return (0xB600 if asked.dataset.get("MemoryAllocation") else 0), asked.dataset, uid

    def _set_session(self, asked: _Asked) -> _Told:
        session = self._this_session(asked)
        changed = _merged(session.dataset, asked.dataset)
        session.value, session.dataset = session_of(changed), changed
        return 0, asked.dataset, ""

    def _print_session(self, asked: _Asked) -> _Told:
        session = self._this_session(asked)
        _action(asked)
        if not self.model.collates:
            raise Refused(_UNRECOGNIZED, "film sessions are not printed as a whole here")
        if not session.boxes:
            raise Refused(0xC600, "the film session has no film boxes")
        boxes = list(session.boxes.values())
        self._queue([self._film(session, box, asked.meta) for box in boxes], full=0xC601)
        if all(box.is_empty for box in boxes):
            return 0xB602, None, ""
        return next((box.warning for box in boxes if box.warning), 0), None, ""

    def _delete_session(self, asked: _Asked) -> _Told:
        self._this_session(asked)
        del asked.desk.sessions[asked.meta]
        return 0, None, ""

    def _this_session(self, asked: _Asked) -> Session:
        if asked.uid != asked.session.uid:
            raise Refused(_NO_INSTANCE, "no such film session")
        return asked.session

    # ------------------------------------------------------------ film box
    def _create_box(self, asked: _Asked) -> _Told:
        session = asked.session
        refs = asked.dataset.get("ReferencedFilmSessionSequence") or ()
        if not refs:
            raise Refused(_MISSING, "a film box refers to its film session")
        if refs[0].get("ReferencedSOPInstanceUID") != session.uid:
            raise Refused(_INVALID_VALUE, "the film box refers to another film session")
        if not self.model.collates and any(not box.is_printed for box in session.boxes.values()):
            raise Refused(0xC616, "the film box before was not printed")
        value, status = self._possible(box_of(asked.dataset))
        box = Box(asked.desk.new_uid(asked.uid), asked.dataset, value, lut=asked.desk.lut(asked.dataset))
        image_class = COLOR_IMAGE_BOX if asked.meta == COLOR else GRAY_IMAGE_BOX
        box.images = {uid: ImageBox() for uid in (str(generate_uid()) for _ in value.cells)}
        box.texts = dict.fromkeys((str(generate_uid()) for _ in range(self.model.annotations.get(value.annotation, 0))), "")
        session.boxes[box.uid] = box
        made = _merged(asked.dataset, Dataset())
        for name, keyword in (("least", "MinDensity"), ("most", "MaxDensity"), ("size", "FilmSizeID")):
            if getattr(value, name):
                setattr(made, keyword, getattr(value, name))
        made.ReferencedImageBoxSequence = [reference(image_class, uid) for uid in box.images]
        if box.texts:
            made.ReferencedBasicAnnotationBoxSequence = [reference(ANNOTATION_BOX, uid) for uid in box.texts]
        return status, made, box.uid

    def _possible(self, value: Any) -> tuple[Any, int]:
        """Return a film box within what the printer can do, and the warning that says so."""
        if value.magnification not in _MAGNIFICATIONS:
            raise AttributeUnusable("Magnification Type is NONE, REPLICATE, BILINEAR or CUBIC here (PS3.3 C.13.3).")
        status = 0
        if value.size and value.size not in _SIZES:
            value, status = replace(value, size="14INX17IN"), _OUT_OF_RANGE
        limits = {
            name: min(max(said, self.model.least), self.model.most)
            for name in ("least", "most")
            if (said := getattr(value, name)) is not None
        }
        limited = replace(value, **limits)
        return limited, 0xB605 if limited != value else status

    def _set_box(self, asked: _Asked) -> _Told:
        box = self._this_box(asked)
        if asked.dataset.get("ImageDisplayFormat", box.dataset.ImageDisplayFormat) != box.dataset.ImageDisplayFormat:
            raise Refused(_NO_ATTRIBUTE, "the layout of a film box can't be changed")
        changed = _merged(box.dataset, asked.dataset)
        value, status = self._possible(box_of(changed))
        box.lut, box.value, box.dataset = asked.desk.lut(changed), value, changed
        return status, asked.dataset, ""

    def _print_box(self, asked: _Asked) -> _Told:
        box = self._this_box(asked)
        _action(asked)
        self._queue([self._film(asked.session, box, asked.meta)], full=0xC602)
        return (0xB603 if box.is_empty else box.warning), None, ""

    def _delete_box(self, asked: _Asked) -> _Told:
        del asked.session.boxes[self._this_box(asked).uid]
        return 0, None, ""

    def _this_box(self, asked: _Asked) -> Box:
        if (box := asked.session.boxes.get(asked.uid)) is None:
            raise Refused(asked.desk.why_not(asked.uid), "no such film box")
        return box

    # ------------------------------------------------------------ image and annotation boxes
    def _set_image(self, asked: _Asked) -> _Told:
        box = next((b for b in asked.session.boxes.values() if asked.uid in b.images), None)
        if box is None:
            raise Refused(asked.desk.why_not(asked.uid), "no such image box")
        index = list(box.images).index(asked.uid)
        if asked.dataset.get("ImageBoxPosition", index + 1) != index + 1:
            raise Refused(_INVALID_VALUE, "the image box has another position")
        image = image_of(asked.dataset, is_color=asked.meta == COLOR)
        lut = asked.desk.lut(asked.dataset)
        used = lut or box.lut
        if image is not None and used is not None and self.model.must_match and not used.fits(image):
            raise Refused(_INVALID_VALUE, "the presentation LUT has not as many entries as the image's bits")
        held = asked.desk.held_bytes - len(box.images[asked.uid].pixels)
        if image is not None and held + len(image.pixels) > self.model.memory_bytes:
            raise Refused(0xC605, "not enough memory for the image")
        warning = 0 if image is None else self._too_large(image, box, index)
        box.images[asked.uid] = ImageBox(image, lut, warning)
        return warning, None, ""

    def _too_large(self, image: FilmImage, box: Box, index: int) -> int:
        """Return the warning for an image that is larger than its image box (PS3.4 H.4.3.1.2.1.1)."""
        cell, (width, height) = box.value.cells[index], box.value.inches
        room_mm = cell.width * width * 25.4
        dots = self.model.dots_per_inch
        if image.width_mm is not None:
            is_larger = image.width_mm > room_mm
        else:
            is_larger = image.columns > cell.width * width * dots or image.rows > cell.height * height * dots
        if not is_larger:
            return 0
        if image.too_large == "FAIL":
            raise Refused(0xC603, "the image is larger than its image box")
        return {"CROP": 0xB609, "DECIMATE": 0xB60A}.get(image.too_large, 0xB604)

    def _set_text(self, asked: _Asked) -> _Told:
        for session in asked.desk.sessions.values():
            for box in session.boxes.values():
                if asked.uid in box.texts:
                    box.texts[asked.uid] = plain(asked.dataset.get("TextString") or "")
                    return 0, None, ""
        raise Refused(asked.desk.why_not(asked.uid), "no such annotation box")

    # ------------------------------------------------------------ presentation LUT, printer
    def _create_lut(self, asked: _Asked) -> _Told:
        uid = asked.desk.new_uid(asked.uid)
        asked.desk.luts[uid] = lut_of(asked.dataset)
        return 0, asked.dataset, uid

    def _delete_lut(self, asked: _Asked) -> _Told:
        if asked.uid not in asked.desk.luts:
            raise Refused(asked.desk.why_not(asked.uid), "no such presentation LUT")
        del asked.desk.luts[asked.uid]  # film boxes that refer to it keep it (PS3.4 H.4.9.1.2.3)
        return 0, None, ""

    def _get_printer(self, asked: _Asked) -> _Told:
        if asked.uid != PRINTER_INSTANCE:
            raise Refused(_NO_INSTANCE, "the printer has a well-known instance UID")
        known = Dataset()
        known.PrinterStatus, known.PrinterStatusInfo, known.PrinterName = self._status, self._info, self.model.name
        known.Manufacturer = known.ManufacturerModelName = "Workbench"
        wanted = [Tag(tag) for tag in asked.request.AttributeIdentifierList or known.keys()]
        found = Dataset()
        for tag in wanted:
            if tag in known:
                found[tag] = known[tag]
        return (0 if len(found) == len(set(wanted)) else _LIST_ERROR), found, ""

    # ------------------------------------------------------------ printing
    def _film(self, session: Session, box: Box, meta: str) -> Film:
        images = tuple(box.images.values())
        box.is_printed = True
        return Film(
            session.value, box.value, tuple(i.image for i in images), tuple(box.texts.values()), box.lut,
            tuple(i.lut for i in images), is_color=meta == COLOR, dots_per_inch=self.model.dots_per_inch, uid=box.uid,
            draw=self._draw,
        )  # fmt: skip

    def _queue(self, films: list[Film], *, full: int) -> None:
        with self._lock:
            if self._status == "FAILURE":
                if len(self._waiting) + len(films) > self.model.queue:
                    raise Refused(full, "the print queue is full")
                self._waiting += films
                return
        for film in films:
            self._out(film)

    def _out(self, film: Film) -> None:
        with self._lock:
            self._films.append(film)
        log.info("printed a film: images %d, copies %d", sum(i is not None for i in film.images), film.session.copies)
        if self._on_film is not None:
            try:
                self._on_film(film)
            except Exception as error:  # noqa: BLE001 - the film is printed; who watches has his own troubles
                log.error("on_film failed with %s", type(error).__name__)  # noqa: TRY400 - its text may hold a value


def _within(meta: str) -> frozenset[str]:
    """Return the SOP classes of a presentation context (PS3.4 H.3.2)."""
    if meta in {LUT, ANNOTATION_BOX}:
        return frozenset({meta})
    return frozenset({FILM_SESSION, FILM_BOX, PRINTER, COLOR_IMAGE_BOX if meta == COLOR else GRAY_IMAGE_BOX})


def _merged(base: Dataset, changes: Dataset) -> Dataset:
    merged = Dataset()
    merged.update(base)
    merged.update(changes)
    return merged


def _comment(error: InputError) -> str:
    """Return our own words as Error Comment (0000,0902) can hold them: ASCII, no backslash."""
    return str(error).replace("\\", "/").replace("…", "...").encode("ascii", "replace").decode()


def _action(asked: _Asked) -> None:
    if asked.request.ActionTypeID != 1:
        raise Refused(_NO_ACTION, "the only action is 1: print")


def _lut_words(film: Film) -> str:
    return "" if film.lut is None else film.lut.shape or f"{len(film.lut.values)} entries"
