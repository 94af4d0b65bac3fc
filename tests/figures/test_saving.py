"""Figures as files."""

import pytest

from workbench import figures, phantoms
from workbench.errors import InputError


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_figure_becomes_a_file_of_the_kind_that_its_name_says(tmp_path, suffix, magic):
    path = figures.save(figures.image(phantoms.fundus()), tmp_path / f"figure.{suffix}", dpi=50)
    assert path.read_bytes().startswith(magic)
    assert [p.name for p in tmp_path.iterdir()] == [f"figure.{suffix}"]


def test_the_same_figure_is_the_same_file(tmp_path):
    files = [figures.save(figures.image(phantoms.fundus()), tmp_path / f"{i}.png", dpi=50).read_bytes() for i in range(2)]
    assert files[0] == files[1]


def test_another_kind_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(InputError, match=r"\.png, \.pdf or \.svg"):
        figures.save(figures.image(phantoms.fundus()), tmp_path / "figure.jpg")
    assert list(tmp_path.iterdir()) == []
