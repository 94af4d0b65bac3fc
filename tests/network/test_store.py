"""What counts as stored, and what is found out about a source before anything is sent."""

import io
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)
from pynetdicom import AE, evt

from workbench import files, phantoms
from workbench.entities import Peer, Timeouts
from workbench.errors import AttributeUnusable, DatasetIncomplete, InputError, LimitExceeded, PixelDataUnusable
from workbench.network._glance import glance
from workbench.network._outgoing import look_at, opened
from workbench.network.bulk import Response
from workbench.network.store import Retry, StoreReport, _batches, _judged, store
from workbench.network.transcode import can_leave, encoded, recoded

CT = "1.2.840.10008.5.1.4.1.1.2"


def ct(seed: int = 0) -> Dataset:
    return phantoms.ct_series(1, rows=64, columns=64, seed=seed)[0]


def file_bytes(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture
def answering():
    """A function that starts a peer which answers each C-STORE with the next of some statuses."""
    servers = []

    def start(*statuses: int, comment: str = "", wait: threading.Event | None = None) -> Peer:
        left = list(statuses)

        def handle(_: evt.Event) -> Dataset:
            if wait is not None:
                wait.wait(10)
            answer = Dataset()
            answer.Status = left.pop(0)
            if comment:
                answer.ErrorComment = comment
            return answer

        entity = AE("SCP")
        entity.add_supported_context(CT)
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
        servers.append(server)
        return Peer(name="scp", ae_title="SCP", port=server.socket.getsockname()[1])

    yield start
    for server in servers:
        server.shutdown()


# PS3.4 Table B.2-1, and the general statuses of PS3.7 C
@pytest.mark.parametrize(
    ("status", "outcome", "word"),
    [
        (0x0000, "stored", "Stored"),
        (0xB000, "warning", "0xB000"),
        (0xB006, "warning", "elements discarded"),
        (0xB007, "warning", "does not match"),
        (0xA700, "failed", "out of resources"),
        (0xA900, "failed", "does not match"),
        (0xA9FF, "failed", "does not match"),
        (0xC000, "failed", "unable to process"),
        (0xC123, "failed", "unable to process"),
        (0x0122, "failed", "SOP class not supported"),
        (0x0117, "failed", "invalid SOP instance"),
        (0xFF00, "failed", "pending"),
    ],
)
def test_statuses_mean_what_the_standard_says(status, outcome, word, answering):
    report = store(answering(status, comment="because"), [ct()])
    assert (report[0].outcome, report[0].status) == (outcome, status)
    assert word in report[0].message
    assert report.complete == (outcome in {"stored", "warning"})
    if status:
        assert "'because'" in report[0].message


def test_one_that_fails_does_not_stop_the_others(answering):
    report = store(answering(0, 0xA700, 0xB000, 0), [ct(k) for k in range(4)])
    assert [row.outcome for row in report] == ["stored", "failed", "warning", "stored"]
    assert [row.outcome for row in report.troubles] == ["failed"]
    assert isinstance(report.troubles, StoreReport)
    assert list(report.table()["status"]) == [0, 0xA700, 0xB000, 0]


def test_an_empty_status_is_no_success():
    """S01: a response without a status -> the outcome is unknown, never success."""
    assert _judged(Response(None, ""))[0] == "unknown"


def test_a_comment_of_a_peer_does_not_act_on_the_terminal_or_the_page(answering):
    report = store(answering(0xC000, comment="<img src=x onerror=1>"), [ct()])
    assert "<img" not in report._repr_html_()


def test_interrupting_ends_the_association_and_the_threads(answering):
    before = threading.active_count()

    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    peer = answering(*[0] * 9)
    for associations in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            store(peer, [ct(k) for k in range(4)], associations=associations, progress=interrupt)
    for _ in range(100):
        if threading.active_count() <= before + 1:
            break
        threading.Event().wait(0.05)
    assert threading.active_count() <= before + 1  # the peer's own thread


def test_a_silent_peer_costs_no_more_than_our_patience(answering):
    """S01: the peer never answers -> told within our patience."""
    held = threading.Event()
    peer = answering(0, wait=held).but(timeouts=Timeouts(dimse_s=0.4))
    report = store(peer, [ct()], retry=Retry(attempts=1))
    held.set()
    assert report[0].outcome == "unknown"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"transcode": "lossy"}, "'lossless' or 'never'"), ({"via": "fax"}, "'dimse' or 'web'"), ({"associations": 0}, "1 or more")],
)
def test_arguments_that_mean_nothing_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        store(Peer(name="x", ae_title="X"), [], **arguments)


def test_nothing_to_store_is_complete():
    assert store(Peer(name="x", ae_title="X"), []).complete


def test_a_dicomdir_is_no_instance():
    dataset = ct()
    dataset.SOPClassUID = "1.2.840.10008.1.3.10"
    _, bad = look_at([file_bytes(dataset)])
    assert "DICOMDIR" in bad[0][2]


# ------------------------------------------------------------ contexts


@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless])),
        max_size=300,
    )
)
@settings(max_examples=30, deadline=None)
def test_no_batch_has_more_than_128_contexts_and_none_is_lost(pairs):
    data = file_bytes(ct())
    (item,), _ = look_at([data])
    from dataclasses import replace

    items = [
        replace(item, index=k, sop_class_uid=f"1.2.{number}", transfer_syntax_uid=str(syntax))
        for k, (number, syntax) in enumerate(pairs)
    ]
    batches = list(_batches(items, recode=True))
    assert sorted(item.index for _, batch in batches for item in batch) == list(range(len(items)))
    for contexts, batch in batches:
        offered = {(str(context.abstract_syntax), str(context.transfer_syntax[0])) for context in contexts}
        assert len(contexts) == len(offered) <= 128
        assert all((item.sop_class_uid, item.transfer_syntax_uid) in offered for item in batch)
        assert all((item.sop_class_uid, str(ExplicitVRLittleEndian)) in offered for item in batch)


# ------------------------------------------------------------ is it whole


def nested() -> Dataset:
    dataset = ct()
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, "1.2.3"
    dataset.ReferencedImageSequence = Sequence([item, item])
    return dataset


@pytest.mark.parametrize("uid", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless])
def test_every_cut_is_found(uid):
    dataset = nested()
    if uid == RLELossless:
        dataset.compress(uid, generate_instance_uid=False)
    else:
        dataset.file_meta.TransferSyntaxUID = uid
    buffer = io.BytesIO()
    dataset.save_as(buffer, implicit_vr=uid.is_implicit_VR, little_endian=True, enforce_file_format=True)
    data = buffer.getvalue()
    place = files.Part10.locate(data)
    whole = glance(data, place.dataset_offset, place.dataset_bytes, uid)
    assert (whole.sop_class_uid, whole.sop_instance_uid) == (CT, dataset.SOPInstanceUID)
    ends = _ends(data, uid)
    for cut in range(place.dataset_offset + 1, len(data) - 1, 37):
        short = data[:cut]
        try:
            found = glance(short, place.dataset_offset, cut - place.dataset_offset, uid)
        except DatasetIncomplete:
            continue
        assert place.dataset_offset + found.size in ends, cut  # between two elements nothing shows that more was there
    with pytest.raises(DatasetIncomplete, match="no dataset after"):
        glance(data, len(data), 0, uid)


def _ends(data: bytes, uid: str) -> set[int]:
    """Where elements of the top level begin, by pydicom: a cut there leaves a shorter dataset that is whole."""
    if uid == DeflatedExplicitVRLittleEndian:
        return set()
    dataset = dcmread(io.BytesIO(data))
    elements = [dataset.get_item(tag) for tag in dataset.keys()]  # noqa: SIM118 - iteration would decode them
    return {element.value_tell - header for element in elements if hasattr(element, "value_tell") for header in (8, 12)}


def test_padding_after_the_last_element_is_not_sent():
    data = file_bytes(ct())
    (item,), _ = look_at([data + bytes(512)])
    _, content = opened(item, transfer_syntax_uid=item.transfer_syntax_uid)
    assert content.size == files.Part10.locate(data).dataset_bytes


def test_the_dataset_says_who_it_is_and_not_the_file_meta():
    dataset = ct()
    data = file_bytes(dataset)
    other = files.meta_bytes(CT, "1.2.3.4", ExplicitVRLittleEndian) + data[files.Part10.locate(data).dataset_offset :]
    (item,), _ = look_at([other])
    named, _ = opened(item, transfer_syntax_uid=item.transfer_syntax_uid)
    assert named.sop_instance_uid == dataset.SOPInstanceUID
    wrong = (
        files.meta_bytes("1.2.840.10008.5.1.4.1.1.4", "1.2.3.4", ExplicitVRLittleEndian)
        + data[files.Part10.locate(data).dataset_offset :]
    )
    (item,), _ = look_at([wrong])
    with pytest.raises(AttributeUnusable, match="another SOP class"):
        opened(item, transfer_syntax_uid=item.transfer_syntax_uid)


def test_a_dataset_of_odd_length_is_refused():
    data = file_bytes(ct())
    odd = data + b"\xe1\x7f\x10\x00LO\x03\x00abc"
    (item,), _ = look_at([odd])
    with pytest.raises(AttributeUnusable, match="odd number of bytes"):
        opened(item, transfer_syntax_uid=item.transfer_syntax_uid)


def test_nesting_without_end_is_a_refusal():
    deep = b"".join(b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" for _ in range(5000))
    (item,), _ = look_at([files.meta_bytes(CT, "1.2.3", ExplicitVRLittleEndian) + deep])
    with pytest.raises((LimitExceeded, DatasetIncomplete)):
        opened(item, transfer_syntax_uid=item.transfer_syntax_uid)


# ------------------------------------------------------------ recoding


@pytest.mark.parametrize(
    ("uid", "possible"),
    [
        ("1.2.840.10008.1.2", True),
        ("1.2.840.10008.1.2.2", True),
        ("1.2.840.10008.1.2.1.99", True),
        ("1.2.840.10008.1.2.5", True),
        ("1.2.840.10008.1.2.4.50", True),
        ("1.2.840.10008.1.2.4.90", True),
        ("1.2.840.10008.1.2.4.100", False),  # MPEG2: video stays as it is
        ("1.2.840.10008.1.2.4.110", False),  # JPEG XL: no decoder here
        ("1.3.46.670589.33.1.4.1", False),  # private
        ("1.2.3", False),
        ("", False),
    ],
)
def test_what_can_be_left_without_loss(uid, possible):
    assert can_leave(uid) is possible


@pytest.mark.parametrize("uid", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("to", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_decompressing_changes_no_pixel_and_no_identity(uid, to):
    dataset = ct()
    truth = dataset.pixel_array.copy()
    compressed = ct()
    compressed.compress(uid, generate_instance_uid=False)
    before = compressed.PixelData
    data = recoded(compressed, to=to)
    assert compressed.PixelData == before
    again = dcmread(io.BytesIO(files.meta_bytes(CT, dataset.SOPInstanceUID, to) + data))
    assert np.array_equal(again.pixel_array, truth)
    assert again.SOPInstanceUID == dataset.SOPInstanceUID


def test_what_was_lossy_stays_marked_so():
    dataset = ct()
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", "12.5"
    dataset.LossyImageCompressionMethod = "ISO_15444_1"
    data = recoded(dataset, to=ExplicitVRLittleEndian)
    again = dcmread(io.BytesIO(files.meta_bytes(CT, dataset.SOPInstanceUID, ExplicitVRLittleEndian) + data))
    assert (again.LossyImageCompression, again.LossyImageCompressionRatio) == ("01", 12.5)
    assert again.LossyImageCompressionMethod == "ISO_15444_1"


def test_pixels_that_can_not_be_decoded_are_an_error_without_their_content():
    dataset = ct()
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    dataset.PixelData = dataset.PixelData[:60] + bytes(40)
    with pytest.raises(PixelDataUnusable, match="can't be decoded from JPEG 2000"):
        recoded(dataset, to=ExplicitVRLittleEndian)


@pytest.mark.parametrize("uid", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_dataset_is_encoded_without_file_meta_and_stays_as_it_is(uid):
    dataset = ct()
    before = dataset.to_json(), dataset.file_meta.to_json()
    data = encoded(dataset, uid)
    assert (dataset.to_json(), dataset.file_meta.to_json()) == before
    again = dcmread(io.BytesIO(files.meta_bytes(CT, dataset.SOPInstanceUID, uid) + data))
    assert again == dataset
