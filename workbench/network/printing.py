"""Printing: images on films, film boxes in a film session (PS3.4 H).

Knows: the Basic Grayscale and Basic Color Print Management Meta SOP Classes, annotation boxes, presentation LUTs, what each
status means for the job.
Does not know: pixels beyond their bytes, how a printer exposes a film.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice

from pydicom.dataset import Dataset
from pydicom.uid import UID

from workbench.entities import FilmBox, FilmImage, FilmLut, FilmSession, Peer, Rows, plain
from workbench.errors import ContextRejected, InputError
from workbench.network import contexts
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
    box_attributes,
    image_attributes,
    lut_attributes,
    session_attributes,
    text_attributes,
)
from workbench.network._normalized import Answer, Conversation
from workbench.network._print_policy import PrintPolicy
from workbench.network.addressbook import as_peer
from workbench.network.association import associate
from workbench.network.statuses import words

__all__ = ["PrintOutcome", "PrintPolicy", "PrintReport", "PrintRow", "print_images"]

log = logging.getLogger(__name__)

_ASKED = ("PrinterStatus", "PrinterStatusInfo")  # some printers refuse to name themselves
_EVENTS = {1: "NORMAL", 2: "WARNING", 3: "FAILURE"}
_BOXES = {False: GRAY_IMAGE_BOX, True: COLOR_IMAGE_BOX}
#: Steps whose warnings a person is told, not only the log: what is on the film is not what was sent.
_TOLD = frozenset({"print film", "print session", "image"})


#: Value representations of what a film session or box is asked for; free text of it might name somebody.
_PLAIN = frozenset({"CS", "IS", "DS", "US", "ST"})
#: What a table of statuses does about one after which a job goes on.
_GOOD = frozenset({"success", "warning", "continue", "ignore", "log"})


class PrintOutcome(StrEnum):
    """What became of a step."""

    DONE = "done"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class PrintRow:
    """A step of a print job.

    Parameters
    ----------
    step : str
        Such as ``film session``, ``film``, ``image``, ``print film``, ``delete film``, ``printer``.
    film : int, optional
        Number of the film, from 1.
    position : int, optional
        Of image or annotation box.
    outcome : PrintOutcome
        After a warning the job goes on, after a failure it does not.
    status : str
        As it was answered, ``0xB604``; empty where nothing was asked.
    text : str
        The status in words, and what the printer says.
    needs_attention : bool
        Whether a person has to know it: the film is not as it was asked for, or is not there.
    """

    step: str
    film: int | None
    position: int | None
    outcome: PrintOutcome
    status: str
    text: str
    needs_attention: bool


class PrintReport(Rows[PrintRow]):
    """What became of a print job, step by step."""

    __slots__ = ()
    row_type = PrintRow

    @property
    def is_printed(self) -> bool:
        """Whether every step was done, with or without warnings."""
        return bool(self) and not any(row.outcome is PrintOutcome.FAILED for row in self)

    @property
    def films(self) -> int:
        """How many films the printer accepted for printing, without copies."""
        good = (PrintOutcome.DONE, PrintOutcome.WARNING)
        if any(row.step == "print session" and row.outcome in good for row in self):
            return sum(row.step == "film" and row.outcome in good for row in self)
        return sum(row.step == "print film" and row.outcome in good for row in self)

    @property
    def troubles(self) -> "PrintReport":
        """The steps that were not simply done."""
        return PrintReport(row for row in self if row.outcome is not PrintOutcome.DONE)

    @property
    def told(self) -> "PrintReport":
        """What a person has to know."""
        return PrintReport(row for row in self if row.needs_attention)


def print_images(  # noqa: PLR0913 - what makes a film, each by its name
    peer: Peer | str,
    images: Iterable[FilmImage | None],
    *,
    box: FilmBox | None = None,
    session: FilmSession | None = None,
    lut: FilmLut | None = None,
    texts: Sequence[str] = (),
    collate: bool = False,
    spelling: Callable[[str, Dataset], Dataset] | None = None,
    policy: PrintPolicy | None = None,
    cancel: Callable[[], bool] | None = None,
) -> PrintReport:
    r"""Print images at a peer, film after film, on one association.

    Parameters
    ----------
    peer : Peer or str
        The printer: a peer, its name in the address book, or ``AETITLE@HOST:PORT``.
    images : iterable of FilmImage or None
        All gray or all colour; as many films are printed as they fill. They are taken one film at a time. None, which is never
        the first, leaves an image box empty.
    box : FilmBox, optional
        Layout and exposure of each film; by default one image a film.
    session : FilmSession, optional
        Copies, medium, destination.
    lut : FilmLut, optional
        Presentation LUT of all films; gray only.
    texts : sequence of str
        For the annotation boxes of each film by their position; `box.annotation` names the format that has them. ``{film}``
        stands for the number of the film.
    collate : bool
        Print the film session as a whole at its end, so that copies come one set after the other, rather than each film box.
    spelling : callable, optional
        Called with the SOP class of a film session, film box, image box or annotation box, and the attributes that it would get:
        returns those that are sent instead. For a system that says other things than what is usual.
    policy : PrintPolicy, optional
        What such a system asks besides, and what it does about statuses.
    cancel : callable, optional
        Polled; when it is true nothing more is printed, and what was created is deleted.

    Returns
    -------
    PrintReport
        One row a step. A step that failed ends the job; what the job had created is deleted all the same.

    Raises
    ------
    InputError
        If there are no images, gray and colour are mixed, or a LUT is wanted for colour.
    ContextRejected
        If the peer does not print this, or knows no presentation LUT or annotation box where one is wanted.
    NetworkError
        The leaf that says what went wrong on the way.
    """
    peer, box, session = as_peer(peer), box or FilmBox(), session or FilmSession()
    source = iter(images)
    first = next(source, None)
    if first is None:
        raise InputError("There is nothing to print.")
    is_color = first.samples == 3
    if is_color and lut is not None:
        raise InputError("A presentation LUT belongs to grayscale printing (PS3.4 H.4.9).")
    if texts and not box.annotation:
        raise InputError(
            "Annotation boxes need the printer's Annotation Display Format ID: FilmBox(annotation=...) (PS3.3 C.13.3)."
        )
    meta = COLOR if is_color else GRAYSCALE
    wanted = [meta, *([LUT] if lut else []), *([ANNOTATION_BOX] if texts else [])]
    job = _Job(
        peer, meta, box, session, texts, collate=collate, spelling=spelling or (lambda _uid, attributes: attributes),
        policy=policy or PrintPolicy(), cancel=cancel or (lambda: False),
    )  # fmt: skip
    proposed = [context for uid in wanted for context in contexts.service(uid)]
    with associate(peer, proposed) as association, Conversation(association, peer, on_event=job.event) as talk:
        job.run(talk, _films(chain([first], source), len(box.cells), samples=first.samples), lut)
        talk.drain()
    report = PrintReport(job.rows)
    log.info("printed %d films at %s, %d steps not simply done", report.films, peer, len(report.troubles))
    return report


def _films(images: Iterable[FilmImage | None], cells: int, *, samples: int) -> Iterator[list[FilmImage | None]]:
    """Yield what goes on one film."""
    source = iter(images)
    while some := list(islice(source, cells)):
        if any(image is not None and image.samples != samples for image in some):
            raise InputError(
                "Gray and colour images are printed by different services (PS3.4 H.3): print them one after the other."
            )
        yield some


class _Stop(Exception):
    """The job ends here; its rows say why."""


class _Job:
    """One print job on one association."""

    def __init__(  # noqa: PLR0913 - what makes a job
        self, peer: Peer, meta: str, box: FilmBox, session: FilmSession, texts: Sequence[str], *, collate: bool,
        spelling: Callable[[str, Dataset], Dataset], policy: PrintPolicy, cancel: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._peer, self._meta, self._box, self._session, self._texts = peer, meta, box, session, tuple(texts)
        self._collate, self._spelling, self._policy, self._cancel = collate, spelling, policy, cancel
        self.rows: list[PrintRow] = []
        self._number: int | None = None
        self._talk: Conversation
        self._made: list[tuple[str, str, str, str]] = []  # step, context, class and instance of what has to be deleted

    def run(self, talk: Conversation, films: Iterator[list[FilmImage | None]], lut: FilmLut | None) -> None:
        """Print, and delete what was created, whatever happens."""
        self._talk = talk
        try:
            if self._policy.asks_state:
                self._status()
            asked = self._spelling(FILM_SESSION, session_attributes(self._session))
            session_uid = self._created("film session", self._meta, FILM_SESSION, asked)[0]
            lut_uid = self._lut(lut)
            for number, images in enumerate(films, start=1):
                self._number = number
                self._film(images, session_uid, lut_uid)
            self._number = None
            if self._collate:
                self._print("print session", FILM_SESSION, session_uid)
        except _Stop:
            pass
        except InputError:
            self._clear()
            raise
        self._number = None
        self._clear()

    # -------------------------------------------------------- steps
    def _status(self) -> None:
        answer = self._talk.get(self._meta, PRINTER, PRINTER_INSTANCE, _ASKED)
        if not answer.is_done:
            self._row("printer", answer, PrintOutcome.SKIPPED, told=False)
            return
        state, info = (plain(answer.dataset.get(keyword) or "") for keyword in _ASKED)
        self._row("printer", answer, _state_outcome(state), extra=_state(state, info), told=state in {"WARNING", "FAILURE"})

    def _lut(self, lut: FilmLut | None) -> str:
        if lut is None:
            return ""
        if self._talk.context(LUT) is None:
            if lut.shape == "IDENTITY":  # what a printer without this service does anyway
                row = PrintRow(
                    "presentation LUT", None, None, PrintOutcome.SKIPPED, "", "not offered; IDENTITY is the default", False
                )
                self.rows.append(row)
                return ""
            self._clear()
            raise ContextRejected(f"{self._peer} knows no {UID(LUT).name}: the film would not look as it should.")
        return self._created("presentation LUT", LUT, LUT, lut_attributes(lut))[0]

    def _film(self, images: list[FilmImage | None], session_uid: str, lut_uid: str) -> None:
        self._stop_if_cancelled()
        attributes = box_attributes(self._box, session_uid=session_uid, lut_uid=lut_uid)
        film_uid, made = self._created("film", self._meta, FILM_BOX, self._spelling(FILM_BOX, attributes))
        box_class = _BOXES[self._meta == COLOR]
        boxes = _referred(made, "ReferencedImageBoxSequence", box_class)
        if len(boxes) < len(images):
            self._fail("image", f"the film has {len(boxes)} image boxes for {len(images)} images")
        for position, (image, uid) in enumerate(zip(images, boxes, strict=False), start=1):
            if image is None:
                continue
            self._stop_if_cancelled()
            asked = self._spelling(box_class, image_attributes(image, position))
            self._expect("image", self._talk.set(self._meta, box_class, uid, asked), position)
        self._annotate(made)
        if not self._collate:
            self._print("print film", FILM_BOX, film_uid)
            self._delete(self._made.pop())

    def _annotate(self, made: Dataset) -> None:
        if not self._texts:
            return
        if self._talk.context(ANNOTATION_BOX) is None:
            self._fail("annotation", f"the printer offers no {UID(ANNOTATION_BOX).name}")
        uids = _referred(made, "ReferencedBasicAnnotationBoxSequence", ANNOTATION_BOX)
        if len(uids) < len(self._texts):
            self._fail("annotation", f"the film has {len(uids)} annotation boxes for {len(self._texts)} texts")
        for position, (text, uid) in enumerate(zip(self._texts, uids, strict=False), start=1):
            attributes = text_attributes(text.replace("{film}", str(self._number))[:64], position)
            asked = self._spelling(ANNOTATION_BOX, attributes)
            self._expect("annotation", self._talk.set(ANNOTATION_BOX, ANNOTATION_BOX, uid, asked), position)

    def _print(self, step: str, sop_class_uid: str, instance_uid: str) -> None:
        self._stop_if_cancelled()
        self._expect(step, self._talk.act(self._meta, sop_class_uid, instance_uid, 1))

    def _created(self, step: str, within: str, sop_class_uid: str, attributes: Dataset) -> tuple[str, Dataset]:
        answer = self._talk.create(within, sop_class_uid, attributes)
        self._expect(step, answer, sent=attributes)
        if not answer.instance_uid:
            self._fail(step, "the printer did not say which instance it created (PS3.7 10.1.5.1.4)")
        self._made.append((step, within, sop_class_uid, answer.instance_uid))
        return answer.instance_uid, answer.dataset

    def _clear(self) -> None:
        """Delete what is left: the film session with its film boxes (PS3.4 H.4.1.2.3), then the LUT to which they referred."""
        for made in [m for m in self._made if m[2] != FILM_BOX]:
            self._delete(made)
        self._made.clear()

    def _delete(self, made: tuple[str, str, str, str]) -> None:
        step, within, sop_class_uid, uid = made
        answer = self._talk.delete(within, sop_class_uid, uid)
        row = self._policy.judged(f"delete {step}", answer.status)
        is_good = answer.status == 0 if row is None else row.action in _GOOD
        self._row(f"delete {step}", answer, PrintOutcome.DONE if is_good else PrintOutcome.FAILED, told=False)

    # -------------------------------------------------------- what is written down
    def event(self, kind: int, information: Dataset) -> int:
        """Note what the printer reports by itself (PS3.4 H.4.6.2.1)."""
        state, info = _EVENTS.get(kind, ""), plain(information.get("PrinterStatusInfo") or "")
        if not state:
            return 0x0113
        row = PrintRow("printer event", self._number, None, _state_outcome(state), "", _state(state, info), state != "NORMAL")
        self.rows.append(row)
        log.warning("%s reports %s", self._peer, state)
        return 0

    def _expect(self, step: str, answer: Answer, position: int | None = None, *, sent: Dataset | None = None) -> None:
        """Write an answer down; end the job where it says no."""
        row = self._policy.judged(step, answer.status)
        if answer.is_done if row is None else row.action in _GOOD:
            outcome = PrintOutcome.WARNING if answer.status else PrintOutcome.DONE
            told = bool(answer.status) and step in _TOLD and answer.status >> 8 == 0xB6
            if row is not None:
                told = "user told" in row.behaviour
            self._row(step, answer, outcome, position=position, told=told)
            return
        told = row is None or "user told" in row.behaviour
        self._row(step, answer, PrintOutcome.FAILED, position=position, told=told, asked=_asked(answer, sent or Dataset()))
        raise _Stop

    def _row(
        self, step: str, answer: Answer, outcome: PrintOutcome, *, told: bool, position: int | None = None, extra: str = "",
        asked: str = "",
    ) -> None:  # fmt: skip
        said = words(answer.status) if answer.status or not extra else ""
        text = "; ".join(part for part in (said, extra, answer.comment and f"it says: {answer.comment}", asked) if part)
        self.rows.append(PrintRow(step, self._number, position, outcome, f"0x{answer.status:04X}", text, told))
        if answer.status:
            log.warning("%s answered %s with 0x%04X, %s", self._peer, step, answer.status, words(answer.status))

    def _fail(self, step: str, text: str) -> None:
        self.rows.append(PrintRow(step, self._number, None, PrintOutcome.FAILED, "", text, True))
        raise _Stop

    def _stop_if_cancelled(self) -> None:
        if self._cancel():
            self._fail("cancelled", "cancelled before it was printed")


def _asked(answer: Answer, sent: Dataset) -> str:
    """Return which attributes were refused, or else all that were sent, with values: of a film session or box, of no patient."""
    told = [
        f"{element.name} '{plain(str(element.value))}'"
        for element in sent
        if element.VR in _PLAIN and not element.is_empty and (not answer.faulty or element.keyword in answer.faulty)
    ]
    if told:
        return f"{'about' if answer.faulty else 'sent were'} {', '.join(told)}"
    return f"about {', '.join(answer.faulty)}" if answer.faulty else ""


def _state_outcome(state: str) -> PrintOutcome:
    """Return what the job makes of a printer's state: it goes on, since a printer may keep films until it has recovered."""
    return PrintOutcome.WARNING if state in {"WARNING", "FAILURE"} else PrintOutcome.DONE


def _state(state: str, info: str) -> str:
    return state if info == state else f"{state} {info}".strip()


def _referred(made: Dataset, keyword: str, sop_class_uid: str) -> list[str]:
    """Return the instances that the printer created with a film box, in the order of their positions (PS3.3 C.13.4)."""
    items = made.get(keyword) or ()
    return [str(item.get("ReferencedSOPInstanceUID")) for item in items if item.get("ReferencedSOPClassUID") == sop_class_uid]
