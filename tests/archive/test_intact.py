"""Whether a stored file is still what came."""

import pytest

from workbench import phantoms
from workbench.archive import Archive
from workbench.errors import InstanceNotFound


def flipped(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def test_what_came_is_intact(archive):
    refs = [archive.add(dataset) for dataset in phantoms.ct_series(2, rows=16)]
    archive.keep_digests()
    refs.append(archive.add(phantoms.ct_series(1, rows=16, seed=3)[0]))
    assert [archive.intact(ref) for ref in refs] == [True] * 3
    with pytest.raises(InstanceNotFound):
        archive.intact("1.2.3")


@pytest.mark.parametrize("rows", [16, 512])
def test_one_bit_is_enough(archive, rows):
    """Small instances are written at once, large ones as they come: both have their digest."""
    archive.keep_digests()
    ref = archive.add(phantoms.ct_series(1, rows=rows)[0])
    flipped(archive.path(ref), -7)
    assert not archive.intact(ref)


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(p.read_bytes()[:-100]), lambda p: p.write_bytes(b""),
                                    lambda p: p.write_bytes(p.read_bytes() + b"\0" * 8), lambda p: flipped(p, 130)])  # fmt: skip
def test_without_a_digest_structure_and_size_count(archive, damage):
    ref = archive.add(phantoms.ct_series(1, rows=16)[0])
    damage(archive.path(ref))
    assert not archive.intact(ref)


def test_digests_outlive_the_archive_and_go_with_the_instance(tmp_path):
    dataset = phantoms.ct_series(1, rows=16)[0]
    with Archive(tmp_path) as archive:
        archive.keep_digests()
    with Archive(tmp_path) as archive:
        ref = archive.add(dataset)
        flipped(archive.path(ref), -7)
        assert not archive.intact(ref)
        archive.remove(ref)
        assert archive.add(dataset) == ref
        assert archive.intact(ref)
