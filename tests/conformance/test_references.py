import copy

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset

from workbench.conformance import check
from workbench.entities import Severity

CT = "1.2.840.10008.5.1.4.1.1.2"


def _reference(uid, sop_class=CT):
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    return item


def _item(**attributes):
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def _study(*uids):
    series = _item(SeriesInstanceUID="1.2.9", ReferencedSOPSequence=[_reference(u) for u in uids])
    return _item(StudyInstanceUID="1.2.8", ReferencedSeriesSequence=[series])


@pytest.fixture
def report():
    image = _item(ValueType="IMAGE", RelationshipType="SELECTED FROM", ReferencedSOPSequence=[_reference("1.2.11")])
    region = _item(ValueType="SCOORD", RelationshipType="INFERRED FROM", ContentSequence=[image])
    number = _item(ValueType="NUM", RelationshipType="CONTAINS", ContentSequence=[region])
    by_reference = _item(RelationshipType="INFERRED FROM", ReferencedContentItemIdentifier=[1, 1])
    text = _item(ValueType="TEXT", RelationshipType="CONTAINS", ContentSequence=[by_reference])
    return _item(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", SOPInstanceUID="1.2.3", ValueType="CONTAINER",
        ContentSequence=[number, text], CurrentRequestedProcedureEvidenceSequence=[_study("1.2.11")],
    )  # fmt: skip


@pytest.fixture
def state():
    area = _item(ReferencedImageSequence=[_reference("1.2.11")], DisplayedAreaTopLeftHandCorner=[1, 1])
    graphic = _item(GraphicType="POLYLINE", GraphicData=[1.0, 1.0, 2.0, 2.0], NumberOfGraphicPoints=2)
    return _item(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1", SOPInstanceUID="1.2.3", PresentationLUTShape="IDENTITY",
        ReferencedSeriesSequence=[_item(SeriesInstanceUID="1.2.9", ReferencedImageSequence=[_reference("1.2.11")])],
        GraphicLayerSequence=[_item(GraphicLayer="MARKS", GraphicLayerOrder=1)],
        GraphicAnnotationSequence=[
            _item(GraphicLayer="MARKS", ReferencedImageSequence=[_reference("1.2.11")], GraphicObjectSequence=[graphic])
        ],
        DisplayedAreaSelectionSequence=[area],
        SoftcopyVOILUTSequence=[_item(ReferencedImageSequence=[_reference("1.2.11")], WindowCenter=1, WindowWidth=2)],
    )  # fmt: skip


@pytest.fixture
def segmentation():
    dataset = dcmread(get_testdata_file("liver_1frame.dcm"))  # which was cut to one frame, its items were not
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:1]
    return dataset


def _errors(dataset):
    return check(dataset, validator=False).errors


def _single(dataset, path, words):
    before = copy.deepcopy(dataset)
    (finding,) = _errors(dataset)
    assert finding.path == path
    assert words in finding.message
    assert finding.section.startswith("PS3.")
    assert dataset == before


# ---------------------------------------------------------------- controls: nothing planted, nothing found
def test_sound_objects_have_no_findings(report, state, segmentation):
    assert _errors(report) == ()
    assert _errors(state) == ()
    assert _errors(segmentation) == ()


# ---------------------------------------------------------------- reports
def test_an_image_without_evidence(report):
    report.CurrentRequestedProcedureEvidenceSequence = [_study("1.2.12")]
    path = "ContentSequence[0].ContentSequence[0].ContentSequence[0].ReferencedSOPSequence[0]"
    _single(report, path, "Instance 1.2.11 is referenced in the content, but not listed as evidence")


def test_other_evidence_counts_as_well(report):
    report.PertinentOtherEvidenceSequence = report.CurrentRequestedProcedureEvidenceSequence
    del report.CurrentRequestedProcedureEvidenceSequence
    assert _errors(report) == ()


def test_a_sop_class_that_differs_between_content_and_evidence(report):
    item = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    path = "ContentSequence[0].ContentSequence[0].ContentSequence[0].ReferencedSOPSequence[0]"
    _single(report, path, "SOP class of instance 1.2.11 differs")


def test_a_reference_by_position_that_leads_nowhere(report):
    report.ContentSequence[1].ContentSequence[0].ReferencedContentItemIdentifier = [1, 7]
    _single(report, "ContentSequence[1].ContentSequence[0].ReferencedContentItemIdentifier", "leads to no content item")


# ---------------------------------------------------------------- presentation states
@pytest.mark.parametrize("keyword", ["GraphicAnnotationSequence", "SoftcopyVOILUTSequence"])
def test_an_image_that_the_state_does_not_reference(state, keyword):
    state[keyword].value[0].ReferencedImageSequence = [_reference("1.2.99")]
    _single(state, f"{keyword}[0].ReferencedImageSequence[0]", "Image 1.2.99 is not among the images")


def test_an_image_without_displayed_area(state):
    state.ReferencedSeriesSequence[0].ReferencedImageSequence.append(_reference("1.2.12"))
    _single(state, "DisplayedAreaSelectionSequence", "Image 1.2.12 has no displayed area")


def test_a_series_without_images(state):
    state.ReferencedSeriesSequence[0].ReferencedImageSequence = []
    assert any(f.message == "No image is referenced." for f in _errors(state))


def test_a_layer_that_is_not_there(state):
    state.GraphicAnnotationSequence[0].GraphicLayer = "NOTES"
    _single(state, "GraphicAnnotationSequence[0].GraphicLayer", "not in GraphicLayerSequence")


def test_a_layer_named_twice(state):
    state.GraphicLayerSequence.append(_item(GraphicLayer="MARKS", GraphicLayerOrder=2))
    _single(state, "GraphicLayerSequence", "not unique")


def test_an_overlay_on_a_layer_that_is_not_there(state):
    state.add_new(0x60001001, "CS", "NOTES")
    _single(state, "(6000,1001)", "activates an overlay")


@pytest.mark.parametrize(("shape", "words"), [("LOG", "neither IDENTITY nor INVERSE"), (None, "must be either")])
def test_a_presentation_lut_shape_that_is_none(state, shape, words):
    state.PresentationLUTShape = shape
    _single(state, "PresentationLUTShape", words)


def test_a_shape_and_a_table_at_once(state):
    state.PresentationLUTSequence = [_item(LUTData=b"\0\0")]
    _single(state, "PresentationLUTShape", "must be either")


def test_points_that_do_not_fit_their_number(state):
    state.GraphicAnnotationSequence[0].GraphicObjectSequence[0].NumberOfGraphicPoints = 3
    _single(state, "GraphicAnnotationSequence[0].GraphicObjectSequence[0].GraphicData", "4 values for 3 points")


def test_a_circle_of_three_points(state):
    graphic = state.GraphicAnnotationSequence[0].GraphicObjectSequence[0]
    graphic.GraphicType, graphic.NumberOfGraphicPoints, graphic.GraphicData = "CIRCLE", 3, [1.0, 2, 3, 4, 5, 6]
    _single(state, "GraphicAnnotationSequence[0].GraphicObjectSequence[0].NumberOfGraphicPoints", "can't have 3 points")


# ---------------------------------------------------------------- segmentations, dimensions, frames
def test_a_segment_that_is_not_there(segmentation):
    segmentation.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 9
    assert any("Segment 9 is not in SegmentSequence" in f.message for f in _errors(segmentation))


def test_a_segment_number_twice(segmentation):
    segmentation.SegmentSequence.append(copy.deepcopy(segmentation.SegmentSequence[0]))
    _single(segmentation, "SegmentSequence", "not unique")


def test_a_source_image_that_is_not_listed(segmentation):
    group = segmentation.PerFrameFunctionalGroupsSequence[0]
    group.DerivationImageSequence = [_item(SourceImageSequence=[_reference("1.2.99")])]
    segmentation.ReferencedSeriesSequence = [_item(SeriesInstanceUID="1.2.9", ReferencedInstanceSequence=[_reference("1.2.11")])]
    _single(segmentation, "PerFrameFunctionalGroupsSequence[0]", "Instance 1.2.99 is referenced by a frame")


def test_frames_that_do_not_fit_their_number(segmentation):
    segmentation.NumberOfFrames = len(segmentation.PerFrameFunctionalGroupsSequence) + 1
    assert any("items for" in f.message and f.section == "PS3.3 C.7.6.16" for f in _errors(segmentation))


def test_a_dimension_organization_that_is_not_there(segmentation):
    segmentation.DimensionIndexSequence[0].DimensionOrganizationUID = "1.2.77"
    _single(segmentation, "DimensionIndexSequence[0].DimensionOrganizationUID", "not in DimensionOrganizationSequence")


def test_index_values_that_do_not_fit_the_dimensions(segmentation):
    content = segmentation.PerFrameFunctionalGroupsSequence[0].FrameContentSequence[0]
    content.DimensionIndexValues = [*content.DimensionIndexValues, 1]
    assert any("dimensions" in f.message for f in _errors(segmentation))


# ---------------------------------------------------------------- structure sets
def test_a_region_of_interest_that_is_not_there():
    structures = dcmread(get_testdata_file("rtstruct.dcm"), force=True)
    assert _sections(structures) == set()
    structures.ROIContourSequence[0].ReferencedROINumber = 99
    (finding,) = [f for f in _errors(structures) if f.section == "PS3.3 C.8.8.6"]
    assert finding.path == "ROIContourSequence[0].ReferencedROINumber"


def _sections(dataset):
    return {f.section for f in _errors(dataset)} & {"PS3.3 C.8.8.5", "PS3.3 C.8.8.6"}


def test_a_frame_of_reference_that_is_not_there():
    structures = dcmread(get_testdata_file("rtstruct.dcm"), force=True)
    structures.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.77"
    assert _sections(structures) == {"PS3.3 C.8.8.5"}


# ---------------------------------------------------------------- identifiers
def test_file_meta_information_of_another_instance(report):
    report.file_meta = FileMetaDataset()
    report.file_meta.MediaStorageSOPInstanceUID, report.file_meta.MediaStorageSOPClassUID = "1.2.4", report.SOPClassUID
    _single(report, "MediaStorageSOPInstanceUID", "differs from SOPInstanceUID")


def test_file_meta_information_of_another_class(report):
    report.file_meta = FileMetaDataset()
    report.file_meta.MediaStorageSOPInstanceUID, report.file_meta.MediaStorageSOPClassUID = "1.2.3", CT
    _single(report, "MediaStorageSOPClassUID", "differs from SOPClassUID")


def test_a_retired_transfer_syntax_is_a_note(report):
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.2"
    (finding,) = [f for f in check(report, validator=False) if f.path == "TransferSyntaxUID"]
    assert (finding.severity, finding.section) == (Severity.NOTE, "PS3.5 A.3")
    assert "in_syntax" in finding.remedy
    report.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    assert not [f for f in check(report, validator=False) if f.path == "TransferSyntaxUID"]


@pytest.mark.parametrize("bad", ["1.02.3", "../../x", "1." + "2" * 64, "1.2."])
def test_a_uid_that_is_none(report, bad):
    from pydicom import config

    with config.disable_value_validation():
        report.ContentSequence[0].UID = bad
    (finding,) = [f for f in _errors(report) if f.section == "PS3.5 9.1"]
    assert finding.path == "ContentSequence[0].UID"
    assert bad not in finding.message


# ---------------------------------------------------------------- text
def _text(charset, raw, keyword="PatientName"):
    """A dataset as read from a file with these bytes."""
    import io
    import struct

    body = b""
    if charset is not None:
        value = charset.encode()
        value += b" " * (len(value) % 2)
        body += struct.pack("<HH2sH", 8, 5, b"CS", len(value)) + value
    raw += b" " * (len(raw) % 2)
    group, element, vr = {"PatientName": (0x10, 0x10, b"PN"), "StudyDescription": (8, 0x1030, b"LO")}[keyword]
    body += struct.pack("<HH2sH", group, element, vr, len(raw)) + raw
    from pydicom.filereader import read_dataset

    return read_dataset(io.BytesIO(body), is_implicit_VR=False, is_little_endian=True, bytelength=len(body))


@pytest.mark.parametrize(
    ("charset", "raw"),
    [
        (None, b"DOE^JANE"),
        ("ISO_IR 100", "Müller^Änne".encode("latin-1")),
        ("ISO_IR 192", "Müller^山田".encode()),
        ("ISO_IR 144", "Люксембург".encode("iso8859_5")),
        ("GB18030", "王^小东".encode("gb18030")),
        ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
        ("ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"),
    ],
)
def test_text_of_its_character_set_is_no_finding(charset, raw):
    assert _errors(_text(charset, raw)) == ()


@pytest.mark.parametrize(
    ("charset", "raw"),
    [
        (None, "Müller".encode("latin-1")),
        ("", "Müller".encode("latin-1")),
        ("ISO_IR 192", "Müller".encode("latin-1")),
        ("ISO_IR 166", b"\xfc\xfd\xfe\xff"),
        ("GB18030", b"\xff\xff\xff"),
    ],
)
def test_text_that_can_not_be_of_its_character_set(charset, raw):
    (finding,) = _errors(_text(charset, raw, "StudyDescription"))
    assert finding.path == "StudyDescription"
    assert finding.section == "PS3.5 6.1"
    assert "M" not in finding.message.replace("StudyDescription", "").split("bytes")[0]


@pytest.mark.parametrize("charset", ["ISO_IR 999", "LATIN-1", "ISO_IR 100\\ISO 2022 IR 999"])
def test_a_character_set_that_does_not_exist(charset):
    findings = _errors(_text(charset, b"DOE"))
    assert findings[0].path == "SpecificCharacterSet"
    assert findings[0].section == "PS3.3 C.12.1.1.2"


def test_code_extensions_need_terms_that_allow_them():
    (finding,) = _errors(_text("ISO_IR 100\\ISO 2022 IR 87", b"DOE"))
    assert "allows no code extensions" in finding.message


def test_text_set_in_memory_is_held_against_its_character_set():
    dataset = _item(PatientName="Müller")
    (finding,) = _errors(dataset)
    assert "no Specific Character Set" in finding.message
    dataset.SpecificCharacterSet = "ISO_IR 100"
    assert _errors(dataset) == ()
    dataset.StudyDescription = "山田"
    assert [f.path for f in _errors(dataset)] == ["StudyDescription"]
    dataset.SpecificCharacterSet = "ISO_IR 192"
    assert _errors(dataset) == ()
    dataset.StudyDescription = "a\ufffdb"  # what a failed decoding leaves
    assert [f.path for f in _errors(dataset)] == ["StudyDescription"]


def test_items_may_have_their_own_character_set():
    inner = _item(SpecificCharacterSet="ISO_IR 192", CodeMeaning="山田")
    dataset = _item(
        SpecificCharacterSet="ISO_IR 100", ProcedureCodeSequence=[inner, _item(CodeMeaning="Müller"), _item(CodeMeaning="山田")]
    )
    assert [f.path for f in _errors(dataset)] == ["ProcedureCodeSequence[2].CodeMeaning"]


def test_the_character_sets_of_the_corpus_are_readable(corpus):
    unreadable = {}
    for path in sorted((corpus / "charset").iterdir()):
        found = [f for f in check(path, validator=False).errors if f.section in ("PS3.5 6.1", "PS3.3 C.12.1.1.2")]
        if found:
            unreadable[path.name] = found
    assert unreadable == {}
