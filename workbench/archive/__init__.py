"""The archive: instances as they came, and an index over them.

Knows: files on disk, the SQLite index, attribute matching (PS3.4 C.2.2.2).
Does not know: networks, pixels.
"""

from workbench.archive._receiving import Receiving
from workbench.archive.archive import Archive, Conflict, Conflicts, Counts
from workbench.archive.matching import Criterion, criteria, matches

__all__ = ["Archive", "Conflict", "Conflicts", "Counts", "Criterion", "Receiving", "criteria", "matches"]
