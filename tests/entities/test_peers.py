"""A peer is what its fields say, or it is refused."""

import dataclasses

import pytest

from workbench.entities import Peer, Timeouts
from workbench.errors import AttributeUnusable

ORDER = r"The order is Peer\(name, ae_title, host, port\)"


def test_a_peer_in_words():
    peer = Peer("pacs", " ARCHIVE1 ", "pacs.example.org", 11112)
    assert str(peer) == "AE title 'ARCHIVE1' at pacs.example.org:11112"
    assert peer.but(port=104, host="::1") == Peer("pacs", "ARCHIVE1", "::1", 104)


def test_title_address_and_port_alone_are_answered_with_the_order():
    with pytest.raises(AttributeUnusable, match=f"host of a peer is text, not int. {ORDER}"):
        Peer("ORTHANC", "127.0.0.1", 14277)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"port": "11112"}, "port is a number, not text: write it without quotes, as 11112"),
        ({"port": "dicom"}, f"port is a whole number, not str. {ORDER}"),
        ({"port": True}, "port is a whole number, not bool"),
        ({"port": 104.0}, "port is a whole number, not float"),
        ({"port": None}, "port is a whole number, not NoneType"),
        ({"port": 0}, "from 1 to 65535, not 0"),
        ({"port": 65_536}, "from 1 to 65535, not 65536"),
        ({"host": ""}, f"host is a name or an address without spaces, not ''. {ORDER}"),
        ({"host": "a b"}, "without spaces, not 'a b'"),
        ({"host": "a\n"}, "without spaces"),
        ({"host": None}, "host of a peer is text, not NoneType"),
        ({"name": 5}, "name of a peer is text, not int"),
        ({"ae_title": 104}, f"AE title is text, not int. {ORDER}"),
        ({"calling_ae_title": None}, "Calling AE title is text, not NoneType"),
        ({"web_url": b"http://h/"}, "web_url of a peer is text, not bytes"),
        ({"retrieve_by": []}, "retrieve_by of a peer is text, not list"),
        ({"retrieve_by": "post"}, "retrieve_by is auto, get, move or web"),
        ({"timeouts": 5.0}, r"timeouts of a peer is a Timeouts\(...\), not float"),
    ],
)
def test_what_no_peer_can_be(fields, message):
    good = {"name": "pacs", "ae_title": "PACS", "host": "h", "port": 104, "timeouts": Timeouts()}
    with pytest.raises(AttributeUnusable, match=message):
        Peer(**{**good, **fields})
    with pytest.raises(AttributeUnusable, match=message):
        dataclasses.replace(Peer(**good), **fields)


@pytest.mark.parametrize("value", [0, 4095, (16 << 20) + 1, 2**31, -5, True, 16384.0])
def test_a_pdu_length_out_of_range_is_refused(value):
    with pytest.raises(AttributeUnusable, match="max_pdu_bytes"):
        Peer("x", "PACS", max_pdu_bytes=value)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "5"])
def test_a_time_limit_that_is_none_is_refused(value):
    with pytest.raises(AttributeUnusable, match="seconds"):
        Timeouts(dimse_s=value)
