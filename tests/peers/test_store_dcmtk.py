"""Storing at DCMTK's storescp: what arrives, and what its faults bring about."""

import contextlib
import csv
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from workbench import files, phantoms
from workbench.entities import Peer, Timeouts
from workbench.network.store import Retry, StoreOutcome, store

ONCE = Retry(attempts=1)
SOON = Retry(attempts=3, first_wait_s=0.02)
PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
LOSSLESS = [RLELossless, JPEG2000Lossless, JPEGLSLossless]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Five small CT files."""
    (tmp_path / "ct").mkdir()
    return [files.save(ct, tmp_path / "ct" / f"{k}.dcm") for k, ct in enumerate(phantoms.ct_series(5, rows=32, columns=32))]


def dataset_bytes(path: Path) -> bytes:
    return path.read_bytes()[files.Part10.locate(path).dataset_offset :]


def received(running) -> dict[str, Path]:
    """Received files by SOP Instance UID."""
    found = (running.folder / "received").iterdir()
    return {files.Part10.locate(path).sop_instance_uid: path for path in found}


def in_syntax(path: Path, uid, target: Path) -> Path:
    """Write what is in `path` in another transfer syntax."""
    if uid == ExplicitVRBigEndian:  # by another maker, so that byte order is not judged by who wrote it
        subprocess.run(["/usr/bin/dcmconv", "+tb", path, target], check=True)
        return target
    dataset = dcmread(path)
    if uid.is_compressed and uid != DeflatedExplicitVRLittleEndian:
        dataset.compress(uid, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = uid
    dataset.save_as(target, implicit_vr=uid.is_implicit_VR, little_endian=uid.is_little_endian, enforce_file_format=True)
    return target


@pytest.mark.parametrize("uid", PLAIN + LOSSLESS, ids=lambda uid: uid.keyword)
def test_an_instance_arrives_byte_for_byte_in_its_own_syntax(uid, paths, storescp, tmp_path):
    path = in_syntax(paths[0], uid, tmp_path / "x.dcm")
    running = storescp("+xa", "+B")
    report = store(running.peer, [path])
    assert [row.outcome for row in report] == [StoreOutcome.STORED], report[0].message
    assert report[0].sent_transfer_syntax_uid == report[0].transfer_syntax_uid == uid
    (arrived,) = received(running).values()
    assert files.Part10.locate(arrived).transfer_syntax_uid == uid
    assert dataset_bytes(arrived) == dataset_bytes(path)
    assert report[0].size_bytes == len(dataset_bytes(path))


@pytest.mark.parametrize("uid", [*PLAIN[2:], *LOSSLESS], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("switch", ["+xe", "+xi"])  # prefers explicit; takes implicit only
def test_what_the_peer_does_not_take_is_recoded_without_loss(uid, switch, paths, storescp, tmp_path):
    path = in_syntax(paths[0], uid, tmp_path / "x.dcm")
    running = storescp(*(["+xi"] if switch == "+xi" else []))
    report = store(running.peer, [path])
    if uid == ExplicitVRBigEndian and switch == "+xe":
        assert report[0].sent_transfer_syntax_uid == uid  # storescp takes all three uncompressed ones
    else:
        assert report[0].sent_transfer_syntax_uid == (ImplicitVRLittleEndian if switch == "+xi" else ExplicitVRLittleEndian)
        assert "Sent in" in report[0].message
    assert report.complete, report[0].message
    (arrived,) = received(running).values()
    came, truth = dcmread(arrived), dcmread(paths[0])
    assert np.array_equal(came.pixel_array, truth.pixel_array)
    pixels = ("PixelData",)
    for dataset in (came, truth):
        for keyword in pixels:
            del dataset[keyword]
    assert {str(e.tag): e.value for e in came} == {str(e.tag): e.value for e in truth}


def test_without_recoding_it_is_refused_and_says_so(paths, storescp, tmp_path):
    compressed = in_syntax(paths[0], JPEG2000Lossless, tmp_path / "x.dcm")
    running = storescp("+xi")
    report = store(
        running.peer, [paths[1], compressed, in_syntax(paths[2], ImplicitVRLittleEndian, tmp_path / "i.dcm")], transcode="never"
    )
    assert [row.outcome for row in report] == ["refused", "refused", "stored"]
    assert "transcode='lossless'" in report[1].message
    assert not report.complete
    assert len(received(running)) == 1


def test_a_private_syntax_goes_verbatim_or_not_at_all(paths, storescp, tmp_path):
    path = tmp_path / "private.dcm"
    data, place = paths[0].read_bytes(), files.Part10.locate(paths[0])
    path.write_bytes(
        files.meta_bytes(place.sop_class_uid, place.sop_instance_uid, "1.3.46.670589.33.1.4.1") + data[place.dataset_offset :]
    )
    running = storescp("+xa")
    report = store(running.peer, [path, paths[1]])
    assert [row.outcome for row in report] == ["refused", "stored"]
    assert "verbatim or not at all" in report[0].message


def test_datasets_bytes_and_located_files_are_sources_too(paths, storescp):
    running = storescp()
    dataset = phantoms.ct_series(5, rows=32, columns=32)[0]
    before = dataset.to_json()
    report = store(running.peer, [dataset, paths[1].read_bytes(), files.Part10.locate(paths[2]), str(paths[3])])
    assert report.complete, report.troubles
    assert dataset.to_json() == before
    assert len(received(running)) == 4
    assert np.array_equal(dcmread(received(running)[dataset.SOPInstanceUID]).pixel_array, dataset.pixel_array)


def test_bad_sources_are_refused_and_the_others_go(paths, storescp, tmp_path):
    running = storescp()
    text, cut, nothing = tmp_path / "note.txt", tmp_path / "cut.dcm", tmp_path / "empty.dcm"
    text.write_text("not DICOM at all")
    cut.write_bytes(paths[0].read_bytes()[:-100])
    nothing.write_bytes(b"")
    nameless = dcmread(paths[0])
    del nameless.SOPInstanceUID
    evil = dcmread(paths[0])
    evil.SOPInstanceUID = "../../etc/x"
    sources = [text, paths[1], cut, nothing, tmp_path / "absent.dcm", nameless, evil, tmp_path, 7, paths[2]]
    report = store(running.peer, sources)
    assert [row.outcome for row in report] == ["refused", "stored", *["refused"] * 7, "stored"]
    words = [
        "not DICOM",
        "Stored",
        "ends too early",
        "empty",
        "no such file",
        "SOP Instance UID",
        "not a valid UID",
        "directory",
        "not int",
    ]
    for row, word in zip(report, words, strict=False):
        assert word in row.message, row
    assert "etc" not in report[6].message
    assert len(received(running)) == 2


def test_more_than_128_contexts_take_several_associations(storescp, tmp_path):
    instances = []
    for number, syntax in enumerate([*PLAIN, *LOSSLESS] * 20):
        dataset = phantoms.ct_series(1, rows=64, columns=64, seed=number)[0]
        dataset.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{number // 7 + 1}.999"
        path = files.save(dataset, tmp_path / f"{number}.dcm")
        instances.append(in_syntax(path, syntax, path))
    running = storescp("+xa", "-pm")
    report = store(running.peer, instances)
    assert report.complete, report.troubles
    assert len(received(running)) == len(report) == 140
    assert running.log.count("Association Received") == 2 + 1  # 20 classes in 7 syntaxes; one is the fixture's probe


def test_progress_counts_every_source_once(paths, storescp, tmp_path):
    seen: list[tuple[int, int]] = []
    store(storescp().peer, [tmp_path / "absent", *paths], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 6) for k in range(1, 7)]


def test_several_associations_share_the_work(paths, storescp):
    running = storescp()
    report = store(running.peer, paths * 8, associations=3)
    assert report.complete
    assert len(report) == 40
    assert [row.source for row in report] == [str(path) for path in paths] * 8


def test_cancelled_before_the_end_keeps_what_was_done(paths, storescp):
    running = storescp()
    done: list[int] = []
    report = store(running.peer, paths, progress=lambda n, _: done.append(n), cancel=lambda: len(done) >= 2)
    outcomes = [row.outcome for row in report]
    assert outcomes.count("stored") in {2, 3}
    assert set(outcomes) == {"stored", "failed"}
    assert "cancelled" in report[-1].message
    assert len(received(running)) == outcomes.count("stored")


# ------------------------------------------------------------ faults (DCMTK's own switches)


def test_a_peer_that_refuses(paths, storescp):
    """S01: storescp refuses the association -> told as refused."""
    running = storescp("--refuse")
    began = time.monotonic()
    report = store(running.peer, paths, retry=SOON)
    assert [row.outcome for row in report] == ["failed"] * 5
    assert "rejected the association" in report[0].message
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("fault", ["--abort-after", "--abort-during"])
def test_a_peer_that_aborts_leaves_the_outcome_open(fault, paths, storescp):
    """S01: storescp aborts during or after a store -> the outcome is unknown, never success."""
    running = storescp(fault)
    report = store(running.peer, paths, retry=ONCE)
    outcomes = [row.outcome for row in report]
    assert outcomes.count("unknown") == 1
    assert outcomes.count("failed") == 4
    assert "may or may not be stored" in report[0].message
    assert "Not sent" in report[1].message


def test_a_peer_that_always_aborts_is_tried_as_often_as_was_said(paths, storescp):
    running = storescp("--abort-after")
    report = store(running.peer, paths, retry=SOON)
    assert [row.outcome for row in report] == ["unknown"] * 3 + ["failed"] * 2
    assert running.log.count("Association Received") == 3 + 1  # and the fixture's probe


def test_a_peer_that_is_slower_than_our_patience_leaves_the_outcome_open(paths, storescp):
    """S01: storescp sleeps longer than our time limit -> the outcome is unknown, never success."""
    running = storescp("--sleep-during", "6")
    peer = running.peer.but(timeouts=Timeouts(dimse_s=0.5))
    began = time.monotonic()
    report = store(peer, paths[:2], retry=ONCE)
    assert [row.outcome for row in report] == ["unknown", "failed"]
    assert "silent for too long" in report[0].message
    assert time.monotonic() - began < 4


def test_a_peer_that_sleeps_in_the_middle_but_answers_in_time_has_stored(paths, storescp):
    report = store(storescp("--sleep-during", "1").peer, paths[:1])
    assert report.complete


def test_nobody_there(paths, free_port):
    report = store(Peer(name="x", ae_title="X", port=free_port()), paths, retry=SOON)
    assert [row.outcome for row in report] == ["failed"] * 5
    assert "Nothing listens" in report[0].message


# ------------------------------------------------------------ real objects


@pytest.mark.slow
def test_real_objects_arrive_byte_for_byte(corpus, storescp):
    """A peer that writes what it reads (+B) shows what was on the wire, whatever maker the object is from."""
    rows = csv.DictReader((corpus / "index.csv").open())
    paths = [
        corpus / row["path"] for row in rows if row["sop_class_uid"] and not row["path"].startswith(("dicomdir/", "malformed/"))
    ]
    running = storescp("+B", "+xa", "-pm")
    report = store(running.peer, [path for path in paths if path.is_file()])
    came = received(running)
    times = Counter(row.sop_instance_uid for row in report)  # some objects share a UID, and the later one is kept
    verbatim = [
        row
        for row in report
        if row.outcome == "stored" and row.sent_transfer_syntax_uid == row.transfer_syntax_uid and times[row.sop_instance_uid] == 1
    ]
    assert len(verbatim) > 200
    changed = [
        row.source
        for row in verbatim
        if dataset_bytes(came[row.sop_instance_uid])
        != dataset_bytes(Path(row.source))[: row.size_bytes].ljust(row.size_bytes, b"\0")
    ]
    assert changed == []
    assert {row.outcome for row in report} <= {"stored", "refused"}


# ------------------------------------------------------------ attempts


class Gate:
    """In front of a real peer: the first connections go wrong as told, the next ones reach it."""

    def __init__(self, port: int, behind: int, faults: list[str]) -> None:
        self.behind, self.faults, self.connections = behind, faults, 0
        self.server = socket.create_server(("127.0.0.1", port))
        self.server.settimeout(10)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                self.connections += 1
                fault = self.faults.pop(0) if self.faults else ""
                if fault == "abort":
                    connection.recv(65_536)
                    connection.sendall(b"\x07\0\0\0\0\x04\0\0\0\0")
                    connection.close()
                elif fault.startswith("reject"):
                    connection.recv(65_536)
                    connection.sendall(b"\x03\0\0\0\0\x04\0" + bytes(int(digit) for digit in fault.split()[1:]))
                    connection.recv(10)
                    connection.close()
                else:
                    other = socket.create_connection(("127.0.0.1", self.behind))
                    for a, b in ((connection, other), (other, connection)):
                        threading.Thread(target=self._pipe, args=(a, b, fault), daemon=True).start()

    def _pipe(self, a: socket.socket, b: socket.socket, fault: str) -> None:
        passed, limit = 0, int(fault.split()[1]) if fault.startswith("cut") else None
        with contextlib.suppress(OSError):
            while data := a.recv(4096):
                passed += len(data)
                if limit is not None and passed > limit:
                    break
                b.sendall(data)
        for end in (a, b):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Recorded(Retry):
    """Remembers the waits, and lets something happen at one of them."""

    waits: list[float] = []  # noqa: RUF012
    at: dict[int, object] = {}  # noqa: RUF012

    def wait_s(self, failures: int) -> float:
        wait = super().wait_s(failures)
        self.waits.append(wait)
        if failures in self.at:
            self.at[failures]()
        return wait


def recorded(at=None) -> Recorded:
    Recorded.waits, Recorded.at = [], at or {}
    return Recorded(attempts=3, first_wait_s=0.1)


def test_refused_then_aborted_then_stored_takes_exactly_three_attempts(paths, storescp, free_port):
    """S06: refused, then aborted, then well -> three attempts with growing waits; one instance at the peer."""
    running, port, gates = storescp(), free_port(), []
    retry = recorded({1: lambda: gates.append(Gate(port, running.peer.port, ["abort"]))})
    report = store(running.peer.but(port=port), paths[:1], retry=retry)
    assert report.complete, report[0].message
    assert gates[0].connections == 2  # and one before anything listened
    assert len(retry.waits) == 2
    assert 0.05 <= retry.waits[0] <= 0.1 <= retry.waits[1] <= 0.2
    assert len(received(running)) == 1


def test_waits_are_not_all_alike():
    """S06: the waits between attempts are jittered."""
    assert len({Retry().wait_s(3) for _ in range(20)}) > 10


def test_a_permanent_rejection_is_not_tried_again(paths, storescp, free_port):
    """S06: a permanent rejection -> one attempt."""
    running, port = storescp(), free_port()
    gate = Gate(port, running.peer.port, ["reject 1 1 7"] * 3)
    report = store(running.peer.but(port=port), paths, retry=recorded())
    assert gate.connections == 1
    assert [row.outcome for row in report] == ["failed"] * 5
    assert "called AE title not recognized" in report[0].message
    assert Recorded.waits == []


def test_a_transient_rejection_is_tried_again(paths, storescp, free_port):
    """S06: a transient rejection -> tried again."""
    running, port = storescp(), free_port()
    gate = Gate(port, running.peer.port, ["reject 2 3 2"])
    assert store(running.peer.but(port=port), paths, retry=recorded()).complete
    assert gate.connections == 2


@pytest.mark.parametrize("cut_bytes", [1000, 5000, 9000])
def test_a_connection_lost_in_the_middle_loses_nothing(cut_bytes, paths, storescp, free_port):
    """S06: the connection is lost at some byte -> all arrive, each once."""
    running, port = storescp(), free_port()
    gate = Gate(port, running.peer.port, [f"cut {cut_bytes}"])
    report = store(running.peer.but(port=port), paths, retry=recorded())
    assert report.complete, report.troubles
    assert gate.connections == 2
    assert len(received(running)) == 5


def test_one_instance_that_the_peer_does_not_survive_does_not_keep_the_others(paths, storescp, free_port, tmp_path):
    """The poison is larger than what the gate lets through, so that every attempt with it ends the connection."""
    big = files.save(phantoms.ct_series(1, rows=128, columns=128)[0], tmp_path / "big.dcm")
    running, port = storescp(), free_port()
    gate = Gate(port, running.peer.port, ["cut 30000"] * 20)
    report = store(running.peer.but(port=port), [big, *paths], retry=recorded())
    assert [row.outcome for row in report] == ["unknown", *["stored"] * 5]
    assert gate.connections <= 5
