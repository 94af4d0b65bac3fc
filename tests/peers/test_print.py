"""Printing with DCMTK: our user at its dcmprscp, its dcmpsprt and dcmprscu at our printer (case S12)."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.conftest import RunningPeer, free_port, running
from workbench import devices, phantoms
from workbench.department import Modality, Outcome
from workbench.entities import FilmBox, FilmImage, FilmLut, FilmSession, Peer
from workbench.network import Printer, PrinterModel, PrintOutcome, Server, print_images, trace

pytestmark = pytest.mark.peers

#: A printer as DCMTK's configuration has it; the rest is given where it matters.
SETTINGS = {
    "Aetitle": "PRINTER", "Description": "test", "Hostname": "localhost", "Type": "LOCALPRINTER", "DisableNewVRs": "false",
    "FilmDestination": r"MAGAZINE\PROCESSOR", "FilmSizeID": r"8INX10IN\14INX17IN", "ImplicitOnly": "false",
    "MagnificationType": r"REPLICATE\BILINEAR\CUBIC", "MaxDensity": r"320\300", "MaxPDU": "32768",
    "MediumType": r"PAPER\CLEAR FILM\BLUE FILM", "ResolutionID": r"STANDARD\HIGH", "SmoothingType": r"NONE\1",
    "Supports12Bit": "true", "SupportsDecimateCrop": "true", "SupportsImageSize": "true", "SupportsPresentationLUT": "true",
    "SupportsTrim": "true", "DisplayFormat": r"1,1\2,1\2,2", "BorderDensity": r"150\BLACK\WHITE",
    "EmptyImageDensity": r"20\BLACK\WHITE", "PresentationLUTMatchRequired": "false", "PresentationLUTinFilmSession": "false",
    "SessionPrinting": "false", "PresentationLUTPreferSCPRendering": "true",
}  # fmt: skip


def configuration(folder: Path, **settings: object) -> str:
    for name in ("log", "psdb", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    printer = "\n".join(f"{name} = {value}" for name, value in (SETTINGS | settings).items())
    return (
        f"[[GENERAL]]\n[APPLICATION]\nLogDirectory = {folder}/log\nLogFile = general.log\nLogLevel = INFO\n"
        f"[DATABASE]\nDirectory = {folder}/psdb\n[LUT]\nDirectory = {folder}/luts\n[PRINT]\nDirectory = {folder}/spool\n"
        "DetailedLog = true\nBinaryLog = true\nSpooler = dcmprscu\nServer = dcmprscp\nSleep = 1\nDeletePrintJobs = false\n"
        f"[NETWORK]\naetitle = WORKBENCH\n[[COMMUNICATION]]\n[PRINTER]\n{printer}\n"
    )


@pytest.fixture
def dcmprscp(program: Callable[[str], str], tmp_path: Path) -> Iterator[Callable[..., RunningPeer]]:
    """A function that starts DCMTK's print server with extra settings; what it prints is in ``folder / 'psdb'``."""
    started = []

    def start(**settings: object) -> RunningPeer:
        port = free_port()
        folder = tmp_path / f"dcmprscp-{port}"
        folder.mkdir()
        (folder / "print.cfg").write_text(configuration(folder, Port=port, **settings))
        arguments = [program("dcmprscp"), "-v", "-c", str(folder / "print.cfg"), "-p", "PRINTER", "+d"]
        context = running(arguments, port=port, cwd=folder, log=folder / "log.txt")
        process = context.__enter__()
        started.append(context)
        return RunningPeer(Peer(name="dcmprscp", ae_title="PRINTER", port=port), folder, process)

    yield start
    for context in started:
        context.__exit__(None, None, None)


def ramp(bits: int = 8, rows: int = 64, columns: int = 96) -> FilmImage:
    values = np.linspace(0, 2**bits - 1, rows * columns).round().reshape(rows, columns)
    return FilmImage(values.astype("<u1" if bits == 8 else "<u2").tobytes(), rows, columns, bits)


def stored(peer: RunningPeer) -> tuple[list[pydicom.Dataset], list[pydicom.Dataset]]:
    """Stored Print objects and hardcopy images that dcmprscp has written."""
    datasets = [pydicom.dcmread(path) for path in sorted((peer.folder / "psdb").rglob("*.dcm"))]
    films = [d for d in datasets if d.SOPClassUID == "1.2.840.10008.5.1.1.27"]
    return films, [d for d in datasets if d.SOPClassUID == "1.2.840.10008.5.1.1.29"]


@pytest.mark.parametrize("bits", [8, 12])
def test_dcmprscp_prints_every_film_with_the_pixels_that_were_sent(dcmprscp, bits):
    """S12: 8 and 12 bits to dcmprscp -> every film, with the pixels that were sent."""
    printer = dcmprscp()
    images = [ramp(bits, rows=40 + n) for n in range(6)]
    report = print_images(
        printer.peer, images, box=FilmBox("2x2", size="8INX10IN"), session=FilmSession(copies=2, medium="CLEAR FILM", label="TEST")
    )
    assert report.is_printed, report.records()
    assert report.films == 2
    films, hardcopies = stored(printer)
    assert len(films) == 2
    assert sorted(f.Rows for f in hardcopies) == [40, 41, 42, 43, 44, 45]
    for hardcopy in hardcopies:
        assert hardcopy.BitsStored == bits
        assert hardcopy.PixelData.rstrip(b"\0") == images[hardcopy.Rows - 40].pixels.rstrip(b"\0")


def test_every_operation_is_carried_out_and_deleted_again(dcmprscp):
    """S12: our user at dcmprscp -> from N-CREATE to N-DELETE, each carried out."""
    printer = dcmprscp()
    report = print_images(printer.peer, [ramp(12)], lut=FilmLut("LIN OD"))
    steps = [row.step for row in report]
    assert steps == ["printer", "film session", "presentation LUT", "film", "image", "print film", "delete film",
                     "delete film session", "delete presentation LUT"]  # fmt: skip
    assert {row.outcome for row in report} == {PrintOutcome.DONE}, report.records()
    log = "\n".join(path.read_text(errors="replace") for path in (printer.folder).rglob("*") if path.suffix in {".log", ".txt"})
    assert len(re.findall(r"N-DELETE", log)) >= 3


def test_a_table_for_eight_bits_and_an_image_of_twelve_are_0106(dcmprscp):
    """S12: a presentation LUT that does not fit the image -> 0x0106."""
    printer = dcmprscp(PresentationLUTMatchRequired="true")
    lut = FilmLut(values=tuple(range(256)), bits=10)
    good = print_images(printer.peer, [ramp(8)], lut=lut)
    assert good.is_printed, good.records()
    bad = print_images(printer.peer, [ramp(12)], lut=lut)
    assert not bad.is_printed
    failed = [row for row in bad if row.outcome is PrintOutcome.FAILED]
    assert [(row.step, row.position, row.status) for row in failed] == [("image", 1, "0x0106")]
    assert [row.step for row in bad[-2:]] == ["delete film session", "delete presentation LUT"]
    assert len(stored(printer)[0]) == 1


@pytest.fixture
def dcmprint(program: Callable[[str], str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that has DCMTK prepare a film from image files with dcmpsprt, and print it with dcmprscu."""
    numbers = iter(range(100))

    def run(port: int, files: list[Path], *switches: str, later: tuple[str, ...] = (), **settings: object):
        folder = tmp_path / f"dcmprscu-{next(numbers)}"
        folder.mkdir()
        (folder / "print.cfg").write_text(configuration(folder, Port=port, Type="PRINTER", **settings))
        common = ["-c", str(folder / "print.cfg"), "-p", "PRINTER"]
        prepare = [program("dcmpsprt"), *common, "--nospool", *switches, *map(str, files)]
        subprocess.run(prepare, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
        films = sorted(map(str, (folder / "psdb").glob("SP_*.dcm")))
        assert films
        printing = [program("dcmprscu"), "-d", *common, *later, *films]
        return subprocess.run(printing, cwd=folder, capture_output=True, text=True, check=False, timeout=20)

    return run


@pytest.fixture
def slices(tmp_path: Path) -> list[Path]:
    """Four slices, each with another ramp, whose window is its whole range."""
    paths = []
    for number, dataset in enumerate(phantoms.ct.ct_series(4)):
        dataset.Rows, dataset.Columns, dataset.BitsStored, dataset.HighBit = 48, 64, 12, 11
        dataset.BitsAllocated, dataset.PixelRepresentation = 16, 0
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.WindowCenter, dataset.WindowWidth = 1, 0, 2048, 4096
        values = np.roll(np.linspace(0, 4095, 48 * 64).round().astype("<u2").reshape(48, 64), 12 * number, axis=0)
        dataset.PixelData = values.tobytes()
        paths.append(tmp_path / f"slice{number}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


@pytest.mark.parametrize(("supports", "bits"), [("true", 12), ("false", 8)])
def test_dcmprscu_prints_four_images_at_our_printer(dcmprint, slices, supports, bits):
    """S12: dcmpsprt and dcmprscu at our printer -> as many films as they printed."""
    printer = Printer()
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        done = dcmprint(
            server.port, slices, "-l", "2", "2", "--lin-od", "--filmsize", "8INX10IN", "--trim", "--border", "BLACK",
            later=("--copies", "3", "--medium-type", "BLUE FILM", "--label", "TEST"), Supports12Bit=supports,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (film,) = printer.films
    assert (film.box.layout, film.box.size, film.box.trim, film.box.border) == (r"STANDARD\2,2", "8INX10IN", "YES", "BLACK")
    assert (film.session.copies, film.session.medium, film.session.label) == (3, "BLUE FILM", "TEST")
    assert film.lut == FilmLut("LIN OD")
    assert {image.bits for image in film.images} == {bits}
    for path, image in zip(slices, film.images, strict=True):
        sent = pydicom.dcmread(path).pixel_array / 4095
        got = np.frombuffer(image.pixels, "<u1" if bits == 8 else "<u2").reshape(image.rows, image.columns) / (2**bits - 1)
        assert (image.rows, image.columns) == (48, 64)
        assert np.abs(got - sent).max() < 2 / 255  # DCMTK rounds on its way


def test_dcmprscu_writes_its_annotation(dcmprint, slices):
    printer = Printer()
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        switches = ("-a", "CASE 7", "-pd", "-pn", "-pl")
        done = dcmprint(server.port, slices[:1], *switches, Annotation=r"1\LABEL")
    assert done.returncode == 0, done.stdout + done.stderr
    assert printer.films[0].texts == ("CASE 7",)


def test_dcmprscu_is_told_that_the_printer_has_a_fault(dcmprint, slices):
    printer = Printer(PrinterModel(queue=0))
    printer.fault("FILM JAM")
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        done = dcmprint(server.port, slices[:1])
    assert "FILM JAM" in done.stdout + done.stderr
    assert printer.films == ()


def test_dcmprscu_prints_a_whole_session_and_is_refused_where_that_is_not_offered(dcmprint, slices):
    printer, single = Printer(), Printer(PrinterModel(collates=False))
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        dcmprint(server.port, slices, "-l", "2", "2", later=("--session-print",), SessionPrinting="true")
    with Server(None, ae_title="PRINTER", providers=[single]) as server:
        refused = dcmprint(server.port, slices, "-l", "2", "2", later=("--session-print",), SessionPrinting="true")
    assert [film.uid for film in printer.films] != []
    assert single.films == ()
    assert "0x0211" in refused.stdout + refused.stderr


def test_dcmprscu_prints_white_as_zero(dcmprint, slices):
    printer = Printer()
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        dcmprint(server.port, slices[:1])
        dcmprint(server.port, slices[:1], later=("--monochrome1",))
    straight, inverse = (film.images[0] for film in printer.films)
    assert (straight.is_inverse, inverse.is_inverse) == (False, True)
    kind, top = ("<u1", 255) if straight.bits == 8 else ("<u2", 4095)
    changed = top - np.frombuffer(inverse.pixels, kind).astype(int)
    assert np.abs(changed - np.frombuffer(straight.pixels, kind)).max() <= 1


def test_dcmprscp_prints_a_whole_session(dcmprscp):
    printer = dcmprscp(SessionPrinting="true")
    report = print_images(printer.peer, [ramp(8, rows=40 + n) for n in range(5)], box=FilmBox("2x2"), collate=True)
    assert report.is_printed, report.records()
    assert report.films == 2
    assert len(stored(printer)[0]) == 2


@pytest.mark.parametrize(
    ("box", "step"),
    [(FilmBox(size="11INX14IN"), "film"), (FilmBox(magnification="NONE"), "film"), (FilmBox("1x1", trim="YES"), None)],
)
def test_what_dcmprscp_does_not_offer_is_a_named_step(dcmprscp, box, step):
    printer = dcmprscp()
    report = print_images(printer.peer, [ramp(8)], box=box)
    failed = [(row.step, row.status) for row in report if row.outcome is PrintOutcome.FAILED]
    assert failed == ([(step, "0x0106")] if step else [])
    said = " ".join(row.text for row in report if row.outcome is PrintOutcome.FAILED)
    assert not step or "sent were Image Display Format 'STANDARD\\1,1', Film Orientation 'PORTRAIT'" in said
    assert not box.size or f"Film Size ID '{box.size}'" in said
    assert report[-1].step == "delete film session"
    assert len(stored(printer)[0]) == (0 if step else 1)


def test_all_of_a_session_box_and_image_reaches_dcmprscp(dcmprscp):
    printer = dcmprscp()
    session = FilmSession(copies=4, priority="HIGH", medium="BLUE FILM", destination="PROCESSOR", label="CHEST")
    box = FilmBox(
        "1x2", orientation="LANDSCAPE", size="14INX17IN", magnification="CUBIC", smoothing="1", border="150", empty="20", most=300,
        trim="YES", resolution="HIGH", illumination=1800, ambient=12,
    )  # fmt: skip
    image = FilmImage(
        bytes(range(200)) * 2, 20, 20, polarity="REVERSE", width_mm=120.5, too_large="CROP", magnification="REPLICATE"
    )
    assert print_images(printer.peer, [image], session=session, box=box, lut=FilmLut("LIN OD")).is_printed
    ((film,), (hardcopy,)) = stored(printer)
    content = film.FilmBoxContentSequence[0]
    assert (content.ImageDisplayFormat, content.FilmOrientation, content.FilmSizeID) == (r"STANDARD\1,2", "LANDSCAPE", "14INX17IN")
    assert (content.MagnificationType, content.SmoothingType, content.BorderDensity, content.Trim) == ("CUBIC", "1", "150", "YES")
    assert (content.MaxDensity, content.EmptyImageDensity, content.RequestedResolutionID) == (300, "20", "HIGH")
    assert (content.Illumination, content.ReflectedAmbientLight) == (1800, 12)
    placed = film.ImageBoxContentSequence[0]
    assert (placed.ImageBoxPosition, placed.Polarity, placed.MagnificationType) == (1, "REVERSE", "REPLICATE")
    assert (float(placed.RequestedImageSize), placed.RequestedDecimateCropBehavior) == (120.5, "CROP")
    assert film.PresentationLUTContentSequence[0].PresentationLUTShape == "LIN OD"
    assert hardcopy.PixelData == image.pixels


# ------------------------------------------------------------ a system's films
VEREOS = devices.profile("philips-vereos")
(PRINTS,) = [activity for activity in VEREOS.activities if activity.does == "print"]
#: What the system's statement leaves to the configuration of the printer (Table 64).
SET_UP = {"MinDensity": r"20\30", "Configuration_1": "STANDARD"}


def scanner_prints(printer: RunningPeer, *images: pydicom.Dataset):
    system = Modality(VEREOS, printer=printer.peer)
    system.made = list(images)
    with trace() as recorded:
        done = system.perform(PRINTS)
    said = [(row.name.removesuffix("-RQ"), row.sop_class) for row in recorded.rows if re.fullmatch("N-.*-RQ", row.name)]
    return done, said, [row for row in recorded.rows if row.name.endswith("-RSP")], recorded


def test_a_film_of_the_scanner_at_dcmprscp(dcmprscp):
    """Vereos, Tables 57 to 77: from the film session to N-DELETE, and what the film then has."""
    printer = dcmprscp(**SET_UP)
    (image,) = phantoms.ct.ct_series(1)
    done, said, answers, recorded = scanner_prints(printer, image)
    assert (done.outcome, done.count, done.message) == (Outcome.DONE, 1, "1 image on 1 film.")
    session, film = "Basic Film Session SOP Class", "Basic Film Box SOP Class"
    assert said == [
        ("N-CREATE", session), ("N-CREATE", film), ("N-SET", "Basic Grayscale Image Box SOP Class"), ("N-ACTION", film),
        ("N-DELETE", film), ("N-DELETE", session),
    ]  # fmt: skip
    assert {row.status for row in answers} == {0}
    assert [row.name for row in recorded.rows if row.name.startswith("A-")][-1] == "A-RELEASE-RP"
    ((stored_print,), (hardcopy,)) = stored(printer)
    content = stored_print.FilmBoxContentSequence[0]
    for table in ("film-box-grayscale", "image-box-grayscale"):
        items = content if table.startswith("film") else hardcopy
        for row in devices.attributes(VEREOS, table):
            keyword = pydicom.datadict.keyword_for_tag(row.tags[-1])
            if keyword in {"ImageBoxPosition", "BasicGrayscaleImageSequence", "PixelAspectRatio"}:
                continue  # of the image box, which says where an image is, and 1:1 is what an image without it has
            assert not items[keyword].is_empty, keyword
            assert not row.value or str(items[keyword].value) in row.value.split(" | "), keyword
    assert stored_print.ImageBoxContentSequence[0].ImageBoxPosition == 1
    (asked,) = [row.identifier for row in recorded.rows if row.name == "N-CREATE-RQ" and row.sop_class == session]
    listed = [pydicom.datadict.keyword_for_tag(row.tags[-1]) for row in devices.attributes(VEREOS, "film-session-grayscale")]
    assert [one.partition("=")[0] for one in asked] == listed
    assert (hardcopy.Rows, hardcopy.Columns) == (image.Rows, image.Columns)


@pytest.mark.parametrize(
    ("settings", "status", "words"),
    [
        ({"Configuration_1": "STANDARD"}, 0x0105, "Film: status 0x0105, no such attribute; sent were"),  # knows no Min Density
        (SET_UP | {"FilmSizeID": "8INX10IN"}, 0x0106, "Film: status 0x0106, invalid attribute value"),
    ],
)
def test_a_film_that_dcmprscp_does_not_take_fails_the_job_of_the_scanner(dcmprscp, settings, status, words):
    """The job fails and says why; its film session is deleted, and no film is there."""
    printer = dcmprscp(**settings)
    done, said, answers, _ = scanner_prints(printer, *phantoms.ct.ct_series(1))
    assert (done.outcome, done.count) == (Outcome.FAILED, 0)
    assert words in done.message
    assert [row.status for row in answers] == [0, status, 0]
    assert said[-1] == ("N-DELETE", "Basic Film Session SOP Class")
    assert stored(printer) == ([], [])


def test_colour_films_of_the_scanner_need_a_printer_that_has_them(dcmprscp):
    """dcmprscp prints gray only: the gray film is printed, and the colour one fails by its context."""
    printer = dcmprscp(**SET_UP)
    done, *_ = scanner_prints(printer, phantoms.fundus())
    assert done.outcome is Outcome.FAILED
    assert "Color" in done.message
    done, *_ = scanner_prints(printer, phantoms.fundus(), *phantoms.ct.ct_series(1))
    assert done.outcome is Outcome.FAILED
    assert "Color" in done.message
    assert len(stored(printer)[0]) == 1
