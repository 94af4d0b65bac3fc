"""Files written whole and read with every doubt said aloud.

Knows: files of PS3.10, encoded datasets, temporary names.
Does not know: archives, networks, what a dataset means.
"""

from workbench.files import character_sets, given
from workbench.files.byte_order import in_syntax
from workbench.files.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Part10, meta_bytes
from workbench.files.reading import Limits, Reading, read
from workbench.files.whole import INCOMPLETE_FILES, UnfinishedFile, is_full, name_once, save, sync_folder, write_whole

__all__ = [
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "INCOMPLETE_FILES",
    "Limits",
    "Part10",
    "Reading",
    "UnfinishedFile",
    "character_sets",
    "given",
    "in_syntax",
    "is_full",
    "meta_bytes",
    "name_once",
    "read",
    "save",
    "sync_folder",
    "write_whole",
]
