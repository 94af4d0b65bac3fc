"""Real objects of many makers: stored, found, retrieved and compared.

Every file of the corpus goes to our own server by our client, which must keep every byte; through Orthanc by our client;
and through our server by DCMTK's clients. Orthanc and storescu encode a dataset anew (explicit for undefined lengths, no
group lengths), so there the datasets are compared. What is refused or altered is named below with its reason, and nothing
else may be: an object that was taken yesterday is taken today.
"""

import csv
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from workbench.archive import Archive
from workbench.entities import Peer, StudyRef
from workbench.files import Part10, read
from workbench.inspection import differences
from workbench.network import Server, find, retrieve, store
from workbench.rendering import pixels

pytestmark = pytest.mark.slow

LISTS = "a DICOMDIR lists instances and is none (PS3.10 8.6)"
NAMELESS = "no SOP Class or Instance UID to store it under (PS3.3 C.12.1)"
NO_UID = "its SOP Instance UID is none by PS3.5 9.1"
ENDS_EARLY = "it ends in the middle of an element (PS3.5 7.1)"
BROKEN = "its elements can't be told apart (PS3.5 7.1)"
ODD = "an odd number of bytes, which no peer need take (PS3.5 7.1)"
NO_SYNTAX = "no transfer syntax in its file meta information (PS3.10 7.1)"
NO_PART_10 = "no file of PS3.10"
DEEP = "sequences nested deeper than our limit"
NO_STORAGE = "its SOP class is no storage class of the standard or of a known maker"
DIRECTORIES = ("DICOMDIR", "-bigEnd", "-empty.dcm", "-implicit", "-nooffset", "-nopatient", "-reordered")

#: What our client sends to nobody.
NOT_SENT = {
    **{f"dicomdir/dicomdirtests/{'' if k == 0 else 'DICOMDIR'}{name}": LISTS for k, name in enumerate(DIRECTORIES)},
    "dicomdir/dwv__DICOMDIR": LISTS,
    "dicomdir/orthanc-tests__DICOMDIR": LISTS,
    "ophthalmic/orthanc-tests__ZeissOCT-cfind-query.dcm": NAMELESS,
    "sr/dwv__squares.dcm": NAMELESS,
    "sr/dwv__sr-ellipse.dcm": NAMELESS,
    "sr/dwv__sr-ruler_2.dcm": NAMELESS,
    "transfer_syntax/pydicom-data__JLSL_RGB_ILV0.dcm": NAMELESS,
    "transfer_syntax/pydicom-data__JLSL_RGB_ILV1.dcm": NAMELESS,
    "transfer_syntax/pydicom-data__JLSL_RGB_ILV2.dcm": NAMELESS,
    "charset/pydicom__empty_charset_LEI.dcm": NAMELESS,
    "modality/dcm4che__NM-MONO2-16-13x-heart": NAMELESS,
    "malformed/pydicom__meta_missing_tsyntax.dcm": NAMELESS,
    "malformed/pydicom__nested_priv_SQ.dcm": NAMELESS,
    "malformed/dwv__dwv-test_no-number-rows.dcm": NAMELESS,
    "malformed/dcm4che__no_preamble_dicm_in_data": NAMELESS,
    "malformed/pynetdicom__CTImageStorage_bad_meta.dcm": NAMELESS,
    "malformed/fo-dicom__GH340.dcm": NAMELESS,
    "rt/debian__rtstruct.dcm": NO_UID,
    "transfer_syntax/weasis-dicom-tools__jpeg2000-multiframe-multifragments.dcm": NO_UID,
    "registration/onkodicom__spatial_reg.dcm": NO_SYNTAX,
    "spectroscopy/dcmjs__zero-length-US.dcm": ENDS_EARLY,
    "malformed/pydicom__MR_truncated.dcm": ENDS_EARLY,
    "malformed/dicom-test-files__emri_small_jpeg_2k_lossless_too_short.dcm": ENDS_EARLY,
    "malformed/dcm4che__3gb-bulk-data-truncated": ENDS_EARLY,
    "modality/fo-dicom__GH364.dcm": BROKEN,
    "transfer_syntax/dicom-swift__htj2k_lossless_parity.dcm": ODD,
    "modality/highdicom__dx_image.dcm": ODD,
    "deid/deid-data__ctbrain1.dcm": ODD,
    "malformed/pydicom__no_meta.dcm": NO_PART_10,
    "malformed/orthanc-tests__2026-05-06-Deeply-Nested-Sequence.dcm": DEEP,
}

MISMATCH = "the dataset lacks the SOP Instance UID of its file meta information, or has another one"
NO_STUDY = "no Study Instance UID, or none by PS3.5 9.1, so that nothing can ask for it"

#: What our own server does not take besides.
SERVER_REFUSES = {
    "charset/orthanc-tests__issue49-latin1.wl": NO_STORAGE,
    "charset/orthanc-tests__orig.7814.other.station.dump.wl": NO_STORAGE,
    "deid/visual-nlp-workshop__deidentify-medical-1.dcm": NO_STORAGE,
    "malformed/orthanc-tests__Issue111.dcm": NO_STORAGE,
    "malformed/orthanc-tests__Issue195.dcm": NO_STORAGE,
    "malformed/fo-dicom__Issue1097_FailToOpenDeflatedFileWithSQ.dcm": NO_STORAGE,
    "malformed/orthanc-tests__UnknownSopClassUid.dcm": NO_STORAGE,
    "pet/dicom__6.dcm": MISMATCH,
    "charset/pydicom__chrSQEncoding.dcm": MISMATCH,
    "modality/nibabel__decimal_rescale.dcm": MISMATCH,
    "malformed/pydicom__no_meta_group_length.dcm": MISMATCH,
    "malformed/pydicom__UN_sequence.dcm": MISMATCH,
}

#: Objects without a patient's study: kept, but below no study that a query could name.
WITHOUT_STUDY = {
    "presentation/pydicom__hotiron.dcm": NO_STUDY,
    "presentation/pydicom__pet.dcm": NO_STUDY,
    "presentation/pydicom__fall.dcm": NO_STUDY,
    "presentation/pydicom__summer.dcm": NO_STUDY,
    "presentation/weasis-dicom-tools__NeurosurgeryPlan.dcm": NO_STUDY,
    "transfer_syntax/pydicom-data__HTJ2KLossless_08_RGB.dcm": NO_STUDY,
    "transfer_syntax/pydicom-data__HTJ2K_08_RGB.dcm": NO_STUDY,
    "transfer_syntax/pydicom__SC_rgb_jls_lossy_line.dcm": NO_STUDY,
    "transfer_syntax/pydicom-data__JLSL_08_07_0_1F.dcm": NO_STUDY,
    "malformed/orthanc-tests__Issue196.dcm": NO_STUDY,
    "malformed/fo-dicom__GH220.dcm": NO_STUDY,
}

#: What Orthanc 1.10 does not take, or does not give back.
ORTHANC_REFUSES = {
    **WITHOUT_STUDY,
    "pet/dicom__6.dcm": MISMATCH,
    "charset/pydicom__chrSQEncoding.dcm": MISMATCH,
    "modality/nibabel__decimal_rescale.dcm": MISMATCH,
    "malformed/pydicom__no_meta_group_length.dcm": MISMATCH,
    "malformed/pydicom__UN_sequence.dcm": MISMATCH,
    "charset/orthanc-tests__issue49-latin1.wl": "no series and no instance: a worklist item",
    "charset/orthanc-tests__orig.7814.other.station.dump.wl": "no series and no instance: a worklist item",
    "deid/visual-nlp-workshop__deidentify-medical-1.dcm": "Orthanc can't read it",
    "malformed/orthanc-tests__Issue111.dcm": "Orthanc can't read it",
    "malformed/orthanc-tests__Issue195.dcm": "Orthanc can't read it",
    "seg/pydicom-data__liver_deflate.dcm": "Deflated Image Frame Compression (2024) is newer than Orthanc",
    "transfer_syntax/dcm4che__will-jxl.dcm": "JPEG XL (2024) is newer than Orthanc, and there is no decoder for it here",
    "transfer_syntax/generated__jpegxl_lossless_110_gray16.dcm": "JPEG XL (2024) is newer than Orthanc, and has no decoder here",
}
#: What Orthanc takes or gives in another transfer syntax only: pixels are compared there.
RECODED = {
    "transfer_syntax/generated__htj2k_rpcl_202_gray16.dcm": "Orthanc 1.10 does not know HTJ2K, so we send it uncompressed",
}
#: What Orthanc may decode where more classes are asked for than fit an association: it does not wait until their transfer
#: syntax is proposed (big endian, a retired process, HTJ2K), or it stopped at another instance of the same request.
PROPOSED_LATE = {
    "transfer_syntax/cornerstone3d__CTImage.dcm_BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2.dcm",
    "transfer_syntax/cornerstone3d__CTImage.dcm_JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53.dcm",
    "transfer_syntax/generated__htj2k_rpcl_202_gray16.dcm",
    "transfer_syntax/pydicom__MR_small_bigendian.dcm",
    "malformed/pydicom__ExplVR_BigEndNoMeta.dcm",
    "malformed/fo-dicom__GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm",
    "presentation/pydicom__CT_small.dcm",
}
#: What can't be compared, by the reason.
INCOMPARABLE = {
    "malformed/dcmjs__no-meta-length-test.dcm": NO_STUDY,
}

#: What storescu of DCMTK 3.6.7 does not send.
STORESCU_SKIPS = {
    "seg/pydicom-data__liver_deflate.dcm": "newer than DCMTK 3.6.7",
    "transfer_syntax/dcm4che__will-jxl.dcm": "newer than DCMTK 3.6.7",
    "transfer_syntax/generated__jpegxl_lossless_110_gray16.dcm": "newer than DCMTK 3.6.7",
    "transfer_syntax/generated__htj2k_rpcl_202_gray16.dcm": "newer than DCMTK 3.6.7",
    "transfer_syntax/pydicom-data__HTJ2KLossless_08_RGB.dcm": "newer than DCMTK 3.6.7",
    "transfer_syntax/pydicom-data__HTJ2K_08_RGB.dcm": "newer than DCMTK 3.6.7",
}
#: What storescp of DCMTK 3.6.7 does not take, or the movement can't name.
NOT_MOVED = {
    **{name: reason for name, reason in WITHOUT_STUDY.items() if name not in STORESCU_SKIPS},
    "malformed/dcmjs__no-meta-length-test.dcm": NO_STUDY,
    "transfer_syntax/cornerstone3d__CTImage.dcm_JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53.dcm": "a retired process",
}


#: What our server decodes, since storescp takes this process of lossless JPEG only with first-order prediction.
MOVED_DECODED = "transfer_syntax/pylibjpeg-data__JPEGLossless_1s_1f_i_16_16_bad.dcm"


def objects(corpus):
    """Return the files of the corpus by their name in its index."""
    with (corpus / "index.csv").open(encoding="utf-8") as file:
        return {row["path"]: corpus / row["path"] for row in csv.DictReader(file)}


def header(source):
    return read(source, stop_before_pixels=True).dataset


def uid_of(source):
    return str(header(source).get("SOPInstanceUID") or Part10.locate(source).sop_instance_uid)


@pytest.fixture(scope="module")
def candidates(corpus):
    """The files that can be sent, with their SOP Instance UIDs: of several with the same one, the first."""
    first = {}
    for name, path in objects(corpus).items():
        if name not in NOT_SENT:
            first.setdefault(uid_of(path), name)
    return {name: uid for uid, name in first.items()}


def dataset_bytes(source):
    """Return what follows the file meta information."""
    data = source.read_bytes() if isinstance(source, Path) else source
    return data[Part10.locate(data).dataset_offset :]


def unpadded(data):
    """Return a dataset without trailing padding (PS3.10 7.2), which DCMTK leaves out when it sends."""
    at = data.rfind(b"\xfc\xff\xfc\xff")
    lengths = {8 + int.from_bytes(data[at + 4 : at + 8], "little"), 12 + int.from_bytes(data[at + 8 : at + 12], "little")}
    return data[:at] if at >= 0 and len(data) - at in lengths else data


def differing(one, other):
    """Return where two files differ, but for what an encoder may choose.

    Group lengths (PS3.5 7.2), padding, OB or OW for compressed pixels (PS3.5 A.4) and file meta information in items,
    where it may not be at all.
    """
    if unpadded(dataset_bytes(one)) == unpadded(dataset_bytes(other)):
        return []
    rows = differences(read(one).dataset, read(other).dataset)
    return [
        row.path
        for row in rows
        if not (
            row.tag.endswith(",0000)")
            or row.tag.startswith(("(0002", "(FFFC"))
            or (row.kind, row.name) == ("vr changed", "Pixel Data")
        )
    ]


def refused(report, corpus):
    return {str(Path(row.source).relative_to(corpus)) for row in report if row.outcome != "stored"}


def test_the_tables_name_files_that_are_there(corpus):
    named = {*NOT_SENT, *SERVER_REFUSES, *ORTHANC_REFUSES, *RECODED, *INCOMPARABLE, *STORESCU_SKIPS, *NOT_MOVED}
    assert named - set(objects(corpus)) == set()


def test_our_server_keeps_every_byte_that_our_client_sends(corpus, candidates, tmp_path):
    everything = objects(corpus)
    with Archive(tmp_path / "archive") as archive, Server(archive) as server:
        assert refused(store(server.peer, [everything[name] for name in NOT_SENT]), corpus) == set(NOT_SENT)
        report = store(server.peer, [everything[name] for name in candidates])
        assert refused(report, corpus) == set(SERVER_REFUSES)
        assert all(row.sent_transfer_syntax_uid == row.transfer_syntax_uid for row in report if row.outcome == "stored")
        assert archive.counts().instances == len(candidates) - len(SERVER_REFUSES) == 330
        assert not archive.verify().errors
        taken = [name for name in candidates if name not in SERVER_REFUSES]
        other = [name for name in taken if dataset_bytes(archive.path(candidates[name])) != dataset_bytes(everything[name])]
        assert other == ["transfer_syntax/pydicom__image_dfl.dcm"]  # deflated to an odd length, padded by PS3.5 A.5
        back = {}
        for uid in sorted({ref.study_instance_uid for ref in archive} - {"", "1"}):
            report = retrieve(server.peer, StudyRef(uid), into=lambda file: back.setdefault(uid_of(file), file), method="get")
            assert report.complete, report.troubles
        asked = [name for name in taken if name not in {**WITHOUT_STUDY, **INCOMPARABLE}]
        assert sorted(back) == sorted(candidates[name] for name in asked)
        assert [
            name for name in asked if dataset_bytes(back[candidates[name]]) != dataset_bytes(archive.path(candidates[name]))
        ] == []


@pytest.fixture(scope="module")
def at_orthanc(corpus, candidates, orthanc_module):
    """Orthanc with all that it takes of the corpus, by name."""
    report = store(orthanc_module.peer, [corpus / name for name in candidates])
    assert refused(report, corpus) == set(ORTHANC_REFUSES) & set(candidates)
    recoded = {
        row.sop_instance_uid
        for row in report
        if row.outcome == "stored" and row.sent_transfer_syntax_uid != row.transfer_syntax_uid
    }
    assert recoded == {candidates[name] for name in RECODED}
    stored = [name for name in candidates if name not in ORTHANC_REFUSES]
    assert len(stored) == 318
    return orthanc_module, stored


@pytest.mark.parametrize("via", ["dimse", "web"])
def test_orthanc_finds_every_study_and_series(corpus, at_orthanc, via):
    orthanc, stored = at_orthanc
    there = {(str(h.StudyInstanceUID), str(h.SeriesInstanceUID)) for h in (header(corpus / name) for name in stored)}
    studies = find(orthanc.peer, level="STUDY", keys={"StudyInstanceUID": None}, via=via)
    assert {str(answer.StudyInstanceUID) for answer in studies} == {study for study, _ in there}
    found = set()
    for study in {study for study, _ in there} - {"1"}:
        answers = find(orthanc.peer, level="SERIES", keys={"StudyInstanceUID": study, "SeriesInstanceUID": None}, via=via)
        found |= {(study, str(answer.SeriesInstanceUID)) for answer in answers}
    assert found == {pair for pair in there if pair[0] != "1"}


@pytest.mark.parametrize("method", ["get", "web"])
def test_orthanc_gives_back_what_it_was_given(corpus, candidates, at_orthanc, method):
    orthanc, stored = at_orthanc
    back = {}
    for uid in sorted({str(header(corpus / name).StudyInstanceUID) for name in stored} - {"1"}):
        report = retrieve(orthanc.peer, StudyRef(uid), into=lambda file: back.setdefault(uid_of(file), file), method=method)
        assert report.complete, report.troubles
    asked = [name for name in stored if name not in INCOMPARABLE]
    assert {candidates[name] for name in asked} <= set(back)
    wrong, recoded = {}, set()
    for name in asked:
        given, taken = corpus / name, back[candidates[name]]
        if Part10.locate(given).transfer_syntax_uid != Part10.locate(taken).transfer_syntax_uid:
            recoded.add(name)
            mine, theirs = (pixels(read(source).dataset) for source in (given, taken))
            np.testing.assert_array_equal(mine, theirs)
        elif where := differing(given, taken):
            wrong[name] = where
    assert wrong == {}
    assert recoded == set(RECODED)


def test_classes_that_fit_no_single_association_come_complete(corpus, candidates, at_orthanc):
    """Some forty classes: seven associations for their usual syntaxes, more for the others (PS3.8 9.3.2.2: 128 contexts)."""
    orthanc, stored = at_orthanc
    asked = [name for name in stored if name not in INCOMPARABLE]
    studies = {str(header(corpus / name).StudyInstanceUID) for name in stored} - {"1"}
    assert len({str(header(corpus / name).SOPClassUID) for name in asked}) > 30
    back = {}
    report = retrieve(orthanc.peer, map(StudyRef, sorted(studies)), into=lambda f: back.setdefault(uid_of(f), f), method="get")
    assert report.complete, report.troubles
    assert {candidates[name] for name in asked} <= set(back)
    syntaxes = {name: [Part10.locate(f).transfer_syntax_uid for f in (corpus / name, back[candidates[name]])] for name in asked}
    assert {name for name, (given, taken) in syntaxes.items() if given != taken} <= PROPOSED_LATE
    for name in PROPOSED_LATE & set(asked):
        given, taken = (read(source).dataset for source in (corpus / name, back[candidates[name]]))
        if "PixelData" in given:
            assert np.abs(pixels(given).astype(int) - pixels(taken).astype(int)).max() <= 1


@pytest.mark.parametrize("method", ["get", "web"])
def test_a_study_whose_uid_is_a_single_number_comes_too(corpus, candidates, at_orthanc, method):
    orthanc, stored = at_orthanc
    mine = {candidates[name] for name in stored if str(header(corpus / name).StudyInstanceUID) == "1"}
    back = {}
    report = retrieve(orthanc.peer, StudyRef("1"), into=lambda f: back.setdefault(uid_of(f), f), method=method)
    assert report.complete, report.troubles
    assert mine
    assert set(back) == mine


def proposal(names, corpus, file):
    """Write a configuration for storescu with one presentation context for each pair of SOP class and transfer syntax."""
    parts = [Part10.locate(corpus / name) for name in names]
    pairs = sorted({(part.sop_class_uid, part.transfer_syntax_uid) for part in parts})
    assert len(pairs) <= 128
    syntaxes = sorted({syntax for _, syntax in pairs})
    lines = ["[[TransferSyntaxes]]"]
    for number, syntax in enumerate(syntaxes):
        lines += [f"[S{number}]", f"TransferSyntax1 = {syntax}"]
    lines += ["[[PresentationContexts]]", "[ALL]"]
    lines += [f"PresentationContext{k} = {uid}\\S{syntaxes.index(syntax)}" for k, (uid, syntax) in enumerate(pairs, 1)]
    lines += ["[[Profiles]]", "[CORPUS]", "PresentationContexts = ALL"]
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def question(study, file):
    """Write a C-MOVE identifier for movescu."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", study
    identifier.save_as(file, implicit_vr=True, little_endian=True)
    return str(file)


def test_dcmtk_stores_into_our_server_and_moves_out_of_it(corpus, candidates, program, storescp, tmp_path):
    names = [name for name in candidates if name not in {**SERVER_REFUSES, **STORESCU_SKIPS}]
    receiver = storescp("-aet", "RECEIVER", "+B", "+xa", "-pm")
    known = {"receiver": Peer("receiver", "RECEIVER", port=receiver.peer.port)}
    with Archive(tmp_path / "archive") as archive, Server(archive, known_peers=known) as server:
        to = ["-aec", "WORKBENCH", "127.0.0.1", str(server.port)]
        profile = ["-xf", proposal(names, corpus, tmp_path / "storescu.cfg"), "CORPUS"]
        sent = [program("storescu"), *profile, *to, *(str(corpus / name) for name in names)]
        done = subprocess.run(sent, capture_output=True, text=True, errors="replace", timeout=100, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert archive.counts().instances == len(names) == 324
        assert not archive.verify().errors
        altered = {n: w for n in names if (w := differing(corpus / n, archive.path(candidates[n])))}
        assert altered == {}

        studies = sorted({ref.study_instance_uid for ref in archive} - {"", "1"})
        asked = [question(uid, tmp_path / f"{k}.dcm") for k, uid in enumerate(studies)]
        moved = [program("movescu"), "-S", "-aem", "RECEIVER", *to, *asked]
        subprocess.run(moved, capture_output=True, timeout=100, check=False)
        back = {uid_of(path): path for path in (receiver.folder / "received").iterdir()}
        assert {name for name in names if candidates[name] not in back} == set(NOT_MOVED)
        other = [
            n
            for n in names
            if n not in NOT_MOVED and dataset_bytes(back[candidates[n]]) != dataset_bytes(archive.path(candidates[n]))
        ]
        assert other == [MOVED_DECODED]
        before, after = (pixels(read(source).dataset) for source in (corpus / MOVED_DECODED, back[candidates[MOVED_DECODED]]))
        np.testing.assert_array_equal(before, after)
