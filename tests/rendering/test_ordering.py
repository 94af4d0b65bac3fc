"""The order in which images are looked at."""

import random

from workbench.phantoms.ct import ct_series
from workbench.rendering import series_in_order


def shuffled(images):
    return random.Random(7).sample(images, len(images))


def test_instance_numbers_order_as_numbers_not_as_text():
    images = ct_series(12, rows=16)
    (series,) = series_in_order(shuffled(images))
    assert [image.InstanceNumber for image in series] == list(range(1, 13))


def test_without_instance_numbers_positions_along_the_normal_order():
    images = ct_series(5, rows=16)
    for image in images:
        image.InstanceNumber = 1  # some makers number so
    (series,) = series_in_order(shuffled(images))
    heights = [image.ImagePositionPatient[2] for image in series]
    assert heights in (sorted(heights), sorted(heights, reverse=True))
    for image in images:  # seen from the other side
        image.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    (turned,) = series_in_order(shuffled(images))
    assert [image.ImagePositionPatient[2] for image in turned] == heights[::-1]


def test_what_has_no_place_stays_as_given():
    images = shuffled(ct_series(5, rows=16))
    for image in images:
        del image.InstanceNumber
    del images[2].ImagePositionPatient
    assert series_in_order(images) == [images]
    images[3].ImageOrientationPatient = [1, 0, 0, 0, 0, 1]
    assert series_in_order(images) == [images]


def test_studies_by_date_then_series_by_number():
    images = ct_series(4, rows=16)
    names = [("20260102", 2), ("20260102", 10), ("20260101", 30), ("20260102", None)]
    for index, (image, (date, number)) in enumerate(zip(images, names, strict=True)):
        image.StudyDate, image.SeriesNumber = date, number
        image.StudyInstanceUID, image.SeriesInstanceUID = f"2.25.{date}", f"2.25.{index}"
    found = [(series[0].StudyDate, series[0].SeriesNumber) for series in series_in_order(shuffled(images))]
    assert found == [("20260101", 30), ("20260102", 2), ("20260102", 10), ("20260102", None)]
