"""Explicit VR Big Endian with DCMTK, which swaps words itself: storing, receiving, asking, printing."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, generate_uid
from pynetdicom import AE, evt

from tests.conftest import RunningPeer, free_port, running
from tests.peers import test_print as printing
from tests.peers import test_worklist as scheduling
from workbench import files, phantoms
from workbench.archive import Archive
from workbench.entities import Calling, FilmLut, Peer, StudyRef
from workbench.network import (
    Commitment,
    Printer,
    Server,
    Worklist,
    commit,
    find,
    print_images,
    procedure_step,
    retrieve,
    store,
    worklist,
)
from workbench.network.transcode import recoded
from workbench.rendering import pixels, render, resolve

pytestmark = pytest.mark.peers

dcmprscp = printing.dcmprscp

CT = "1.2.840.10008.5.1.4.1.1.2"
BIG_FIRST = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
ONLY_BIG = f"""[[TransferSyntaxes]]
[Big]
TransferSyntax1 = BigEndianExplicit
[[PresentationContexts]]
[Storage]
PresentationContext1 = {CT}\\Big
PresentationContext2 = 1.2.840.10008.5.1.4.1.1.77.1.5.1\\Big
[[Profiles]]
[Only]
PresentationContexts = Storage
"""


def rich(bits: int = 16, vr: str = "OW") -> Dataset:
    """Return an image with a value of each representation that has a byte order, at the top and in sequences."""
    dataset = phantoms.ct_series(1, rows=31, columns=33)[0]
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    values = np.random.default_rng(bits).integers(0, 2**bits, (31, 33), dtype=np.uint64)
    values[0, :4] = range(4)  # each entry of the table
    dataset.RescaleIntercept, dataset.RescaleSlope = 0, 1
    dataset.WindowCenter, dataset.WindowWidth = 2 ** (bits - 1), 2**bits
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    data = values.astype(f"<u{bits // 8}").tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = vr
    _add_values(dataset)
    inner, outer = Dataset(), Dataset()
    _add_values(inner)
    outer.add_new(0x00081140, "SQ", [inner])
    dataset.add_new(0x00082112, "SQ", [outer, inner])
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def _add_values(dataset: Dataset) -> None:
    dataset.add_new(0x00280106, "US", 258)  # US or SS, by Pixel Representation
    dataset.add_new(0x00280120, "US", 0x0102)
    dataset.FrameIncrementPointer = [0x00181063, 0x00280009]
    dataset.add_new(0x60000010, "US", 31)
    dataset.add_new(0x60000011, "US", 33)
    dataset.add_new(0x60000040, "CS", "G")
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 0)
    dataset.add_new(0x60003000, "OW", bytes(range(1, 129)))
    dataset.add_new(0x00660016, "OF", np.arange(5, dtype="<f4").tobytes())
    dataset.add_new(0x00660023, "OW", np.arange(7, dtype="<u2").tobytes())
    dataset.add_new(0x00660040, "OL", np.arange(5, dtype="<u4").tobytes())
    dataset.add_new(0x00660022, "OD", np.arange(3, dtype="<f8").tobytes())
    table = Dataset()
    table.LUTDescriptor = [4, 0, 16]
    table["LUTDescriptor"].VR = "US"
    table.add_new(0x00283006, "OW", np.array([0, 1, 258, 0xFF00], "<u2").tobytes())
    dataset.VOILUTSequence = [table]
    block = dataset.private_block(0x0099, "WORKBENCH TEST", create=True)
    block.add_new(1, "OB", b"\1\2\3\4")
    block.add_new(2, "OW", b"\1\2\3\4")
    block.add_new(3, "UN", b"\1\2\3\4\5\6")
    for number, (vr, value) in enumerate({"FL": 1.5, "FD": [-0.25, 3e30], "SL": -70000, "UL": 70000, "AT": 0x00100020}.items()):
        block.add_new(16 + number, vr, value)
    block.add_new(32, "SV", -(2**40))
    block.add_new(33, "UV", 2**50)
    block.add_new(34, "OV", np.arange(3, dtype="<u8").tobytes())


def dumped(program: Callable[[str], str], path: Path) -> str:
    """What DCMTK reads in a file, in whole: the dataset only, without lengths."""
    command = [program("dcmdump"), "-q", "+L", "-Un", "+uc", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout.decode("latin-1")
    lines = [line for line in text.splitlines() if line.startswith((" ", "("))]
    return "\n".join(line.split("#")[0].rstrip() for line in lines if not line.startswith("(0002,"))


def in_little_endian(program: Callable[[str], str], path: Path) -> Path:
    """Have DCMTK turn a file back, so that byte order is not judged by who wrote it."""
    target = path.with_suffix(".le")
    subprocess.run([program("dcmconv"), "+te", str(path), str(target)], check=True, timeout=60)
    return target


@pytest.fixture
def only_big(storescp, tmp_path):
    """A storescp that accepts Explicit VR Big Endian and nothing else."""
    (tmp_path / "only.cfg").write_text(ONLY_BIG)
    return storescp("-xf", str(tmp_path / "only.cfg"), "Only")


def seen(source: Path | Dataset) -> list[np.ndarray]:
    """Stored values, how they look with overlays, and a table for them."""
    dataset = source if isinstance(source, Dataset) else files.read(source).dataset
    return [pixels(dataset), render(resolve(dataset), with_overlays=True), render(resolve(dataset, voi=1))]


def assert_same(one: Path | Dataset, other: Path | Dataset) -> None:
    for a, b in zip(seen(one), seen(other), strict=True):
        assert a.dtype == b.dtype
        assert len(np.unique(a)) > 1
        assert np.array_equal(a, b)


def only(running: RunningPeer) -> Path:
    (path,) = (running.folder / "received").iterdir()
    assert files.Part10.locate(path).transfer_syntax_uid == ExplicitVRBigEndian
    return path


KINDS = [(16, "OW"), (8, "OB"), (8, "OW"), (32, "OW")]


@pytest.mark.parametrize(("bits", "vr"), KINDS)
@pytest.mark.parametrize("own", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=lambda uid: uid.keyword)
def test_a_peer_that_takes_only_big_endian_gets_equal_values(only_big, program, tmp_path, bits, vr, own):
    path = files.save(rich(bits, vr), tmp_path / "x.dcm")
    if own == ImplicitVRLittleEndian:
        subprocess.run([program("dcmconv"), "+ti", str(path), str(path)], check=True, timeout=60)
    report = store(only_big.peer, [path])
    assert report.complete, report[0].message
    assert report[0].sent_transfer_syntax_uid == ExplicitVRBigEndian
    came = only(only_big)
    truth = tmp_path / "truth.dcm"
    subprocess.run([program("dcmconv"), "+tb", str(path), str(truth)], check=True, timeout=60)
    if own == ExplicitVRLittleEndian:  # Implicit VR has no representation of private elements, and some have two
        assert dumped(program, came) == dumped(program, truth)
        assert dumped(program, in_little_endian(program, came)) == dumped(program, path)
    assert_same(came, path)


def test_from_a_row_of_several_the_peer_picks_big_endian(storescp, program, tmp_path):
    running = storescp("+xb")
    path = files.save(rich(), tmp_path / "x.dcm")
    report = store(running.peer.but(calling=Calling(contexts=((CT, BIG_FIRST),))), [path, rich()])
    assert report.complete, report.troubles
    assert [row.sent_transfer_syntax_uid for row in report] == [ExplicitVRBigEndian] * 2
    for came in (running.folder / "received").iterdir():
        mine = files.read(in_little_endian(program, came)).dataset
        assert mine.PixelData == rich().PixelData
        assert mine[0x00660022].value == rich()[0x00660022].value


def test_what_is_compressed_is_decoded_and_what_has_no_decoder_is_refused(only_big, tmp_path):
    compressed = phantoms.ct_series(1, rows=32, columns=32)[0]
    truth = compressed.pixel_array.copy()
    compressed.compress(JPEG2000Lossless, generate_instance_uid=False)
    data = files.save(compressed, tmp_path / "x.dcm").read_bytes()
    private = files.meta_bytes(CT, "1.2.3", "1.3.46.670589.33.1.4.1") + data[files.Part10.locate(data).dataset_offset :]
    report = store(only_big.peer, [compressed, private])
    assert [row.outcome for row in report] == ["stored", "refused"]
    assert "verbatim or not at all" in report[1].message
    assert np.array_equal(files.read(only(only_big)).dataset.pixel_array, truth)
    assert store(only_big.peer, [compressed], transcode="never")[0].outcome == "refused"


@pytest.mark.parametrize(("bits", "vr"), KINDS)
@pytest.mark.parametrize("to", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=lambda uid: uid.keyword)
def test_a_peer_that_sends_big_endian_is_stored_and_recoded(program, tmp_path, archive, bits, vr, to):
    path = files.save(rich(bits, vr), tmp_path / "x.dcm")
    big = tmp_path / "big.dcm"
    subprocess.run([program("dcmconv"), "+tb", str(path), str(big)], check=True, timeout=60)
    with Server(archive) as server:
        command = [program("storescu"), "-R", "-xb", "-aec", server.ae_title, "127.0.0.1", str(server.port), str(big)]
        subprocess.run(command, check=True, timeout=60)
    (ref,) = archive
    kept = files.Part10.locate(archive.path(ref))
    assert kept.transfer_syntax_uid == ExplicitVRBigEndian
    assert archive.path(ref).read_bytes()[kept.dataset_offset :] == big.read_bytes()[files.Part10.locate(big).dataset_offset :]
    dataset = archive.open(ref)
    assert dataset.SmallestImagePixelValue == 258
    assert_same(dataset, path)
    meta = files.meta_bytes(CT, str(dataset.SOPInstanceUID), to)
    for source in (archive.path(ref).read_bytes(), dataset):
        (tmp_path / "back.dcm").write_bytes(meta + recoded(source, to=to))
        if to == ExplicitVRLittleEndian:
            assert dumped(program, tmp_path / "back.dcm") == dumped(program, path)
        assert dcmread(tmp_path / "back.dcm").PixelData == dcmread(path).PixelData
        assert dcmread(tmp_path / "back.dcm")[0x60003000].value == bytes(range(1, 129))
    saved = files.save(dataset, tmp_path / "saved.dcm")
    assert dumped(program, saved) == dumped(program, big)


def test_dcmtk_draws_what_was_turned_here(program, tmp_path):
    for bits, vr in KINDS[:3]:
        little = rich(bits, vr)
        paths = [
            files.save(little, tmp_path / "le.dcm"),
            files.save(files.in_syntax(little, to=ExplicitVRBigEndian), tmp_path / "be.dcm"),
        ]
        drawn = []
        for path in paths:
            subprocess.run([program("dcm2pnm"), "-O", "-M", "+Wm", str(path), str(path) + ".pgm"], check=True, timeout=60)
            drawn.append(Path(f"{path}.pgm").read_bytes())
        assert drawn[0] == drawn[1]
        assert len(set(drawn[0])) > 100


@pytest.mark.parametrize("method", ["get", "move"])
def test_retrieval_from_a_peer_that_sends_big_endian(dcmqrscp, program, tmp_path, method):
    """What stands there in big endian comes in it, byte for byte, and is asked for in it."""
    big = tmp_path / "big.dcm"
    path = files.save(rich(), tmp_path / "x.dcm")
    subprocess.run([program("dcmconv"), "+tb", str(path), str(big)], check=True, timeout=60)
    study = str(rich().StudyInstanceUID)
    port = dcmqrscp.move_port
    assert store(dcmqrscp.peer, [big]).complete
    find_big, way = (
        ("1.2.840.10008.5.1.4.1.2.2.1", (ExplicitVRBigEndian,)),
        ("1.2.840.10008.5.1.4.1.2.2.3", (ExplicitVRBigEndian,)),
    )
    contexts = (find_big, way, (CT, (ExplicitVRBigEndian,)), ("1.2.840.10008.5.1.4.1.2.2.2", (ExplicitVRBigEndian,)))
    peer = dcmqrscp.peer.but(calling=Calling(contexts=contexts))
    found = find(dcmqrscp.peer.but(calling=Calling(contexts=(find_big,))), keys={"StudyInstanceUID": study, "PatientName": None})
    assert [str(each.StudyInstanceUID) for each in found] == [study]
    assert str(found[0].PatientName) == str(rich().PatientName)
    with Archive(tmp_path / "kept") as kept:
        report = retrieve(peer, StudyRef(study), into=kept, method=method, move_port=port if method == "move" else 0)
        assert report.complete, report
        (ref,) = kept
        came = kept.open(ref)
    assert came.file_meta.TransferSyntaxUID == ExplicitVRBigEndian or method == "move"  # there it is the sender who proposes
    assert_same(came, path)


def test_a_worklist_in_big_endian(program, tmp_path):
    """wlmscpfs answers in big endian where it may choose, and our worklist answers findscu in it."""
    scheduling.files(tmp_path / "data" / "WLAE")
    port = free_port()
    arguments = [program("wlmscpfs"), "--data-files-path", str(tmp_path / "data"), "--single-process", "-csk", "+xb", str(port)]
    with running(arguments, port=port, cwd=tmp_path, log=tmp_path / "log.txt"):
        peer = Peer("wlmscpfs", "WLAE", port=port, calling=Calling(contexts=(("1.2.840.10008.5.1.4.31", BIG_FIRST),)))
        found = worklist(peer)
    assert {str(each.PatientName) for each in found} == {name for name, *_ in scheduling.ITEMS.values()}
    with Server(None, providers=[Worklist([scheduling.item("P1")])]) as server:
        ours = server.peer.but(calling=Calling(contexts=(("1.2.840.10008.5.1.4.31", (ExplicitVRBigEndian,)),)))
        (answer,) = worklist(ours)
    assert answer.ScheduledProcedureStepSequence[0].Modality == "CT"


PRINTING = ("1.2.840.10008.5.1.1.9", "1.2.840.10008.5.1.1.23")


def test_images_and_tables_are_printed_in_big_endian(dcmprscp):
    """dcmprscp gets pixels of 12 bits and a table as they were, and so does our printer."""
    contexts = tuple((uid, (ExplicitVRBigEndian,)) for uid in PRINTING)
    printer, image = dcmprscp(), printing.ramp(12)
    lut = FilmLut(values=tuple(range(4096)), bits=12)
    report = print_images(printer.peer.but(calling=Calling(contexts=contexts)), [image], lut=lut)
    assert report.is_printed, report.records()
    (film,), (hardcopy,) = printing.stored(printer)
    assert hardcopy.file_meta.TransferSyntaxUID.is_little_endian
    assert hardcopy.PixelData == image.pixels
    (table,) = film.PresentationLUTContentSequence[0].PresentationLUTSequence
    values = table.LUTData if isinstance(table.LUTData, list) else np.frombuffer(table.LUTData, "<u2").tolist()
    assert list(values) == list(range(4096))
    ours = Printer()
    with Server(None, ae_title="PRINTER", providers=[ours]) as server:
        assert print_images(server.peer.but(calling=Calling(contexts=contexts)), [image], lut=lut).is_printed
    assert ours.films[0].images[0].pixels == image.pixels
    assert ours.films[0].lut == lut


STUDY_FIND, STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"


def test_dcmtk_asks_us_and_fetches_in_big_endian(program, tmp_path, archive):
    """A server that accepts nothing else answers findscu, and sends getscu what it keeps in little endian."""
    path = files.save(rich(), tmp_path / "x.dcm")
    ref = archive.add(path)
    accepts = dict.fromkeys((STUDY_FIND, STUDY_GET, CT), (ExplicitVRBigEndian,))
    (tmp_path / "found").mkdir()
    (tmp_path / "got").mkdir()
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={ref.study_instance_uid}"]
    shown = ["-k", "PatientName", "-k", "NumberOfStudyRelatedInstances"]
    with Server(archive, accepts=accepts) as server:
        at = ["-aec", server.ae_title, "127.0.0.1", str(server.port)]
        command = [program("findscu"), "-S", "-xb", "-X", "-od", str(tmp_path / "found"), *keys, *shown, *at]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        command = [program("getscu"), "-S", "+xb", "-od", str(tmp_path / "got"), *keys, *at]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    (answer,) = (dcmread(each, force=True) for each in (tmp_path / "found").iterdir())
    assert answer.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    assert (answer.PatientName, answer.NumberOfStudyRelatedInstances) == (rich().PatientName, 1)
    (got,) = (tmp_path / "got").iterdir()
    assert files.Part10.locate(got).transfer_syntax_uid == ExplicitVRBigEndian
    assert dumped(program, in_little_endian(program, got)) == dumped(program, path)


def test_steps_are_told_in_big_endian():
    """A peer that accepts nothing else reads the step as it was told; it is pynetdicom that reads it."""
    told: list[Dataset] = []

    def created(event):
        told.append(event.attribute_list)
        return 0x0000, None

    def ended(event):
        told.append(event.modification_list)
        return 0x0000, None

    mpps, entity = "1.2.840.10008.3.1.2.3.3", AE(ae_title="MPPS")
    entity.add_supported_context(mpps, ExplicitVRBigEndian)
    port = free_port()
    server = entity.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_CREATE, created), (evt.EVT_N_SET, ended)]
    )
    try:
        peer = Peer("mpps", "MPPS", port=port, calling=Calling(contexts=((mpps, BIG_FIRST),)))
        begun = procedure_step.begin(peer, scheduling.item("P2"))
        procedure_step.finish(peer, begun, series=procedure_step.performed_series([rich()]))
    finally:
        server.shutdown()
    assert told[0].PatientName == "Müller^Jörg"
    assert told[0].PerformedProcedureStepStatus == "IN PROGRESS"
    (series,) = told[1].PerformedSeriesSequence
    assert series.SeriesInstanceUID == rich().SeriesInstanceUID


def test_commitment_is_asked_and_told_in_big_endian(archive):
    ref = archive.add(rich())
    push = "1.2.840.10008.1.20.1"
    with Server(archive, providers=[Commitment(archive)], accepts={push: (ExplicitVRBigEndian,)}) as server:
        peer = server.peer.but(calling=Calling(contexts=((push, BIG_FIRST),)))
        assert commit(peer, [ref], wait_s=10).complete
