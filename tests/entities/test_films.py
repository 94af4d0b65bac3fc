"""Films as values: what they hold and what they refuse."""

import pytest

from workbench.entities import Film, FilmBox, FilmImage, FilmLut, FilmSession
from workbench.errors import AttributeUnusable


@pytest.mark.parametrize(
    "layout", ["", "SLIDE", "CUSTOM\\1", "STANDARD\\2", "STANDARD\\0,1", "STANDARD\\2,2,2", "ROW\\", "2x", "STANDARD\\99,99", "0x1"]
)
def test_layouts_that_are_none_are_refused(layout):
    with pytest.raises(AttributeUnusable, match=r"Image Display Format|more than 400"):
        FilmBox(layout)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"orientation": "UP"}, "orientation"), ({"trim": "MAYBE"}, "trim"), ({"border": "GREY"}, "density"),
        ({"empty": "-1"}, "density"), ({"most": 65_536}, "0 to 65535"), ({"illumination": -1}, "0 to 65535"),
    ],
)  # fmt: skip
def test_words_and_numbers_out_of_range_are_refused(settings, message):
    with pytest.raises(AttributeUnusable, match=message):
        FilmBox(**settings)


@pytest.mark.parametrize(
    ("size", "orientation", "inches"),
    [
        ("8INX10IN", "PORTRAIT", (8, 10)), ("8INX10IN", "LANDSCAPE", (10, 8)), ("8_5INX11IN", "PORTRAIT", (8.5, 11)),
        ("", "PORTRAIT", (14, 17)), ("UNKNOWN", "LANDSCAPE", (17, 14)), ("9999INX9999IN", "PORTRAIT", (14, 17)),
        ("25_4CMX5_08CM", "PORTRAIT", (10, 2)), ("A4", "PORTRAIT", (8.27, 11.69)),
    ],
)  # fmt: skip
def test_film_sizes(size, orientation, inches):
    assert FilmBox(size=size, orientation=orientation).inches == pytest.approx(inches)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((b"\0" * 3, 2, 2), {}, "are 4 bytes, not 3"), ((b"\0" * 4, 2, 2, 10), {}, "8 or 12 bits"),
        ((b"\0" * 24, 2, 2, 12, 3), {}, "8 of each colour"), ((b"", 0, 2), {}, "1 to 65535"),
        ((b"\0" * 4, 2, 2), {"polarity": "UP"}, "Polarity"), ((b"\0" * 4, 2, 2), {"too_large": "SHRINK"}, "DECIMATE"),
        ((b"\0" * 4, 2, 2), {"aspect": (0, 1)}, "greater than 0"),
        ((b"\0" * 4, 2, 2), {"width_mm": float("nan")}, "greater than 0"),
    ],
)  # fmt: skip
def test_images_that_do_not_fit_their_description_are_refused(arguments, settings, message):
    with pytest.raises(AttributeUnusable, match=message):
        FilmImage(*arguments, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "or a table"), ({"shape": "LOG"}, "LIN OD"), ({"shape": "IDENTITY", "values": (0,) * 256}, "or a table"),
        ({"values": (0,) * 255}, "256 or 4096"), ({"values": (0,) * 256, "bits": 8}, "10 to 16"),
        ({"values": (4096,) * 256}, "does not fit"),
    ],
)  # fmt: skip
def test_presentation_luts_that_are_none_are_refused(settings, message):
    with pytest.raises(AttributeUnusable, match=message):
        FilmLut(**settings)


def test_a_table_fits_images_of_its_bits():
    short, long = FilmLut(values=tuple(range(256))), FilmLut(values=tuple(range(4096)))
    eight, twelve = FilmImage(b"\0", 1, 1), FilmImage(b"\0\0", 1, 1, 12)
    assert [lut.fits(image) for lut in (short, long, FilmLut("LIN OD")) for image in (eight, twelve)] == [
        True, False, False, True, True, True,
    ]  # fmt: skip


def test_sessions_and_films_that_do_not_agree_are_refused():
    with pytest.raises(AttributeUnusable, match="1 to 100 copies"):
        FilmSession(copies=0)
    with pytest.raises(AttributeUnusable, match="priority"):
        FilmSession(priority="SOON")
    with pytest.raises(AttributeUnusable, match="has 4 image boxes"):
        Film(FilmSession(), FilmBox("2x2"), (None,))


def film(**more):
    return Film(FilmSession(2, medium="BLUE <b>", label="PLANTED"), FilmBox("2x1"), (FilmImage(bytes(64), 8, 8), None), **more)


def test_a_film_shows_the_picture_that_is_drawn_of_it_and_says_what_it_is():
    asked = []
    shown = film(draw=lambda film, long_side: (asked.append((film.uid, long_side)), b"\x89PNG-of-it")[1], uid="1.2")
    assert shown._repr_png_() == b"\x89PNG-of-it"
    text = shown._repr_html_()
    assert "src='data:image/png;base64,iVBORy1vZi1pdA=='" in text
    assert r"Film: 14INX17IN · STANDARD\2,1 · 1 image · 2 copies · BLUE &lt;b&gt;" in text
    assert asked == [("1.2", 600), ("1.2", 600)]


def fails(film, long_side):
    raise AttributeUnusable("no room")


@pytest.mark.parametrize("draw", [None, fails])
def test_a_film_that_nobody_can_draw_shows_words(draw):
    assert film(draw=draw)._repr_png_() is None
    assert "<img" not in film(draw=draw)._repr_html_()
    assert "STANDARD" in film(draw=draw)._repr_html_()


def test_who_draws_it_is_no_part_of_a_film():
    assert film(draw=fails) == film()
    assert hash(film(draw=fails)) == hash(film())
    assert "fails" not in repr(film(draw=fails))
    assert "PLANTED" not in repr(film()) + film().summary + film()._repr_html_()
