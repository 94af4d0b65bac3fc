"""The network: C-ECHO, queries, retrieval and storage over DIMSE and DICOMweb, and the embedded archive's door.

Knows: associations, presentation contexts, DIMSE and DICOMweb services, and who a peer is.
Does not know: pixels, people.
"""

from workbench.network import procedure_step
from workbench.network.addressbook import AddressBook, as_peer
from workbench.network.echo import EchoReport, echo
from workbench.network.find import Found, find
from workbench.network.printer import Printer, PrinterModel
from workbench.network.printing import PrintOutcome, PrintReport, PrintRow, print_images
from workbench.network.procedure_step import ProcedureStep
from workbench.network.procedure_steps import ProcedureSteps
from workbench.network.retrieve import Retrieved, RetrieveReport, retrieve
from workbench.network.server import Server
from workbench.network.store import Retry, StoreOutcome, StoreReport, StoreRow, store
from workbench.network.trace import Trace, trace
from workbench.network.web_client import web_client
from workbench.network.worklist import Worklist, worklist

__all__ = [
    "AddressBook",
    "EchoReport",
    "Found",
    "PrintOutcome",
    "PrintReport",
    "PrintRow",
    "Printer",
    "PrinterModel",
    "ProcedureStep",
    "ProcedureSteps",
    "RetrieveReport",
    "Retrieved",
    "Retry",
    "Server",
    "StoreOutcome",
    "StoreReport",
    "StoreRow",
    "Trace",
    "Worklist",
    "as_peer",
    "echo",
    "find",
    "print_images",
    "procedure_step",
    "retrieve",
    "store",
    "trace",
    "web_client",
    "worklist",
]
