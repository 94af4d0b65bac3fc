"""Small frozen values that every room speaks: references, peers, findings, codes, marks, and text made safe.

Knows: nothing of the rooms above.
Does not know: files, networks, pixels.
"""

from workbench.entities.access import Calling, Identity, Tls, implementation_checked
from workbench.entities.codes import Code
from workbench.entities.films import Film, FilmBox, FilmCell, FilmImage, FilmLut, FilmSession
from workbench.entities.findings import Finding, Findings, Severity
from workbench.entities.marks import Circle, Ellipse, Mark, Point, Polyline, Text, Vertex, is_inside
from workbench.entities.peers import Peer, Timeouts, ae_title_checked
from workbench.entities.references import InstanceRef, PatientRef, Reference, SeriesRef, StudyRef, uid_checked
from workbench.entities.rows import Rows
from workbench.entities.terminal import text_table
from workbench.entities.text import ESCAPED_BYTES as ESCAPED_BYTES
from workbench.entities.text import cell_safe, counted, html_safe, html_table, plain

__all__ = [
    "Calling",
    "Circle",
    "Code",
    "Ellipse",
    "Film",
    "FilmBox",
    "FilmCell",
    "FilmImage",
    "FilmLut",
    "FilmSession",
    "Finding",
    "Findings",
    "Identity",
    "InstanceRef",
    "Mark",
    "PatientRef",
    "Peer",
    "Point",
    "Polyline",
    "Reference",
    "Rows",
    "SeriesRef",
    "Severity",
    "StudyRef",
    "Text",
    "Timeouts",
    "Tls",
    "Vertex",
    "ae_title_checked",
    "cell_safe",
    "counted",
    "html_safe",
    "html_table",
    "implementation_checked",
    "is_inside",
    "plain",
    "text_table",
    "uid_checked",
]
