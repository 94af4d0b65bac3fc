"""A film as a figure: what stands beside it, and what does not."""

import pytest

from workbench import figures
from workbench.entities import Film, FilmBox, FilmImage, FilmLut, FilmSession
from workbench.errors import InputError

IMAGE = FilmImage(bytes(range(64)), 8, 8)


def test_a_film_shows_its_size_layout_copies_and_lut(words, overlaps):
    session = FilmSession(copies=2, medium="BLUE FILM", label="PLANTED^LABEL", owner="PLANTED")
    sheet = Film(session, FilmBox("2x1", size="8INX10IN"), (IMAGE, None), texts=("PLANTED",), lut=FilmLut("LIN OD"))
    figure = figures.film(sheet)
    assert set(words(figure)) == {r"Film 8INX10IN · STANDARD\2,1", "1 image · 2 copies · BLUE FILM · LIN OD"}
    assert overlaps(figure) == []
    (drawn,) = figure.axes[0].images
    assert drawn.get_array().shape == (750, 600)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_title_of_ones_own_and_colour(words):
    color = FilmImage(bytes(192), 8, 8, samples=3)
    figure = figures.film(Film(FilmSession(), FilmBox(), (color,), is_color=True), title="Mine", pixels_per_inch=30)
    assert "Mine" in words(figure)
    assert figure.axes[0].images[0].get_array().shape == (510, 420, 3)


def test_what_is_no_film_is_refused():
    with pytest.raises(InputError, match="Wanted is a film"):
        figures.film(IMAGE)
