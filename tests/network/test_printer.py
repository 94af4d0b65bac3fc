"""The printer: every status that PS3.4 H.4 has for it, asked on the wire."""

import contextlib
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.dimse_primitives import N_ACTION, N_CREATE, N_DELETE, N_GET, N_SET

from workbench.entities import FilmBox, FilmImage, FilmLut, FilmSession
from workbench.errors import AttributeUnusable, ContextRejected
from workbench.network import Printer, PrinterModel, Server, echo, find, print_images, store
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
    reference,
    session_attributes,
    text_attributes,
)
from workbench.network._normalized import Conversation
from workbench.network.association import associate
from workbench.phantoms import planted_ct

GRAY = FilmImage(bytes(range(64)), 8, 8)
DEEP = FilmImage(bytes(128), 8, 8, 12)
SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


class Desk:
    """A print user that asks anything, and notes what comes."""

    def __init__(self, talk, meta):
        self.talk, self.meta, self.events = talk, meta, []
        self.image_box = COLOR_IMAGE_BOX if meta == COLOR else GRAY_IMAGE_BOX

    def session(self, **attributes):
        made = self.talk.create(self.meta, FILM_SESSION, _with(session_attributes(FilmSession()), attributes))
        assert made.is_done
        self.session_uid = made.instance_uid
        return made

    def box(self, box=None, **attributes):
        return self.talk.create(
            self.meta, FILM_BOX, _with(box_attributes(box or FilmBox("1x1"), session_uid=self.session_uid), attributes)
        )

    def film(self, box=None, **attributes):
        self.session()
        made = self.box(box, **attributes)
        assert made.is_done, hex(made.status)
        self.box_uid = made.instance_uid
        self.images = [item.ReferencedSOPInstanceUID for item in made.dataset.ReferencedImageBoxSequence]
        self.texts = [i.ReferencedSOPInstanceUID for i in made.dataset.get("ReferencedBasicAnnotationBoxSequence") or ()]
        return made

    def image(self, image=GRAY, index=0, **attributes):
        return self.talk.set(self.meta, self.image_box, self.images[index], _with(image_attributes(image, index + 1), attributes))

    def print(self, action=1):
        return self.talk.act(self.meta, FILM_BOX, self.box_uid, action)


def _with(dataset, attributes):
    for keyword, value in attributes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


@contextlib.contextmanager
def at(printer, meta=GRAYSCALE, syntax=SYNTAXES[0]):
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        contexts = [build_context(uid, syntax) for uid in (meta, LUT, ANNOTATION_BOX)]
        events = []

        def note(kind, information):
            events.append((kind, information.PrinterStatusInfo))
            return 0

        with associate(server.peer, contexts) as association, Conversation(association, server.peer, on_event=note) as talk:
            desk = Desk(talk, meta)
            desk.events = events
            yield desk


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("meta", [GRAYSCALE, COLOR])
def test_a_film_is_what_was_asked_for(meta, syntax):
    printer = Printer()
    image = FilmImage(bytes(range(192)), 8, 8, samples=3) if meta == COLOR else DEEP
    box = FilmBox(
        r"ROW\1,2", orientation="LANDSCAPE", size="A4", magnification="CUBIC", smoothing="1", border="120", empty="WHITE", least=30,
        most=250, trim="YES", configuration="C", annotation="LABEL", resolution="HIGH", illumination=1500, ambient=8,
    )  # fmt: skip
    session = FilmSession(3, "HIGH", "PAPER", "MAGAZINE", "Übung", "owner")
    with Server(None, providers=[printer]) as server:
        report = print_images(server.peer, [image] * 2, box=box, session=session, texts=["Größe {film}"])
    assert report.is_printed
    (film,) = printer.films
    assert (film.box, film.session, film.texts, film.is_color) == (box, session, ("Größe 1",), meta == COLOR)
    assert film.images == (image, image, None)
    with at(Printer(), meta, syntax) as desk:
        desk.film()
        assert desk.image(image).status == desk.print().status == 0


@pytest.mark.parametrize(
    "image",
    [
        FilmImage(bytes(9), 3, 3, polarity="REVERSE", is_inverse=True, aspect=(2, 3), magnification="REPLICATE", too_large="CROP"),
        FilmImage(bytes(range(18)), 3, 3, 12, width_mm=33.5, smoothing="X", configuration="Y"),
        FilmImage(bytes(range(27)), 3, 3, samples=3, polarity="REVERSE"),
    ],
)
def test_an_image_arrives_with_all_that_it_says(image):
    printer = Printer()
    with Server(None, providers=[printer]) as server:
        assert print_images(server.peer, [image]).is_printed
    assert printer.films[0].images == (image,)


def test_colour_by_plane_is_read():
    printer = Printer()
    planes = bytes(range(1, 13))
    attributes = image_attributes(FilmImage(planes, 2, 2, samples=3), 1)
    attributes.BasicColorImageSequence[0].PlanarConfiguration = 1
    with at(printer, COLOR) as desk:
        desk.film()
        assert desk.talk.set(COLOR, COLOR_IMAGE_BOX, desk.images[0], attributes).status == 0
        desk.print()
    assert printer.films[0].images[0].pixels == bytes([1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12])


# ------------------------------------------------------------ statuses
def test_sessions_are_one_and_named():
    with at(Printer()) as desk:
        desk.session_uid = "1.2.3"
        assert desk.box().status == 0x0112
        assert desk.session(MemoryAllocation="100").status == 0xB600
        assert desk.talk.create(GRAYSCALE, FILM_SESSION, session_attributes(FilmSession())).status == 0x0111
        assert desk.talk.act(GRAYSCALE, FILM_SESSION, desk.session_uid, 1).status == 0xC600
        assert desk.talk.act(GRAYSCALE, FILM_SESSION, desk.session_uid, 2).status == 0x0123
        assert desk.talk.act(GRAYSCALE, FILM_SESSION, "1.2.3", 1).status == 0x0112
        assert desk.talk.set(GRAYSCALE, FILM_SESSION, desk.session_uid, session_attributes(FilmSession(copies=7))).status == 0
        bad = session_attributes(FilmSession())
        bad.NumberOfCopies = "500"
        assert desk.talk.set(GRAYSCALE, FILM_SESSION, desk.session_uid, bad).status == 0x0106
        assert desk.talk.delete(GRAYSCALE, FILM_SESSION, desk.session_uid).status == 0
        assert desk.talk.delete(GRAYSCALE, FILM_SESSION, desk.session_uid).status == 0x0112


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"ImageDisplayFormat": None}, 0x0106), ({"ImageDisplayFormat": "SLIDE"}, 0x0106), ({"FilmOrientation": "UP"}, 0x0106),
        ({"MagnificationType": "LENS"}, 0x0106), ({"FilmSizeID": "1MX1M"}, 0x0116), ({"MaxDensity": 999}, 0xB605),
        ({"MinDensity": 1}, 0xB605), ({"BorderDensity": "GREY"}, 0x0106), ({"ReferencedFilmSessionSequence": None}, 0x0120),
        ({"ReferencedFilmSessionSequence": [reference(FILM_SESSION, "1.2")]}, 0x0106),
        ({"ReferencedPresentationLUTSequence": [reference(LUT, "1.2")]}, 0x0106),
    ],
)  # fmt: skip
def test_film_boxes_out_of_range(attributes, status):
    with at(Printer()) as desk:
        desk.session()
        answer = desk.box(**attributes)
        assert answer.status == status
        if answer.is_done:
            assert answer.dataset.get("MaxDensity", 320) == 320
            assert answer.dataset.get("MinDensity", 20) == 20
            assert answer.dataset.get("FilmSizeID", "14INX17IN") == "14INX17IN"


@pytest.mark.parametrize(
    ("item", "outer", "status"),
    [
        ({"PixelData": b"\0" * 10}, {}, 0x0106), ({"Rows": 0}, {}, 0x0106), ({"Rows": None}, {}, 0x0106),
        ({"BitsStored": 10}, {}, 0x0106), ({"HighBit": 6}, {}, 0x0106), ({"PixelRepresentation": 1}, {}, 0x0106),
        ({"SamplesPerPixel": 3}, {}, 0x0106), ({"PhotometricInterpretation": "RGB"}, {}, 0x0106),
        ({"Rows": 65_535, "Columns": 65_535}, {}, 0x0106), ({"PixelAspectRatio": [0, 1]}, {}, 0x0106),
        ({}, {"Polarity": "UP"}, 0x0106), ({}, {"ImageBoxPosition": 2}, 0x0106),
        ({}, {"BasicGrayscaleImageSequence": None}, 0x0106),
        ({}, {"BasicGrayscaleImageSequence": []}, 0), ({}, {"RequestedDecimateCropBehavior": "SHRINK"}, 0x0106),
        ({}, {"RequestedImageSize": "-1"}, 0x0106), ({}, {"Polarity": ["NORMAL", "REVERSE"]}, 0x0106), ({}, {}, 0),
    ],
)  # fmt: skip
def test_images_that_are_not_described_as_they_are(item, outer, status):
    attributes = image_attributes(GRAY, 1)
    _with(attributes.BasicGrayscaleImageSequence[0], item)
    _with(attributes, outer)
    with at(Printer()) as desk:
        desk.film()
        assert desk.talk.set(GRAYSCALE, GRAY_IMAGE_BOX, desk.images[0], attributes).status == status


@pytest.mark.parametrize(
    ("too_large", "status", "width_mm"),
    [("", 0xB604, None), ("CROP", 0xB609, None), ("DECIMATE", 0xB60A, None), ("FAIL", 0xC603, None), ("FAIL", 0xC603, 900.0),
     ("", 0xB604, 900.0), ("FAIL", 0, 50.0)],
)  # fmt: skip
def test_images_larger_than_their_image_box(too_large, status, width_mm):
    wide = FilmImage(bytes(16), 2, 8, 8, too_large=too_large, width_mm=width_mm)
    printer = Printer(PrinterModel(dots_per_inch=1 if width_mm is None else 300))
    with at(printer) as desk:
        desk.film(FilmBox("2x1", size="10INX12IN"))
        assert desk.image(wide).status == status
        assert desk.print().status == (status if status >> 12 == 0xB else 0xB603 if status else 0)


def test_a_lut_that_does_not_match_is_0106_where_a_match_is_required():
    table = FilmLut(values=tuple(range(256)), bits=10)
    for printer, status in ((Printer(), 0x0106), (Printer(PrinterModel(must_match=False)), 0)):
        with at(printer) as desk:
            made = desk.talk.create(LUT, LUT, lut_attributes(table))
            desk.film(ReferencedPresentationLUTSequence=[reference(LUT, made.instance_uid)])
            assert desk.image(DEEP).status == status
            assert desk.image(GRAY).status == 0
            assert desk.talk.delete(LUT, LUT, made.instance_uid).status == 0
            assert desk.print().status == 0
            assert desk.talk.delete(LUT, LUT, made.instance_uid).status == 0x0112
        assert printer.films[0].lut == table


@pytest.mark.parametrize(
    "change",
    [{"LUTDescriptor": [255, 0, 10]}, {"LUTDescriptor": [256, 1, 10]}, {"LUTDescriptor": [256, 0, 8]}, {"LUTData": b"\0" * 510}],
)
def test_tables_that_are_malformed_are_0106(change):
    attributes = lut_attributes(FilmLut(values=tuple(range(256)), bits=10))
    _with(attributes.PresentationLUTSequence[0], change)
    shape = Dataset()
    shape.PresentationLUTShape = "LOG"
    with at(Printer()) as desk:
        assert desk.talk.create(LUT, LUT, attributes).status == 0x0106
        assert desk.talk.create(LUT, LUT, shape).status == 0x0106


def test_instances_classes_operations_and_actions_that_are_not_there():
    with at(Printer()) as desk:
        desk.film(FilmBox("2x1", annotation="LABEL"))
        talk = desk.talk
        assert talk.set(GRAYSCALE, GRAY_IMAGE_BOX, "1.2.3", image_attributes(GRAY, 1)).status == 0x0112
        assert talk.set(GRAYSCALE, GRAY_IMAGE_BOX, desk.box_uid, image_attributes(GRAY, 1)).status == 0x0119
        assert talk.set(GRAYSCALE, COLOR_IMAGE_BOX, desk.images[0], image_attributes(GRAY, 1)).status == 0x0118
        assert talk.set(ANNOTATION_BOX, ANNOTATION_BOX, "1.2.3", text_attributes("A", 1)).status == 0x0112
        assert talk.set(ANNOTATION_BOX, ANNOTATION_BOX, desk.texts[0], text_attributes("A", 1)).status == 0
        assert talk.delete(GRAYSCALE, GRAY_IMAGE_BOX, desk.images[0]).status == 0x0211
        assert desk.print(action=2).status == 0x0123
        assert talk.act(GRAYSCALE, FILM_BOX, "1.2.3", 1).status == 0x0112
        assert talk.get(GRAYSCALE, PRINTER, "1.2.3", ("PrinterStatus",)).status == 0x0112
        assert (
            talk.set(GRAYSCALE, FILM_BOX, desk.box_uid, _with(Dataset(), {"ImageDisplayFormat": "STANDARD\\1,1"})).status == 0x0105
        )
        assert talk.set(GRAYSCALE, FILM_BOX, desk.box_uid, _with(Dataset(), {"BorderDensity": "WHITE"})).status == 0
        assert talk.set(GRAYSCALE, FILM_BOX, desk.box_uid, _with(Dataset(), {"MaxDensity": 9_999})).status == 0xB605


def test_instance_uids_are_those_of_the_user_where_it_has_some():
    with at(Printer()) as desk:

        def create(uid):
            request = N_CREATE()
            request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(FILM_SESSION), UID(uid)
            return desk.talk._ask(request, GRAYSCALE, "N-CREATE", AttributeList=session_attributes(FilmSession()))

        assert create("1.2.3.4").instance_uid == "1.2.3.4"
        assert create("1.2.3.4").status == 0x0111
        assert desk.talk.delete(GRAYSCALE, FILM_SESSION, "1.2.3.4").status == 0


def test_deleting_takes_what_is_below():
    with at(Printer()) as desk:
        desk.film(FilmBox("2x1"))
        desk.image()
        assert desk.talk.delete(GRAYSCALE, FILM_BOX, desk.box_uid).status == 0
        assert desk.image().status == 0x0112
        assert desk.print().status == 0x0112
        second = desk.box()
        desk.images = [second.dataset.ReferencedImageBoxSequence[0].ReferencedSOPInstanceUID]
        assert desk.talk.delete(GRAYSCALE, FILM_SESSION, desk.session_uid).status == 0
        assert desk.image().status == 0x0112


def test_an_association_knows_nothing_of_another_and_leaves_nothing():
    printer = Printer()
    with at(printer) as desk:
        desk.film()
        uid, session = desk.box_uid, desk.session_uid
    with at(printer) as other:
        assert other.talk.act(GRAYSCALE, FILM_BOX, uid, 1).status == 0x0112
        assert other.talk.delete(GRAYSCALE, FILM_SESSION, session).status == 0x0112
    end = time.monotonic() + 5
    while printer._desks and time.monotonic() < end:
        time.sleep(0.01)
    assert printer._desks == {}


def test_empty_films_and_sessions():
    with at(Printer()) as desk:
        desk.film(FilmBox("2x1"))
        assert desk.print().status == 0xB603
        assert desk.talk.act(GRAYSCALE, FILM_SESSION, desk.session_uid, 1).status == 0xB602


def test_memory_and_queue_have_an_end():
    printer = Printer(PrinterModel(memory_bytes=100, queue=1))
    with at(printer) as desk:
        desk.film(FilmBox("2x1"))
        assert desk.image(index=0).status == 0
        assert desk.image(index=1).status == 0xC605
        assert desk.image(index=0).status == 0  # in place of the first
        printer.fault("FILM JAM")
        assert desk.print().status == 0
        assert desk.print().status == 0xC602
        assert desk.talk.act(GRAYSCALE, FILM_SESSION, desk.session_uid, 1).status == 0xC601
        assert (printer.waiting, printer.films) == (1, ())
        printer.recover()
        assert (printer.waiting, len(printer.films)) == (0, 1)


def test_without_collation_films_come_one_by_one():
    with at(Printer(PrinterModel(collates=False))) as desk:
        desk.film()
        assert desk.box().status == 0xC616
        assert desk.talk.act(GRAYSCALE, FILM_SESSION, desk.session_uid, 1).status == 0x0211
        desk.image()
        assert desk.print().status == 0
        assert desk.box().status == 0


# ------------------------------------------------------------ the printer itself
def test_the_printer_tells_its_status_and_what_it_does_not_know():
    printer = Printer(PrinterModel(name="LASER"))
    with at(printer) as desk:
        everything = desk.talk.get(GRAYSCALE, PRINTER, PRINTER_INSTANCE, ())
        assert (everything.dataset.PrinterStatus, everything.dataset.PrinterName) == ("NORMAL", "LASER")
        printer.warn("SUPPLY LOW")
        known = desk.talk.get(GRAYSCALE, PRINTER, PRINTER_INSTANCE, ("PrinterStatus", "PrinterStatusInfo"))
        assert (known.status, known.dataset.PrinterStatus, known.dataset.PrinterStatusInfo) == (0, "WARNING", "SUPPLY LOW")
        some = desk.talk.get(GRAYSCALE, PRINTER, PRINTER_INSTANCE, ("PrinterStatus", "PatientName"))
        assert (some.status, len(some.dataset)) == (0x0107, 1)
        assert desk.events == [(2, "SUPPLY LOW")]


def test_who_is_associated_is_told_of_faults():
    printer = Printer()
    with at(printer) as desk:
        desk.film()
        printer.fault("FILM JAM")
        printer.recover()
        assert desk.image().status == 0
        assert desk.events == [(3, "FILM JAM"), (1, "NORMAL")]


@pytest.mark.parametrize("info", ["", "film jam", "X" * 17, "A\\B", "JÄM"])
def test_faults_have_codes(info):
    with pytest.raises(AttributeUnusable, match="16 capital letters"):
        Printer().fault(info)


def test_watching_films(caplog):
    seen = []
    with Server(None, providers=[Printer(on_film=seen.append)]) as server:
        print_images(server.peer, [GRAY] * 2)
    assert [film.images for film in seen] == [(GRAY,), (GRAY,)]

    def break_down(film):
        raise RuntimeError("PLANTED^NAME")

    caplog.set_level(logging.DEBUG)
    with Server(None, providers=[Printer(on_film=break_down)]) as server:
        assert print_images(server.peer, [GRAY]).is_printed
    assert "on_film failed with RuntimeError" in caplog.text
    assert "PLANTED" not in caplog.text


def test_only_the_last_films_are_kept():
    printer = Printer(kept=2)
    with Server(None, providers=[printer]) as server:
        print_images(server.peer, [GRAY] * 3)
    assert len(printer.films) == 2
    assert "<script>" not in printer._repr_html_()
    assert printer.records()[0]["layout"] == "STANDARD\\1,1"


def test_a_notebook_shows_films_as_pictures_and_the_printer_its_last_ones():
    printer = Printer()
    with Server(None, providers=[printer]) as server:
        assert "<img" not in printer._repr_html_()
        print_images(server.peer, [GRAY] * 6, session=FilmSession(medium="BLUE FILM"))
    shown = printer._repr_html_()
    assert shown.count("<img src='data:image/png;base64,") == 4
    assert [f"alt='Film {number}'" in shown for number in range(1, 7)] == [False, False, True, True, True, True]
    assert shown.count("<tr>") == 7
    one = printer.films[0]
    with Image.open(BytesIO(one._repr_png_())) as picture:
        assert (picture.format, picture.height) == ("PNG", 595)
        lit = [picture.getpixel((picture.width // 2, y)) for y in range(40, 560, 40)]
    assert lit == sorted(lit)
    assert lit[-1] - lit[0] > 50  # the wedge that was printed
    assert "base64" in one._repr_html_()


def test_a_printer_that_does_not_draw_shows_words():
    printer = Printer(draw=None)
    with Server(None, providers=[printer]) as server:
        print_images(server.peer, [GRAY])
    assert printer.films[0]._repr_png_() is None
    assert "<img" not in printer._repr_html_() + printer.films[0]._repr_html_()


# ------------------------------------------------------------ hostile requests
@pytest.mark.parametrize("kind", [N_CREATE, N_SET])
@pytest.mark.parametrize("junk", [b"\xff" * 40, b"\x10\x20\x10\x00ST\xff\xff", b"\x10\x20\x10\x01"])
def test_datasets_that_can_not_be_read_are_answered_and_change_nothing(kind, junk):
    printer = Printer()
    with at(printer) as desk:
        desk.film()
        request = kind()
        if kind is N_CREATE:
            request.AffectedSOPClassUID, request.AttributeList = UID(FILM_BOX), BytesIO(junk)
        else:
            request.RequestedSOPClassUID, request.RequestedSOPInstanceUID = UID(FILM_BOX), UID(desk.box_uid)
            request.ModificationList = BytesIO(junk)
        answer = desk.talk._ask(request, GRAYSCALE, "it")
        assert not answer.is_done if kind is N_CREATE or len(junk) == 8 else True
        assert desk.image().status == desk.print().status == 0
    assert printer.films[0].box == FilmBox("1x1")


@pytest.mark.parametrize("kind", [N_GET, N_ACTION, N_DELETE, N_SET])
def test_requests_for_classes_of_other_services_are_refused(kind):
    with at(Printer()) as desk:
        request = kind()
        request.RequestedSOPClassUID, request.RequestedSOPInstanceUID = UID("1.2.840.10008.3.1.2.3.3"), UID("1.2.3")
        if kind is N_GET:
            request.AttributeIdentifierList = [Tag("PrinterStatus")]
        if kind is N_ACTION:
            request.ActionTypeID = 1
        if kind is N_SET:
            request.ModificationList = BytesIO(b"\x10\x20\x40\x01CS\x02\0NO")
        assert desk.talk._ask(request, GRAYSCALE, "it").status == 0x0118


# ------------------------------------------------------------ a server without an archive
def test_a_server_without_an_archive_offers_neither_storage_nor_queries():
    with Server(None, providers=[Printer()]) as server:
        assert echo(server.peer).ok
        with pytest.raises(ContextRejected):
            find(server.peer, keys={"PatientID": "1"})
        report = store(server.peer, [planted_ct().dataset])
        assert not any(row.outcome == "stored" for row in report)
        assert "1.2.840" not in repr(server)


def test_many_users_print_at_once_while_the_printer_reports():
    printer = Printer(kept=100)
    big = FilmImage(bytes(range(256)) * 2048, 512, 1024)
    with Server(None, providers=[printer]) as server, ThreadPoolExecutor(9) as pool:
        jobs = [pool.submit(print_images, server.peer, [big] * 3, box=FilmBox("1x1")) for _ in range(8)]
        stop = threading.Event()

        def report():
            while not stop.wait(0.005):
                printer.warn("SUPPLY LOW")
                printer.recover()

        reporter = pool.submit(report)
        try:
            reports = [job.result(60) for job in jobs]
        finally:
            stop.set()
        reporter.result(5)
    assert [report.films for report in reports] == [3] * 8
    assert all(report.is_printed for report in reports)
    assert [film.images for film in printer.films] == [(big,)] * 24
    assert sum(row.step == "printer event" for report in reports for row in report) > 0
