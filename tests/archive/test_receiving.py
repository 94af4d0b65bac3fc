"""Receiving: what may come in, what is refused, and that a refusal leaves nothing behind."""

import itertools
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedSRStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from workbench.archive import Archive
from workbench.errors import ArchiveError, AttributeUnusable, DatasetIncomplete, InstanceConflict, StorageFull, UidInvalid
from workbench.files import Part10


def listing(root: Path) -> set[str]:
    return {
        str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and "index.sqlite" not in p.name and p.suffix != ".lock"
    }


def send(archive, encoded, *, pieces=7, **announced):
    receiving = archive.receiving(**(encoded.announced | announced), source_ae_title="SENDER")
    step = max(1, len(encoded.dataset) // pieces)
    for start in range(0, len(encoded.dataset), step):
        receiving.write(memoryview(encoded.dataset)[start : start + step])
    return receiving.commit()


@pytest.mark.parametrize("uid", ["../../x", "/etc/x", "..", "", "1" * 65, "1.02.3", "1.2\x00", "1.2\n", "CON", "1.2.3/", "１.2"])
def test_a_uid_that_is_none_never_touches_the_disk(tmp_path, uid):
    root = tmp_path / "archive"
    with Archive(root) as archive:
        before = listing(tmp_path)
        with pytest.raises(UidInvalid, match=r"PS3.5 9.1"):
            archive.receiving(sop_class_uid=CTImageStorage, sop_instance_uid=uid, transfer_syntax_uid=ExplicitVRLittleEndian)
        with pytest.raises(UidInvalid):
            archive.receiving(sop_class_uid=CTImageStorage, sop_instance_uid="1.2", transfer_syntax_uid=uid)
        assert listing(tmp_path) == before


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_every_encoding_is_read_for_the_index_and_kept_as_it_came(tmp_path, instance, encode, syntax):
    dataset = instance()
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = bytes(32)
    encoded = encode(dataset, transfer_syntax_uid=syntax)
    with Archive(tmp_path) as archive:
        ref = send(archive, encoded)
        path = archive.path(ref)
        assert path.read_bytes()[Part10.locate(path).dataset_offset :] == encoded.dataset
        (row,) = archive.table("IMAGE").to_dict("records")
    assert (row["Rows"], row["InstanceNumber"], row["AvailableTransferSyntaxUID"]) == ("4", "1", syntax)
    assert (ref.study_instance_uid, ref.series_instance_uid) == ("1.2.3.1", "1.2.3.1.1")


@pytest.mark.parametrize("announced", [{"sop_instance_uid": "1.2.3.9"}, {"sop_class_uid": EnhancedSRStorage}])
def test_a_dataset_that_is_not_the_announced_one_is_refused(tmp_path, instance, encode, announced):
    with Archive(tmp_path) as archive:
        with pytest.raises(AttributeUnusable, match="not the one announced"):
            send(archive, encode(instance()), **announced)
        assert len(archive) == 0
        assert listing(tmp_path) == set()


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_a_dataset_that_is_cut_inside_an_element_is_refused(tmp_path, instance, encode, syntax):
    dataset = instance()
    dataset.ReferencedStudySequence = [instance(5), instance(6)]
    encoded = encode(dataset, transfer_syntax_uid=syntax)
    whole = encoded.dataset
    with Archive(tmp_path) as archive:
        for cut in range(1, len(whole) - 1, 37):
            receiving = archive.receiving(**encoded.announced)
            receiving.write(whole[:cut])
            with pytest.raises((DatasetIncomplete, AttributeUnusable)):  # a cut between two elements lacks the UIDs or pixels
                receiving.commit()
        assert len(archive) == 0
        assert listing(tmp_path) == set()


def test_nothing_at_all_is_refused(tmp_path, instance, encode):
    with Archive(tmp_path) as archive, pytest.raises(DatasetIncomplete, match="without a dataset"):
        archive.receiving(**encode(instance()).announced).commit()


def test_what_is_discarded_leaves_nothing(tmp_path, instance, encode):
    encoded = encode(instance(PixelData=bytes(3 << 20), Rows=1024, Columns=1536))
    with Archive(tmp_path) as archive:
        with archive.receiving(**encoded.announced) as receiving:
            for start in range(0, 2 << 20, 1 << 16):
                receiving.write(encoded.dataset[start : start + (1 << 16)])
            assert len(listing(tmp_path)) == 1  # on its way
        assert listing(tmp_path) == set()
        assert len(archive) == 0


def test_many_threads_that_send_the_same_and_different_instances(tmp_path, instance, encode):
    """Eight threads: everyone sends 25 instances of its own, one that all send, and one in which all differ."""
    outcomes: list[str] = []
    shared = encode(instance(999))
    with Archive(tmp_path) as archive:

        def work(number: int) -> None:
            for k in range(25):
                send(archive, encode(instance(k, series=number)))
            send(archive, shared)
            try:
                send(archive, encode(instance(998, PatientComments=f"variant {number}")))
                outcomes.append("stored")
            except InstanceConflict:
                outcomes.append("conflict")

        threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(archive) == 8 * 25 + 2
        assert sorted(outcomes) == ["conflict"] * 7 + ["stored"]
        assert len(archive.conflicts()) == 7
        assert [f for f in archive.verify() if f.severity == "error"] == []


def test_the_same_bytes_in_another_transfer_syntax_are_other_bytes(tmp_path, instance, encode):
    encoded = encode(instance())
    with Archive(tmp_path) as archive:
        send(archive, encoded)
        with pytest.raises(InstanceConflict):
            send(archive, encode(instance(), transfer_syntax_uid=ImplicitVRLittleEndian))


def test_a_damaged_file_makes_way_for_the_instance_that_comes_again(tmp_path, instance, encode):
    encoded = encode(instance())
    with Archive(tmp_path) as archive:
        ref = send(archive, encoded)
        path = archive.path(ref)
        os.truncate(path, path.stat().st_size - 5)
        assert [f.severity for f in archive.verify()] == ["error"]
        assert send(archive, encoded) == ref
        assert archive.verify() == ()
        assert archive.conflicts() == ()


# ---------------------------------------------------------------- no space left
FULL = """
import resource, sys
from workbench.archive import Archive
from workbench.errors import StorageFull
from tests_archive_conftest import instance, encode
root = sys.argv[1]
small, large = encode(instance(1)), encode(instance(2, Rows=1024, Columns=2048, PixelData=bytes(4 << 20)))
with Archive(root) as archive:
    def send(encoded):
        with archive.receiving(**encoded.announced) as receiving:
            for start in range(0, len(encoded.dataset), 100_000):
                receiving.write(encoded.dataset[start:start + 100_000])
            return receiving.commit()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 21, hard))
    try:
        send(large)
    except StorageFull as error:
        print("refused:", error)
    send(small)
    print("counted:", len(archive))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    send(large)
    print("counted:", len(archive))
"""


def test_a_file_size_limit_is_a_full_device_and_passes(tmp_path):
    (tmp_path / "tests_archive_conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "a")],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(tmp_path)}, timeout=60,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0].startswith("refused: No space is left to store instance 1.2.3.1.1.2; nothing was kept")
    assert lines[1:] == ["counted: 1", "counted: 2"]


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root; the limit on file sizes is tested above.")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_refuses_keeps_nothing_and_recovers(small_disk, instance, encode):
    large = {k: encode(instance(k, Rows=512, Columns=768, PixelData=bytes(768 << 10))) for k in range(6)}
    with Archive(small_disk / "archive") as archive:
        stored = []
        for k, encoded in large.items():
            try:
                send(archive, encoded)
                stored.append(k)
            except StorageFull as error:
                assert "nothing was kept" in str(error)  # noqa: PT017
        assert stored == list(range(len(stored)))
        assert 1 <= len(stored) < 6
        assert listing(small_disk / "archive") == {
            str(archive.path(large[k].sop_instance_uid).relative_to(archive.root)) for k in stored
        }
        archive.path(large[0].sop_instance_uid).unlink()  # space returns
        send(archive, large[5])
        assert archive.open(large[5].sop_instance_uid).Columns == 768


def test_a_large_instance_takes_little_memory(tmp_path, instance, encode):
    """2.1 GiB of zeros in pieces of 1 MiB; PixelData says its length in 32 bits."""
    if os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize < 5 << 30:
        pytest.skip("needs 5 GiB of disk space")
    encoded = encode(instance())
    size = (2 << 30) + (100 << 20)
    head = encoded.dataset[: -32 - 4] + size.to_bytes(4, "little")
    piece = bytes(1 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Archive(tmp_path) as archive:
        receiving = archive.receiving(**encoded.announced)
        receiving.write(head)
        for _ in range(size >> 20):
            receiving.write(piece)
        ref = receiving.commit()
        assert archive.path(ref).stat().st_size > size
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kb < 100_000
        archive.remove(ref)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 2_500_000), max_size=12))
def test_any_cutting_into_pieces_gives_the_same_bytes(tmp_path, instance, encode, cuts):
    """Pieces below, at and above what is gathered in memory; the sender's buffer is used again at once."""
    encoded = encode(instance(1, Rows=1000, Columns=1250, PixelData=bytes(range(250)) * 10_000))
    whole = encoded.dataset
    with Archive(tmp_path) as archive:
        receiving = archive.receiving(**encoded.announced)
        for start, end in itertools.pairwise([0, *sorted(cuts), len(whole)]):
            piece = bytearray(whole[start:end])
            receiving.write(memoryview(piece))
            piece[:] = bytes(len(piece))
        path = archive.path(receiving.commit())
        assert path.read_bytes()[Part10.locate(path).dataset_offset :] == whole


def test_a_finished_or_closed_receiving_says_so(tmp_path, instance, encode):
    encoded = encode(instance())
    archive = Archive(tmp_path)
    receiving, late = archive.receiving(**encoded.announced), archive.receiving(**encoded.announced)
    receiving.write(encoded.dataset)
    receiving.commit()
    with pytest.raises(ArchiveError, match="already committed"):
        receiving.write(b"more")
    with pytest.raises(ArchiveError, match="already committed"):
        receiving.commit()
    late.write(encoded.dataset)
    archive.close()
    with pytest.raises(ArchiveError):
        late.commit()
    with Archive(tmp_path) as again:
        assert len(again) == 1
