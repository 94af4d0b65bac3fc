"""The print user against printers that answer, refuse and misbehave on cue."""

import logging
import struct
import time

import pytest
from pydicom.tag import Tag
from pydicom.uid import UID
from pynetdicom.dimse_primitives import N_ACTION, N_CREATE, N_DELETE, N_EVENT_REPORT, N_GET, N_SET

from tests.network.scripted import command_set
from workbench.devices import profile
from workbench.entities import FilmBox, FilmImage, FilmLut, FilmSession, Peer, Timeouts
from workbench.errors import AssociationAborted, ContextRejected, InputError, PeerTimeout, PeerUnreachable
from workbench.network import Printer, PrinterModel, PrintOutcome, PrintReport, Server, print_images
from workbench.network.providing import answer

SESSION, BOX, GRAY_IMAGE, COLOR_IMAGE = (f"1.2.840.10008.5.1.1.{end}" for end in ("1", "2", "4", "4.1"))
PRINTER, LUT, ANNOTATION = (f"1.2.840.10008.5.1.1.{end}" for end in ("16", "23", "15"))
GRAY = FilmImage(bytes(range(64)), 8, 8)
DEEP = FilmImage(bytes(128), 8, 8, 12)
COLOR = FilmImage(bytes(range(192)), 8, 8, samples=3)
GOOD, BAD = PrintOutcome.DONE, PrintOutcome.FAILED


class Scripted(Printer):
    """A printer that answers some requests as it is told to."""

    def __init__(self, script, **settings):
        super().__init__(**settings)
        self.script, self.seen = script, []

    def serve(self, association, request, context):
        sop_class = str(getattr(request, "RequestedSOPClassUID", None) or getattr(request, "AffectedSOPClassUID", None))
        self.seen.append((type(request).__name__, sop_class))
        act = self.script.get((type(request), sop_class))
        if act is None:
            return super().serve(association, request, context)
        if callable(act):
            return act(self, association, request, context)
        if act >> 12 == 0xB or act in {0x0107, 0x0116}:  # done, with this warning instead of success
            return super().serve(_Warning(association, act), request, context)
        answer(association, request, context, act)
        return True


class _Warning:
    """An association whose responses carry a warning."""

    def __init__(self, association, status):
        self.__dict__.update(real=association, status=status)

    def __getattr__(self, name):
        return self if name == "dimse" else getattr(self.real, name)

    def __hash__(self):
        return hash(self.real)

    def __eq__(self, other):
        return self.real == getattr(other, "real", other)

    def send_msg(self, message, context_id):
        message.Status = self.status
        self.real.dimse.send_msg(message, context_id)


def printed(provider, images=(GRAY,), *, patience_s=20.0, **settings):
    with Server(None, ae_title="PRINTER", providers=[provider]) as server:
        timeouts = Timeouts(dimse_s=patience_s, acse_s=5, network_s=5)
        peer = Peer(name="printer", ae_title="PRINTER", port=server.port, timeouts=timeouts)
        return print_images(peer, images, **settings)


STEPS = {"film-session-create": (N_CREATE, SESSION, "film session"),
         "film-session-delete": (N_DELETE, SESSION, "delete film session"),
         "film-box-create": (N_CREATE, BOX, "film"), "film-box-print": (N_ACTION, BOX, "print film"),
         "film-box-delete": (N_DELETE, BOX, "delete film"), "image-box-set": (N_SET, None, "image")}  # fmt: skip


def vereos_rows():
    """Every row of Tables 59 to 77 of the statement of a real print user: step, colour, status, what becomes of the job."""
    for table in profile("philips-vereos").tables:
        is_color = "-color" in table.id
        step = STEPS.get(table.id.replace("-color", "").replace("-grayscale", "").removesuffix("-statuses"))
        if table.kind != "statuses" or step is None:
            continue
        for values in table.rows:
            row = dict(zip(table.columns, values, strict=True))
            codes = {"<>0000": ["0110", "C000"], "xxxx": ["0106", "C605"]}.get(row["code"], row["code"].split("-"))
            for code in codes:
                yield pytest.param(step, is_color, int(code, 16), row["action"], "user told" in row["behaviour"],
                                   id=f"{table.source.replace(' ', '')}-{code}")  # fmt: skip


@pytest.mark.parametrize(("step", "is_color", "status", "action", "is_told"), list(vereos_rows()))
def test_each_status_is_handled_as_the_statement_of_a_print_user_says(step, is_color, status, action, is_told):
    kind, sop_class, name = step
    provider = Scripted({(kind, sop_class or (COLOR_IMAGE if is_color else GRAY_IMAGE)): status} if status else {})
    report = printed(provider, [COLOR if is_color else GRAY] * 2)
    rows = [row for row in report if row.step == name]
    wanted = {"success": PrintOutcome.DONE, "continue": PrintOutcome.WARNING, "failure": PrintOutcome.FAILED}[action]
    assert {(row.outcome, row.status) for row in rows} == {(wanted, f"0x{status:04X}")}
    assert report.is_printed == (action != "failure")
    assert report.films == (2 if action != "failure" or name.startswith("delete") else 0)
    if action == "continue":
        assert {row.needs_attention for row in rows} == {is_told}
        assert (rows[0] in report.told) == is_told
    if action == "failure" and is_told:
        assert rows[0] in report.told


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0xB600, "memory allocation"), (0xB601, "collation"), (0xB602, "film session without image boxes"),
        (0xB603, "film box without image boxes"), (0xB604, "made smaller"), (0xB605, "density"), (0xB609, "cropped"),
        (0xB60A, "decimated"), (0xC600, "without film boxes"), (0xC601, "queue is full"), (0xC602, "queue is full"),
        (0xC603, "larger than its image box"), (0xC605, "memory"), (0xC613, "combined image"), (0xC616, "not printed yet"),
    ],
)  # fmt: skip
def test_each_status_has_its_words(status, words):
    report = printed(Scripted({(N_ACTION, BOX): status}))
    row = next(row for row in report if row.step == "print film")
    assert words in row.text


def test_a_failure_ends_the_job_and_what_was_created_is_deleted():
    provider = Scripted({(N_SET, GRAY_IMAGE): 0xC605})
    report = printed(provider, [GRAY] * 3, box=FilmBox("1x2"), lut=FilmLut("IDENTITY"))
    steps = [(row.step, row.film, row.position) for row in report if row.outcome is BAD]
    assert steps == [("image", 1, 1)]
    assert provider.seen[-2:] == [("N_DELETE", SESSION), ("N_DELETE", LUT)]
    assert ("N_ACTION", BOX) not in provider.seen


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ([0x20100010], "about Image Display Format"),
        ([0x20200020], "about Polarity"),
        ([0x20200020, 0x20200030], "about Polarity, RequestedImageSize"),
        ([0x20210011], "about (2021,0011)"),
    ],
)
def test_a_printer_may_name_one_attribute_or_several(tags, said):
    def refuse(_provider, association, request, context):
        answer(association, request, context, 0x0106, AttributeIdentifierList=[Tag(tag) for tag in tags])
        return True

    report = printed(Scripted({(N_SET, GRAY_IMAGE): refuse}))
    (row,) = (row for row in report if row.outcome is BAD)
    assert (row.step, row.status) == ("image", "0x0106")
    assert said.replace(" Display Format", "DisplayFormat") in row.text


@pytest.mark.parametrize(
    ("tags", "said"),
    [((0x20000010,), "about Number of Copies '3'"), ((0x20000010, 0x20000030), "about Number of Copies '3', Medium Type 'PAPER'")],
)
def test_which_attributes_of_a_film_session_are_refused_is_told(listening, tags, said):
    """N-CREATE, whose attribute list pynetdicom does not pass on."""

    def refuse(connection):
        connection.response()
        connection.message(1, command_set(e0002=PRINTER, e0100=0x8110, e0120=1, e0800=0x0101, e0900=0))
        connection.response()
        named = b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)
        connection.message(1, command_set(e0002=SESSION, e0100=0x8140, e0120=2, e0800=0x0101, e0900=0x0106, e1005=named))

    report = print_images(listening(refuse), [GRAY], session=FilmSession(copies=3, medium="PAPER"))
    (row,) = (row for row in report if row.outcome is BAD)
    assert (row.step, row.status) == ("film session", "0x0106")
    assert row.text.endswith(said)


def test_a_session_is_printed_as_a_whole_after_its_last_film():
    provider = Scripted({})
    report = printed(provider, [GRAY] * 5, box=FilmBox("2x1"), collate=True)
    assert [kind for kind, uid in provider.seen if uid in {SESSION, BOX}] == [
        "N_CREATE", "N_CREATE", "N_CREATE", "N_CREATE", "N_ACTION", "N_DELETE",
    ]  # fmt: skip
    assert report.films == 3 == len(provider.films)
    assert [sum(image is not None for image in film.images) for film in provider.films] == [2, 2, 1]


def test_a_printer_without_collation_refuses_a_second_film_before_the_first_is_printed():
    report = printed(Printer(PrinterModel(collates=False)), [GRAY] * 2, collate=True)
    assert [(row.step, row.film, row.status) for row in report if row.outcome is BAD] == [("film", 2, "0xC616")]
    assert report.films == 0


def test_cancelling_prints_nothing_more():
    provider = Printer()
    answers = iter([False, False, False, True])
    report = printed(provider, [GRAY] * 3, cancel=lambda: next(answers, True))
    assert report[-2].step == "cancelled"
    assert not report.is_printed
    assert report.films == len(provider.films) == 1


# ------------------------------------------------------------ misbehaving printers
def test_a_printer_that_does_not_answer_ends_in_time():
    def stall(self, association, request, context):
        time.sleep(2.5)
        return True

    began = time.monotonic()
    with pytest.raises(PeerTimeout, match="did not answer N-SET within 1 s"):
        printed(Scripted({(N_SET, GRAY_IMAGE): stall}), patience_s=1)
    assert time.monotonic() - began < 8


def test_a_printer_that_aborts_is_named():
    def cut(self, association, request, context):
        association.cut("as scripted")
        return True

    with pytest.raises(AssociationAborted, match="during N-ACTION"):
        printed(Scripted({(N_ACTION, BOX): cut}))


@pytest.mark.parametrize("wrong", ["number", "kind"])
def test_a_response_to_something_else_is_not_taken(wrong):
    def other(self, association, request, context):
        response = type(request)() if wrong == "number" else N_DELETE()
        response.MessageIDBeingRespondedTo = request.MessageID + (wrong == "number")
        response.Status = 0
        association.dimse.send_msg(response, context.context_id)
        return True

    with pytest.raises((AssociationAborted, PeerTimeout)):
        printed(Scripted({(N_CREATE, SESSION): other}), patience_s=2)


def test_a_film_box_without_image_boxes_is_a_failure():
    def empty(self, association, request, context):
        answer(association, request, context, 0, AffectedSOPInstanceUID=UID("1.2.3"))
        return True

    report = printed(Scripted({(N_CREATE, BOX): empty}))
    assert [(row.step, row.text) for row in report if row.outcome is BAD] == [("image", "the film has 0 image boxes for 1 images")]


def test_an_instance_without_a_name_is_a_failure():
    def nameless(self, association, request, context):
        answer(association, request, context, 0)
        return True

    report = printed(Scripted({(N_CREATE, SESSION): nameless}))
    assert [row.text for row in report if row.outcome is BAD] == [
        "the printer did not say which instance it created (PS3.7 10.1.5.1.4)"
    ]


def test_events_come_in_between_and_are_answered():
    def jam(self, association, request, context):
        self.fault("FILM JAM")
        self.recover()
        return Printer.serve(self, association, request, context)

    report = printed(Scripted({(N_SET, GRAY_IMAGE): jam}))
    events = [(row.text, row.outcome, row.needs_attention) for row in report if row.step == "printer event"]
    assert events == [("FAILURE FILM JAM", PrintOutcome.WARNING, True), ("NORMAL", GOOD, False)]
    assert report.is_printed


def test_events_for_ever_end():
    def flood(self, association, request, context):
        for number in range(1_500):
            event = N_EVENT_REPORT()
            event.MessageID, event.EventTypeID = number + 1, 1
            event.AffectedSOPClassUID, event.AffectedSOPInstanceUID = UID(PRINTER), UID("1.2.840.10008.5.1.1.17")
            association.dimse.send_msg(event, context.context_id)
        return True

    began = time.monotonic()
    with pytest.raises((AssociationAborted, PeerTimeout)):
        printed(Scripted({(N_SET, GRAY_IMAGE): flood}), patience_s=5)
    assert time.monotonic() - began < 30


def test_a_printer_that_does_not_tell_its_status_prints_all_the_same():
    report = printed(Scripted({(N_GET, PRINTER): 0x0105}))
    assert (report[0].step, report[0].outcome) == ("printer", PrintOutcome.SKIPPED)
    assert report.is_printed


# ------------------------------------------------------------ refusals of our own
def test_what_can_not_be_printed_is_refused():
    peer = Peer(name="none", ae_title="NONE", port=1)
    with pytest.raises(InputError, match="nothing to print"):
        print_images(peer, [])
    with pytest.raises(InputError, match="belongs to grayscale"):
        print_images(peer, [COLOR], lut=FilmLut("LIN OD"))
    with pytest.raises(InputError, match="Annotation Display Format ID"):
        print_images(peer, [GRAY], texts=["A"])
    with pytest.raises(PeerUnreachable):
        print_images(peer, [GRAY])
    provider = Scripted({})
    with pytest.raises(InputError, match="one after the other"):
        printed(provider, [GRAY, COLOR], box=FilmBox("1x2"))
    assert ("N_ACTION", BOX) not in provider.seen


class Plain(Printer):
    """A printer without presentation LUTs and annotation boxes."""

    sop_classes = ("1.2.840.10008.5.1.1.9",)


def test_a_look_that_the_printer_does_not_know_is_refused_but_for_identity():
    with pytest.raises(ContextRejected, match="would not look as it should"):
        printed(Plain(), lut=FilmLut("LIN OD"))
    report = printed(Plain(), lut=FilmLut("IDENTITY"))
    assert report.is_printed
    assert [row.outcome for row in report if row.step == "presentation LUT"] == [PrintOutcome.SKIPPED]
    failed = printed(Plain(), box=FilmBox(annotation="LABEL"), texts=["A"])
    assert not failed.is_printed
    with pytest.raises(ContextRejected, match="Basic Color Print Management"):
        printed(Plain(), [COLOR])


def test_neither_labels_nor_texts_reach_the_log(caplog):
    caplog.set_level(logging.DEBUG)
    session = FilmSession(label="PLANTED^LABEL", owner="PLANTEDOWNER")
    box = FilmBox(annotation="LABEL", configuration="PLANTED^CONFIG")
    provider = Scripted({(N_SET, ANNOTATION): 0x0106})
    report = printed(provider, session=session, box=box, texts=["PLANTED^TEXT"])
    assert not report.is_printed
    assert "PLANTED" not in caplog.text + repr(report) + repr(box) + repr(session)


def test_a_report_of_nothing_is_not_printed():
    assert not PrintReport().is_printed
    assert list(PrintReport().table().columns) == ["step", "film", "position", "outcome", "status", "text", "needs_attention"]
