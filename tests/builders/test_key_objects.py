"""Key Object Selections, read back by highdicom and DCMTK."""

import pytest
from highdicom.ko import KeyObjectSelectionDocument
from pydicom.sr.codedict import codes

from workbench import builders, files, phantoms
from workbench.builders import SelectionTitle
from workbench.errors import BuildRefused


def test_the_titles_are_those_of_cid_7010():
    known = {(c.value, c.scheme_designator): c.meaning for c in codes.cid7010.concepts.values()}
    for title in SelectionTitle:
        assert known[title.value.value, title.value.scheme] == title.value.meaning


def test_it_says_what_was_selected_and_why(ct, tmp_path):
    document = builders.selection(ct, title=SelectionTitle.FOR_TEACHING, description="Größe: 大きさ")
    back = files.read(files.save(document, tmp_path / "ko.dcm")).dataset
    assert (back.SOPClassUID.name, back.Modality) == ("Key Object Selection Document Storage", "KO")
    assert back.ContentTemplateSequence[0].TemplateIdentifier == "2010"
    assert back.ConceptNameCodeSequence[0].CodeValue == "113004"
    assert back.SeriesDescription == "Key objects: For Teaching"
    texts = [item.TextValue for item in back.ContentSequence if item.ValueType == "TEXT" and "Key Object" in name_of(item)]
    assert texts == ["Größe: 大きさ"]
    images = [item.ReferencedSOPSequence[0] for item in back.ContentSequence if item.ValueType == "IMAGE"]
    assert [i.ReferencedSOPInstanceUID for i in images] == [c.SOPInstanceUID for c in ct]
    assert {i.ReferencedSOPClassUID for i in images} == {ct[0].SOPClassUID}
    read = KeyObjectSelectionDocument.from_dataset(back)
    for image in ct:
        uids = (image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID)
        assert read.resolve_reference(image.SOPInstanceUID) == uids


def name_of(item):
    return item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""


def test_images_have_no_purpose_of_reference(ct):
    images = [item for item in builders.selection(ct).ContentSequence if item.ValueType == "IMAGE"]
    assert len(images) == 3
    assert not any("ConceptNameCodeSequence" in item for item in images)  # TID 2010 row 8


def test_evidence_is_listed_by_series(ct):
    body = phantoms.pet_ct()
    document = builders.selection([body.ct[0], body.pet[0], body.ct[1]])
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    listed = {
        s.SeriesInstanceUID: [i.ReferencedSOPInstanceUID for i in s.ReferencedSOPSequence] for s in study.ReferencedSeriesSequence
    }
    assert listed == {
        body.ct[0].SeriesInstanceUID: [body.ct[0].SOPInstanceUID, body.ct[1].SOPInstanceUID],
        body.pet[0].SeriesInstanceUID: [body.pet[0].SOPInstanceUID],
    }


def test_what_is_named_twice_is_selected_once(ct):
    document = builders.selection([ct[0], ct[1], ct[0]])
    assert sum(item.ValueType == "IMAGE" for item in document.ContentSequence) == 2


def test_a_report_is_selected_as_a_composite(ct, region):
    report = builders.measurement([region(ct[0])])
    document = builders.selection([report, ct[0]])
    assert [item.ValueType for item in document.ContentSequence][-2:] == ["COMPOSITE", "IMAGE"]
    assert document.ContentSequence[-2].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == report.SOPInstanceUID


def test_frames_of_a_volume_are_selected_together(volume):
    (item,) = [i for i in builders.selection([volume]).ContentSequence if i.ValueType == "IMAGE"]
    assert "ReferencedFrameNumber" not in item.ReferencedSOPSequence[0]  # all of them


def test_nothing_can_not_be_selected():
    with pytest.raises(BuildRefused, match="at least one instance"):
        builders.selection([])


def test_dcmtk_reads_it(ct, dcmtk):
    done = dcmtk("dsrdump", builders.selection(ct, description="Größe"))
    assert '<contains TEXT:(,,"Key Object Description")="Größe">' in done.stdout
    assert done.stdout.count("<contains IMAGE:=(CT image,)>") == 3
    # that DCMTK checks neither UTF-8 nor TID 2010 is no fault of the document
    said = [line for line in done.stderr.splitlines() if line[:2] in {"W:", "E:", "F:"}]
    assert [
        line for line in said if "does not support this Specific Character Set" not in line and "not yet supported" not in line
    ] == []
