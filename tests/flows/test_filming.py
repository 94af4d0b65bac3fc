"""Filming: datasets onto films as they are seen, with an audit line."""

import numpy as np
import pytest

from workbench import builders
from workbench.entities import FilmBox, FilmLut, FilmSession
from workbench.errors import InputError, PeerUnreachable
from workbench.flows import Audit, filming
from workbench.network import Printer, PrinterModel, Server
from workbench.phantoms import everything
from workbench.phantoms.ct import ct_series
from workbench.rendering import render, resolve


def values(image):
    return np.frombuffer(image.pixels, "u1" if image.bits == 8 else "<u2").reshape(image.rows, image.columns)


def test_a_series_fills_its_films_in_order():
    series, audit, printer = ct_series(5, rows=32, columns=48), Audit(), Printer()
    with Server(None, providers=[printer]) as server:
        report = filming.print_series(
            server.peer, series, layout="2x2", audit=audit, session=FilmSession(copies=2), lut=FilmLut("LIN OD")
        )
    assert report.is_printed
    assert [film.session.copies for film in printer.films] == [2, 2]
    images = [image for film in printer.films for image in film.images]
    assert images[5:] == [None, None, None]
    for dataset, image in zip(series, images, strict=False):
        assert np.array_equal(values(image), render(resolve(dataset), with_overlays=True))
    assert [(line.step, line.count, line.verified, line.note) for line in audit.lines] == [("print", 2, True, "")]


def test_window_bits_and_presentation_state_are_in_the_pixels():
    (dataset,) = ct_series(1, rows=32, columns=48)
    state = builders.grayscale([dataset], window=(100.0, 50.0))
    printer = Printer()
    with Server(None, providers=[printer]) as server:
        filming.print_series(server.peer, dataset, window=(100, 50), bits=12)
        filming.print_series(server.peer, [dataset], states=[state])
    deep, shown = (film.images[0] for film in printer.films)
    expected = render(resolve(dataset, window=(100, 50)))
    assert deep.bits == 12
    assert np.abs(values(deep) / 4095 * 255 - expected).max() < 0.6
    assert np.array_equal(values(shown), render(resolve(dataset, state=state)))


def test_every_frame_and_colour():
    volume = next(d for d in everything() if int(d.get("NumberOfFrames", 1)) in range(2, 200) and "PixelData" in d)
    color = next(d for d in everything() if d.get("SamplesPerPixel") == 3)
    printer = Printer()
    with Server(None, providers=[printer]) as server:
        assert filming.print_series(server.peer, volume, layout="20x10").is_printed
        assert filming.print_series(server.peer, color, bits=12).is_printed
    gray, colored = printer.films[0], printer.films[-1]
    assert sum(image is not None for film in printer.films[:-1] for image in film.images) == int(volume.NumberOfFrames)
    assert (gray.is_color, colored.is_color, colored.images[0].bits) == (False, True, 8)


def test_trouble_is_in_the_audit_line():
    printer, audit = Printer(PrinterModel(queue=0)), Audit()
    printer.fault("FILM JAM")
    with Server(None, providers=[printer]) as server:
        report = filming.print_series(server.peer, ct_series(1, rows=16, columns=16), layout=FilmBox(), audit=audit)
    assert not report.is_printed
    (line,) = audit.lines
    assert (line.count, line.verified) == (0, False)
    assert "print film 0xC602" in line.note


def test_what_can_not_be_printed_is_refused():
    with pytest.raises(InputError, match="nothing to print"):
        filming.print_series("X@127.0.0.1:1", [])
    with pytest.raises(InputError, match="Wanted"):
        filming.print_series("X@127.0.0.1:1", ["scan.dcm"])
    with pytest.raises(InputError, match="Image Display Format"):
        filming.print_series("X@127.0.0.1:1", ct_series(1, rows=16, columns=16), layout="SLIDE")
    audit = Audit()
    with pytest.raises(PeerUnreachable):
        filming.print_series("X@127.0.0.1:1", ct_series(1, rows=16, columns=16), audit=audit)
    assert [line.verified for line in audit.lines] == [False]


def two_series():
    later = ct_series(3, rows=16, columns=16)
    first = ct_series(3, rows=16, columns=24)
    for image in first:
        image.SeriesInstanceUID, image.SeriesNumber = "2.25.77", 1
    for image in later:
        image.SeriesNumber = 10
    return first, later


def test_by_series_each_begins_a_film_in_its_order():
    first, later = two_series()
    mixed, printer = [later[1], first[2], later[2], first[0], first[1], later[0]], Printer()
    with Server(None, providers=[printer]) as server:
        assert filming.print_series(server.peer, mixed, layout="2x1", by_series=True).is_printed
    wanted = [[first[0], first[1]], [first[2], None], [later[0], later[1]], [later[2], None]]
    assert len(printer.films) == 4
    for film, images in zip(printer.films, wanted, strict=True):
        for shown, image in zip(film.images, images, strict=True):
            assert (shown is None) == (image is None)
            if image is not None:
                assert np.array_equal(values(shown), render(resolve(image), with_overlays=True))
