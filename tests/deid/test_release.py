"""Plan, apply, verify on phantoms: nothing planted is left, references resolve, conformance is kept."""

import copy
import io
import subprocess
import sys

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from workbench import deid, phantoms
from workbench.deid import Keys, Options
from workbench.errors import BuildRefused, InputError, KeyRefused, LimitExceeded


@pytest.fixture
def keys(tmp_path):
    return Keys.create(tmp_path / "key")


@pytest.fixture(scope="module")
def planted():
    return phantoms.planted_ct()


def encoded(dataset):
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def released(dataset, keys, **options):
    return deid.apply(deid.plan(dataset, Options(**options)), dataset, keys=keys)


def test_no_planted_identity_is_left_in_the_bytes(planted, keys):
    before = encoded(planted.dataset)
    assert all(text.encode() in before for text in planted.identities)
    made = released(planted.dataset, keys)
    after = encoded(made.dataset).lower()
    assert [text for text in planted.identities if text.lower().encode() in after] == []
    assert not deid.verify(planted.dataset, made, identities=planted.identities)
    assert encoded(planted.dataset) == before


def test_a_release_says_what_it_is(planted, keys):
    dataset = released(planted.dataset, keys, retain_patient_characteristics=True, retain_longitudinal_modified_dates=True).dataset
    assert dataset.PatientIdentityRemoved == "YES"
    assert [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence] == ["113100", "113107", "113108"]
    assert dataset.LongitudinalTemporalInformationModified == "MODIFIED"
    assert dataset.preamble == bytes(128)
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert "SourceApplicationEntityTitle" not in dataset.file_meta
    assert "PrivateInformation" not in dataset.file_meta
    assert str(dataset.PatientName) == f"PSEUDONYM^{dataset.PatientID}"
    assert dataset.PatientBirthDate == ""
    assert dataset.PixelData == planted.dataset.PixelData
    assert Options.of(dataset) == Options(retain_patient_characteristics=True, retain_longitudinal_modified_dates=True)


def test_verify_finds_what_was_left(planted, keys):
    made = released(planted.dataset, keys)
    leaks = {
        "StudyComments": str(planted.dataset.PatientName).split("^")[0],
        "ImageComments": f"seen on {planted.dataset.StudyDate}.",
        "StationName": planted.dataset.PatientID,
        "PixelData": bytes(100) + planted.dataset.AccessionNumber.encode("utf-16-le") + bytes(100),
        "DerivationDescription": f"from {planted.dataset.SOPInstanceUID}",
    }
    for keyword, value in leaks.items():
        leaky = copy.deepcopy(made.dataset)
        setattr(leaky, keyword, value)
        found = deid.verify(planted.dataset, leaky)
        assert found.errors, keyword
        assert found[0].path in {keyword, "encoded bytes"}
        text = str(list(found))
        assert not any(identity in text for identity in planted.identities)
    unmarked = copy.deepcopy(made.dataset)
    unmarked.PatientIdentityRemoved = "NO"
    assert [f.path for f in deid.verify(planted.dataset, unmarked)] == ["PatientIdentityRemoved"]
    given = copy.deepcopy(made.dataset)
    given.SeriesDescription = "Secret Garden"
    assert deid.verify(planted.dataset, given, identities=["secret garden"])[0].path == "SeriesDescription"


def test_nothing_is_said_about_values(planted, keys):
    plan = deid.plan(planted.dataset)
    made = deid.apply(plan, planted.dataset, keys=keys)
    texts = [
        repr(plan),
        plan._repr_html_(),
        repr(made),
        str(deid.report(plan)),
        deid.report(made)._repr_html_(),
        str(list(made.findings)),
    ]
    for text in texts:
        assert [identity for identity in planted.identities if len(identity) > 4 and identity in text] == []


def test_references_among_the_files_of_a_study_still_resolve(keys, tmp_path):
    study, eye = phantoms.pet_ct(), phantoms.oct()
    originals = [*study.ct[:5], *study.pet[:5], eye.volume, eye.localizer]
    made = [released(d, keys).dataset for d in originals]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "PatientID"):
        pairs = {(str(o.get(keyword, "")), str(n.get(keyword, ""))) for o, n in zip(originals, made, strict=True)}
        assert len({o for o, _ in pairs}) == len({n for _, n in pairs}) == len(pairs)
        assert all(o != n for o, n in pairs if o)
    known = {str(o.SOPInstanceUID): str(n.SOPInstanceUID) for o, n in zip(originals, made, strict=True)}
    resolved = 0
    for original, new in zip(originals, made, strict=True):
        old_references, new_references = (list(references(d)) for d in (original, new))
        for old, now in zip(old_references, new_references, strict=True):
            if old in known:
                assert now == known[old]
                resolved += 1
    assert resolved > 0


def references(dataset):
    for element in dataset.iterall():
        if element.keyword == "ReferencedSOPInstanceUID":
            yield str(element.value)


def test_another_process_gives_the_same_uids(planted, tmp_path):
    keys = Keys.create(tmp_path / "key")
    code = (
        "import sys; from workbench import deid, phantoms; d = phantoms.planted_ct().dataset\n"
        f"n = deid.apply(deid.plan(d), d, keys=deid.Keys.load({str(tmp_path / 'key')!r})).dataset\n"
        "print(n.SOPInstanceUID, n.StudyInstanceUID, n.PatientID)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = released(planted.dataset, keys).dataset
    assert done.stdout.split() == [here.SOPInstanceUID, here.StudyInstanceUID, here.PatientID]


def test_uids_of_the_standard_stay(keys):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    dataset.FrameOfReferenceUID = "1.2.840.10008.1.4.1.1"  # Talairach brain atlas: a well-known frame of reference
    dataset.file_meta = phantoms.planted_ct().dataset.file_meta
    made = released(dataset, keys).dataset
    assert made.SOPClassUID == dataset.SOPClassUID
    assert made.FrameOfReferenceUID == dataset.FrameOfReferenceUID
    assert made.SOPInstanceUID == keys.uid("1.2.3")
    assert released(dataset, keys, retain_uids=True).dataset.SOPInstanceUID == "1.2.3"


def test_reading_back_gives_what_was_released(planted, keys, tmp_path):
    made = released(planted.dataset, keys).dataset
    made.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    assert dcmread(tmp_path / "x.dcm") == made


def test_what_is_refused(planted, keys):
    with pytest.raises(KeyRefused, match=r"needs a key: Keys\.create"):
        deid.apply(deid.plan(planted.dataset), planted.dataset, keys=None)
    with pytest.raises(BuildRefused, match=r"does not cover \d+ attributes of this dataset, first \(0008,0012\)"):
        deid.apply(deid.plan(Dataset()), planted.dataset, keys=keys)
    with pytest.raises(InputError, match=r"clean_pixel_data: not offered yet \(PS3.15 E.3\)"):
        Options(clean_pixel_data=True)
    with pytest.raises(InputError, match="choose one of the two"):
        Options(retain_longitudinal_full_dates=True, retain_longitudinal_modified_dates=True)
    deep = Dataset()
    for _ in range(80):
        outer = Dataset()
        outer.AnatomicRegionSequence = Sequence([deep])
        deep = outer
    with pytest.raises(LimitExceeded, match="more than 64 levels deep"):
        deid.plan(deep)


def test_a_plan_can_be_made_stricter_or_weaker_by_hand(planted, keys):
    made = deid.plan(planted.dataset)
    from dataclasses import replace

    steps = [replace(s, action="K") if s.path == "StudyDate" else s for s in made]
    steps.append(replace(made[0], path="SliceThickness", action="X"))
    done = deid.apply(deid.Plan(steps, made.options), planted.dataset, keys=keys)
    assert done.dataset.StudyDate == planted.dataset.StudyDate
    assert "SliceThickness" not in done.dataset
    assert [(f.path, str(f.severity)) for f in done.findings] == [("StudyDate", "warning")]
    wrong = deid.Plan([replace(s, action="?") for s in made], made.options)
    with pytest.raises(BuildRefused, match=r"actions D, Z, X, K, C, U, not '\?'"):
        deid.apply(wrong, planted.dataset, keys=keys)


@pytest.mark.parametrize(
    ("values", "severity", "path"),
    [
        ({"BurnedInAnnotation": "YES", "Modality": "CT"}, "error", "BurnedInAnnotation"),
        ({"Modality": "US"}, "warning", "BurnedInAnnotation"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "CT"}, "warning", "BurnedInAnnotation"),
        ({"Modality": "MR", "BodyPartExamined": "HEAD"}, "warning", "PixelData"),
    ],
)
def test_what_attributes_do_not_tell_is_a_finding(keys, values, severity, path):
    dataset = phantoms.planted_ct().dataset
    for keyword in ("BurnedInAnnotation", "BodyPartExamined"):
        if keyword in dataset:
            del dataset[keyword]
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    assert [(str(f.severity), f.path) for f in released(dataset, keys).findings] == [(severity, path)]


def test_an_object_that_says_it_is_clean_has_no_finding(keys, planted):
    assert not released(planted.dataset, keys).findings


def test_a_plan_survives_a_pickle(planted):
    import pickle

    plan = deid.plan(planted.dataset, Options(retain_uids=True))
    back = pickle.loads(pickle.dumps(plan))
    assert back == plan
    assert back.options == plan.options


def test_nothing_is_left_in_a_deflated_file_either_nor_in_its_preamble(planted, keys):
    import zlib

    from pydicom.uid import DeflatedExplicitVRLittleEndian

    original = copy.deepcopy(planted.dataset)
    original.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    original.preamble = b"MZ" + bytes(120) + b"CANARY"
    made = released(original, keys)
    content = encoded(made.dataset)
    start = 144 + int.from_bytes(content[140:144], "little")  # after the group length and what it counts
    inflated = zlib.decompress(content[start:], -zlib.MAX_WBITS).lower()
    assert b"pseudonym" in inflated
    assert [i for i in (*planted.identities, "CANARY") if i.lower().encode() in inflated or i.encode() in content] == []
    assert not deid.verify(original, made, identities=planted.identities)


def test_patients_without_a_name_are_not_taken_for_one(keys):
    def unknown(study):
        dataset = Dataset()
        dataset.PatientID, dataset.PatientName, dataset.StudyInstanceUID = "", "", study
        dataset.file_meta = phantoms.planted_ct().dataset.file_meta
        return released(dataset, keys).dataset.PatientID

    assert unknown("1.2.3") == unknown("1.2.3") != unknown("1.2.4")


def test_an_overlay_in_unused_bits_of_the_pixels_is_found(keys, planted):
    dataset = copy.deepcopy(planted.dataset)
    dataset.add_new(0x60000102, "US", 12)
    assert [(f.section, f.path) for f in released(dataset, keys).findings] == [("PS3.5 8.1.2", "PixelData")]


def test_hostile_values_are_not_in_plans_and_reports(keys):
    payload = "<img src=x onerror=alert(1)>"
    dataset = Dataset()
    dataset.PatientName = dataset.StudyDescription = payload
    dataset.private_block(0x11, payload, create=True).add_new(1, "LO", payload)
    dataset.file_meta = phantoms.planted_ct().dataset.file_meta
    plan = deid.plan(dataset)
    made = deid.apply(plan, dataset, keys=keys)
    for html in (plan._repr_html_(), deid.report(plan)._repr_html_(), deid.report(made)._repr_html_()):
        assert "<img" not in html
        assert "onerror" not in html


def test_no_value_reaches_a_log_or_a_warning(keys, tmp_path, caplog, recwarn):
    import logging

    from workbench import inspection

    original = Dataset()
    original.add_new("PatientAge", "LO", "Canary-1")
    original.add_new("Modality", "LO", "Canary-2 in lower case, and far too long for a code string")
    original.add_new("StudyInstanceUID", "LO", "Canary-3")
    for keyword, vr in (("PatientAge", "AS"), ("Modality", "CS"), ("StudyInstanceUID", "UI")):
        original[keyword].VR = vr
    original.file_meta = phantoms.planted_ct().dataset.file_meta
    original.SOPClassUID = original.SOPInstanceUID = "1.2.3"
    original.save_as(tmp_path / "bad.dcm", enforce_file_format=True)
    caplog.clear()
    recwarn.clear()
    with caplog.at_level(logging.DEBUG):
        bad = dcmread(tmp_path / "bad.dcm")
        made = released(bad, keys, retain_patient_characteristics=True)
        found = deid.verify(bad, made, identities=["Canary-2"])
        for again in (tmp_path / "bad.dcm",):
            shown = dcmread(again)
            assert "Canary-1" in str(inspection.tree(shown))
            inspection.summary(dcmread(again))
            inspection.table([dcmread(again)])
            inspection.differences(dcmread(again), bad)
    assert [f.path for f in found.errors] == ["Modality"]
    assert made.dataset.PatientAge == ""
    assert "Canary" not in caplog.text
    assert not [w for w in recwarn if "Canary" in str(w.message)]
