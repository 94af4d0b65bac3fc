"""DICOMweb from servers that misbehave on cue: what is whole is kept, the rest is told."""

import contextlib
import copy
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.archive import Archive
from workbench.entities import Peer, StudyRef, Timeouts
from workbench.errors import AssociationAborted, InputError, PeerTimeout, StatusFailure
from workbench.files import Part10
from workbench.network import find, retrieve
from workbench.network._wado import _Instance, _Multipart, _Stream
from workbench.phantoms import ct_series

SLICES = list(ct_series(4, rows=32))
STUDY = StudyRef(str(SLICES[0].StudyInstanceUID))
TYPE = 'multipart/related; type="application/dicom"; boundary="bOuNd"'


def file_of(dataset):
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


FILES = [file_of(dataset) for dataset in SLICES]


def multipart(parts, *, lengths=True, end=b"--bOuNd--\r\n", preamble=b""):
    body = preamble
    for part in parts:
        length = b"Content-Length: %d\r\n" % len(part) if lengths else b""
        body += b"--bOuNd\r\nContent-Type: application/dicom\r\n" + length + b"\r\n" + part + b"\r\n"
    return body + end


@pytest.fixture
def serving():
    """A function that starts a web server: QIDO-RS that knows the slices, WADO-RS as the callable says."""
    with contextlib.ExitStack() as stack:

        def start(wado=None, qido=None):
            class Handler(BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"

                def do_GET(self):
                    asked.append((self.path, dict(self.headers)))
                    if "instances?" in self.path or "studies?" in self.path:
                        (qido or known)(self)
                    else:
                        wado(self)

                def log_message(self, *args):
                    pass

            asked = []
            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            port = server.server_address[1]
            peer = Peer(name="web", ae_title="WEB", port=port, web_url=f"http://127.0.0.1:{port}/dw", timeouts=Timeouts(1, 1, 1, 1))
            return peer, asked

        yield start


def reply(handler, body, *, kind="application/dicom+json", status=200, **headers):
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def entry(dataset):
    names = {
        "00080016": "SOPClassUID",
        "00080018": "SOPInstanceUID",
        "0020000D": "StudyInstanceUID",
        "0020000E": "SeriesInstanceUID",
    }
    return {tag: {"vr": "UI", "Value": [str(dataset[name].value)]} for tag, name in names.items()}


def known(handler):
    offset = int(handler.path.split("offset=")[1])
    reply(handler, json.dumps([entry(d) for d in SLICES[offset:]]).encode())


def taken(serving, wado):
    came = []
    peer, _ = serving(wado)
    return retrieve(peer, STUDY, into=came.append, method="web"), came


def counting(asked_for_instances, counts, *, came, missing=()):
    """Answers of a server that says how many instances each series has; it lists `came` and `missing` when it is asked."""

    def answer(handler):
        if "series?" in handler.path:
            found = [
                {"0020000E": {"vr": "UI", "Value": [series]}, "00201209": {"vr": "IS", "Value": [number]}}
                for series, number in counts.items()
            ]
            reply(handler, json.dumps(found if "offset=0" in handler.path else []).encode())
        else:
            reply(handler, multipart([file_of(d) for d in came]), kind=TYPE)

    def listed(handler):
        asked_for_instances.append(handler.path)
        reply(handler, json.dumps([entry(d) for d in (*came, *missing)] if "offset=0" in handler.path else []).encode())

    return {"wado": answer, "qido": listed}


def test_where_as_many_came_as_the_series_has_they_are_not_listed(serving, tmp_path):
    listed, seen = [], []
    peer, _ = serving(**counting(listed, {str(SLICES[0].SeriesInstanceUID): 4}, came=SLICES))
    with Archive(tmp_path) as archive:
        report = retrieve(peer, STUDY, into=archive, method="web", progress=lambda done, total: seen.append((done, total)))
    assert report.complete, report.troubles
    assert {row.sop_instance_uid for row in report} == {d.SOPInstanceUID for d in SLICES}
    assert listed == []
    assert seen[-1] == (4, 4)


@pytest.mark.parametrize("counts", [{"x": 5}, {"x": 2}, {"x": 3, "1.2.3": 1}, {"x": ""}, {"x": "9" * 5000}, {}])
def test_where_the_numbers_differ_the_missing_ones_are_named(serving, tmp_path, counts):
    listed = []
    counts = {str(SLICES[0].SeriesInstanceUID) if series == "x" else series: number for series, number in counts.items()}
    peer, _ = serving(**counting(listed, counts, came=SLICES[:3], missing=SLICES[3:]))
    with Archive(tmp_path) as archive:
        report = retrieve(peer, STUDY, into=archive, method="web")
    assert not report.complete
    assert [row.sop_instance_uid for row in report if row.outcome == "missing"] == [SLICES[3].SOPInstanceUID]
    assert listed


def test_as_many_of_another_series_are_not_what_was_expected(serving, tmp_path):
    other = copy.deepcopy(SLICES[3])
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.77"
    other.SeriesInstanceUID = "1.2.826.0.1.7"
    listed = []
    peer, _ = serving(**counting(listed, {str(SLICES[0].SeriesInstanceUID): 4}, came=[*SLICES[:3], other], missing=SLICES[3:]))
    with Archive(tmp_path) as archive:
        report = retrieve(peer, STUDY, into=archive, method="web")
    assert [row.sop_instance_uid for row in report if row.outcome == "missing"] == [SLICES[3].SOPInstanceUID]
    assert listed


@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("preamble", [b"", b"This is the preamble.\r\n"])
def test_parts_with_and_without_a_length(serving, lengths, preamble):
    report, came = taken(serving, lambda h: reply(h, multipart(FILES, lengths=lengths, preamble=preamble), kind=TYPE))
    assert report.complete, report.troubles
    offset = Part10.locate(FILES[0]).dataset_offset
    assert [c[Part10.locate(c).dataset_offset :] for c in came] == [f[offset:] for f in FILES]


def test_a_body_in_chunks(serving):
    def wado(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", TYPE)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        body = multipart(FILES)
        for k in range(0, len(body), 777):
            piece = body[k : k + 777]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    report, came = taken(serving, wado)
    assert report.complete, report.troubles
    assert len(came) == 4


def test_a_single_instance_that_is_not_multipart(serving):
    report, came = taken(serving, lambda h: reply(h, FILES[0], kind="application/dicom"))
    assert len(came) == 1
    assert report.counts() == {"retrieved": 1, "missing": 3}


@pytest.mark.parametrize("cut", [10, 200, 5000, -14])
@pytest.mark.parametrize("lengths", [True, False])
def test_a_body_that_ends_early_keeps_what_was_whole(serving, cut, lengths):
    body = multipart(FILES[:2], lengths=lengths)[:cut]
    try:
        report, came = taken(serving, lambda h: reply(h, body, kind=TYPE))
    except AssociationAborted as error:
        told, whole = str(error), 0 < cut < len(FILES[0])
        assert (told.count("ended before its last part was complete"), whole) == (1, True)
        return
    assert not report.complete
    assert len(came) == report.counts().get("retrieved", 0)
    assert all(file in FILES or file[-1000:] in {f[-1000:] for f in FILES} for file in came)
    assert any("ended before" in row.message or "cut off" in row.message for row in report.troubles)


def test_a_length_that_lies(serving):
    body = multipart(FILES[:1]).replace(b"Content-Length: %d" % len(FILES[0]), b"Content-Length: %d" % (len(FILES[0]) - 7))
    report_or_error = []
    try:
        report_or_error.append(taken(serving, lambda h: reply(h, body, kind=TYPE))[0].complete)
    except AssociationAborted:
        report_or_error.append(False)
    assert report_or_error == [False]


def test_parts_that_are_not_dicom_are_counted(serving):
    parts = [b"<html>no</html>", FILES[0], b"", b"\0" * 128 + b"DICM" + b"\2\0\2\0UI\x04\0a/b\0" * 3, *FILES[1:]]
    report, came = taken(serving, lambda h: reply(h, multipart(parts), kind=TYPE))
    assert len(came) == 4
    assert report.notes == ("3 parts of the answer were not DICOM.",)
    assert not report.complete


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "name an environment variable"), (403, "ask its administrator"), (404, "Check web_url"), (500, "log")],
)
def test_a_refusal(serving, status, words):
    with pytest.raises(StatusFailure, match=words) as caught:
        taken(serving, lambda h: reply(h, b"PLANTED^NAME", status=status))
    assert caught.value.status == status
    assert "PLANTED" not in str(caught.value)
    peer, _ = serving(qido=lambda h: reply(h, b"", status=status))
    with pytest.raises(StatusFailure, match=words):
        find(peer, via="web")


def test_silence(serving):
    peer, _ = serving(qido=lambda h: time.sleep(3))
    start = time.monotonic()
    with pytest.raises(PeerTimeout, match="silent for 1 s"):
        find(peer, via="web")
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("body", [b"<html></html>", b"{}", b"[1]", b'[{"00100010": 5}]', b"["])
def test_answers_that_are_not_dicom_json(serving, body):
    peer, _ = serving(qido=lambda h: reply(h, body))
    with pytest.raises(StatusFailure, match="not DICOM JSON"):
        find(peer, via="web")


def test_not_http(serving):
    def qido(handler):
        handler.wfile.write(b"\x03\0\0\0\0\4\0\1\1\7" * 20)
        handler.close_connection = True

    peer, _ = serving(qido=qido)
    with pytest.raises(AssociationAborted, match="not HTTP"):
        find(peer, via="web")


def test_no_content_is_nothing_found(serving):
    peer, _ = serving(qido=lambda h: reply(h, b"", status=204))
    assert len(find(peer, via="web")) == 0


def test_a_server_that_gives_pages_is_asked_for_all_of_them(serving):
    def qido(handler):
        offset = int(handler.path.split("offset=")[1])
        reply(handler, json.dumps([entry(d) for d in SLICES[offset : offset + 3]]).encode(), Warning="299 x: more")

    peer, asked = serving(qido=qido)
    assert len(find(peer, level="IMAGE", keys={"StudyInstanceUID": STUDY.study_instance_uid}, via="web")) == 4
    assert len(asked) == 3


def test_a_server_that_ignores_the_offset_does_not_hold_us(serving):
    peer, asked = serving(qido=lambda h: reply(h, json.dumps([entry(d) for d in SLICES]).encode(), Warning="299 x: more"))
    assert len(find(peer, level="IMAGE", keys={"StudyInstanceUID": STUDY.study_instance_uid}, via="web")) == 4
    assert len(asked) == 2


def test_the_login_comes_from_the_environment_and_shows_nowhere(serving, monkeypatch, caplog):
    monkeypatch.setenv("WB_TEST_LOGIN", "me:hunter2")
    peer, asked = serving()
    peer = peer.but(web_secret="WB_TEST_LOGIN")
    find(peer, level="IMAGE", keys={"StudyInstanceUID": STUDY.study_instance_uid}, via="web")
    assert asked[0][1]["Authorization"] == "Basic bWU6aHVudGVyMg=="
    assert "hunter2" not in repr(peer) + caplog.text
    monkeypatch.delenv("WB_TEST_LOGIN")
    with pytest.raises(InputError, match="WB_TEST_LOGIN"):
        find(peer, via="web")


class _Chunked:
    """An answer that gives its body in pieces of given sizes."""

    def __init__(self, body, sizes):
        self._body, self._sizes = BytesIO(body), list(sizes)

    def read1(self, size):
        return self._body.read(self._sizes.pop() if self._sizes else size)


class _Kept:
    def __init__(self, where, **names):
        self._where, self._data = where, b""

    def write(self, chunk):
        self._data += bytes(chunk)

    def commit(self):
        self._where.append(self._data)

    def discard(self):
        self._data = b""


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(sizes=st.lists(st.integers(1, 300), max_size=200), lengths=st.booleans())
def test_wherever_the_stream_is_cut_into_reads_the_parts_are_the_same(sizes, lengths):
    kept = []
    stream = _Stream(_Chunked(multipart(FILES[:2], lengths=lengths), sizes), Peer(name="x", ae_title="X"), lambda: False)
    parts = _Multipart(stream, b"bOuNd", lambda: _Instance(lambda **names: _Kept(kept, **names), "X"))
    assert parts.read() == 0
    assert kept == [f[Part10.locate(f).dataset_offset :] for f in FILES[:2]]
