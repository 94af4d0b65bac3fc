import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from workbench.errors import AttributeUnusable, StorageFull
from workbench.files import INCOMPLETE_FILES, Part10, UnfinishedFile, read, save, write_whole

OLD = b"what was there before"


def test_bytes_and_writers_arrive_whole(tmp_path):
    path = tmp_path / "a"
    assert write_whole(path, b"first") == path
    assert write_whole(path, lambda file: file.writelines([b"sec", b"ond"])) == path
    assert path.read_bytes() == b"second"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_permissions_follow_the_umask_or_what_was_asked(tmp_path):
    before = os.umask(0o027)
    try:
        assert write_whole(tmp_path / "a", b"").stat().st_mode & 0o777 == 0o640
        assert write_whole(tmp_path / "b", b"", mode=0o600).stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(errno.EIO, "broken")])
def test_a_writer_that_fails_leaves_nothing_and_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "a"
    path.write_bytes(OLD)

    def fail(file):
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        write_whole(path, fail)
    assert path.read_bytes() == OLD
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_an_existing_file_is_kept_where_asked(tmp_path):
    path = tmp_path / "a"
    write_whole(path, OLD, exist_ok=False)
    with pytest.raises(FileExistsError, match="exist_ok is False"):
        write_whole(path, b"new", exist_ok=False)
    assert path.read_bytes() == OLD
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_an_existing_file_is_kept_without_hard_links_too(tmp_path, monkeypatch):
    def no_links(source, target):
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a"
    write_whole(path, OLD, exist_ok=False)
    with pytest.raises(FileExistsError):
        write_whole(path, b"new", exist_ok=False)
    assert path.read_bytes() == OLD
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_folders_that_are_lacking_are_made(tmp_path):
    target = write_whole(tmp_path / "a" / "b" / "file", b"x")
    assert target.read_bytes() == b"x"


def test_a_folder_that_can_not_be_made_is_an_error(tmp_path):
    (tmp_path / "a").write_bytes(b"in the way")
    with pytest.raises(OSError, match="a"):
        write_whole(tmp_path / "a" / "file", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@contextlib.contextmanager
def full_disk():
    """Files of this process can't grow beyond 4 kB: what the system says then is EFBIG.

    Only within a block: the limit holds for the report of the tests too.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_growing_file_is_named_when_it_is_whole(tmp_path):
    file = UnfinishedFile(tmp_path / "new")
    file.write(b"one ")
    file.write(memoryview(b"two"))
    assert file.path.match(INCOMPLETE_FILES)
    assert file.complete().read_bytes() == b"one two"
    assert file.publish(tmp_path / "new" / "below" / "a") == tmp_path / "new" / "below" / "a"
    file.discard()
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()] == ["new/below/a"]
    assert (tmp_path / "new" / "below" / "a").read_bytes() == b"one two"


def test_a_growing_file_takes_no_name_that_is_taken_and_leaves_nothing(tmp_path):
    (tmp_path / "a").write_bytes(OLD)
    file = UnfinishedFile(tmp_path)
    file.write(b"new")
    with pytest.raises(FileExistsError):
        file.publish(tmp_path / "a", exist_ok=False)
    assert file.path.read_bytes() == b"new"
    file.discard()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == OLD


def test_a_growing_file_for_which_there_is_no_space_is_gone(tmp_path):
    with full_disk():
        file = UnfinishedFile(tmp_path)
        with pytest.raises(StorageFull, match="nothing was kept"):
            file.write(bytes(100_000))
        assert list(tmp_path.iterdir()) == []
        file.discard()
        file = UnfinishedFile(tmp_path)
        file.write(bytes(5000))  # gathered, and written later
        with pytest.raises(StorageFull, match="nothing was kept"):
            file.complete()
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_keeps_the_old_file(tmp_path):
    with full_disk():
        path = tmp_path / "a"
        path.write_bytes(OLD)
        with pytest.raises(StorageFull, match=r"No space is left to write 'a'.*nothing was kept"):
            write_whole(path, bytes(100_000))
        assert path.read_bytes() == OLD
        assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_while_a_dataset_is_encoded_is_told_as_such(tmp_path):
    with full_disk():
        dataset = dcmread(get_testdata_file("CT_small.dcm"))
        with pytest.raises(StorageFull):
            save(dataset, tmp_path / "a.dcm")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a file system")
def test_a_file_system_without_space_is_told(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("tmpfs can't be mounted here")
    try:
        write_whole(folder / "a", OLD)
        with pytest.raises(StorageFull):
            write_whole(folder / "a", bytes(100_000))
        assert (folder / "a").read_bytes() == OLD
        assert [p.name for p in folder.iterdir()] == ["a"]
        write_whole(folder / "a", b"fits")
        assert (folder / "a").read_bytes() == b"fits"
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_killed_process_leaves_the_old_file_and_a_temporary_name(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(OLD)
    code = (
        "import sys, time\nfrom workbench.files import write_whole\n"
        "def slow(file):\n    file.write(bytes(1000)); file.flush(); print('half', flush=True); time.sleep(60)\n"
        "write_whole(sys.argv[1], slow)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"half\n"
    process.kill()
    process.wait(10)
    process.stdout.close()
    assert path.read_bytes() == OLD
    from workbench.files import INCOMPLETE_FILES

    assert len(list(tmp_path.glob(INCOMPLETE_FILES))) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_readers_see_the_old_or_the_new_file_and_nothing_between(tmp_path):
    path = tmp_path / "a"
    contents = [bytes([n]) * 200_000 for n in range(4)]
    write_whole(path, contents[0])
    code = (
        "import sys\nfrom workbench.files import write_whole\n"
        "for i in range(200): write_whole(sys.argv[1], bytes([i % 4]) * 200_000, durable=False)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    seen = set()
    end = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < end:
        seen.add(path.read_bytes())
    assert process.wait(10) == 0
    assert seen <= set(contents)


# ---------------------------------------------------------------- save
def test_a_saved_dataset_reads_back_equal_and_is_not_changed(tmp_path):
    dataset = dcmread(get_testdata_file("CT_small.dcm"))
    meta_before, keys_before = str(dataset.file_meta), list(dataset.keys())
    save(dataset, tmp_path / "a.dcm")
    back = read(tmp_path / "a.dcm")
    assert back.dataset == dcmread(get_testdata_file("CT_small.dcm"))
    assert back.is_complete
    assert len(back.findings) == 0
    assert str(dataset.file_meta) == meta_before
    assert list(dataset.keys()) == keys_before


def test_a_program_in_the_preamble_does_not_travel_on(tmp_path):
    """F13: zeroed when it is saved."""
    dataset = dcmread(get_testdata_file("CT_small.dcm"))
    dataset.preamble = b"MZ" + bytes(126)
    save(dataset, tmp_path / "a.dcm")
    assert (tmp_path / "a.dcm").read_bytes()[:128] == bytes(128)
    assert dataset.preamble.startswith(b"MZ")


def test_a_dataset_from_memory_gets_its_file_meta_information(tmp_path):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    save(dataset, tmp_path / "a.dcm")
    part = Part10.locate(tmp_path / "a.dcm")
    assert (part.sop_instance_uid, part.transfer_syntax_uid) == ("1.2.3", ExplicitVRLittleEndian)
    assert not hasattr(dataset, "file_meta")


def test_what_can_not_be_a_file_is_refused(tmp_path):
    path = tmp_path / "a.dcm"
    with pytest.raises(AttributeUnusable, match=r"needs SOPClassUID.*PS3.10 7.1"):
        save(Dataset(), path)
    encapsulated = dcmread(get_testdata_file("JPEG2000.dcm"))
    del encapsulated.file_meta.TransferSyntaxUID
    with pytest.raises(AttributeUnusable, match="encapsulated Pixel Data needs TransferSyntaxUID"):
        save(encapsulated, path)
    assert list(tmp_path.iterdir()) == []


def test_an_encoding_error_does_not_tell_the_value(tmp_path):
    dataset = dcmread(get_testdata_file("CT_small.dcm"))
    dataset.add_new(0x00280010, "US", "SECRET^NAME")
    with pytest.raises(AttributeUnusable, match="can't be encoded") as caught:
        save(dataset, tmp_path / "a.dcm")
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert list(tmp_path.iterdir()) == []


def test_encapsulated_pixels_stay_as_they_are(tmp_path):
    dataset = dcmread(get_testdata_file("MR_small_jp2klossless.dcm"))
    save(dataset, tmp_path / "a.dcm")
    back = read(tmp_path / "a.dcm").dataset
    assert back.PixelData == dataset.PixelData
    assert back.file_meta.TransferSyntaxUID == JPEG2000Lossless


def test_paths_may_be_text(tmp_path):
    assert write_whole(str(tmp_path / "a"), b"x") == Path(tmp_path / "a")
