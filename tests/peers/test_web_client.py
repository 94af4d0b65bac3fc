"""dicomweb-client through a peer's address: metadata and rendered frames from Orthanc, and a server that says nothing."""

import socket
import time

import pytest

from workbench import phantoms
from workbench.entities import Peer, Timeouts
from workbench.errors import InputError
from workbench.network import store, web_client


def test_metadata_and_rendered_frames_come_from_orthanc(orthanc):
    image = phantoms.ct_series(1, rows=64, columns=48)[0]
    assert store(orthanc.peer, [image]).complete
    client = web_client(orthanc.peer)
    uids = (image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID)
    metadata = client.retrieve_instance_metadata(*uids)
    assert metadata["00280010"]["Value"] == [64]
    rendered = client.retrieve_instance_rendered(*uids, media_types=("image/png",))
    assert rendered.startswith(b"\x89PNG")


def test_a_silent_server_is_not_waited_for_for_ever():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        peer = Peer(
            "silent", "SILENT", web_url=f"http://127.0.0.1:{silent.getsockname()[1]}/dicom-web", timeouts=Timeouts(dimse_s=0.5)
        )
        began = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            web_client(peer).search_for_studies()
        assert time.monotonic() - began < 10


def test_a_login_is_taken_from_the_environment(monkeypatch):
    peer = Peer("web", "WEB", web_url="http://127.0.0.1:9/dicom-web", web_secret="WEB_LOGIN")
    monkeypatch.delenv("WEB_LOGIN", raising=False)
    with pytest.raises(InputError, match="WEB_LOGIN"):
        web_client(peer)
    monkeypatch.setenv("WEB_LOGIN", "me:word")
    assert "me:word" not in repr(web_client(peer))
    with pytest.raises(InputError, match="web_url"):
        web_client(peer.but(web_url=""))
