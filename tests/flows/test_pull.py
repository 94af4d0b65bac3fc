"""Pull, against the department and against Orthanc."""

import pandas as pd
import pytest

from workbench import phantoms
from workbench.archive import Archive
from workbench.department import Department
from workbench.entities import InstanceRef, SeriesRef, StudyRef
from workbench.errors import AttributeUnusable, InputError, PeerUnreachable, QueryKeyInvalid, StatusFailure, UidInvalid
from workbench.flows import Audit, pull
from workbench.network import AddressBook, store
from workbench.network import find as network_find


@pytest.fixture(scope="module")
def instances():
    return [*phantoms.ct_series(3, rows=32), phantoms.fundus(), phantoms.fundus("L")]


@pytest.fixture(scope="module")
def department(instances):
    with Department(instances=instances) as department:
        yield department


@pytest.fixture(scope="module")
def orthanc_filled(orthanc_module, instances):
    assert store(orthanc_module.peer, instances).complete
    return orthanc_module.peer


@pytest.mark.parametrize("via", ["department", "orthanc", "orthanc web"])
def test_find_and_retrieve(request, instances, tmp_path, via):
    if via == "department":
        peer, way, method = request.getfixturevalue("department").peer, "dimse", None
    else:
        peer = request.getfixturevalue("orthanc_filled")
        way, method = ("web", "web") if via.endswith("web") else ("dimse", "get")
    audit = Audit()
    name = str(instances[0].PatientName)
    studies = pull.find(peer, via=way, audit=audit, PatientName=name)
    assert set(studies["StudyInstanceUID"]) == {str(d.StudyInstanceUID) for d in instances if str(d.PatientName) == name}
    assert studies["NumberOfStudyRelatedInstances"].sum() == sum(str(d.PatientName) == name for d in instances)
    assert pd.api.types.is_datetime64_any_dtype(studies["StudyDate"])
    assert not studies.attrs["truncated"]
    series = pull.find(peer, level="SERIES", via=way, audit=audit, StudyInstanceUID=instances[3].StudyInstanceUID)
    assert set(series["SeriesInstanceUID"]) == {str(instances[3].SeriesInstanceUID), str(instances[4].SeriesInstanceUID)}
    with Archive(tmp_path) as archive:
        report = pull.retrieve(peer, studies, into=archive, method=method, audit=audit)
        assert report.complete
        assert {row.sop_instance_uid for row in report} == {ref.sop_instance_uid for ref in archive}
        assert len(archive) == studies["NumberOfStudyRelatedInstances"].sum()
        again = pull.retrieve(peer, studies, into=archive, method=method, audit=audit)
        assert {row.outcome for row in again} == {"already there"}
    assert [(line.step, line.verified) for line in audit.lines] == [
        ("find study", True), ("find series", True), ("retrieve", True), ("retrieve", True),
    ]  # fmt: skip


def test_more_than_the_limit_is_not_verified(department):
    audit = Audit()
    frame = pull.find(department.peer, limit=1, audit=audit)
    assert len(frame) == 1
    assert frame.attrs["truncated"]
    assert (audit.lines[0].verified, audit.lines[0].note) == (False, "more answers exist than the limit")


def test_what_is_lost_at_the_peer_is_not_verified(tmp_path, instances):
    audit = Audit()
    with Department(tmp_path / "theirs", instances=instances[:3]) as department, Archive(tmp_path / "ours") as archive:
        lost = next(iter(department.archive))
        department.archive.path(lost).unlink()
        report = pull.retrieve(department.peer, StudyRef(lost.study_instance_uid), into=archive, audit=audit)
        assert {row.sop_instance_uid for row in report if row.outcome != "retrieved"} == {lost.sop_instance_uid}
        assert len(archive) == 2
    assert (audit.lines[0].count, audit.lines[0].verified, audit.lines[0].note) == (3, False, "1 instance failed")


def test_nothing_there_is_not_verified(department, tmp_path):
    audit = Audit()
    with Archive(tmp_path) as archive:
        assert not pull.retrieve(department.peer, StudyRef("1.2.3"), into=archive, audit=audit).complete
    assert not audit.lines.verified


def test_some_instances_of_a_series(department, instances, tmp_path):
    frame = pull.find(
        department.peer,
        level="IMAGE",
        StudyInstanceUID=instances[0].StudyInstanceUID,
        SeriesInstanceUID=instances[0].SeriesInstanceUID,
    )
    chosen = frame[frame["InstanceNumber"] == 2]
    (ref,) = pull.references(chosen)
    assert (ref.level, ref.sop_instance_uid) == ("IMAGE", str(instances[1].SOPInstanceUID))
    with Archive(tmp_path) as archive:
        assert pull.retrieve(department.peer, chosen, into=archive).complete
        assert [r.sop_instance_uid for r in archive] == [str(instances[1].SOPInstanceUID)]


def test_references_of_tables():
    frame = pd.DataFrame({"StudyInstanceUID": ["1.2", "1.2", "1.3"]})
    assert pull.references(frame) == [StudyRef("1.2"), StudyRef("1.3")]
    frame["SeriesInstanceUID"] = ["1.2.1", "1.2.1", pd.NA]
    assert pull.references(frame) == [SeriesRef("1.2", "1.2.1"), StudyRef("1.3")]
    frame["SeriesInstanceUID"], frame["SOPInstanceUID"], frame["SOPClassUID"] = (
        "1.9",
        ["1.5", "1.6", "1.7"],
        "1.2.840.10008.5.1.4.1.1.2",
    )
    assert pull.references(frame)[0] == InstanceRef("1.2", "1.9", "1.2.840.10008.5.1.4.1.1.2", "1.5")
    assert pull.references(frame.iloc[:0]) == []


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"PatientID": ["X"]}, AttributeUnusable, r"no column StudyInstanceUID \(0020,000D\)"),
        ({"StudyInstanceUID": [pd.NA]}, AttributeUnusable, "lacks StudyInstanceUID"),
        (
            {"StudyInstanceUID": ["1.2"], "SOPInstanceUID": ["1.3"]},
            AttributeUnusable,
            "lacks StudyInstanceUID or SeriesInstanceUID",
        ),
        ({"StudyInstanceUID": ["../../x"]}, UidInvalid, "StudyInstanceUID is not a valid UID"),
    ],
)
def test_tables_that_refer_to_nothing(table, error, message):
    with pytest.raises(error, match=message):
        pull.references(pd.DataFrame(table))


def test_levels_and_models_in_any_case(department):
    assert set(pull.find(department.peer, level="study")["StudyInstanceUID"]) == set(
        pull.find(department.peer, level="STUDY", model="STUDY")["StudyInstanceUID"]
    )
    patients = pull.find(department.peer, level="Patient", model="patient")
    assert len(patients) == department.archive.counts().patients
    with pytest.raises(InputError, match="level"):
        pull.find(department.peer, level="exam")


def test_a_peer_by_name_or_by_address(department, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_PEERS", str(tmp_path / "peers.toml"))
    peer = department.peer
    book = AddressBook.load()
    book.add(peer.but(name="pacs"))
    book.save()
    address = f"{peer.ae_title}@{peer.host}:{peer.port}"
    assert len(pull.find("pacs")) == len(pull.find(address)) == department.archive.counts().studies
    with Archive(tmp_path / "archive") as archive:
        assert pull.retrieve("pacs", pull.find("pacs").iloc[[0]], into=archive).complete
    with pytest.raises(InputError, match=r"not a Department: pass its \.peer"):
        pull.find(department)


def test_what_can_not_be_retrieved(department, tmp_path):
    studies = pull.find(department.peer)
    uid = str(studies["StudyInstanceUID"].iloc[0])
    with Archive(tmp_path) as archive:
        for what, remedy in (
            (studies.iloc[0], r"studies\.iloc\[\[0\]\]"),
            (studies["StudyInstanceUID"], r"studies\.iloc\[\[0\]\]"),
            (uid, r"StudyRef\(uid\)"),
            ([uid], r"StudyRef\(uid\)"),
            (network_find(department.peer), r"found\.table\(\)"),
            (network_find(department.peer)[0], r"found\.table\(\)"),
            (tmp_path, r"StudyRef\(uid\), not PosixPath"),
            (None, "not NoneType"),
        ):
            with pytest.raises(InputError, match=remedy) as refusal:
                pull.retrieve(department.peer, what, into=archive)
            assert uid not in str(refusal.value)
        assert len(archive) == 0


def test_where_nothing_can_be_kept(department, tmp_path):
    studies = pull.find(department.peer)
    for into, remedy in (
        (tmp_path, r"pass Archive\(path\)"),
        (str(tmp_path), r"pass Archive\(path\)"),
        (department, r"not Department: pass its \.archive"),
        (None, r"not NoneType: pass Archive\(path\)"),
    ):
        with pytest.raises(InputError, match=remedy):
            pull.retrieve(department.peer, studies, into=into)


def test_c_move_comes_to_the_port_that_the_peer_knows(dcmqrscp, instances, tmp_path):
    assert store(dcmqrscp.peer, instances[:3]).complete
    study = StudyRef(str(instances[0].StudyInstanceUID))
    with Archive(tmp_path / "archive") as archive:
        assert pull.retrieve(dcmqrscp.peer, study, into=archive, method="move", move_port=dcmqrscp.move_port).complete
        assert len(archive) == 3


def test_c_move_to_an_unknown_title_is_answered_with_what_the_peer_must_know(orthanc_filled, instances, tmp_path):
    study = StudyRef(str(instances[0].StudyInstanceUID))
    peer = orthanc_filled.but(calling_ae_title="STRANGER")
    remedy = r"peer must know our AE title 'STRANGER' at this machine's address and port \d+.*move_port="
    with Archive(tmp_path) as archive, pytest.raises(StatusFailure, match=remedy) as caught:
        pull.retrieve(peer, study, into=archive, method="move")
    assert caught.value.status in {0xA702, 0xA801, 0xC000}


def test_refusals_are_written_down(department, tmp_path, free_port):
    audit = Audit(tmp_path / "audit.jsonl")
    with pytest.raises(QueryKeyInvalid, match="PatientNam"):
        pull.find(department.peer, audit=audit, PatientNam="X")
    with pytest.raises(PeerUnreachable), Archive(tmp_path / "archive") as archive:
        pull.retrieve(department.peer.but(port=free_port()), StudyRef("1.2"), into=archive, audit=audit)
    assert [(line.step, line.verified, line.note.split(":")[0]) for line in Audit.read(tmp_path / "audit.jsonl")] == [
        ("find study", False, "QueryKeyInvalid"),
        ("retrieve", False, "PeerUnreachable at tcp"),
    ]


def test_an_audit_names_no_patient(department, instances, tmp_path):
    audit = Audit(tmp_path / "audit.jsonl")
    pull.find(department.peer, audit=audit, PatientName=str(instances[0].PatientName), PatientID=instances[0].PatientID)
    text = (tmp_path / "audit.jsonl").read_text()
    assert str(instances[0].PatientName) not in text
    assert instances[0].PatientID not in text
