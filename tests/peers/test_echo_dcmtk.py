"""C-ECHO with DCMTK and Orthanc: what they accept, and each way in which they refuse."""

from workbench.network import echo


def test_orthanc_verifies(orthanc_module):
    report = echo(orthanc_module.peer)
    assert report.ok, report
    assert report.layer == "verified"
    assert report.seconds < 2


def test_a_called_ae_title_that_orthanc_does_not_have(orthanc_module):
    report = echo(orthanc_module.peer.but(ae_title="ORTHANC1"))
    assert (report.ok, report.layer) == (False, "association")
    assert "called AE title not recognized" in report.message
    assert "'ORTHANC1'" in report.remedy


def test_dcmqrscp_verifies_and_refuses_a_title_that_it_does_not_have(dcmqrscp):
    assert echo(dcmqrscp.peer).ok
    report = echo(dcmqrscp.peer.but(ae_title="NOSUCH"))
    assert report.layer == "association"
    assert "permanent, service user, called AE title not recognized" in report.message


def test_storescp_that_refuses_every_association(storescp):
    running = storescp("--refuse")
    report = echo(running.peer)
    assert report.layer == "association"
    assert "rejected the association" in report.message
