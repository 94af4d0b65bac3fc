"""Figures of images: what stands beside them is true, apart, and names nobody."""

import copy
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from matplotlib.figure import Figure

from workbench import figures, phantoms
from workbench.errors import InputError, PixelDataUnusable
from workbench.figures._drawing import length_words, nice_length
from workbench.rendering import render, resolve


@pytest.fixture(scope="module")
def ct():
    return phantoms.ct_series(1, rows=128, columns=128)[0]


@pytest.fixture(scope="module")
def examples(ct):
    """One figure of each kind of image."""
    return {
        "ct": figures.image(ct),
        "fundus": figures.image(phantoms.fundus("L")),
        "b-scan": figures.image(phantoms.oct().volume, 3),
        "cells": figures.image(phantoms.endothelium().image),
        "pet": figures.image(phantoms.pet_ct().pet[20]),
        "windowed": figures.image(ct, window=(-600, 1500), title="Lung"),
    }


@pytest.mark.parametrize("name", ["ct", "fundus", "b-scan", "cells", "pet", "windowed"])
def test_no_word_covers_another(examples, overlaps, name):
    assert isinstance(examples[name], Figure)
    assert overlaps(examples[name]) == []


def test_the_picture_is_what_rendering_gives(ct):
    drawn = figures.image(ct).axes[0].images[0]
    np.testing.assert_array_equal(drawn.get_array(), render(resolve(ct)))
    assert drawn.get_extent() == [0, 128, 128, 0]


def test_letters_and_units(examples, words):
    assert {"R", "L", "A", "P", "HU"} <= set(words(examples["ct"]))
    assert {"R", "L", "H", "F"} <= set(words(examples["fundus"]))
    assert "Bq/ml" in words(examples["pet"])
    assert "HU" not in words(examples["fundus"])


def test_the_scale_bar_is_as_long_as_it_says(ct, words):
    figure = figures.image(ct)
    bar = max(figure.axes[0].lines, key=lambda line: line.get_linewidth())
    columns = float(np.ptp(bar.get_xdata()))
    assert length_words(columns * float(ct.PixelSpacing[1])) in words(figure)


@pytest.mark.parametrize(
    ("available", "length", "said"), [(73, 50, "5 cm"), (9.9, 5, "5 mm"), (0.3, 0.2, "200 µm"), (200, 200, "20 cm")]
)
def test_lengths_are_round(available, length, said):
    assert nice_length(available) == length
    assert length_words(length) == said


def test_the_colour_bar_spans_the_window(ct):
    figure = figures.image(ct, window=(40, 401))
    bar = next(a for axes in figure.axes for a in axes.child_axes)
    assert bar.get_ylim() == pytest.approx((-160.5, 239.5), abs=1)


def test_a_turned_image_has_turned_letters_and_spacing(ct):
    state = pydicom.Dataset()
    series, reference = pydicom.Dataset(), pydicom.Dataset()
    reference.ReferencedSOPInstanceUID, reference.ReferencedSOPClassUID = ct.SOPInstanceUID, ct.SOPClassUID
    series.ReferencedImageSequence = [reference]
    state.SOPClassUID, state.ReferencedSeriesSequence = "1.2.840.10008.5.1.4.1.1.11.1", [series]
    state.ImageRotation, state.ImageHorizontalFlip = 90, "N"
    figure = figures.image(ct, state=state)
    at = {t.get_text(): t.get_position() for t in figure.axes[0].texts if t.get_text() in "RLAP"}
    assert at["R"][1] > 0.9 > at["P"][1] > at["L"][1]  # the right side of the patient is now up
    assert at["P"][0] < 0.1


def test_no_identity_is_on_the_paper(words):
    planted = phantoms.planted_ct()
    shown = " ".join(words(figures.image(planted.dataset, title="")) + words(figures.contact_sheet([planted.dataset])))
    assert [i for i in planted.identities if i in shown] == []
    named = phantoms.fundus()
    shown = " ".join(words(figures.image(named)))
    assert [part for part in str(named.PatientName).replace("^", " ").split() if part in shown] == []
    assert str(named.PatientID) not in shown


def test_words_of_a_dataset_are_neither_mathematics_nor_controls(ct, words):
    image = copy.deepcopy(ct)
    image.SeriesDescription = "$frac{1$\x1b[31m\u202e"
    title = next(w for w in words(figures.image(image)) if "frac" in w)
    assert title == "CT · $frac{1$␛[31m�"


def test_what_can_not_be_shown_is_refused_for_one_and_said_for_many(ct, words):
    broken = copy.deepcopy(ct)
    broken.PixelData = b"\0\0"
    with pytest.raises(PixelDataUnusable):
        figures.image(broken)
    sheet = figures.contact_sheet([ct, broken, ct, ct], limit=3, columns=2, title="Series")
    assert any("can't be shown" in w for w in words(sheet))
    assert "Series · and 1 more" in words(sheet)
    assert len(sheet.axes) == 3


@pytest.mark.parametrize(("datasets", "columns"), [([], 3), ([1], 0)])
def test_an_empty_contact_sheet_is_refused(datasets, columns):
    with pytest.raises(InputError, match="at least one"):
        figures.contact_sheet(datasets, columns=columns)


def test_pyplot_and_global_settings_are_left_alone():
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from workbench import figures, phantoms\n"
        "figures.image(phantoms.fundus())\n"
        "assert 'matplotlib.pyplot' not in sys.modules and matplotlib.rcParams.copy() == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_series_with_odd_attributes_is_still_captioned(ct):
    image = copy.deepcopy(ct)
    image.Modality, image.InstanceNumber = ["CT", "PT"], None
    image[0x0008103E] = pydicom.dataelem.RawDataElement(pydicom.tag.Tag(0x0008103E), "US", 3, b"abc", 0, False, True)
    assert figures.image(image).axes[0].get_title(loc="left").startswith("CT, PT · ")
    assert figures.contact_sheet([image]).axes[0].get_title(loc="left") == "CT, PT"
