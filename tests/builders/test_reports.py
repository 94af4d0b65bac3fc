"""TID 1500 reports: the numbers, outlines and references that went in come out, by highdicom and DCMTK."""

import math

import numpy as np
import pytest
from highdicom.sr import ComprehensiveSR
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from workbench import builders, files
from workbench.builders import Measurement, Region
from workbench.entities import Circle, Code, Ellipse, Point, Polyline, Text
from workbench.errors import AttributeUnusable, BuildRefused

AREA, MEAN = Code("42798000", "SCT", "Area"), Code("373098007", "SCT", "Mean")
SUV = Code("126401", "DCM", "SUVbw")
MM2, G_ML = Code("mm2", "UCUM", "square millimeter"), Code("g/ml{SUVbw}", "UCUM", "SUVbw")
LESION, LUNG = Code("52988006", "SCT", "Lesion"), Code("39607008", "SCT", "Lung")


def groups_of(document, folder):
    back = files.read(files.save(document, folder / "sr.dcm", durable=False)).dataset
    return ComprehensiveSR.from_dataset(back).content.get_planar_roi_measurement_groups()


def test_the_document_is_a_complete_report_of_tid_1500(ct, region):
    report = builders.measurement([region(ct[0])])
    assert report.SOPClassUID.name == "Comprehensive SR Storage"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert report.ContentTemplateSequence[0].MappingResource == "DCMR"
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert report.ConceptNameCodeSequence[0].CodeValue == "126000"


@pytest.mark.parametrize(
    ("mark", "graphic", "data"),
    [
        (Point((3.5, 4.5)), "POINT", [[3.5, 4.5]]),
        (Polyline(((1, 2), (30, 40))), "POLYLINE", [[1, 2], [30, 40]]),
        (Polyline.rectangle(2, 3, 10, 8), "POLYLINE", [[2, 3], [10, 3], [10, 8], [2, 8], [2, 3]]),
        (Circle((20, 10), 5), "CIRCLE", [[20, 10], [25, 10]]),  # centre, then a point of the perimeter
        (Ellipse((20, 10), (8, 4)), "ELLIPSE", [[12, 10], [28, 10], [20, 6], [20, 14]]),  # ends of the major, then the minor axis
    ],
)
def test_an_outline_is_kept(ct, region, tmp_path, mark, graphic, data):
    (group,) = groups_of(builders.measurement([region(ct[0], mark)]), tmp_path)
    assert group.roi.graphic_type.value == graphic
    ends = np.sort(group.roi.value, axis=0), np.sort(np.array(data, float), axis=0)
    np.testing.assert_allclose(*ends)
    if graphic != "ELLIPSE":
        np.testing.assert_allclose(group.roi.value, data)


def test_numbers_meanings_and_places_are_kept(ct, tmp_path):
    numbers = (Measurement(AREA, 12.25, MM2), Measurement(SUV, 0.000123456789, G_ML, derivation=MEAN))
    regions = [
        Region(ct[0], Circle((20, 20), 5), numbers, label="Läsion 1", finding=LESION, site=LUNG),
        Region(ct[2], Point((1, 1)), numbers[:1], label="other"),
    ]
    first, second = groups_of(builders.measurement(regions), tmp_path)
    area, uptake = first.get_measurements()
    assert (area.value, area.unit.value, area.name.value, area.name.scheme_designator) == (12.25, "mm2", "42798000", "SCT")
    assert (uptake.value, uptake.unit.value, uptake.derivation.meaning) == (0.000123456789, "g/ml{SUVbw}", "Mean")
    assert area.derivation is None
    assert first.tracking_identifier == "Läsion 1"
    assert first.finding_type.value == "52988006"
    assert [site.topographical_modifier or site.value.value for site in first.finding_sites] == ["39607008"]
    assert second.tracking_identifier == "other"
    assert second.finding_type is None
    assert first.tracking_uid != second.tracking_uid
    assert referenced(first) == (ct[0].SOPInstanceUID, None)
    assert referenced(second) == (ct[2].SOPInstanceUID, None)


def referenced(group):
    scoord = next(i for i in group[0].ContentSequence if i.ValueType == "SCOORD")
    reference = scoord.ContentSequence[0].ReferencedSOPSequence[0]
    return reference.ReferencedSOPInstanceUID, reference.get("ReferencedFrameNumber")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.floats(-1e15, 1e15).filter(lambda v: v == 0 or abs(v) > 1e-12))
def test_a_number_keeps_fifteen_digits(ct, region, value):
    report = builders.measurement([region(ct[0], value=value)])
    numbers = [e.value for e in report.iterall() if e.keyword == "NumericValue"]
    exact = [e.value for e in report.iterall() if e.keyword == "FloatingPointValue"]
    said = float(exact[-1]) if exact else float(numbers[-1])
    assert math.isclose(said, value, rel_tol=1e-9, abs_tol=1e-300)
    assert all(len(str(n)) <= 16 for n in numbers)


def test_a_frame_of_a_volume_is_named_and_a_single_frame_is_not(volume, fundus, region, tmp_path):
    (group,) = groups_of(builders.measurement([region(volume, frame=4)]), tmp_path)
    assert referenced(group) == (volume.SOPInstanceUID, 5)  # frames count from 1 in DICOM, from 0 here
    (group,) = groups_of(builders.measurement([region(fundus)]), tmp_path)
    assert fundus.NumberOfFrames == 1
    assert referenced(group) == (fundus.SOPInstanceUID, None)


def test_evidence_lists_each_image_once(ct, region):
    report = builders.measurement([region(ct[0]), region(ct[0]), region(ct[1])])
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == ct[0].SeriesInstanceUID
    assert [i.ReferencedSOPInstanceUID for i in series.ReferencedSOPSequence] == [c.SOPInstanceUID for c in ct[:2]]


def library(report):
    return [i for i in report.ContentSequence if "ConceptNameCodeSequence" in i and name_of(i) == "Image Library"]


def name_of(item):
    return item.ConceptNameCodeSequence[0].CodeMeaning


def test_an_image_that_can_not_be_described_is_not_in_the_image_library(ct, region, dcmtk):
    assert len(library(builders.measurement([region(ct[0])]))) == 1
    del ct[0].SliceThickness  # TID 1604 would tell it
    report = builders.measurement([region(ct[0])])
    assert library(report) == []
    dcmtk("dsrdump", report)


REFUSED = [
    (Text("here", (5, 5)), {}, r"point, a line of two vertices, a closed polyline.*TID 1410"),
    (Polyline(((1, 1), (5, 5), (9, 1))), {}, r"a closed polyline.*TID 1410"),
    (Circle((62, 20), 5), {}, r"'Region 1' lies outside its image of 48 rows and 64 columns.*C\.18\.6\.1"),
    (Point((3, 48.5)), {"label": "mine"}, r"'mine' lies outside its image"),
    (Point((-0.1, 3)), {}, "lies outside"),
    (None, {"frame": 1}, r"no frame 1; frames count from 0.*C\.7\.6\.6"),
    (None, {"frame": -1}, "no frame -1"),
    (None, {"value": math.nan}, r"finite numbers.*TID 300"),
    (None, {"value": math.inf}, "finite numbers"),
    (None, {"measurements": ()}, "needs measurements"),
]


@pytest.mark.parametrize(("mark", "more", "message"), REFUSED)
def test_what_is_no_measured_region_is_refused(ct, region, mark, more, message):
    with pytest.raises(BuildRefused, match=message):
        builders.measurement([region(ct[0], mark, **more)])


def test_the_edges_of_the_image_belong_to_it(ct, region):
    report = builders.measurement([region(ct[0], Polyline.rectangle(0, 0, 64, 48))])
    outlines = [list(element.value) for element in report.iterall() if element.keyword == "GraphicData"]
    assert outlines == [[0, 0, 64, 0, 64, 48, 0, 48, 0, 0]]


def test_there_must_be_a_region_and_an_image():
    with pytest.raises(BuildRefused, match="at least one instance"):
        builders.measurement([])
    with pytest.raises(AttributeUnusable, match="needs SOPClassUID"):
        builders.measurement([Region(Dataset(), Point((0, 0)), (Measurement(AREA, 1.0, MM2),))])


def test_dcmtk_reads_it(ct, region, dcmtk):
    done = dcmtk("dsrdump", builders.measurement([region(ct[0], Ellipse((20, 15), (5, 3)), value=1.5)]), "+Pl")
    assert '<contains NUM:(,,"Area")="1.5" (mm2,UCUM,"square millimeter")>' in done.stdout
    assert "(ELLIPSE," in done.stdout
    said = [line for line in done.stderr.splitlines() if line[:2] in {"W:", "E:", "F:"}]
    assert [line for line in said if "does not support this Specific Character Set" not in line] == []
