r"""F11, character sets: the standard's own bytes, every defined term both ways, and what can't be decoded.

The byte strings of names are those of PS3.5 Annexes H to K.
"""

import io
import warnings

import pydicom
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings
from pydicom.data import get_charset_files
from pydicom.dataset import Dataset, FileMetaDataset

from workbench.entities import html_safe, plain
from workbench.errors import AttributeUnusable
from workbench.files import read, save
from workbench.files.character_sets import (
    MULTI_BYTE,
    TERMS,
    NotEncodable,
    decoded,
    encoded,
    encodings_of_terms,
    escaped_bytes,
    install,
    spelled,
)

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"

#: PS3.5 H.3.1, H.3.2, I.2, J.1, J.2 (J.3 in older editions), K.2: Specific Character Set, bytes, text
NAMES = {
    "H.3.1": (
        r"\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    "H.3.2": (
        r"ISO 2022 IR 13\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    "I.2": (
        r"\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    "J.1": ("ISO_IR 192", b"Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe4\xb8\x9c=", "Wang^XiaoDong=王^小东="),
    "J.2": ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
    "J.2, GBK": ("GBK", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
    "K.2": (r"\ISO 2022 IR 58", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东="),
}
#: PS3.5 I.3 and K.3: text of several lines
TEXTS = {
    "I.3": (
        r"\ISO 2022 IR 149",
        b"\x1b$)CThe 1st line includes \xb1\xe6\xb5\xbf.\r\n\x1b$)CThe 2nd line includes \xb1\xe6\xb5\xbf, too.\r\nThe 3rd line",
        "The 1st line includes 길동.\r\nThe 2nd line includes 길동, too.\r\nThe 3rd line",
    ),
    "K.3": (
        r"\ISO 2022 IR 58",
        b"\x1b$)A1.\xb5\xda\xd2\xbb\xd0\xd0\xce\xc4\xd7\xd6\xa1\xa3\r\n\x1b$)A2.\xb5\xda\xb6\xfe\xd0\xd0\xce\xc4\xd7\xd6\xa1\xa3\r\n",
        "1.第一行文字。\r\n2.第二行文字。\r\n",
    ),
}
#: Each term with a text that only it, or its family, can hold, and the bytes that ISO/IEC 8859 and its likes have for it.
WORDS = {
    "ISO_IR 100": (b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
    "ISO_IR 101": (b"Wa\xb3\xeasa", "Wałęsa"),
    "ISO_IR 109": (b"a\xb1nu\xfdo", "aħnuŭo"),
    "ISO_IR 110": (b"\xc0boli\xf2\xb9", "Āboliōš"),
    "ISO_IR 126": (b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
    "ISO_IR 127": (b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
    "ISO_IR 138": (b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
    "ISO_IR 144": (b"\xbb\xee\xdace\xdc\xd1yp\xd3", "Люкceмбypг"),
    "ISO_IR 148": (b"\xc7avu\xfeo\xf0lu", "Çavuşoğlu"),
    "ISO_IR 166": (b"\xb9\xd2\xc1\xca\xa1\xd8\xc5", "นามสกุล"),
    "ISO_IR 203": (b"\xbduvre^\xa4", "œuvre^€"),
    "ISO_IR 13": (b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
}
ALPHABETS = {
    "87": "山田太郎やまだたろう", "159": "鷗丂丄", "149": "홍길동洪吉", "58": "张小东王", "13": "ﾔﾏﾀﾞ", "100": "éôÄß", "101": "łęŠ",
    "109": "ħĝŭ", "110": "Āņš", "126": "Διον", "127": "قباني", "138": "שרון", "144": "Люкб", "148": "şğİ", "166": "นามสกุล",
    "203": "œŠ€",
}  # fmt: skip


def codecs_of(term):
    return convert_encodings(term.split("\\"))


PLACE = "PLACE^HOLDER^NAME"  # of odd length, so that it is padded


def part10(term, raw, *, syntax=EXPLICIT):
    """Return a file in which Patient's Name stands as these bytes."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.42"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PatientID = "2.25.43", "2.25.44", "X"
    dataset.SpecificCharacterSet = term.split("\\") if "\\" in term else term
    dataset.PatientName = PLACE
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    padded, size = raw + b" " * (len(raw) % 2), 2 if syntax == EXPLICIT else 4
    old = (len(PLACE) + 1).to_bytes(size, "little") + PLACE.encode() + b" "
    assert buffer.getvalue().count(old) == 1
    return buffer.getvalue().replace(old, len(padded).to_bytes(size, "little") + padded)


# ------------------------------------------------------------ published truth
@pytest.mark.parametrize("case", NAMES)
def test_the_names_of_the_standard_both_ways(case):
    term, raw, text = NAMES[case]
    assert decoded(raw, codecs_of(term), vr="PN") == text
    assert encoded(text, codecs_of(term), vr="PN") == raw


@pytest.mark.parametrize("case", TEXTS)
def test_the_texts_of_the_standard_both_ways(case):
    term, raw, text = TEXTS[case]
    assert decoded(raw, codecs_of(term), vr="LT") == text
    assert encoded(text, codecs_of(term), vr="LT") == raw


@pytest.mark.parametrize("term", WORDS)
def test_a_set_of_single_bytes_both_ways_alone_and_designated(term):
    raw, text = WORDS[term]
    assert decoded(raw, codecs_of(term), vr="PN") == text
    assert encoded(text, codecs_of(term), vr="PN") == raw
    extended = codecs_of("\\" + term.replace("ISO_IR", "ISO 2022 IR"))
    assert decoded(encoded(text, extended, vr="PN"), extended, vr="PN") == text
    assert b"\x1b" in encoded(text, extended, vr="PN")


def test_every_term_of_the_standard_is_known_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for term in sorted(TERMS):
            assert convert_encodings(term)
            assert encodings_of_terms(term) == convert_encodings(term)
    assert len(TERMS) == 12 + 17 + 3


def test_the_terms_of_two_bytes_a_character_are_those_of_table_c_12_4():
    """Each leaves the first place to a set of single bytes, or to the default repertoire; text is in it all the same."""
    assert {"ISO 2022 IR 149", "ISO 2022 IR 58", "ISO 2022 IR 87", "ISO 2022 IR 159"} == MULTI_BYTE < TERMS
    for term, text in {"87": "山", "159": "丂", "149": "홍", "58": "张"}.items():
        encodings = encodings_of_terms(["", f"ISO 2022 IR {term}"])
        raw = encoded(text, encodings)
        assert (decoded(raw, encodings), raw.startswith(b"\x1b$")) == (text, True)


def test_what_pydicom_brings_along_reads_as_before():
    for path in get_charset_files("*.dcm"):
        reading = read(path)
        assert not [finding for finding in reading.findings if finding.section == "PS3.5 6.1"], path
    assert str(read(get_charset_files("chrH32.dcm")[0]).dataset.PatientName) == NAMES["H.3.2"][2]


# ------------------------------------------------------------ laws
@given(st.sampled_from(sorted(TERMS)), st.sampled_from(["PN", "LO", "LT"]), st.binary(max_size=40))
@example("ISO 2022 IR 87", "PN", b"\x1b$B)!")
@example("ISO_IR 192", "LO", "\uefab".encode())
def test_any_bytes_are_text_and_mean_the_same_when_they_are_written_again(term, vr, raw):
    codecs = codecs_of(term)
    text = decoded(raw, codecs, vr=vr)
    assert "\ufffd" not in text or "\ufffd".encode(codecs[0]) in raw
    assert decoded(encoded(text, codecs, vr=vr), codecs, vr=vr) == text


@given(st.data())
def test_several_sets_in_one_value_both_ways(data):
    numbers = data.draw(st.lists(st.sampled_from(sorted(ALPHABETS)), min_size=1, max_size=4, unique=True))
    first = data.draw(
        st.sampled_from(["", "ISO 2022 IR 6", *(f"ISO 2022 IR {n}" for n in numbers if n not in {"87", "159", "149", "58"})])
    )
    codecs = codecs_of("\\".join([first, *(f"ISO 2022 IR {n}" for n in numbers)]))
    letters = "".join(ALPHABETS[n] for n in numbers) + "Aa0 ^=\r\n\t-~"
    text = data.draw(st.text(letters, max_size=30))
    raw = encoded(text, codecs, vr="PN")
    assert decoded(raw, codecs, vr="PN") == text
    # between delimiters nothing is carried over, so that any part can be read alone (PS3.5 6.1.2.5.3)
    assert decoded(raw + b"^" + raw, codecs, vr="PN") == f"{text}^{text}"


@given(st.text(max_size=30))
def test_unicode_and_gb18030_hold_everything(text):
    clean = text.encode("utf-8", "ignore").decode()
    for codec in ("UTF8", "GB18030"):
        assert spelled(decoded(encoded(clean, codec), codec)) == spelled(decoded(clean.encode(codec), codec))


def test_a_character_that_looks_like_an_escaped_byte_is_written_as_it_was():
    raw = "\uef41".encode()
    assert encoded(decoded(raw, "UTF8"), "UTF8") == raw


def test_two_byte_characters_that_contain_delimiters():
    # the second byte of these is 5C, 5E or 3D, which are the codes of backslash, ^ and =
    for term, text in ((r"\ISO 2022 IR 87", "ー次十"), ("GB18030", "淺乗乚"), ("GBK", "淺乗乚")):
        codecs = codecs_of(term)
        assert {0x5C, 0x5E, 0x3D} & set(encoded(text, codecs))
        assert (
            decoded(encoded(f"{text}^{text}={text}\\{text}", codecs, vr="PN"), codecs, vr="PN") == f"{text}^{text}={text}\\{text}"
        )


def test_a_delimiter_before_which_nobody_switched_back_is_one():
    assert decoded(b"\x1b$B;3ED^\x1b$BB@O:\x1b(B", codecs_of(r"\ISO 2022 IR 87"), vr="PN") == "山田^太郎"


# ------------------------------------------------------------ what can't be decoded
def test_a_byte_that_is_no_text_is_shown_and_written_again():
    text = decoded(b"M\xfcller", "UTF8")
    assert (escaped_bytes(text), plain(text), html_safe(text), spelled(text)) == (1, r"M\xFCller", r"M\xFCller", "M<FC>ller")
    assert encoded(text, "UTF8") == b"M\xfcller"
    assert text.encode("utf-8").decode("utf-8") == text


def test_a_set_that_was_not_declared_is_not_guessed():
    raw = b"\x1b$B;3ED\x1b(B"
    text = decoded(raw, codecs_of("ISO_IR 100"))
    assert escaped_bytes(text) == 2
    assert encoded(text, codecs_of("ISO_IR 100")) == raw


def test_text_that_a_set_does_not_have_is_refused():
    with pytest.raises(NotEncodable, match=r"IR 100 does not have.*ISO_IR 192"):
        encoded("山田", codecs_of("ISO_IR 100"))


def test_a_long_text_of_bad_bytes_takes_no_long_time():
    raw = b"\xff" * 200_000
    for term in ("ISO_IR 192", "GB18030", r"\ISO 2022 IR 149"):
        assert escaped_bytes(decoded(raw, codecs_of(term), vr="UT")) == len(raw)


# ------------------------------------------------------------ files
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("case", [*NAMES, *WORDS])
def test_read_looked_at_and_saved_again(case, syntax, tmp_path):
    term, raw, text = NAMES[case] if case in NAMES else (case, *WORDS[case])
    first = read(part10(term, raw, syntax=syntax))
    assert not [finding for finding in first.findings if "6.1" in finding.section]
    assert str(first.dataset.PatientName) == text.rstrip("=")
    assert text.split("=", maxsplit=1)[0].split("^")[0] in html_safe(first.dataset.PatientName)
    again = read(save(first.dataset, tmp_path / "again.dcm"))
    assert str(again.dataset.PatientName) == str(first.dataset.PatientName)
    kept = read(save(first.dataset, tmp_path / "once.dcm")).dataset.get_item("PatientName").value
    assert decoded(kept.rstrip(), codecs_of(term), vr="PN").rstrip("=") == text.rstrip("=")


@pytest.mark.parametrize("case", [*NAMES, *WORDS])
def test_from_each_set_to_unicode_and_back(case, tmp_path):
    term, raw, text = NAMES[case] if case in NAMES else (case, *WORDS[case])
    dataset = read(part10(term, raw)).dataset
    dataset.SpecificCharacterSet = "ISO_IR 192"
    unicode = read(save(dataset, tmp_path / "unicode.dcm")).dataset
    assert unicode.get_item("PatientName").value.rstrip(b"= ") == text.rstrip("=").encode()
    assert str(unicode.PatientName) == text.rstrip("=")
    unicode.SpecificCharacterSet = term.split("\\")
    back = read(save(unicode, tmp_path / "back.dcm")).dataset
    assert back.get_item("PatientName").value.rstrip(b"= ") == raw.rstrip(b"=")


def test_bytes_that_are_no_text_are_found_counted_and_kept(tmp_path):
    reading = read(part10("ISO_IR 192", b"M\xfcll\xe9r^Zo\xeb"))
    (finding,) = (f for f in reading.findings if f.section == "PS3.5 6.1")
    assert "PatientName (0010,0010): 3 bytes are not text in ISO_IR 192" in finding.message
    assert "ll" not in finding.message.replace("all", "")
    assert html_safe(reading.dataset.PatientName) == r"M\xFCll\xE9r^Zo\xEB"
    saved = save(reading.dataset, tmp_path / "again.dcm").read_bytes()
    assert b"M\xfcll\xe9r^Zo\xeb" in saved
    assert b"\xef\xbf\xbd" not in saved
    reading.dataset.SpecificCharacterSet = "ISO_IR 100"  # as was meant: the file is read again with it
    assert b"M\xfcll\xe9r^Zo\xeb" in save(reading.dataset, tmp_path / "other.dcm").read_bytes()


def test_bytes_that_are_no_text_are_found_in_sequences(tmp_path):
    dataset = read(part10("ISO_IR 192", b"A")).dataset
    item = Dataset()
    item.CodeMeaning = "MEANING!"
    dataset.ProcedureCodeSequence = [item, item]
    raw = save(dataset, tmp_path / "x.dcm").read_bytes().replace(b"MEANING!", b"MEANIN\xfc\xff")
    (finding,) = (f for f in read(raw).findings if f.section == "PS3.5 6.1")
    assert "CodeMeaning (0008,0104): 4 bytes" in finding.message


def test_an_item_has_a_character_set_of_its_own(tmp_path):
    dataset = read(part10("ISO_IR 192", "Ж".encode())).dataset
    item = Dataset()
    item.SpecificCharacterSet, item.CodeMeaning = "ISO_IR 203", "œ€"
    dataset.ProcedureCodeSequence = [item]
    path = save(dataset, tmp_path / "x.dcm")
    assert b"\xbd\xa4" in path.read_bytes()
    again = read(path)
    assert again.dataset.ProcedureCodeSequence[0].CodeMeaning == "œ€"
    assert not [finding for finding in again.findings if finding.section == "PS3.5 6.1"]


@pytest.mark.parametrize("term", ["ISO_IR 999", "hex", "zip", "rot13", "punycode", "utf_16", "Ĩ", "ISO 2022 IR 87\\hex"])
def test_a_term_that_is_not_defined_is_said_and_loses_nothing(term, tmp_path):
    raw = b"M\xfcller"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reading = read(part10(term, raw) if term.isascii() else part10("??????", raw).replace(b"??????", b"ISO\xff\xfe!"))
        assert any("is not defined" in finding.message for finding in reading.findings)
        assert str(reading.dataset.PatientName).startswith("M")
        assert raw in save(reading.dataset, tmp_path / "again.dcm").read_bytes()


def test_bytes_beyond_the_default_repertoire_are_read_as_latin_1_and_said(tmp_path):
    reading = read(part10("ISO_IR 6", b"M\xfcller"))
    assert str(reading.dataset.PatientName) == "Müller"
    (finding,) = (f for f in reading.findings if f.section == "PS3.5 6.1")
    assert "1 byte is outside the default repertoire; read as ISO_IR 100" in finding.message
    assert b"M\xfcller" in save(reading.dataset, tmp_path / "again.dcm").read_bytes()


def test_a_name_that_the_character_set_lacks_is_not_saved_as_question_marks(tmp_path):
    dataset = read(part10("ISO_IR 100", b"A")).dataset
    dataset.PatientName = "山田^太郎"
    with pytest.raises(AttributeUnusable, match=r"\(0010,0010\) has characters.*ISO_IR 192") as refusal:
        save(dataset, tmp_path / "x.dcm")
    assert "山" not in str(refusal.value)
    assert not (tmp_path / "x.dcm").exists()


def test_installing_twice_changes_nothing():
    before = dict(pydicom.filewriter.writers)
    install()
    assert pydicom.filewriter.writers == before


@pytest.mark.parametrize(("term", "name"), [("ISO_IR 100", "Lindqvist^Åke"), ("ISO_IR 144", "Иванов^Иван"), ("GB18030", "王^小东")])
def test_pydicoms_own_decode_leaves_a_name_as_it_is(term, name):
    dataset, item, file = Dataset(), Dataset(), io.BytesIO()
    dataset.SpecificCharacterSet, dataset.PatientName, item.RequestingPhysician = term, name, name
    dataset.RequestAttributesSequence = [item]
    dataset.save_as(file, implicit_vr=False, little_endian=True)
    again = pydicom.dcmread(io.BytesIO(file.getvalue()), force=True)
    assert str(again.PatientName) == name
    again.decode()
    again.decode()
    assert str(again.PatientName) == str(again.RequestAttributesSequence[0].RequestingPhysician) == name
