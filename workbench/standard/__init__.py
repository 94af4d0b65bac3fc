"""Tables of the DICOM standard and their readers.

Knows: UIDs (PS3.6), query keys (PS3.4 C.6), IODs (PS3.3 A), confidentiality (PS3.15 E), code items (PS3.3 8.8).
Does not know: files, networks, and what is done with the tables.
"""

from workbench.standard.codes import coded
from workbench.standard.confidentiality import ConfidentialityRow, attribute_type, confidentiality, confidentiality_of
from workbench.standard.iods import iod_types, module_keywords
from workbench.standard.queries import UNIQUE_KEYS as UNIQUE_KEYS
from workbench.standard.queries import Level as Level
from workbench.standard.queries import Model as Model
from workbench.standard.queries import QueryKey, place, query_identifier, query_keys
from workbench.standard.uids import (
    StorageClass,
    StorageClasses,
    TransferSyntax,
    TransferSyntaxes,
    storage_classes,
    transfer_syntax,
    transfer_syntaxes,
)
from workbench.standard.worklist import WORKLIST as WORKLIST
from workbench.standard.worklist import worklist_identifier, worklist_path

__all__ = [
    "ConfidentialityRow",
    "QueryKey",
    "StorageClass",
    "StorageClasses",
    "TransferSyntax",
    "TransferSyntaxes",
    "attribute_type",
    "coded",
    "confidentiality",
    "confidentiality_of",
    "iod_types",
    "module_keywords",
    "place",
    "query_identifier",
    "query_keys",
    "storage_classes",
    "transfer_syntax",
    "transfer_syntaxes",
    "worklist_identifier",
    "worklist_path",
]
