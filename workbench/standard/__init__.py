"""Tables of the DICOM standard and their readers.

Knows: UIDs (PS3.6), query keys (PS3.4 C.6), confidentiality (PS3.15 E).
Does not know: files, networks, and what is done with the tables.
"""

from workbench.standard.confidentiality import ConfidentialityRow, attribute_type, confidentiality, confidentiality_of
from workbench.standard.queries import UNIQUE_KEYS, QueryKey, query_identifier, query_keys
from workbench.standard.queries import Level as Level
from workbench.standard.queries import Model as Model
from workbench.standard.uids import (
    StorageClass,
    StorageClasses,
    TransferSyntax,
    TransferSyntaxes,
    storage_classes,
    transfer_syntax,
    transfer_syntaxes,
)

__all__ = [
    "UNIQUE_KEYS",
    "ConfidentialityRow",
    "QueryKey",
    "StorageClass",
    "StorageClasses",
    "TransferSyntax",
    "TransferSyntaxes",
    "attribute_type",
    "confidentiality",
    "confidentiality_of",
    "query_identifier",
    "query_keys",
    "storage_classes",
    "transfer_syntax",
    "transfer_syntaxes",
]
