"""What was acknowledged survives kill -9; what was not leaves nothing; a living neighbour is left alone."""

import contextlib
import errno
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.archive import Archive
from workbench.archive._index import Index
from workbench.archive._shelf import Shelf
from workbench.errors import ArchiveError, InstanceConflict, StorageFull

WRITER = """
import sys, threading
sys.path.insert(0, sys.argv[3])
from archive_test_instances import instance, encode
from workbench.archive import Archive
archive = Archive(sys.argv[1])
turn = int(sys.argv[2])
lock = threading.Lock()
def work(series):
    k = 0
    while True:
        k += 1
        encoded = encode(instance(k, series=series, study=turn, Rows=256, Columns=256, PixelData=bytes([k % 256]) * (128 << 10)))
        receiving = archive.receiving(**encoded.announced)
        for start in range(0, len(encoded.dataset), 20_000):
            receiving.write(encoded.dataset[start:start + 20_000])
        receiving.commit()
        with lock:
            sys.stdout.write(encoded.sop_instance_uid + chr(10))
            sys.stdout.flush()
large = encode(instance(1, series=77, study=turn, PixelData=bytes(4 << 20), Rows=1024, Columns=2048))
half = archive.receiving(**large.announced)      # for ever on its way
half.write(large.dataset[: 3 << 20])
for series in (1, 2):
    threading.Thread(target=work, args=(series,), daemon=True).start()
threading.Event().wait()
"""


@pytest.fixture
def helper_folder(tmp_path) -> Path:
    folder = tmp_path / "helpers"
    folder.mkdir()
    (folder / "archive_test_instances.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    return folder


def start(root: Path, turn: int, helper_folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), str(turn), str(helper_folder)], stdout=subprocess.PIPE, text=True
    )


def acknowledged_until_killed(process: subprocess.Popen[str], count: int) -> set[str]:
    lines = []
    for line in process.stdout:
        lines.append(line)
        if len(lines) >= count:
            break
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=20)
    lines += rest.splitlines(keepends=True)
    return {line.strip() for line in lines if line.endswith("\n")}


def test_kill_9_in_the_middle_of_transfers_again_and_again(tmp_path, helper_folder):
    root = tmp_path / "archive"
    acknowledged: set[str] = set()
    for turn in range(1, 7):
        process = start(root, turn, helper_folder)
        acknowledged |= acknowledged_until_killed(process, 10 + 13 * turn)
        with Archive(root) as archive:
            assert not [p for p in (root / "incoming").rglob("*") if p.is_file() and p.suffix != ".lock"]
            assert acknowledged <= {ref.sop_instance_uid for ref in archive}
            assert archive.verify() == ()
            assert len(list((root / "objects").rglob("*.dcm"))) == len(archive)
    assert len(acknowledged) >= 6 * 20


def test_a_second_archive_on_the_same_root_harms_nobody(tmp_path, helper_folder, instance, encode):
    """While one process receives, another opens, reads, writes, sweeps and closes."""
    root = tmp_path / "archive"
    process = start(root, 1, helper_folder)
    first = process.stdout.readline().strip()
    for turn in range(5):
        with Archive(root) as archive:
            assert archive.path(first).exists()
            encoded = encode(instance(turn, study=9))
            with archive.receiving(**encoded.announced) as receiving:
                receiving.write(encoded.dataset)
                receiving.commit()
            assert list((root / "incoming").glob(f"{process.pid}-*/*"))  # its unfinished files are still there
    acknowledged = {first} | acknowledged_until_killed(process, 10)
    with Archive(root) as archive, Archive(root) as other:
        assert acknowledged <= {ref.sop_instance_uid for ref in archive}
        assert len(other) == len(archive)
        assert archive.verify() == ()
        assert len(archive.references(next(iter(archive)))) == 1


def test_an_index_that_is_gone_is_built_again(tmp_path, instance):
    with Archive(tmp_path) as archive:
        refs = {archive.add(instance(k)) for k in range(20)}
        other = instance(3, PatientComments="other")
        with pytest.raises(ArchiveError):
            archive.add(other)
        conflicts = archive.conflicts()
    for path in tmp_path.glob("index.sqlite*"):
        path.unlink()
    with Archive(tmp_path) as archive:
        assert set(archive) == refs
        assert [c.other_sha256 for c in archive.conflicts()] == [c.other_sha256 for c in conflicts]


@pytest.mark.parametrize("is_index_gone", [True, False])
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_an_index_whose_building_is_interrupted_is_built_at_the_next_opening(
    tmp_path, instance, monkeypatch, interruption, is_index_gone
):
    with Archive(tmp_path / "a") as archive:
        wanted = {archive.add(instance(number)).sop_instance_uid for number in range(1, 9)}
    if is_index_gone:
        for path in (tmp_path / "a").glob("index.sqlite*"):
            path.unlink()
    else:  # as after a process that died before its rows were written
        with contextlib.closing(sqlite3.connect(tmp_path / "a" / "index.sqlite")) as connection:
            connection.execute("DELETE FROM instances")
            connection.commit()
        (tmp_path / "a" / "incoming" / "1-dead.lock").touch()
    read, number = Shelf._row_of, itertools.count()

    def interrupted(self: Shelf, path: Path) -> object:
        if next(number) == 3:
            raise interruption
        return read(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(Shelf, "_row_of", interrupted)
        with pytest.raises(interruption):
            Archive(tmp_path / "a")
    with Archive(tmp_path / "a") as archive:
        assert {ref.sop_instance_uid for ref in archive} == wanted
        assert archive.verify() == ()
    assert not list((tmp_path / "a" / "incoming").iterdir())


def test_an_index_that_was_made_and_never_filled_is_filled(tmp_path, instance):
    with Archive(tmp_path / "a") as archive:
        ref = archive.add(instance())
    for path in (tmp_path / "a").glob("index.sqlite*"):
        path.unlink()
    Index(tmp_path / "a" / "index.sqlite", every_commit_durable=False).close()  # and the process ends, without a lock
    with Archive(tmp_path / "a") as archive:
        assert list(archive) == [ref]


def test_a_damaged_index_says_what_to_do(tmp_path, instance):
    with Archive(tmp_path) as archive:
        archive.add(instance())
    (tmp_path / "index.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(ArchiveError, match=r"is damaged\. Remove it"):
        Archive(tmp_path)


def test_an_index_of_a_later_version_is_left_alone(tmp_path):
    Archive(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "index.sqlite")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(ArchiveError, match="version 99"):
        Archive(tmp_path)


def test_verify_tells_what_is_missing_and_what_is_broken(tmp_path, instance):
    with Archive(tmp_path) as archive:
        refs = [archive.add(instance(k)) for k in range(4)]
        archive.path(refs[0]).unlink()
        os.truncate(archive.path(refs[1]), 600)
        stray = archive.path(refs[2])
        archive.path(refs[3]).write_bytes(stray.read_bytes())
        findings = {f.path: f.message for f in archive.verify().errors}
    assert findings[refs[0].sop_instance_uid] == "The index has this instance, but its file is gone."
    assert "can't be read" in findings[refs[1].sop_instance_uid]
    assert "can't be read (ArchiveError)" in findings[refs[3].sop_instance_uid]
    assert len(findings) == 3


def test_a_root_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveError, match="can't be used as an archive"):
        Archive(tmp_path / "file")


def test_a_closed_archive_says_so(tmp_path):
    archive = Archive(tmp_path)
    archive.close()
    archive.close()
    with pytest.raises(ArchiveError, match="closed"):
        archive.counts()
    assert list((tmp_path / "incoming").iterdir()) == []


def test_power_durability_stores_too(tmp_path, instance):
    with Archive(tmp_path, durability="power") as archive:
        ref = archive.add(instance())
        assert archive.open(ref).InstanceNumber == 1
    with pytest.raises(ValueError, match="'process' or 'power'"):
        Archive(tmp_path, durability="never")


def test_an_index_that_has_no_space_waits_and_nothing_is_lost(tmp_path, instance):
    """SQLite's own limit on pages gives its own error for a full disk."""
    archive = Archive(tmp_path)
    archive._shelf.index._writer.execute("PRAGMA max_page_count=1")
    refs = [archive.add(instance(k, study=k, ImageComments="x" * 10_000)) for k in range(20)]
    with pytest.raises(StorageFull, match="No space is left for the index"):
        archive.counts()
    assert archive.open(refs[7]).InstanceNumber == 7  # files are there all the same
    archive._shelf.index._writer.execute("PRAGMA max_page_count=1000000")
    assert len(archive) == 20
    archive._shelf.index._writer.execute("PRAGMA max_page_count=1")
    refs += [archive.add(instance(k, study=k, ImageComments="x" * 10_000)) for k in range(20, 40)]
    with pytest.raises(StorageFull):
        archive.close()
    with Archive(tmp_path) as again:
        assert set(again) == set(refs)
        assert again.verify() == ()


def test_a_file_system_without_hard_links(tmp_path, instance, monkeypatch):
    def no_link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    with Archive(tmp_path) as archive:
        ref = archive.add(instance(1))
        assert archive.add(instance(1)) == ref
        with pytest.raises(InstanceConflict):
            archive.add(instance(1, PatientComments="other"))
        assert archive.verify().errors == ()


def test_a_fork_that_ends_leaves_its_parents_archive_alone(tmp_path, instance):
    with Archive(tmp_path) as archive:
        archive.add(instance(1))
        assert len(archive) == 1
        child = os.fork()
        if child == 0:
            archive._shelf.store.end()
            os._exit(0)
        os.waitpid(child, 0)
        assert list((tmp_path / "incoming").glob(f"{os.getpid()}-*.lock"))
        archive.add(instance(2, Rows=1024, Columns=2048, PixelData=bytes(4 << 20)))
        assert len(archive) == 2


def test_a_sender_whose_title_is_none_is_left_out(tmp_path, instance, encode):
    encoded = encode(instance(1))
    with Archive(tmp_path) as archive:
        receiving = archive.receiving(**encoded.announced, source_ae_title="much too long to be a title")
        receiving.write(encoded.dataset)
        assert "SourceApplicationEntityTitle" not in archive.open(receiving.commit()).file_meta


OPENER = """
import sys
sys.path.insert(0, sys.argv[2])
from archive_test_instances import instance
from workbench.archive import Archive
sys.stdin.readline()
for turn in range(10):
    with Archive(sys.argv[1]) as archive:
        archive.add(instance(turn, study=int(sys.argv[3])))
"""


def test_many_processes_that_open_and_close_a_new_archive_at_once(tmp_path, helper_folder):
    root = tmp_path / "archive"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(root), str(helper_folder), str(n)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(1, 5)
    ]  # fmt: skip
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 4
    with Archive(root) as archive:
        assert len(archive) == 40
        assert archive.verify() == ()
    assert list((root / "incoming").iterdir()) == []
