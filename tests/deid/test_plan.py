"""Every attribute of Table E.1-1, at the top and two levels down, gets the action of the table, under every option."""

import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from workbench import deid, standard
from workbench.deid import Keys, Options

PLANTED = {
    "AE": "CANARY", "AS": "083Y", "AT": 0x00100010, "CS": "CANARY", "DA": "20240229", "DS": "47.11", "DT": "20240229101112+0100",
    "FD": 47.11, "FL": 47.5, "IS": "4711", "LO": "Canary", "LT": "Canary", "OB": b"Canary", "OD": b"Canary!!", "OF": b"Cana",
    "OL": b"Cana", "OV": b"Canary!!", "OW": b"Canary", "PN": "Canary^Bird", "SH": "Canary", "SL": 4711, "SS": 4711, "ST": "Canary",
    "SV": 4711, "TM": "101112", "UC": "Canary", "UI": "1.2.3.4711", "UL": 4711, "UN": b"Canary", "UR": "http://canary",
    "US": 4711, "UT": "Canary", "UV": 4711,
}  # fmt: skip
#: how an action with several codes is resolved where nothing is known of the attribute's type
RESOLVED = {"X/Z": "Z", "X/D": "D", "Z/D": "D", "X/Z/D": "D", "X/Z/U*": "U"}
ROWS = [row for row in standard.confidentiality().values() if row.tag >> 16 not in {0x0000, 0x0001, 0x0002}]
NEST = "AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0]."
CHOICES = [
    "", "retain_uids", "retain_device_identity", "retain_institution_identity", "retain_patient_characteristics",
    "retain_longitudinal_full_dates", "retain_longitudinal_modified_dates",
]  # fmt: skip


def vr_of(tag):
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "LO"


def element(tag):
    vr = vr_of(tag).split(" or ")[0]
    if vr != "SQ":
        return DataElement(tag, vr, PLANTED[vr])
    item = Dataset()
    item.StudyDescription = "Canary"
    return DataElement(tag, "SQ", Sequence([item]))


def everything():
    def level():
        dataset = Dataset()
        for row in ROWS:
            dataset[Tag(row.tag)] = element(row.tag)
        return dataset

    dataset, region = level(), Dataset()
    region.AnatomicRegionModifierSequence = Sequence([level()])
    dataset.AnatomicRegionSequence = Sequence([region])
    return dataset


@pytest.fixture(scope="module")
def full():
    return everything()


def wanted(row, option):
    basic = RESOLVED.get(row.basic, row.basic)
    code = getattr(row, option) if option else ""
    vr = vr_of(row.tag)
    if code == "K":
        return "K"
    if option == "retain_longitudinal_modified_dates" and code == "C":
        return {"DA": "C", "DT": "C", "TM": "K"}.get(vr, "K" if row.name == "Timezone Offset From UTC" else basic)
    return basic


@pytest.mark.parametrize("option", CHOICES)
def test_every_attribute_has_the_action_of_the_table(full, option):
    options = Options(**{option: True} if option else {})
    actions = {step.path: step.action for step in deid.plan(full, options)}
    tags = {step.path: step.tag for step in deid.plan(full, options)}
    assert len(ROWS) == 652
    for prefix in ("", NEST):
        found = {
            tags[path]: action for path, action in actions.items() if path.startswith(prefix) and "." not in path[len(prefix) :]
        }
        expected = {f"({row.tag >> 16:04X},{row.tag & 0xFFFF:04X})": wanted(row, option) for row in ROWS}
        assert {tag: action for tag, action in found.items() if expected.get(tag) != action} == {}
        assert expected.keys() <= found.keys()


@pytest.mark.parametrize("option", CHOICES)
def test_every_action_is_carried_out(full, option, tmp_path):
    options = Options(**{option: True} if option else {})
    keys = Keys.create(tmp_path / "key")
    full.file_meta = meta()
    made = deid.apply(deid.plan(full, options), full, keys=keys).dataset
    for old, new in ((full, made), tuple(d.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0] for d in (full, made))):
        for row in ROWS:
            check(old[Tag(row.tag)], new.get(Tag(row.tag)), wanted(row, option), keys)


def meta():
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    made = FileMetaDataset()
    made.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def check(old, new, action, keys):
    own = {"PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"}
    if old.keyword in own:
        return
    if action == "X":
        assert new is None, old.keyword
    elif old.keyword in {"PatientName", "PatientID"}:
        assert "Canary" not in str(new.value)
        assert new.value
    elif action == "Z":
        assert new.is_empty, old.keyword
    elif old.VR == "SQ":
        assert "StudyDescription" not in new.value[0], old.keyword
    elif action == "D":
        assert not new.is_empty, old.keyword
        assert new.value != old.value
    elif action == "U":
        assert new.value == (keys.uid(old.value) if old.VR == "UI" else new.value), old.keyword
        assert new.value != old.value
    elif action == "C":
        assert len(new.value) == len(old.value)
        assert new.value[8:] == old.value[8:]
        assert new.value < "20240229"
    else:
        assert new.value == old.value, old.keyword


def test_what_cannot_be_judged_is_removed(full):
    dataset = Dataset()
    dataset.add_new(0x00091001, "LO", "private without creator")
    dataset.private_block(0x11, "MAKER", create=True).add_new(1, "SQ", Sequence([full]))
    dataset.add_new(0x00083333, "LO", "not in the dictionary")
    dataset.add_new(0x60000010, "US", 4)
    dataset.add_new(0x50000010, "US", 4)
    dataset.Rows = 4
    plan = deid.plan(dataset)
    assert {step.action for step in plan} == {"X"}
    assert [step.tag for step in plan] == ["(0008,3333)", "(0009,1001)", "(0011,0010)", "(0011,1001)", "(5000,0010)", "(6000,0010)"]


def test_a_value_that_cannot_be_decoded_is_removed():
    from pydicom.dataelem import RawDataElement

    dataset, tag = Dataset(), Tag("RealWorldValueSlope")
    dataset._dict[tag] = RawDataElement(tag, "FD", 3, b"abc", 0, False, True)
    assert [(s.action, s.reason) for s in deid.plan(dataset)] == [
        ("X", "its value can't be decoded, so nobody knows what is in it")
    ]


@pytest.mark.parametrize(
    ("sop_class", "keyword", "action"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", "SeriesDate", "X"),  # X/D, type 3
        ("1.2.840.10008.5.1.4.1.1.2", "ContentDate", "Z"),  # Z/D, type 2C
        ("1.2.840.10008.5.1.4.1.1.88.33", "ContentDate", "D"),  # Z/D, type 1
        ("1.2.840.10008.5.1.4.1.1.11.1", "PresentationCreationDate", "D"),  # X, but type 1
        ("1.2.840.10008.5.1.4.1.1.2", "PresentationCreationDate", "X"),
    ],
)
def test_types_of_the_iod_decide_where_the_table_leaves_it_open(sop_class, keyword, action):
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    setattr(dataset, keyword, "20240229")
    assert [step.action for step in deid.plan(dataset) if step.path == keyword] == [action]


def test_a_code_tree_keeps_codes_and_numbers_and_loses_text(tmp_path):
    def coded(meaning):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "121071", "DCM", meaning
        return item

    text, number, nested, report = Dataset(), Dataset(), Dataset(), Dataset()
    text.ValueType, text.TextValue, text.ConceptNameCodeSequence = "TEXT", "Jane has it", Sequence([coded("Finding")])
    nested.MeasurementUnitsCodeSequence, nested.NumericValue = Sequence([coded("mm")]), "4.5"
    number.ValueType, number.MeasuredValueSequence = "NUM", Sequence([nested])
    number.ContentSequence = Sequence([text])
    report.ContentSequence = Sequence([number])
    report.file_meta = meta()
    made = deid.apply(deid.plan(report), report, keys=Keys.create(tmp_path / "key"))
    item = made.dataset.ContentSequence[0]
    assert item.MeasuredValueSequence[0].NumericValue == 4.5
    assert item.ContentSequence[0].TextValue == "REMOVED"
    assert item.ContentSequence[0].ConceptNameCodeSequence[0].CodeMeaning == "Finding"
    assert [(str(f.severity), f.path) for f in made.findings] == [("warning", "ContentSequence")]


def test_a_person_in_a_sequence_of_identifications_is_replaced_whole(tmp_path):
    person, dataset = Dataset(), Dataset()
    person.CodeValue, person.CodingSchemeDesignator, person.CodeMeaning = "4711", "99STAFF", "Dr. Canary"
    dataset.ContentCreatorIdentificationCodeSequence = Sequence([person])
    outer = Dataset()
    outer.PersonIdentificationCodeSequence = Sequence([person])
    assert tag_for_keyword("PersonIdentificationCodeSequence") == 0x00401101
    outer.file_meta = meta()
    made = deid.apply(deid.plan(outer), outer, keys=Keys.create(tmp_path / "key")).dataset
    item = made.PersonIdentificationCodeSequence[0]
    assert (item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning) == ("REMOVED", "99REMOVED", "REMOVED")


def test_free_text_that_names_the_patient_is_replaced_though_the_table_leaves_it_alone():
    dataset = Dataset()
    dataset.PatientName, dataset.PatientID = "Yamada^Tarou=山田^太郎", "PID-4711"
    dataset.ContentDescription, dataset.LUTExplanation = "marks for YAMADA", "CT 4711"
    dataset.KVP, dataset.Manufacturer, dataset.ContentLabel = "120", "Yamada Works", "MARKS"
    item = Dataset()
    item.LUTExplanation = "of 山田さん, PID-4711"
    dataset.ModalityLUTSequence = Sequence([item])
    plan = deid.plan(dataset)
    mentions = [s.path for s in plan if "mentions" in s.reason]
    assert mentions == ["ModalityLUTSequence[0].LUTExplanation", "ContentDescription"]
    assert "yamada" not in str(list(plan)).lower()
    assert repr(plan).startswith(f"<Plan for {len(plan)} attributes: 3 replaced by a dummy value, 1 emptied")
    assert "ModalityLUTSequence[0]" in plan._repr_html_()


def test_what_hides_in_a_value_of_the_wrong_kind_is_removed():
    dataset = Dataset()
    dataset.add_new("PixelPaddingValue", "SS", [17] * 40)  # the rest of a dataset, read as numbers
    dataset.add_new("BodyPartExamined", "OB", b"DOE^JANE")
    dataset.add_new("RegionSpatialFormat", "US", 1)
    dataset.add_new("PixelData", "OB", b"ab")
    dataset.add_new("ContourData", "UN", b"1.5\\-2e3\\0 ")  # long lists of numbers are encoded so
    dataset["ContourData"].VR, dataset["ContourData"]._value = "UN", b"1.5\\-2e3\\0 "
    dataset.add_new("RedPaletteColorLookupTableData", "OW", b"ab")
    dataset.add_new("GrayLookupTableData", "US", [1, 2, 3])
    assert [step.path for step in deid.plan(dataset)] == ["BodyPartExamined", "PixelPaddingValue"]
