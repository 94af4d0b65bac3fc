"""The network: C-ECHO, queries, retrieval and storage over DIMSE and DICOMweb, and the embedded archive's door.

Knows: associations, presentation contexts, DIMSE and DICOMweb services, and who a peer is.
Does not know: pixels, people.
"""

from workbench.network import procedure_step, security
from workbench.network._admission import Admission
from workbench.network._films import lut_of
from workbench.network._sockets import can_listen, free_port
from workbench.network.addressbook import AddressBook, as_peer
from workbench.network.commitment import (
    CommitmentOutcome,
    CommitmentReport,
    CommitmentReports,
    CommitmentRow,
    ReportPolicy,
    commit,
)
from workbench.network.committing import Commitment
from workbench.network.echo import EchoReport, echo
from workbench.network.find import Found, find
from workbench.network.negotiation import QueryOptions, QueryPolicy
from workbench.network.printer import Printer, PrinterModel
from workbench.network.printing import PrintOutcome, PrintPolicy, PrintReport, PrintRow, print_images
from workbench.network.procedure_step import ProcedureStep
from workbench.network.procedure_steps import ProcedureSteps
from workbench.network.providing import Provider
from workbench.network.retrieve import Retrieved, RetrieveReport, retrieve
from workbench.network.server import Server
from workbench.network.store import Retry, Sending, StoreOutcome, StoreReport, StoreRow, store
from workbench.network.trace import Trace, trace
from workbench.network.web_client import web_client
from workbench.network.worklist import Worklist, worklist

__all__ = [
    "AddressBook",
    "Admission",
    "Commitment",
    "CommitmentOutcome",
    "CommitmentReport",
    "CommitmentReports",
    "CommitmentRow",
    "EchoReport",
    "Found",
    "PrintOutcome",
    "PrintPolicy",
    "PrintReport",
    "PrintRow",
    "Printer",
    "PrinterModel",
    "ProcedureStep",
    "ProcedureSteps",
    "Provider",
    "QueryOptions",
    "QueryPolicy",
    "ReportPolicy",
    "RetrieveReport",
    "Retrieved",
    "Retry",
    "Sending",
    "Server",
    "StoreOutcome",
    "StoreReport",
    "StoreRow",
    "Trace",
    "Worklist",
    "as_peer",
    "can_listen",
    "commit",
    "echo",
    "find",
    "free_port",
    "lut_of",
    "print_images",
    "procedure_step",
    "retrieve",
    "security",
    "store",
    "trace",
    "web_client",
    "worklist",
]
