"""Films against what is known of them: where images are, what densities and LUTs look like."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset

from workbench.entities import Film, FilmBox, FilmImage, FilmLut, FilmSession
from workbench.errors import AttributeUnusable, InputError
from workbench.phantoms import planted_ct
from workbench.phantoms.ct import ct_image
from workbench.rendering import film, film_image, film_picture, film_places, p_value, render, resolve


def flat(value, *, bits=8, rows=40, columns=40, **settings):
    return FilmImage(np.full((rows, columns), value, "<u1" if bits == 8 else "<u2").tobytes(), rows, columns, bits, **settings)


def one(image, *, lut=None, **box):
    """The middle of the picture of a film with a single image."""
    sheet = Film(FilmSession(), FilmBox(size="8INX10IN", **box), (image,), lut=lut)
    picture = film(sheet, pixels_per_inch=20)
    return picture[picture.shape[0] // 2, picture.shape[1] // 2]


# ------------------------------------------------------------ densities
@pytest.mark.parametrize(("luminance", "jnd"), [(0.0500, 1), (3.4, 135), (10.0, 217), (99.97, 476), (3993.4040, 1023)])
def test_steps_of_brightness_are_those_of_ps3_14(luminance, jnd):
    # with nothing reflected, a density is a luminance: the range 0.05 to 3993 cd/m² is JND 1 to 1023 (PS3.14 Table B-1)
    density = 100 * np.log10(3993.404 / luminance)
    found = p_value(density, least=0, most=round(100 * np.log10(3993.404 / 0.05)), illumination=3993, ambient=0)
    assert float(found) * 1022 + 1 == pytest.approx(jnd, abs=0.8)


def test_the_ends_of_the_range_are_black_and_white_and_equal_steps_of_density_are_not_equal_to_the_eye():
    assert p_value(np.array([300.0, 20.0])).tolist() == [0, 1]
    steps = np.diff(p_value(np.linspace(300, 20, 8)))
    assert (steps > 0).all()
    assert steps[-1] > 2 * steps[0]
    assert p_value(150.0, least=200, most=200) == 0


@given(st.integers(0, 4095), st.booleans(), st.booleans())
def test_polarity_and_photometric_interpretation_each_turn_black_into_white(value, is_reverse, is_inverse):
    polarity = "REVERSE" if is_reverse else "NORMAL"
    seen = one(flat(value, bits=12, polarity=polarity, is_inverse=is_inverse))
    expected = 4095 - value if is_reverse != is_inverse else value
    assert seen == round(expected / 4095 * 255)


@pytest.mark.parametrize(("bits", "value"), [(8, 64), (12, 1028)])
def test_presentation_luts_of_known_values(bits, value):
    top = 2**bits - 1
    assert one(flat(value, bits=bits)) == 64
    assert one(flat(value, bits=bits), lut=FilmLut("IDENTITY")) == 64
    assert one(flat(value, bits=bits), lut=FilmLut("INVERSE")) == 191
    linear = float(p_value(300 - 280 * value / top)) * 255
    assert one(flat(value, bits=bits), lut=FilmLut("LIN OD")) == round(linear)
    assert one(flat(value, bits=bits), lut=FilmLut("LIN OD"), least=50, most=200) == round(
        float(p_value(200 - 150 * value / top, least=50, most=200)) * 255
    )
    table = FilmLut(values=tuple(min(4095, 2 * n * 4095 // top) for n in range(top + 1)), bits=12)
    assert one(flat(value, bits=bits), lut=table) == pytest.approx(128, abs=1)


def test_an_image_has_its_own_lut_before_that_of_the_film():
    images = (flat(64), flat(64))
    sheet = Film(FilmSession(), FilmBox("1x2"), images, lut=FilmLut("INVERSE"), luts=(None, FilmLut("IDENTITY")))
    picture, places = film(sheet), film_places(sheet)
    assert [picture[(t + b) // 2, (le + r) // 2] for t, le, b, r in places] == [191, 64]


@pytest.mark.parametrize(
    ("said", "shown"), [("", 0), ("BLACK", 0), ("WHITE", 255), ("20", 255), ("300", 0), ("150", round(float(p_value(150)) * 255))]
)
def test_border_and_empty_image_boxes_have_their_densities(said, shown):
    sheet = Film(FilmSession(), FilmBox("1x2", border=said, empty="WHITE" if shown < 128 else "BLACK"), (flat(9), None))
    picture = film(sheet, pixels_per_inch=20)
    (_, left, _, right), (top, _, bottom, _) = film_places(sheet, pixels_per_inch=20)
    assert (picture[:4] == shown).all()
    assert (picture[:, :4] == shown).all()
    assert (picture[top:bottom, left:right] == (255 if shown < 128 else 0)).all()


# ------------------------------------------------------------ where images are
LAYOUTS = {
    r"STANDARD\3,2": [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)],
    r"ROW\1,2": [(0, 0), (1, 0), (1, 1)],
    r"COL\3,2": [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_positions_are_those_of_the_display_format(layout):
    box = FilmBox(layout, empty="WHITE")
    values = [20 * (n + 1) for n in range(len(box.cells))]
    sheet = Film(FilmSession(), box, tuple(flat(value, rows=30, columns=50) for value in values))
    picture, places = film(sheet), film_places(sheet)
    assert picture.shape == (17 * 75, 14 * 75)
    for value, (top, left, bottom, right), at in zip(values, places, LAYOUTS[layout], strict=True):
        middle = (top + bottom) // 2, (left + right) // 2
        assert picture[middle] == value
        assert (int(middle[0] // (picture.shape[0] / (1 + max(p[0] for p in LAYOUTS[layout])))) == at[0]) or "COL" in layout
        column = picture[top:bottom, middle[1]] == value
        row = picture[middle[0], left:right] == value
        assert row.sum() / column.sum() == pytest.approx(50 / 30, rel=0.03)
        assert max(row.mean(), column.mean()) > 0.97  # it fills its image box as far as its shape allows


@given(st.integers(1, 6), st.integers(1, 6))
def test_cells_cover_the_film_once(columns, rows):
    for layout in (rf"STANDARD\{columns},{rows}", rf"ROW\{columns},{rows}", rf"COL\{columns},{rows}"):
        cells = FilmBox(layout).cells
        assert sum(c.width * c.height for c in cells) == pytest.approx(1)
        assert len({(round(c.left, 6), round(c.top, 6)) for c in cells}) == len(cells)
        assert all(c.left + c.width <= 1 + 1e-9 and c.top + c.height <= 1 + 1e-9 for c in cells)


def test_a_landscape_film_lies():
    sheet = Film(FilmSession(), FilmBox(orientation="LANDSCAPE", size="24CMX30CM"), (None,))
    assert film(sheet, pixels_per_inch=50).shape == (472, 591)


@pytest.mark.parametrize(("aspect", "ratio"), [((1, 1), 1.0), ((2, 1), 0.5), ((1, 2), 2.0)])
def test_pixels_that_are_not_square_keep_their_shape(aspect, ratio):
    picture = film(Film(FilmSession(), FilmBox(), (flat(200, aspect=aspect),)))
    seen = picture == 200
    assert seen.any(axis=0).sum() / seen.any(axis=1).sum() == pytest.approx(ratio, rel=0.02)


def test_a_requested_width_is_the_width_on_the_film():
    picture = film(Film(FilmSession(), FilmBox(), (flat(200, width_mm=50.8),)), pixels_per_inch=100)
    assert (picture == 200).any(axis=0).sum() == 200  # 2 inches
    too_wide = film(Film(FilmSession(), FilmBox(), (flat(200, width_mm=5000),)), pixels_per_inch=50)
    assert (too_wide == 200).any(axis=0).sum() == pytest.approx(14 * 50 - 2 * 15 - 6, abs=6)


def test_without_magnification_a_pixel_is_a_dot_and_what_does_not_fit_is_cropped_if_so_asked():
    small = film(Film(FilmSession(), FilmBox(magnification="NONE"), (flat(200, rows=600, columns=300),)), pixels_per_inch=75)
    assert (small == 200).any(axis=0).sum() == 75
    assert (small == 200).any(axis=1).sum() == 150
    ramp = np.repeat(np.linspace(0, 255, 6000).astype("u1")[None], 100, axis=0)
    cells = FilmBox(size="8INX10IN")
    wide = FilmImage(ramp.tobytes(), 100, 6000)
    for too_large, least in (("", 0), ("DECIMATE", 0), ("CROP", 77)):
        content = FilmImage(wide.pixels, 100, 6000, too_large=too_large)
        line = film(Film(FilmSession(), cells, (content,)))[375]
        assert int(line[line > 0].min()) == pytest.approx(least, abs=8), too_large


def test_magnification_replicates_or_blends():
    checks = FilmImage(bytes([0, 255, 255, 0]), 2, 2)
    shades = {}
    for magnification in ("REPLICATE", "BILINEAR", "CUBIC"):
        sheet = Film(FilmSession(), FilmBox(magnification=magnification, border="BLACK"), (checks,))
        shades[magnification] = len(np.unique(film(sheet, pixels_per_inch=20)))
    assert shades["REPLICATE"] == 2
    assert min(shades["BILINEAR"], shades["CUBIC"]) > 50


def test_trim_draws_a_line_around_the_image():
    plain, trimmed = (film(Film(FilmSession(), FilmBox(trim=trim), (flat(90),)), pixels_per_inch=20) for trim in ("NO", "YES"))
    ys, xs = np.nonzero(trimmed != plain)
    seen = np.nonzero(plain == 90)
    assert (trimmed[ys, xs] == 255).all()
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (
        seen[0].min() - 1, seen[0].max() + 1, seen[1].min() - 1, seen[1].max() + 1,
    )  # fmt: skip


def test_annotations_stand_outside_of_the_image_boxes():
    sheet = Film(
        FilmSession(), FilmBox("1x1", border="WHITE", empty="WHITE"), (flat(90),), texts=("A", "B", "C", "D", "E", "\x1b[31mF")
    )
    picture, ((top, left, bottom, right),) = film(sheet), film_places(sheet)
    written = picture < 60
    assert not written[top:bottom, left:right].any()
    height, width = picture.shape
    for rows in (slice(0, top), slice(bottom, height)):
        for part in range(3):
            columns = slice(part * width // 3, (part + 1) * width // 3)
            assert written[rows, columns].any()
    single = film(Film(FilmSession(), FilmBox("1x1", border="WHITE", empty="WHITE"), (None,), texts=("LABEL",)))
    assert (single[:50] == 255).all()
    assert (single[-60:, 400:650] < 60).any()


def test_colour_films_are_rgb():
    red = FilmImage(bytes([250, 10, 20]) * 100, 10, 10, samples=3)
    picture = film(Film(FilmSession(), FilmBox("2x1", border="WHITE"), (red, None), is_color=True))
    assert picture.shape == (1275, 1050, 3)
    assert picture[637, 270].tolist() == [250, 10, 20]
    assert picture[5, 5].tolist() == [255, 255, 255]


# ------------------------------------------------------------ images for films
def test_an_image_goes_onto_the_film_as_it_is_seen():
    dataset = planted_ct().dataset
    plan = resolve(dataset)
    eight, twelve = film_image(plan), film_image(plan, bits=12)
    seen = render(plan, with_overlays=True)
    assert np.frombuffer(eight.pixels, "u1").reshape(eight.rows, eight.columns).tolist() == seen.tolist()
    deep = np.frombuffer(twelve.pixels, "<u2").reshape(twelve.rows, twelve.columns)
    assert np.abs(deep / 4095 * 255 - seen).max() < 0.6
    assert len(np.unique(deep)) > len(np.unique(seen))


def test_twelve_bits_keep_what_eight_lose():
    dataset = ct_image(np.arange(-1024, 3072, dtype=np.int16).reshape(64, 64), time="120000", window=(1024, 4096))
    deep = np.frombuffer(film_image(resolve(dataset), bits=12).pixels, "<u2")
    assert len(np.unique(deep)) > 4000
    assert len(set(film_image(resolve(dataset)).pixels)) == 256


def test_a_film_takes_no_other_depths():
    plan = resolve(planted_ct().dataset)
    with pytest.raises(InputError, match="8 bits of gray or colour, or 12"):
        film_image(plan, bits=10)
    color = Dataset()
    color.Rows = color.Columns = 2
    color.SamplesPerPixel, color.PhotometricInterpretation, color.PlanarConfiguration = 3, "RGB", 0
    color.BitsAllocated, color.BitsStored, color.HighBit, color.PixelRepresentation = 8, 8, 7, 0
    color.PixelData = bytes(12)
    color.file_meta = planted_ct().dataset.file_meta
    with pytest.raises(InputError, match="or 12 of gray"):
        film_image(resolve(color), bits=12)
    assert film_image(resolve(color)).samples == 3


@pytest.mark.parametrize("pixels_per_inch", [9, 601])
def test_pictures_have_a_sensible_size(pixels_per_inch):
    with pytest.raises(AttributeUnusable, match="10 to 600"):
        film(Film(FilmSession(), FilmBox(), (None,)), pixels_per_inch=pixels_per_inch)


def test_a_layout_without_room_is_refused():
    with pytest.raises(AttributeUnusable, match="nothing is left of an image box"):
        film(Film(FilmSession(), FilmBox("400x1", size="8INX10IN"), (None,) * 400), pixels_per_inch=10)


# ------------------------------------------------------------ on a screen
@pytest.mark.parametrize(
    ("box", "size"),
    [
        ({}, (490, 595)), ({"orientation": "LANDSCAPE"}, (595, 490)), ({"size": "8INX10IN"}, (480, 600)),
        ({"size": "1INX2IN"}, (300, 600)), ({"size": "60INX50IN"}, (600, 500)),
    ],
)  # fmt: skip
def test_a_picture_for_a_screen_has_the_film_in_about_the_size_that_is_wanted(box, size):
    sheet = Film(FilmSession(), FilmBox(**box), (flat(200),))
    with Image.open(io.BytesIO(film_picture(sheet))) as picture:
        assert (picture.format, picture.size, picture.mode) == ("PNG", size, "L")
        assert picture.getpixel((size[0] // 2, size[1] // 2)) == 200
    with Image.open(io.BytesIO(film_picture(sheet, 300))) as small:
        assert max(small.size) <= max(300, 10 * max(sheet.box.inches))


def test_a_colour_film_has_a_colour_picture():
    red = FilmImage(bytes([200, 10, 20]) * 64, 8, 8, samples=3)
    with Image.open(io.BytesIO(film_picture(Film(FilmSession(), FilmBox(), (red,), is_color=True)))) as picture:
        assert picture.getpixel((245, 300)) == (200, 10, 20)


def test_a_film_without_room_for_its_image_boxes_has_no_picture():
    sheet = Film(FilmSession(), FilmBox("1x400"), (None,) * 400)
    with pytest.raises(AttributeUnusable, match="nothing is left of an image box"):
        film_picture(sheet)
