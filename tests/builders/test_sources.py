"""What is built belongs to the patient and study of its sources, says so in Unicode, and tells nobody else."""

import copy
import logging
import warnings

import pytest
from pydicom.dataset import Dataset

from workbench import conformance, files
from workbench.errors import BuildRefused

NAMES = ["measurement", "selection", "grayscale"]
JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"  # PS3.5 Annex H, example 1


@pytest.fixture(params=NAMES)
def build(request, all_builders):
    return all_builders[request.param]


def read_back(dataset, folder):
    return files.read(files.save(dataset, folder / "built.dcm", durable=False)).dataset


def test_patient_and_study_are_inherited_as_they_are(build, ct):
    built = build(ct)
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientWeight",
                    "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "StudyDescription",
                    "ReferringPhysicianName"):  # fmt: skip
        assert built[keyword].value == ct[0][keyword].value, keyword
    assert built.SeriesInstanceUID != ct[0].SeriesInstanceUID
    assert built.SOPInstanceUID not in {c.SOPInstanceUID for c in ct}
    assert built.Modality in {"SR", "KO", "PR"}


def test_every_object_is_another_one(build, ct):
    assert build(ct).SOPInstanceUID != build(ct).SOPInstanceUID


def test_sources_are_not_changed(build, ct, volume):
    for sources in (ct, [volume]):
        before = [copy.deepcopy(s) for s in sources]
        build(sources)
        assert sources == before
        assert [s.file_meta for s in sources] == [b.file_meta for b in before]


@pytest.mark.parametrize(
    ("charset", "name", "meaning"),
    [
        (["", "ISO 2022 IR 87"], JAPANESE, "CT"),
        ("ISO_IR 100", "Møller^Åse", "Schädel"),
        ("ISO_IR 144", "Люкceмбypг", "Череп"),
        ("GB18030", "Wang^XiaoDong=王^小东", "头"),
    ],
)
def test_text_of_any_character_set_becomes_unicode(build, ct, tmp_path, charset, name, meaning):
    source = ct[0]
    source.SpecificCharacterSet = charset
    source.PatientName = name
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99TEST", meaning
    source.ProcedureCodeSequence = [item]  # General Study: nested text is inherited too
    raw = files.read(files.save(source, tmp_path / "source.dcm", durable=False)).dataset  # elements not decoded yet
    path = files.save(build([raw]), tmp_path / "built.dcm", durable=False)
    back = files.read(path).dataset
    assert back.SpecificCharacterSet == "ISO_IR 192"
    assert back.PatientName == name
    assert back.ProcedureCodeSequence[0].CodeMeaning == meaning
    assert name.encode() in path.read_bytes()


def test_a_deidentified_source_lacks_much_and_that_is_well(build, ct, tmp_path):
    source = ct[0]
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
                    "StudyID", "ReferringPhysicianName", "PatientAge", "SpecificCharacterSet"):  # fmt: skip
        del source[keyword]
    source.PatientIdentityRemoved, source.DeidentificationMethod = "YES", "by hand"
    built = build([source])
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "ReferringPhysicianName"):
        assert str(built[keyword].value) == ""
    assert built.PatientIdentityRemoved == "YES"
    assert not conformance.check(built).errors


@pytest.mark.parametrize(
    ("keyword", "value", "left"),
    [
        ("PatientBirthDate", "about 1950", ""),
        ("PatientSex", "männlich", ""),
        ("StudyTime", "11:25:01", ""),
        ("StudyID", "a study with a very long name", ""),
        ("PatientAge", "45", None),
        ("PatientWeight", "heavy", None),
    ],
)
def test_a_value_that_is_not_valid_is_not_inherited(build, ct, tmp_path, caplog, keyword, value, left):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = ct[0]
        data = files.save(source, tmp_path / "source.dcm", durable=False).read_bytes()
        old = str(source[keyword].value).encode()
        old += b" " * (len(old) % 2)
        new = value.encode("utf-8")
        new += b" " * (len(new) % 2)
        tag = source[keyword].tag
        head = tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little") + source[keyword].VR.encode()
        before, after = (head + len(v).to_bytes(2, "little") + v for v in (old, new))
        assert data.count(before) == 1
        broken = files.read(data.replace(before, after)).dataset
    with warnings.catch_warnings(record=True) as told, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        built = build([broken])
    assert (str(built[keyword].value) if keyword in built else None) == left
    said = caplog.text + "".join(str(w.message) for w in told)
    assert f"{keyword} of instance {source.SOPInstanceUID} is not valid and was not inherited" in said
    assert value not in said
    assert not conformance.check(built).errors


@pytest.mark.parametrize(("keyword", "name"), [("PatientID", "Patient ID"), ("AccessionNumber", "Accession Number")])
def test_an_identity_that_is_not_valid_is_refused(build, ct, keyword, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        setattr(ct[0], keyword, "SECRET" * 15)
    with pytest.raises(BuildRefused, match=rf"{name} .* of instance {ct[0].SOPInstanceUID} is not valid .*PS3\.5 6\.2") as caught:
        build(ct[:1])
    assert "SECRET" not in f"{caught.value}{caught.value.__cause__}"


def test_no_refusal_or_warning_tells_a_value_of_the_patient(all_builders, ct, caplog):
    source = ct[0]
    hidden = {"PatientName": "Zebra", "PatientID": "Quagga77", "PatientBirthDate": "19310203", "PatientComments": "Okapi",
              "AccessionNumber": "Kudu5", "StudyDescription": "Gnu"}  # fmt: skip
    for keyword, value in hidden.items():
        setattr(source, keyword, value)  # a name of one component makes highdicom warn
    told = []
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        for build in all_builders.values():
            build([source])
            for broken in ({"Rows": 8}, {"SOPClassUID": ""}, {"StudyInstanceUID": ""}):
                other = copy.deepcopy(source)
                for keyword, value in broken.items():
                    setattr(other, keyword, value)
                try:
                    build([other])
                except (BuildRefused, ValueError) as error:
                    told.append(f"{error} {error.__cause__}")
    assert len(told) >= 8
    said = " ".join([*told, caplog.text, *(str(w.message) for w in warned)])
    assert [value for value in hidden.values() if value in said] == []


def test_there_is_something_to_refer_to(all_builders):
    for build in all_builders.values():
        with pytest.raises(BuildRefused, match=r"needs at least one instance.*PS3\.3 C\.17\.2"):
            build([])


@pytest.mark.parametrize(("keyword", "section"), [("StudyInstanceUID", r"C\.7\.2\.1"), ("PatientID", r"C\.7\.1\.1")])
def test_one_object_speaks_of_one_patient_and_study(build, ct, keyword, section):
    ct[1][keyword].value = "1.2.3"
    with pytest.raises(BuildRefused, match=rf"differ in {keyword}: .*PS3\.3 {section}") as caught:
        build(ct)
    assert "1.2.3" not in str(caught.value)


@pytest.mark.parametrize("keyword", ["SeriesInstanceUID", "StudyInstanceUID"])
def test_a_source_without_a_uid_is_refused(build, ct, keyword):
    del ct[0][keyword]
    with pytest.raises(BuildRefused, match=rf"needs {keyword} of each instance.*C\.12\.1"):
        build(ct)


def test_a_private_image_class_can_be_referred_to(all_builders, ct, tmp_path):
    ct[0].SOPClassUID = ct[0].file_meta.MediaStorageSOPClassUID = "1.3.12.2.1107.5.9.1"
    assert read_back(all_builders["selection"](ct[:1]), tmp_path).PatientID == ct[0].PatientID
    for name in ("measurement", "grayscale"):  # whether it may have regions or a state at all is not known
        with pytest.raises(
            BuildRefused, match=r"can't be built: instance .* is of SOP class 1\.3\.12.*private or no longer standard"
        ):
            all_builders[name](ct[:1])
