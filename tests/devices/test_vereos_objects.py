"""What Philips Vereos 2.0 creates: three applications, chapters 8 to 10 of its statement, tables 90 to 337.

Numbers of rows are counted in the document, table by table.
"""

import re

import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_VR

from workbench.conformance import check
from workbench.devices import lint, profile
from workbench.devices.claims import attributes, objects
from workbench.devices.lint import violations
from workbench.standard import storage_classes

#: Table: rows as printed. Headings that page breaks repeat are not counted; a module whose name runs over two lines is one.
COUNTED = """
    90:7 91:7 92:4 93:7 94:4 95:2 96:2 97:9 98:6 99:17 100:7 101:14 102:3 103:40 104:22 105:20 106:4 107:12 108:2
    109:6 110:6 111:5 112:6 113:9 114:35 115:2 116:6 117:10 118:6 119:11 120:2 121:24 122:6 123:6 124:9 125:13 126:3
    127:5 128:12 129:6 130:11 131:2 132:28 133:1 134:7 135:6 136:15 137:6 138:8 139:1 140:7 141:13 142:4 143:7
    144:14 145:4 146:6 147:4 148:11 149:2 150:1 151:2 152:2 153:1 154:4 155:9 156:7 157:9 158:3 159:23 160:2 161:5
    162:1 163:4 164:5 165:13 166:7 167:14 168:4 169:28 170:2 171:6 172:6 173:5 174:4 175:9 176:21 177:2 178:5 179:74
    180:2 181:11 182:2 183:11 184:1 185:2 186:12 187:1 188:7 189:9 190:6 191:11 192:23 193:6 194:4 195:4 196:20
    197:2 198:5 199:9 200:5 201:8 202:16 203:10 204:4 205:8 206:11 207:6 208:5 209:14 210:9 211:11 212:4 213:16
    214:6 215:6 216:5 217:10 218:4 219:1 220:2 221:6 222:1 223:5 224:13 225:9 226:12 227:4 228:27 229:30 230:15
    231:12 232:3 233:4 234:4 235:22 236:2 237:6 238:7 239:7 240:10 241:27 242:17 243:13 244:5 245:2 246:11 247:9
    248:12 249:4 250:5 251:7 252:6 253:7 254:10 255:2 256:3 257:5 258:10 259:8 260:11 261:4 262:18 263:1 264:1 265:2
    266:14 267:0 268:3 269:9 270:6 271:8 272:8 273:3 274:8 275:9 276:4 277:15 278:10 279:10 280:5 281:29 282:2 283:8
    284:9 285:5 286:4 287:3 288:32 289:7 290:2 291:18 292:13 293:10 294:10 295:5 296:20 297:8 298:5 299:9 300:10
    301:2 302:7 303:2 304:18 305:8 306:10 307:10 308:5 309:21 310:8 311:4 312:16 313:9 314:10 315:7 316:5 317:9
    318:8 319:4 320:9 321:10 322:5 323:4 324:8 325:11 326:3 327:25 328:2 329:6 330:2 331:1 332:17 333:4 334:4 335:45
    336:3 337:1
"""
PRINTED = {int(number): int(rows) for number, rows in re.findall(r"(\d+):(\d+)", COUNTED)}
PARTS = ("acquisition", "fusion", "console")


@pytest.fixture(scope="module")
def vereos():
    return profile("philips-vereos")


@pytest.fixture(scope="module")
def tables(vereos):
    """Those of chapters 8 to 10."""
    return [table for table in vereos.tables if table.id.startswith(tuple(f"{part}-" for part in PARTS))]


def _number(table):
    found = re.fullmatch(r"Table (\d+)", table.source)
    return int(found[1]) if found else 0


def test_every_table_of_the_three_chapters_is_there_once_with_every_row(vereos, tables):
    ours = {table.id for table in tables}
    printed = {_number(t): len(t.rows) for t in vereos.as_printed().tables if t.id in ours and _number(t)}
    assert printed == PRINTED
    assert len([t for t in tables if _number(t)]) == len(PRINTED) == 248
    assert sum(PRINTED.values()) == 2164


def test_tables_lie_with_their_application(tables):
    bounds = {"acquisition": range(90, 188), "fusion": range(188, 275), "console": range(275, 338)}
    assert all(_number(t) in bounds[t.id.partition("-")[0]] for t in tables if _number(t))


@pytest.mark.parametrize(
    ("part", "classes"),
    [
        ("acquisition", ["104.1", "128", "7", "11.4", "7.4", "66", "2"]),
        ("fusion", ["2", "4", "7.4", "128", "481.3", "7", "66.1"]),
        ("console", ["2", "7", "9.1.2", "88.67"]),
    ],
)
def test_each_class_of_objects_an_application_lists_has_its_modules(vereos, part, classes):
    listed = [row["uid"] for row in vereos.table(f"{part}-created").records()]
    created = [found.uid for found in objects(vereos) if found.uid and _of_part(vereos, found, part)]
    assert listed == created == [f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in classes]
    assert {row.uid for row in storage_classes()} >= set(created)


def _of_part(vereos, found, part):
    return any(t.id.startswith(f"{part}-") and t.source == found.source for t in vereos.of_kind("iod"))


def test_modules_point_at_tables_of_their_own_and_none_is_left_over(tables):
    """But for extended attributes of NM images, which the Fusion Viewer does not create."""
    iods = [t for t in tables if t.kind == "iod"]
    pointed = [row["table"] for t in iods for row in t.records() if row["table"]]
    assert len(pointed) == len(set(pointed))
    apart = {t.id for t in tables if t.kind in {"module", "private"}} - set(pointed)
    assert apart == {"fusion-nm-extended", "console-derived-ct", "console-received-required", "console-coerced"}
    named = {t.id: t.title for t in tables}
    for t in iods:
        for row in t.records():
            if row["table"] and not row["table"].endswith("-extended") and "-private-" not in row["table"]:
                assert named[row["table"]] == row["module"]


EXTENDED = {
    "Table 186": "Table 99", "Table 187": "Table 155", "Table 269": "Table 189", "Table 270": "Table 199",
    "Table 271": "Table 209", "Table 273": "Table 224", "Table 274": "Table 238", "Table 334": "Table 277",
    "Table 335": "Table 292", "Table 336": "Table 305", "Table 179": "Table 99", "Table 180": "Table 117",
    "Table 181": "Table 155", "Table 182": "Table 91",
}  # fmt: skip


def test_extended_and_private_attributes_belong_to_the_objects_that_their_section_names(vereos):
    """Sections 8.2, 8.5, 9.5 and 10.5: by SOP class. Where the table of an IOD does not list them, that is a slip."""
    linked = {
        vereos.table(row["table"]).source: t.source
        for t in vereos.of_kind("iod")
        for row in t.records()
        if row["table"].endswith("-extended") or "-private-" in row["table"]
    }
    assert linked == EXTENDED
    printed = {row["table"] for t in vereos.as_printed().of_kind("iod") for row in t.records()}
    assert {name for name in printed if name.endswith("-extended")} == {f"console-{x}-extended" for x in ("ct", "sc", "ecg")}
    assert not [name for name in printed if "-private-" in name]


def test_rows_as_meant_agree_with_the_dictionary(vereos, tables):
    sources = {t.source for t in tables}
    assert [f for f in violations(vereos) if f.path.partition(", row")[0] in sources] == []
    tagged = [row for t in tables if t.kind == "module" for row in t.records()]
    assert all(row["vr"] in re.split(r" or |/", dictionary_VR(_tag(row))) or "/" in row["vr"] for row in tagged if row.get("vr"))


def _tag(row):
    return int(row["tag"][1:5] + row["tag"][6:10], 16)


def test_every_violation_as_printed_is_a_slip(vereos, tables):
    printed = vereos.as_printed()
    ours = {t.source: t.id for t in tables}
    slips = {s.table for s in vereos.slips if s.column in {"tag", "vr", "name"}}
    found = [f for f in violations(printed) if f.path.partition(", row")[0] in ours]
    assert len(found) == 10
    for finding in found:
        source = finding.path.partition(", row")[0]
        at = {t.id for t in tables if t.source == source}
        assert at & slips, finding


def test_nothing_stands_below_what_is_no_sequence(tables):
    for table in (t for t in tables if t.kind == "module"):
        above = []
        for row in table.records():
            depth = row.get("depth", 0)
            assert depth <= len(above), (table.id, row)
            assert not depth or above[depth - 1] == "SQ", (table.id, row)
            above = [*above[:depth], row.get("vr", "")]


def test_presence_is_one_of_the_abbreviations(tables):
    presences = {row["presence"] for t in tables if t.kind == "module" for row in t.records() if "presence" in row}
    assert presences == {"ALWAYS", "VNAP", "ANAP", "ANAPCV", "EMPTY"}
    known = {"", "AUTO", "CONFIG", "COPY", "FIXED", "IMPLICIT", "MWL", "USER"}
    sources = {part for t in tables if t.kind == "module" for row in t.records() for part in row.get("source", "").split(", ")}
    assert sources == known


def test_what_is_fixed_has_its_value(vereos, tables):
    """But for Manufacturer of waveforms, which the statement leaves open."""
    open_ = [
        (t.id, row["name"])
        for t in tables
        if t.kind == "module"
        for row in t.records()
        if row.get("source") == "FIXED" and not row.get("value") and row["vr"] != "SQ"
    ]
    assert open_ == [("console-ecg-general-equipment", "Manufacturer")]


@pytest.mark.parametrize(
    ("table", "path", "expected"),
    [
        ("acquisition-pdf-patient", "(0010,0010)", ("PET^QC", "ALWAYS", "FIXED")),
        ("acquisition-pdf-encapsulated-document", "(0042,0010)", ("PET QC REPORT", "ALWAYS", "FIXED")),
        ("acquisition-pet-general-series", "(0008,1250).(0040,A170).(0008,0100)", ("122403", "ANAP", "FIXED")),
        ("acquisition-pet-pet-series", "(0054,1001)", ("BQML | CNTS", "ALWAYS", "CONFIG")),
        ("acquisition-pet-pet-series", "(0054,1102)", ("ADMIN | NONE | START", "ALWAYS", "AUTO")),
        ("acquisition-pet-acquisition-context", "(0040,0555).(0040,A043).(0008,0104)", ("Patient State", "ALWAYS", "FIXED")),
        ("acquisition-pet-pet-image", "(0054,1321)", ("1.0", "ALWAYS", "AUTO")),
        (
            "acquisition-blending-presentation-state-blending", "(0070,0402).(0070,0405)",
            ("SUPERIMPOSED | UNDERLYING", "ALWAYS", "AUTO"),
        ),
        ("acquisition-blending-displayed-area", "(0070,005A).(0070,0102)", ("1\\1", "ALWAYS", "FIXED")),
        ("acquisition-raw-raw-data", "(0008,9123)", ("1.3.46.670589.28.2.99.9.3", "ALWAYS", "AUTO")),
        ("fusion-pet-pet-series", "(0054,1001)", ("BQML | CNTS | SUV", "ALWAYS", "IMPLICIT")),
        ("fusion-rtss-roi-contour", "(3006,0039).(3006,0040).(3006,0042)", ("CLOSED_PLANAR", "ALWAYS", "AUTO")),
        ("fusion-registration-general-series", "(0008,0060)", ("REG", "ALWAYS", "AUTO")),
        ("console-ct-ct-image", "(0028,1052)", ("-1024", "ALWAYS", "FIXED")),
        ("console-sc-image-pixel", "(0028,0100)", ("16 | 8", "ALWAYS", "AUTO")),
        ("console-sc-general-image", "(0008,0008)", ("DERIVED\\SECONDARY", "ANAPCV", "AUTO")),
        ("console-dose-sr-sr-document-series", "(0020,0011)", ("5000", "ALWAYS", "FIXED")),
        ("console-dose-sr-sr-document-content", "(0040,A504).(0040,DB00)", ("10011", "ALWAYS", "FIXED")),
        ("console-coerced", "(0010,0020)", ("Unknown", "", "")),
    ],
)  # fmt: skip
def test_attributes_are_as_the_statement_has_them(vereos, table, path, expected):
    found = [(a.value, a.presence, a.origin) for a in attributes(vereos, table) if a.path == path]
    assert found == [expected]


def test_private_elements_lie_in_a_block_of_their_creator(vereos):
    tables = vereos.of_kind("private")
    assert {t.source: len(t.rows) for t in tables} == {"Table 179": 73, "Table 180": 2, "Table 181": 11, "Table 182": 2}
    for table in tables:
        rows = table.records()
        blocks = {(r["tag"][1:5], r["tag"][8:10]): r["value"] for r in rows if r["tag"][6:8] == "00"}
        assert set(blocks.values()) <= {"Philips PET Private Group", "ELSCINT1", "ELSCINT"}
        for row in rows:
            group, block = row["tag"][1:5], row["tag"][6:8] if row["tag"][6:8] != "00" else row["tag"][8:10]
            assert int(group, 16) % 2, row
            assert blocks[group, block] == row["creator"], row
    assert ("(7053,1000)", "SUV Scale Factor", "DS") in {(r["tag"], r["name"], r["vr"]) for r in tables[0].records()}
    assert [r["depth"] for r in tables[2].records()] == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2]


def test_an_element_has_one_vr_wherever_it_stands(vereos):
    vrs = {}
    for row in (r for t in vereos.of_kind("private") for r in t.records()):
        assert vrs.setdefault((row["creator"], row["tag"]), row["vr"]) == row["vr"]
    assert ("acquisition-private-raw", 5, "vr", "LO") in _slips(vereos)


def test_codes_context_groups_and_templates(vereos):
    assert vereos.table("acquisition-private-codes").rows == (("P-Cs137", "99PHG", "Cesium 137"), ("P-Unknown", "99PHG", "Unknown"))
    groups = {row["context_group"]: row["name"] for row in vereos.table("acquisition-context-groups").records()}
    assert len(groups) == 11
    assert groups["CID 4031"] == "Common Anatomic Regions"
    listed = [row["template"] for row in vereos.table("console-dose-templates").records()]
    described = [
        t.id.removeprefix("console-").replace("tid-", "TID ") for t in vereos.of_kind("template") if t.id[:8] == "console-"
    ]
    assert sorted(listed) == sorted(described)


def test_templates_include_each_other_and_nothing_that_is_not_there(vereos):
    templates = {t.id.removeprefix("console-tid-"): t for t in vereos.of_kind("template") if t.id.startswith("console-")}
    included = {row["concept"].split()[1] for t in templates.values() for row in t.records() if row["value_type"] == "INCLUDE"}
    assert included == {"1002", "10012", "10013", "10014", "10015", "1004", "1020"}
    assert set(templates) == included | {"10011"}
    kinds = {row["value_type"] for t in templates.values() for row in t.records()}
    assert kinds == {"CONTAINER", "CODE", "INCLUDE", "DATETIME", "UIDREF", "NUM", "TEXT", "PNAME"}


def test_converters_and_the_private_transfer_syntax(vereos):
    assert len(vereos.table("console-converters").rows) == 4
    syntax = vereos.table("console-private-syntaxes").records()[0]
    assert syntax["uid"] == "1.3.46.670589.33.1.4.1"


def _slips(vereos):
    return {(s.table, s.row, s.column, s.printed) for s in vereos.slips}


@pytest.mark.parametrize(
    "slip",
    [
        ("acquisition-pet-pet-image", 27, "tag", "(0054.0014)"),
        ("acquisition-pet-pet-image", 32, "name", "Secondary Counts Accumulate"),
        ("acquisition-blending-presentation-state-blending", 5, "depth", 4),
        ("acquisition-private-pet", 1, "tag", "(00E1,0010)"),
        ("acquisition-context-groups", 6, "name", "PET Anatomic Regions"),
        ("fusion-pet-general-study", 9, "vr", "SQ"),
        ("fusion-pet-general-series", 25, "name", "Code Value"),
        ("fusion-multiframe-sc-sc-multi-frame-vector", 1, "vr", "IS"),
        ("fusion-rtss-structure-set", 19, "depth", 0),
        ("fusion-mr-mr-image", 2, "presence", "VNAP"),
        ("fusion-ct", 4, "module", ""),
        ("console-ecg", 1, "usage", "CONDITIONAL"),
        ("console-derived-ct", 1, "tag", "(0028,0032)"),
        ("console-dose-sr-sop-common", 5, "source", "COPY"),
        ("console-dose-sr-sr-document-content", 3, "presence", "EMPTY"),
        ("console-general-rules", 2, "rule", "in saved secondary captures only"),
        ("console-dose-sr-sr-document-content", 9, "value", "TID 10011"),
        ("console-tid-1002", 0, "depth", 1),
        ("console-tid-10012", 2, "value_type", "NUMBER"),
        ("console-tid-10015", 1, "concept", "Dose Check Details"),
    ],
)
def test_slips_are_known(vereos, slip):
    assert slip in _slips(vereos)


def test_lint_says_what_is_meant_and_why(vereos):
    messages = [f.message for f in lint(vereos) if f.path.startswith("Table 222")]
    assert messages == ["vr is printed as 'IS', 'DS' is meant."]
    assert any("Frame of Reference module is mandatory" in f.remedy for f in lint(vereos) if f.path.startswith("Table 189"))


#: Of PS3.3, Types 1 and 2 of what every object of the three applications has.
TYPES = {
    "(0020,000D)": ("General Study", 1), "(0020,000E)": ("General Series", 1), "(0008,0016)": ("SOP Common", 1),
    "(0008,0018)": ("SOP Common", 1), "(0010,0010)": ("Patient", 2), "(0010,0020)": ("Patient", 2),
    "(0010,0030)": ("Patient", 2), "(0010,0040)": ("Patient", 2), "(0008,0050)": ("General Study", 2),
    "(0020,0010)": ("General Study", 2), "(0008,0090)": ("General Study", 2), "(0020,0011)": ("General Series", 2),
}  # fmt: skip


def test_presence_as_meant_is_what_the_types_allow(tables):
    allowed = {1: {"ALWAYS"}, 2: {"ALWAYS", "VNAP", "EMPTY"}}
    seen = 0
    for table in (t for t in tables if t.kind == "module"):
        for row in table.records():
            module, type_ = TYPES.get(row["tag"], ("", 0))
            if module == table.title and not row.get("depth"):
                seen += 1
                assert row["presence"] in allowed[type_], (table.id, row)
    assert seen > 150


#: A value for each VR of the modules: to be there is enough.
ANY = {
    "AS": "040Y", "AT": 0x00182005, "CS": "X", "DA": "20160101", "DS": "1", "DT": "20160101", "FD": 1.0, "FL": 1.0,
    "IS": "1", "LO": "X", "LT": "X", "OB": b"\0\0", "OW": b"\0\0", "PN": "X^X", "SH": "X", "SL": [1, 1], "SS": 1,
    "ST": "X", "TM": "10", "UI": "1.2.3", "UL": 1, "US": 1,
}  # fmt: skip


def _a_value(listed, vr):
    return _tag({"tag": listed["value"]}) if vr == "AT" and listed.get("value") else ANY[vr]


def _with_all_that_is_listed(vereos, iod):
    """An object with every attribute of its modules; a sequence has one item where something is listed below it."""
    dataset = Dataset()
    for row in (r for r in iod.records() if r["table"] and not r["table"].endswith("-extended") and "-private-" not in r["table"]):
        above = [(dataset, [])]
        for listed in vereos.table(row["table"]).records():
            vr, depth = listed["vr"].split("/")[0], listed.get("depth", 0)
            item, items = above[depth]
            if depth and not items:
                items.append(item)
            item.add_new(_tag(listed), vr, [] if vr == "SQ" else _a_value(listed, vr))
            if vr == "SQ":
                above = [*above[: depth + 1], (Dataset(), item[_tag(listed)].value)]
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SpecificCharacterSet = iod.uid, "1.2.3.4", "ISO_IR 100"
    return dataset


def test_an_object_with_all_that_is_listed_lacks_nothing_of_types_1_and_2(vereos, tables):
    """By dciodvfy; but for the modules that the statement leaves out, which it demands of a structure set as well."""
    left_out = {"FrameOfReferenceUID", "PositionReferenceIndicator", "Manufacturer"}
    lacking = {f"fusion-{name}": left_out for name in ("ct", "mr", "pet", "rtss")}
    lacking["console-ecg"] = {"AcquisitionContextSequence"}
    iods = [t for t in tables if t.kind == "iod"]
    assert len(iods) == 18
    for iod in iods:
        findings = check(_with_all_that_is_listed(vereos, iod))
        missing = {f.path for f in findings if re.match(r"Missing attribute for Type [12] Required", f.message)}
        assert missing == lacking.get(iod.id, set()), iod.id
        assert not [f for f in findings if "before it was done" in f.message or "can't be written" in f.message], iod.id
