"""F11, names in many character sets: kept by Orthanc and dcmqrscp and found there; asked of us by findscu in another set."""

import io
import subprocess

import pytest
from pydicom import dcmread, dcmwrite

from tests.conftest import run_orthanc
from workbench.archive import Archive
from workbench.entities import StudyRef
from workbench.files import character_sets, read
from workbench.network import Server, find, retrieve, store
from workbench.phantoms import ct_series

#: Specific Character Set, the name as stored, a key of us that finds it, the same for findscu with its set
CASES = [
    ("ISO_IR 100", "Buc^Jérôme", "Buc^J*", ("ISO_IR 192", "Buc^Jér*")),
    ("ISO_IR 101", "Wałęsa^Lech", "Wał*", ("GB18030", "Wał*")),
    ("ISO_IR 144", "Люкбург^Иван", "Люк*", ("ISO_IR 192", "Люк*")),
    ("ISO_IR 126", "Διονυσιος^Αα", "Διο*", (r"\ISO 2022 IR 126", "Διο*")),
    ("ISO_IR 138", "שרון^דבורה", "שרון*", ("ISO_IR 138", "שרון*")),
    ("ISO_IR 127", "قباني^لنزار", "قباني*", ("ISO_IR 192", "قباني*")),
    ("ISO_IR 166", "นามสกุล^ชื่อ", "นาม*", ("ISO_IR 166", "นาม*")),
    ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ", "ﾔﾏ*", ("ISO_IR 192", "ﾔﾏ*")),
    (r"\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada*", ("GB18030", "山田*")),
    (r"\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동", "Hong*", ("ISO_IR 192", "홍*")),
    ("GB18030", "Wang^XiaoDong=王^小东", "Wang*", (r"ISO 2022 IR 13\ISO 2022 IR 87", "王*")),
    ("ISO_IR 192", "Ñandú^José=山^田", "Ñan*", ("ISO_IR 100", "Ñandú*")),
    ("ISO_IR 203", "œuvre^€uro", "œuv*", ("ISO_IR 192", "œuv*")),
]


@pytest.fixture(scope="module")
def made():
    """One small image for each case."""
    images = []
    for number, (terms, name, *_) in enumerate(CASES):
        (image,) = ct_series(1, rows=16)
        image.SpecificCharacterSet, image.PatientName, image.PatientID = terms.split("\\"), name, f"CS{number}"
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            image[keyword].value = f"2.25.{number + 1}{sum(image[keyword].value.encode())}"
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        images.append(image)
    return images


def raw_name(image):
    buffer = io.BytesIO()
    dcmwrite(buffer, image, enforce_file_format=True)
    return read(buffer.getvalue()).dataset.get_item("PatientName").value


def names_of(found):
    return {str(row.PatientID): str(row.PatientName) for row in found.table().itertuples()}


@pytest.fixture(scope="module")
def orthanc_full(program, tmp_path_factory, made):
    """Orthanc that answers in Unicode: by default it does so in Latin 1, and leaves out what that lacks."""
    with run_orthanc(program("Orthanc"), tmp_path_factory.mktemp("orthanc"), DefaultEncoding="Utf8") as running:
        assert store(running.peer, made).complete
        yield running.peer


@pytest.mark.parametrize("number", [n for n, case in enumerate(CASES) if case[0] != "ISO_IR 203"])  # Orthanc 1.10 lacks it
def test_orthanc_has_the_name_finds_it_and_gives_its_bytes_back(orthanc_full, made, number):
    _, name, key, _ = CASES[number]
    found = names_of(find(orthanc_full, keys={"PatientName": key, "PatientID": f"CS{number}"}))
    assert found == {f"CS{number}": name}
    files = []
    retrieve(orthanc_full, [StudyRef(str(made[number].StudyInstanceUID))], into=files.append)
    assert read(files[0]).dataset.get_item("PatientName").value == raw_name(made[number])


def test_dcmqrscp_keeps_every_name_and_we_read_it(dcmqrscp, made):
    assert store(dcmqrscp.peer, made).complete
    for number, (terms, name, *_) in enumerate(CASES):
        files = []
        retrieve(dcmqrscp.peer, [StudyRef(str(made[number].StudyInstanceUID))], into=files.append, method="get")
        dataset = read(files[0]).dataset
        assert dataset.get_item("PatientName").value == raw_name(made[number])
        assert str(dataset.PatientName) == name, terms


@pytest.mark.parametrize("number", [n for n, case in enumerate(CASES) if case[0] != "ISO_IR 203"])
def test_orthanc_is_asked_in_the_set_that_is_chosen(orthanc_full, number):
    terms, name, key, _ = CASES[number]
    found = names_of(find(orthanc_full, keys={"PatientName": key, "PatientID": f"CS{number}"}, character_set=terms))
    assert found == {f"CS{number}": name}


@pytest.fixture(scope="module")
def ours(made, tmp_path_factory):
    with Archive(tmp_path_factory.mktemp("archive")) as archive, Server(archive, ae_title="DOOR") as server:
        assert store(server.peer, made).complete
        yield server


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{n}-{case[3][0]}" for n, case in enumerate(CASES)])
def test_findscu_finds_with_a_key_in_another_set(ours, program, number, tmp_path):
    _, name, _, (terms, key) = CASES[number]
    raw = character_sets.encoded(key, character_sets.encodings_of_terms(terms.split("\\")), vr="PN")
    command = [
        program("findscu"), "-S", "-X", "-od", str(tmp_path), "-aec", "DOOR", "-k", "QueryRetrieveLevel=STUDY",
        "-k", f"SpecificCharacterSet={terms}", "-k", b"PatientName=" + raw, "-k", "PatientID", "-k", "StudyInstanceUID",
        "127.0.0.1", str(ours.port),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    (answer,) = (dcmread(path, force=True) for path in sorted(tmp_path.glob("rsp*.dcm")))
    assert answer.PatientID == f"CS{number}"
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    assert answer.get_item("PatientName").value.rstrip(b" \0").decode("utf-8") == name


def test_we_find_all_of_them_here(ours):
    for number, (_, name, key, (_, other)) in enumerate(CASES):
        assert names_of(find(ours.peer, keys={"PatientName": key}))[f"CS{number}"] == name
        assert names_of(find(ours.peer, keys={"PatientName": other})) == {f"CS{number}": name}
