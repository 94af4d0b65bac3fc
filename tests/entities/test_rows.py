"""Rows, findings and peers."""

import pytest

from workbench.entities import Finding, Findings, Peer, Severity, Timeouts
from workbench.errors import AttributeUnusable

NOTE = Finding(Severity.NOTE, "a", "PS3.3 A", "fine")
ERROR = Finding(Severity.ERROR, "b[0].<c>", "PS3.3 B", "bad", "mend it")


def test_findings_know_their_errors_and_their_worst():
    findings = Findings([NOTE, ERROR])
    assert findings.errors == (ERROR,)
    assert findings.worst is Severity.ERROR
    assert Findings().worst is None


def test_a_table_has_its_columns_even_when_empty():
    assert list(Findings().table().columns) == ["severity", "path", "section", "message", "remedy"]
    assert Findings([ERROR]).table().loc[0, "severity"] == "error"


def test_what_is_shown_is_escaped():
    assert "b[0].&lt;c&gt;" in Findings([ERROR])._repr_html_()


def test_a_column_without_any_value_is_not_shown():
    assert "remedy" in Findings([NOTE, ERROR])._repr_html_()
    assert "remedy" not in Findings([NOTE])._repr_html_()
    assert "(empty)" in Findings()._repr_html_()


def test_a_peer_trims_its_titles_and_refuses_what_is_none():
    peer = Peer("x", " PACS ", port=11112)
    assert peer.ae_title == "PACS"
    assert str(peer) == "AE title 'PACS' at 127.0.0.1:11112"
    assert peer.but(timeouts=Timeouts(connect_s=1)).timeouts.connect_s == 1
    for title in ("", " ", "A" * 17, "A\\B", "Ä", "A\nB"):
        with pytest.raises(AttributeUnusable, match="AE title"):
            Peer("x", title)
    with pytest.raises(AttributeUnusable, match="port"):
        Peer("x", "PACS", port=0)
    with pytest.raises(AttributeUnusable, match="retrieve_by"):
        Peer("x", "PACS", retrieve_by="fax")
