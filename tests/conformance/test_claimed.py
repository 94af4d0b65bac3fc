"""Objects are held against the tables of a statement: each word for presence, each value, each item."""

from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import FileMetaDataset

from workbench.conformance import check_claims
from workbench.devices import attributes, objects, profile
from workbench.devices.reading import load
from workbench.entities import Severity
from workbench.errors import InputError, ProfileInvalid

SC, OP = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.77.1.5.1"

SYSTEM = r"""
[profile]
name = "system"
title = "A system"
maker = "Maker"
product = "Product"
version = "1"
statement = "Statement"
edition = "2026"
summary = "A system."

[[tables]]
id = "iod"
kind = "iod"
source = "Table 1"
title = "Secondary Capture"
uid = "1.2.840.10008.5.1.4.1.1.7"
columns = ["entity", "module", "usage", "presence", "table"]
rows = [
  ["Image", "Here", "M", "", "here"],
  ["Image", "Sometimes", "C", "", "sometimes"],
]

[[tables]]
id = "iod-2"
kind = "iod"
source = "Table 2"
title = "Secondary Capture"
uid = "1.2.840.10008.5.1.4.1.1.7"
columns = ["entity", "module", "usage", "presence", "table"]
rows = [["Image", "Other", "M", "", "other"]]

[[tables]]
id = "here"
kind = "module"
source = "Table 3"
title = "Here"
columns = ["depth", "name", "tag", "vr", "type", "value", "presence"]
rows = [
  [0, "Patient ID", "(0010,0020)", "LO", "", "", "ALWAYS"],
  [0, "Patient's Name", "(0010,0010)", "PN", "", "", "VNAP"],
  [0, "Patient Comments", "(0010,4000)", "LT", "", "", "EMPTY"],
  [0, "Study ID", "(0020,0010)", "SH", "", "", "ANAP"],
  [0, "Accession Number", "(0008,0050)", "SH", "", "", "ANAPCV"],
  [0, "Study Description", "(0008,1030)", "LO", "", "", "ANAPEV"],
  [0, "Series Description", "(0008,103E)", "LO", "", "", "COND"],
  [0, "Station Name", "(0008,1010)", "SH", "1", "", ""],
  [0, "Referring Physician's Name", "(0008,0090)", "PN", "2", "", ""],
  [0, "Image Comments", "(0020,4000)", "LT", "3", "", ""],
  [0, "Image Type", "(0008,0008)", "CS", "", 'ORIGINAL | DERIVED\PRIMARY\ | AXIAL', "VNAP"],
  [0, "Rescale Slope", "(0028,1053)", "DS", "", "1 | 2.5", "ANAP"],
  [0, "Content Sequence", "(0040,A730)", "SQ", "", "", "ANAP"],
  [1, "Value Type", "(0040,A040)", "CS", "", "TEXT", "ALWAYS"],
  [1, "Text Value", "(0040,A160)", "UT", "", "", "ALWAYS"],
]

[[tables]]
id = "sometimes"
kind = "module"
source = "Table 4"
title = "Sometimes"
columns = ["name", "tag", "vr", "presence"]
rows = [
  ["Patient ID", "(0010,0020)", "LO", "ALWAYS"],
  ["KVP", "(0018,0060)", "DS", "ALWAYS"],
  ["Exposure", "(0018,1152)", "IS", "ANAP"],
]

[[tables]]
id = "other"
kind = "module"
source = "Table 5"
title = "Other"
columns = ["name", "tag", "vr", "presence"]
rows = [["Patient ID", "(0010,0020)", "LO", "EMPTY"]]

[[tables]]
id = "iod-3"
kind = "iod"
source = "Table 6"
title = "Secondary Capture"
uid = "1.2.840.10008.5.1.4.1.1.7"
columns = ["entity", "module", "usage", "presence", "table"]
rows = [["Image", "Under conditions", "M", "", "conditions"]]

[[tables]]
id = "conditions"
kind = "module"
source = "Table 7"
title = "Under conditions"
columns = ["depth", "name", "tag", "vr", "type", "presence", "condition"]
rows = [
  [0, "Contrast/Bolus Agent", "(0018,0010)", "LO", "", "ANAP", "(0008,0008)[4] in FA | ICG"],
  [0, "Planar Configuration", "(0028,0006)", "US", "", "COND", "(0028,0002) == 3"],
  [0, "Acquisition Number", "(0020,0012)", "IS", "3", "", "(0008,0060) == OP"],
  [0, "Laterality", "(0020,0060)", "CS", "2C", "", "(0008,0060) != OP"],
  [0, "Rescale Type", "(0028,1054)", "LO", "1C", "", "(0028,1052) present"],
  [0, "Source Image Sequence", "(0008,2112)", "SQ", "", "ANAP", ""],
  [1, "Spatial Locations Preserved", "(0028,135A)", "CS", "", "ANAP", "(0028,2110) == 01"],
]
"""


@pytest.fixture(scope="module")
def system():
    return load(SYSTEM)


def sound():
    dataset = Dataset()
    dataset.SOPClassUID, dataset.PatientID, dataset.PatientName, dataset.PatientComments = SC, "SECRET-1", "Secret^Name", ""
    dataset.StationName, dataset.ReferringPhysicianName, dataset.ImageType = "ONE", "", ["DERIVED", "PRIMARY", ""]
    return dataset


def found(dataset, system, source="Table 1"):
    return [(f.path, f.message.split(": ")[-1]) for f in check_claims(dataset, system, source=source).errors]


def test_a_sound_object_has_no_errors_and_a_note_of_what_is_not_listed(system):
    notes = check_claims(sound(), system, source="Table 1")
    assert {note.severity for note in notes} == {Severity.NOTE}
    assert [note.message for note in notes] == [
        "Table 4 is there under conditions only, and nothing of it is: it was not looked at.",
        "Table 1 does not have SOPClassUID.",
    ]


LACKS, EMPTY, FULL = "it is lacking.", "it is empty.", "it has a value."


@pytest.mark.parametrize(
    ("keyword", "value", "absent", "empty", "full"),
    [
        ("PatientID", "1", LACKS, EMPTY, None),  # ALWAYS
        ("PatientName", "A^B", LACKS, None, None),  # VNAP
        ("PatientComments", "x", LACKS, None, FULL),  # EMPTY
        ("StudyID", "1", None, EMPTY, None),  # ANAP
        ("AccessionNumber", "1", None, EMPTY, None),  # ANAPCV
        ("StudyDescription", "x", None, None, None),  # ANAPEV
        ("SeriesDescription", "x", None, None, None),  # COND
        ("StationName", "x", LACKS, EMPTY, None),  # type 1
        ("ReferringPhysicianName", "A^B", LACKS, None, None),  # type 2
        ("ImageComments", "x", None, EMPTY, None),  # type 3
    ],
)
def test_each_word_for_presence(system, keyword, value, absent, empty, full):
    for state, expected in ((None, absent), ("", empty), (value, full)):
        dataset = sound()
        dataset.pop(keyword, None)
        if state is not None:
            setattr(dataset, keyword, state)
        assert found(dataset, system) == ([(keyword, expected)] if expected else [])


@pytest.mark.parametrize(
    ("keyword", "value", "is_listed"),
    [
        ("ImageType", ["ORIGINAL", "PRIMARY", "AXIAL"], True),
        ("ImageType", ["ORIGINAL", "PRIMARY", ""], True),
        ("ImageType", ["ORIGINAL", "PRIMARY"], False),
        ("ImageType", ["PRIMARY", "ORIGINAL", ""], False),
        ("ImageType", "ORIGINAL", False),
        ("RescaleSlope", "1.000", True),
        ("RescaleSlope", "2.50", True),
        ("RescaleSlope", "1.5", False),
    ],
)
def test_each_value_is_one_of_its_alternatives(system, keyword, value, is_listed):
    dataset = sound()
    setattr(dataset, keyword, value)
    assert [path for path, _ in found(dataset, system)] == ([] if is_listed else [keyword])


def test_the_message_names_table_presence_and_what_is_listed_and_no_value(system):
    dataset = sound()
    dataset.RescaleSlope, dataset.PatientComments = "77", "Secret"
    findings = check_claims(dataset, system, source="Table 1")
    messages = [finding.message for finding in findings.errors]
    assert "Table 3 has Rescale Slope (ANAP): its value is not 1 or 2.5." in messages
    assert {finding.section for finding in findings} == {"PS3.2 A.8.1"}
    text = f"{findings!r} {messages}"
    assert not any(word in text for word in ("77", "Secret", "SECRET"))


NOT_NOW = "it is there, but only if"


@pytest.mark.parametrize(
    ("other", "keyword", "value", "there", "absent"),
    [
        # condition true: may be there (ANAP, type 3), must be there (COND, 1C, 2C)
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "FA"]}, "ContrastBolusAgent", "x", None, None),
        ({"SamplesPerPixel": 3}, "PlanarConfiguration", 0, None, LACKS),
        ({"Modality": "OP"}, "AcquisitionNumber", 1, None, None),
        ({"Modality": "CT"}, "Laterality", "L", None, LACKS),
        ({"Modality": "OP", "RescaleIntercept": 0}, "RescaleType", "US", None, LACKS),
        # condition false: may not be there
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "COLOR"]}, "ContrastBolusAgent", "x", NOT_NOW, None),
        ({"ImageType": ["ORIGINAL", "PRIMARY"]}, "ContrastBolusAgent", "x", NOT_NOW, None),
        ({"SamplesPerPixel": 1}, "PlanarConfiguration", 0, NOT_NOW, None),
        ({}, "PlanarConfiguration", 0, NOT_NOW, None),
        ({"Modality": "OP"}, "Laterality", "", NOT_NOW, None),
        ({}, "RescaleType", "US", NOT_NOW, None),
    ],
)
def test_what_has_a_condition_is_there_only_under_it(system, other, keyword, value, there, absent):
    for state, expected in ((value, there), (None, absent)):
        dataset = Dataset()
        dataset.SOPClassUID = SC
        for name, known in other.items():
            setattr(dataset, name, known)
        if state is not None:
            setattr(dataset, keyword, state)
        errors = found(dataset, system, "Table 6")
        assert [path for path, _ in errors] == ([keyword] if expected else [])
        assert all(message.startswith(expected.rstrip(".")) for _, message in errors)


@pytest.mark.parametrize(("lossy", "errors"), [("01", []), ("00", ["SourceImageSequence[0].SpatialLocationsPreserved"])])
def test_a_condition_of_an_item_may_lie_outside_it(system, lossy, errors):
    dataset, item = Dataset(), Dataset()
    dataset.SOPClassUID, dataset.LossyImageCompression, item.SpatialLocationsPreserved = SC, lossy, "YES"
    dataset.SourceImageSequence = [item]
    assert [path for path, _ in found(dataset, system, "Table 6")] == errors


def test_the_message_of_a_condition_says_it_and_no_value(system):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.ContrastBolusAgent = SC, "Secret"
    (error,) = check_claims(dataset, system, source="Table 6").errors
    assert error.message == ("Table 7 has Contrast/Bolus Agent (ANAP): it is there, but only if (0008,0008)[4] in FA | ICG.")


def test_a_condition_that_can_not_be_read_is_refused_when_the_profile_is(system):
    with pytest.raises(ProfileInvalid, match="'videos only' is no condition"):
        load(SYSTEM.replace("(0028,0002) == 3", "videos only"))


@pytest.mark.parametrize(("keyword", "errors"), [(None, []), ("Exposure", [("KVP", LACKS)]), ("KVP", [])])
def test_a_conditional_module_counts_where_something_of_its_own_is_there(system, keyword, errors):
    dataset = sound()  # Patient ID is of both modules: it tells nothing
    if keyword:
        setattr(dataset, keyword, 1)
    assert found(dataset, system) == errors


def content(kind, text=None):
    item = Dataset()
    item.ValueType = kind
    if text is not None:
        item.TextValue = text
    return item


@pytest.mark.parametrize(
    ("items", "errors"),
    [
        ([content("TEXT", "Chosen"), content("IMAGE")], []),
        ([content("IMAGE"), content("TEXT")], [("ContentSequence[1].TextValue", LACKS)]),
        ([content("IMAGE")], [("ContentSequence[0].ValueType", "no item is TEXT.")]),
        ([Dataset()], [("ContentSequence[0].ValueType", LACKS), ("ContentSequence[0].TextValue", LACKS)]),
    ],
)
def test_rows_of_content_items_are_about_items_of_their_value_type(system, items, errors):
    dataset = sound()
    dataset.ContentSequence = items
    assert found(dataset, system) == errors


def test_without_a_table_the_one_that_fits_best_is_taken(system):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.PatientID = SC, ""
    assert check_claims(dataset, system).errors == ()
    assert found(dataset, system, "Table 1")


def test_what_a_system_does_not_create_is_refused(system):
    dataset = sound()
    dataset.SOPClassUID = OP
    with pytest.raises(InputError, match=r"A system does not say that it creates objects of the class 1\.2\.840.*5\.1"):
        check_claims(dataset, system)
    with pytest.raises(InputError, match=r"does not say in Table 9 that"):
        check_claims(sound(), system, source="Table 9")
    with pytest.raises(InputError, match=r"of the class \(none\)"):
        check_claims(Dataset(), system)


def test_the_object_is_left_as_it_is(system):
    dataset = sound()
    before = deepcopy(dataset)
    check_claims(dataset, system)
    assert dataset == before


# ------------------------------------------------------------ private elements, file meta information, conditional modules
PRIVATE = r"""
[[tables]]
id = "iod-4"
kind = "iod"
source = "Table 8"
title = "Secondary Capture"
uid = "1.2.840.10008.5.1.4.1.1.7"
columns = ["entity", "module", "usage", "table"]
rows = [["", "Private", "M", "private"], ["", "May be", "C", "may-be"]]

[[tables]]
id = "private"
kind = "private"
source = "Table 9"
title = "Private"
columns = ["creator", "tag", "name", "depth", "vr", "value", "presence"]
rows = [
  ["MAKER", "(0021,0010)", "Creator", 0, "LO", "MAKER", "ALWAYS"],
  ["MAKER", "(0021,1001)", "View", 0, "CS", "YES | NO", "ALWAYS"],
  ["MAKER", "(0021,1002)", "Parts", 0, "SQ", "", "ANAP"],
  ["MAKER", "(0021,1003)", "Part", 1, "LO", "", "ALWAYS"],
]

[[tables]]
id = "may-be"
kind = "private"
source = "Table 10"
title = "May be"
columns = ["creator", "tag", "name", "vr", "value", "presence"]
rows = [
  ["OTHER", "(0021,0010)", "Creator", "LO", "OTHER", ""],
  ["OTHER", "(0021,1001)", "State", "CS", "ON | OFF", "ALWAYS"],
]
"""


@pytest.fixture(scope="module")
def private_system():
    return load(SYSTEM + PRIVATE)


def with_private(*blocks):
    """Return an object with blocks of creators, in this order: creator, and VR and value by offset."""
    dataset = Dataset()
    dataset.SOPClassUID = SC
    for creator, elements in blocks:
        block = dataset.private_block(0x0021, creator, create=True)
        for offset, (vr, value) in elements.items():
            block.add_new(offset, vr, value)
    return dataset


def part(**blocks):
    return with_private(*((creator, {3: ("LO", value)}) for creator, value in blocks.items()))


@pytest.mark.parametrize(
    ("blocks", "errors"),
    [
        ([("MAKER", {1: ("CS", "NO")})], []),
        ([("ELSE", {1: ("CS", "ZZ")}), ("MAKER", {1: ("CS", "NO")})], []),  # its block is (0021,11xx) then
        ([("ELSE", {1: ("CS", "YES")}), ("MAKER", {})], [("(0021,1001)", LACKS)]),
        ([("ELSE", {1: ("CS", "YES")})], [("(0021,0010)", LACKS), ("(0021,1001)", LACKS)]),
        ([], [("(0021,0010)", LACKS), ("(0021,1001)", LACKS)]),
        ([("MAKER", {1: ("CS", "ZZ")})], [("(0021,1001)", "its value is not YES or NO.")]),
        ([("MAKER", {1: ("CS", "")})], [("(0021,1001)", EMPTY)]),
        ([("MAKER", {1: ("UN", b"NO")})], []),  # read from Implicit VR: nobody knows its VR
        ([("MAKER", {1: ("UN", b"ZZ")})], [("(0021,1001)", "its value is not YES or NO.")]),
        ([("MAKER", {1: ("CS", "NO"), 2: ("SQ", [part(MAKER="a")])})], []),
        ([("MAKER", {1: ("CS", "NO"), 2: ("SQ", [part(ELSE="a", MAKER="b")])})], []),
        ([("MAKER", {1: ("CS", "NO"), 2: ("SQ", [part(ELSE="a")])})], [("(0021,1002)[0].(0021,1003)", LACKS)]),
        ([("MAKER", {1: ("CS", "NO")}), ("OTHER", {1: ("CS", "ON")})], []),
        ([("MAKER", {1: ("CS", "NO")}), ("OTHER", {1: ("CS", "NO")})], [("(0021,1001)", "its value is not ON or OFF.")]),
        ([("OTHER", {}), ("MAKER", {1: ("CS", "NO")})], [("(0021,1001)", LACKS)]),  # conditional, and there
    ],
)
def test_private_rows_count_in_the_block_of_their_creator(private_system, blocks, errors):
    assert found(with_private(*blocks), private_system, "Table 8") == errors


def test_private_elements_that_are_not_listed_are_named_and_those_that_are_not(private_system):
    dataset = with_private(("ELSE", {}), ("MAKER", {1: ("CS", "NO"), 9: ("LO", "x")}))
    messages = [f.message for f in check_claims(dataset, private_system, source="Table 8")]
    assert messages == [
        "Table 10 is there under conditions only, and nothing of it is: it was not looked at.",
        "Table 8 does not have SOPClassUID, (0021,0010), (0021,1109).",
    ]


VEREOS, STATION = profile("philips-vereos"), profile("meddream-videostation")


@pytest.mark.parametrize("there", ["(0018,1141)", "(0018,9302)", "(0054,0500)", "(0054,1001)"])
def test_one_of_the_extended_attributes_of_a_console_image_demands_all_of_them(there):
    """Table 277 has them under a condition, which the statement does not give; Table 334 has each of them as ALWAYS there."""
    dataset, rows = Dataset(), attributes(VEREOS, "console-ct-extended")
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    absent = check_claims(dataset, VEREOS, source="Table 277")
    assert "Table 334 is there under conditions only, and nothing of it is: it was not looked at." in [f.message for f in absent]
    assert not any(f.message.startswith("Table 334 has") for f in absent)
    row = next(row for row in rows if row.path == there)
    dataset.add_new(row.tags[0], row.vr, "1")
    lacking = {f.path for f in check_claims(dataset, VEREOS, source="Table 277").errors if f.message.startswith("Table 334 has")}
    assert lacking == {keyword_for_tag(other.tags[0]) for other in rows if other is not row}


@pytest.mark.parametrize(
    ("keyword", "value", "errors"),
    [
        ("", None, []),
        ("ImplementationClassUID", "1.2.3", ["ImplementationClassUID"]),
        ("ImplementationVersionName", "OTHER", ["ImplementationVersionName"]),
        ("ImplementationVersionName", None, ["ImplementationVersionName"]),
        ("FileMetaInformationVersion", b"\0\2", ["FileMetaInformationVersion"]),
        ("TransferSyntaxUID", "1.2.840.10008.1.2.1", ["TransferSyntaxUID"]),
    ],
)
def test_file_meta_information_is_what_a_statement_says_of_it(keyword, value, errors):
    dataset = Dataset()
    dataset.SOPClassUID = SC
    dataset.file_meta = meta = FileMetaDataset()
    meta.FileMetaInformationVersion, meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = b"\0\1", SC, "1.2.3"
    meta.TransferSyntaxUID, meta.ImplementationClassUID = "1.2.840.10008.1.2.4.50", "1.3.6.1.4.1.44316.4"
    meta.ImplementationVersionName = "MDSTATION"
    if keyword:
        meta.pop(keyword)
        if value is not None:
            setattr(meta, keyword, value)
    assert [f.path for f in check_claims(dataset, STATION).errors if f.message.startswith("Table 27 has")] == errors


def test_an_object_without_file_meta_information_is_said_to_have_none():
    dataset = Dataset()
    dataset.SOPClassUID = SC
    findings = check_claims(dataset, STATION)
    assert not [f for f in findings.errors if f.message.startswith("Table 27")]
    assert "Table 27 is about file meta information, and the object has none: it was not looked at." in [
        f.message for f in findings
    ]


# ------------------------------------------------------------ mutations of an object by a real statement
def as_claimed(rows):
    """Return an object of the top level of a statement's rows: what each wants, and no more."""
    dataset = Dataset()
    for row in rows:
        if row.presence == "EMPTY":
            dataset.add_new(row.tags[0], dictionary_VR(row.tags[0]), None)
        elif row.presence in {"ALWAYS", "VNAP"}:
            vr = dictionary_VR(row.tags[0])
            vr = "OB" if "OB" in vr else vr
            values = {"SQ": [Dataset()], "DA": "20260101", "TM": "120000", "UI": "1.2.3", "OB": b"\x00\x00", "AT": 0x00181063}
            value = [among[0] for among in row.choices] if row.choices and vr != "AT" else values.get(vr, "1")
            if vr in {"US", "FL"}:
                value = [int(v) for v in value]
                value = value if row.choices else value[0]
            dataset.add_new(row.tags[0], vr, value[0] if row.choices and vr != "AT" and len(value) == 1 else value)
    return dataset


OPTOS = profile("optos-v2-vantage")
CLAIMED = next(claimed for claimed in objects(OPTOS) if claimed.uid == OP)
ROWS = [row for row in attributes(OPTOS, *CLAIMED.modules) if len(row.tags) == 1 and not row.creator]


def paths(dataset):
    """Of the standard's own attributes; private ones are below."""
    found = {finding.path for finding in check_claims(dataset, OPTOS).errors}
    return {path for path in found if "[" not in path and not path.startswith("(0021,")}


def test_an_object_by_the_rows_of_a_statement_obeys_it():
    assert paths(as_claimed(ROWS)) == set()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([row for row in ROWS if row.presence in {"ALWAYS", "EMPTY"} or row.choices]), st.data())
def test_whatever_is_changed_against_a_row_is_named(row, data):
    """Lack of what is ALWAYS there, a value in what is EMPTY, a value that is not listed."""
    dataset, keyword = as_claimed(ROWS), keyword_for_tag(row.tags[0])
    if keyword == "SOPClassUID":
        return
    ways = ["remove"] * (row.presence == "ALWAYS") + ["fill"] * (row.presence == "EMPTY") + ["other"] * bool(row.choices)
    way = data.draw(st.sampled_from(ways))
    vr = dictionary_VR(row.tags[0])
    if way == "remove":
        del dataset[row.tags[0]]
    elif vr == "SQ":
        dataset.add_new(row.tags[0], vr, [Dataset()])
    else:
        dataset.add_new(row.tags[0], vr, {"UI": "1.9", "US": 99, "FL": 99.0, "IS": 99, "DS": 99, "AT": 0x00181065}.get(vr, "ZZ"))
    assert keyword in paths(dataset)
