"""Retrieval from Orthanc and dcmqrscp by each way: what comes is what was stored, and what does not come is seen."""

import subprocess
import threading

import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, RLELossless

from workbench.archive import Archive
from workbench.entities import InstanceRef, PatientRef, SeriesRef, StudyRef
from workbench.errors import AssociationRejected, ContextRejected, PeerUnreachable, StatusFailure, StorageFull
from workbench.files import Part10, save
from workbench.network import retrieve
from workbench.phantoms import ct_series, fundus, pet_ct

WAYS = ["get", "move", "web"]
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
SWITCH = {JPEG2000Lossless: "-xv", RLELossless: "-xr", "1.2.840.10008.1.2": "-xi", "1.2.840.10008.1.2.1": "-xe"}


def content(source):
    """The encoded dataset of a file or byte string."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    return data[Part10.locate(data).dataset_offset :]


def send(program, peer, files):
    """Store each with DCMTK's storescu in its own transfer syntax."""
    for path in files:
        switch = SWITCH[Part10.locate(path).transfer_syntax_uid]
        command = [program("storescu"), "-R", switch, "-aec", peer.ae_title, peer.host, str(peer.port), str(path)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)


def written(folder, datasets):
    folder.mkdir(exist_ok=True)
    return [save(dataset, folder / f"{dataset.SOPInstanceUID}.dcm") for dataset in datasets]


@pytest.fixture(scope="module")
def full(orthanc_module, program, tmp_path_factory):
    """Orthanc with a CT series in four transfer syntaxes, PET/CT of one study and a fundus photograph."""
    slices = list(ct_series(8, rows=32))
    for k, syntax in ((0, RLELossless), (1, JPEG2000Lossless)):
        slices[k] = dcmread(written(tmp_path_factory.mktemp("one"), [slices[k]])[0])
        slices[k].compress(syntax, generate_instance_uid=False)
    slices[2].file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    pair = pet_ct()
    datasets = [*slices, *pair.pet[:3], *pair.ct[:3], fundus()]
    files = written(tmp_path_factory.mktemp("made"), datasets)
    send(program, orthanc_module.peer, files)
    return orthanc_module, files, datasets


def study_of(dataset):
    return StudyRef(str(dataset.StudyInstanceUID))


@pytest.mark.parametrize("method", WAYS)
def test_what_comes_is_what_was_stored(full, method, tmp_path):
    running, files, datasets = full
    studies = {study_of(d) for d in datasets}
    steps = []
    with Archive(tmp_path / "archive") as archive:
        report = retrieve(
            running.peer, studies, into=archive, method=method, move_port=running.move_port, progress=lambda *s: steps.append(s)
        )
        assert report.complete, report.troubles
        assert report.method == method
        assert {row.outcome for row in report} == {"retrieved"}
        assert {row.sop_instance_uid for row in report} == {d.SOPInstanceUID for d in datasets}
        assert steps[-1] == (len(files), len(files))
        assert steps == sorted(steps)
        for path, dataset in zip(files, datasets, strict=True):
            kept = archive.path(InstanceRef.of(dataset))
            assert Part10.locate(kept).transfer_syntax_uid == Part10.locate(path).transfer_syntax_uid
            assert content(kept) == content(path)
        again = retrieve(running.peer, studies, into=archive, method=method, move_port=running.move_port)
        assert again.complete
        assert {row.outcome for row in again} == {"already there"}
        assert archive.counts().instances == len(files)


@pytest.mark.parametrize("method", WAYS)
def test_every_kind_of_reference_into_a_callable(full, method):
    running, _, datasets = full
    first = datasets[0]
    expected = {str(d.SOPInstanceUID) for d in datasets if d.SeriesInstanceUID == first.SeriesInstanceUID}
    here = dict.fromkeys(d.SOPInstanceUID for d in datasets if d.PatientID == first.PatientID)
    for refs, uids in (
        (SeriesRef(first.StudyInstanceUID, first.SeriesInstanceUID), expected),
        ([InstanceRef.of(d) for d in datasets[3:6]], {d.SOPInstanceUID for d in datasets[3:6]}),
        (PatientRef(first.PatientID), set(here)),
    ):
        came = []
        report = retrieve(running.peer, refs, into=came.append, method=method, move_port=running.move_port)
        assert report.complete, report.troubles
        assert {Part10.locate(data).sop_instance_uid for data in came} == uids == {row.sop_instance_uid for row in report}


@pytest.mark.parametrize("method", WAYS)
def test_other_bytes_under_the_same_uid_are_a_conflict_and_both_are_kept(full, method, tmp_path):
    running, files, _ = full
    with Archive(tmp_path / "archive") as archive:
        other = dcmread(files[4])
        other.PatientName = "OTHER^NAME"
        archive.add(other)
        report = retrieve(running.peer, study_of(other), into=archive, method=method, move_port=running.move_port)
        assert not report.complete
        (trouble,) = report.troubles
        assert (trouble.sop_instance_uid, trouble.outcome) == (other.SOPInstanceUID, "conflict")
        assert "other bytes" in trouble.message
        assert archive.open(other.SOPInstanceUID).PatientName == "OTHER^NAME"
        assert len(archive.conflicts()) == 1
        assert content(archive.conflicts()[0].path) == content(files[4])
    assert "OTHER" not in repr(report) + report._repr_html_()


@pytest.mark.parametrize("method", WAYS)
def test_what_the_peer_does_not_have(full, method):
    running, _, datasets = full
    nothing = []
    refs = [StudyRef("1.2.3.4.5.6"), InstanceRef.of(datasets[3])]
    report = retrieve(running.peer, refs, into=nothing.append, method=method, move_port=running.move_port)
    assert len(report) == len(nothing) == 1
    assert not report.complete
    assert report.notes == ("The peer has nothing of study 1.2.3.4.5.6.",)


@pytest.mark.parametrize("method", WAYS)
def test_no_space_left_stops_and_is_told(full, method):
    running, _, datasets = full

    def into(data):
        raise StorageFull("No space is left.")

    report = retrieve(running.peer, study_of(datasets[0]), into=into, method=method, move_port=running.move_port)
    assert not report.complete
    assert len(report) == 8
    assert {row.outcome for row in report} <= {"failed", "missing"}
    assert any("No space is left" in row.message for row in report)


@pytest.mark.parametrize("method", WAYS)
def test_the_caller_cancels(full, method):
    running, _, datasets = full
    came = []
    report = retrieve(
        running.peer,
        sorted({study_of(d) for d in datasets}),
        into=came.append,
        method=method,
        move_port=running.move_port,
        cancel=lambda: len(came) > 0,
    )
    assert report.cancelled
    assert not report.complete
    outcomes = report.counts()
    assert outcomes["retrieved"] == len(came) >= 1
    assert len(report) == len(datasets)
    assert all("cancelled" in row.message for row in report if row.outcome == "missing")


def test_dcmqrscp_lets_one_of_eight_go_and_the_row_says_so(dcmqrscp, program, tmp_path):
    """S02: dcmqrscp delivers 7 of 8 -> the eighth has a row that says so, and the report is not complete."""
    datasets = list(ct_series(8, rows=16))
    datasets[7].SOPClassUID = datasets[7].file_meta.MediaStorageSOPClassUID = PARAMETRIC_MAP
    files = written(tmp_path / "made", datasets)
    send(program, dcmqrscp.peer, files)
    with Archive(tmp_path / "archive") as archive:
        report = retrieve(dcmqrscp.peer, study_of(datasets[0]), into=archive, method="move", move_port=dcmqrscp.move_port)
        assert archive.counts().instances == 7
    assert not report.complete
    assert report.counts()["retrieved"] == 7
    (trouble,) = report.troubles
    assert trouble.sop_instance_uid == datasets[7].SOPInstanceUID
    assert trouble.status == 0xB000
    assert "one or more failures" in trouble.message
    with Archive(tmp_path / "got") as archive:
        got = retrieve(dcmqrscp.peer, study_of(datasets[0]), into=archive, method="get")
        assert got.complete, got.troubles
        for path, dataset in zip(files, datasets, strict=True):
            assert content(archive.path(InstanceRef.of(dataset))) == content(path)


def test_a_destination_that_the_peer_does_not_know(dcmqrscp, orthanc_module, full, program, tmp_path):
    """S04: C-MOVE to a destination that the peer does not know -> an error that names our AE title and what to do."""
    datasets = list(ct_series(1, rows=16))
    send(program, dcmqrscp.peer, written(tmp_path / "made", datasets))
    remedy = r"0xA801.*peer must know our AE title 'STRANGER' at this machine's address and port \d+.*move_port="
    with pytest.raises(StatusFailure, match=remedy) as caught:
        retrieve(dcmqrscp.peer.but(calling_ae_title="STRANGER"), study_of(datasets[0]), into=print, method="move")
    assert caught.value.status == 0xA801
    with pytest.raises(StatusFailure, match=r"C-MOVE.*peer must know our AE title 'STRANGER'"):
        retrieve(orthanc_module.peer.but(calling_ae_title="STRANGER"), study_of(full[2][0]), into=print, method="move")


def test_a_destination_that_the_peer_cannot_reach(dcmqrscp, program, tmp_path, free_port):
    """S04: C-MOVE to a destination that does not answer -> an error, and no hang."""
    datasets = list(ct_series(1, rows=16))
    send(program, dcmqrscp.peer, written(tmp_path / "made", datasets))
    with pytest.raises(StatusFailure, match="C-MOVE with status"):
        retrieve(dcmqrscp.peer, study_of(datasets[0]), into=print, method="move", move_port=free_port())


def test_the_way_is_chosen_by_the_peer(full):
    running, _, datasets = full
    came = []
    by = {}
    for peer in (running.peer, running.peer.but(web_url=""), running.peer.but(retrieve_by="move")):
        report = retrieve(peer, study_of(datasets[-1]), into=came.append, move_port=running.move_port)
        assert report.complete
        by[report.method] = peer
    assert list(by) == ["web", "get", "move"]


def test_a_peer_without_c_get(storescp):
    with pytest.raises(ContextRejected, match=r"Study Root"):
        retrieve(storescp().peer, StudyRef("1.2.3"), into=print, method="get")


def test_refusals(full, free_port):
    running, *_ = full
    with pytest.raises(AssociationRejected, match="called AE title"):
        retrieve(running.peer.but(ae_title="OTHER"), StudyRef("1.2.3"), into=print, method="get")
    for method in WAYS:
        peer = running.peer.but(port=free_port(), web_url=f"http://127.0.0.1:{free_port()}/x")
        with pytest.raises(PeerUnreachable):
            retrieve(peer, StudyRef("1.2.3"), into=print, method=method)


def test_threads_end(full):
    running, _, datasets = full
    before = threading.active_count()
    for method in WAYS:
        retrieve(running.peer, study_of(datasets[-1]), into=lambda data: None, method=method, move_port=running.move_port)
    assert threading.active_count() <= before


@pytest.mark.slow
@pytest.mark.parametrize("method", WAYS)
def test_a_large_instance_takes_no_memory(orthanc_module, program, tmp_path, method):
    """N21: a large instance is retrieved -> all of its bytes, in little memory."""
    psutil = pytest.importorskip("psutil")
    big = next(iter(ct_series(1, rows=16)))
    size = 300_000_000
    big.NumberOfFrames, big.Rows, big.Columns = size // (1000 * 1000 * 2), 1000, 1000
    big.PixelData = bytes(size)
    (path,) = written(tmp_path / "made", [big])
    if method == WAYS[0]:
        send(program, orthanc_module.peer, [path])
    reference = InstanceRef.of(big)
    del big
    process, most, ended = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch():
        while not ended.wait(0.02):
            most[0] = max(most[0], process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with Archive(tmp_path / "archive") as archive:
            report = retrieve(orthanc_module.peer, reference, into=archive, method=method, move_port=orthanc_module.move_port)
            assert report.complete, report.troubles
            kept = archive.path(reference)
            ended.set()
            watcher.join()
            assert most[0] < 100_000_000
            assert report[0].size_bytes == Part10.locate(path).dataset_bytes
            assert content(kept) == content(path)
    finally:
        ended.set()
        watcher.join()
