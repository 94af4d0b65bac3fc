"""Nothing that a dataset, a peer or a file name says becomes markup in a notebook."""

import base64
import copy
import importlib
import inspect
import json
import pkgutil
import types
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

import workbench
from tests.conftest import free_port
from workbench import builders, conformance, deid, devices, entities, flows, inspection, network, phantoms
from workbench.department import Activities, Department, Done, Modality, Outcome
from workbench.devices.reading import load
from workbench.entities import (
    Circle,
    Code,
    Film,
    FilmBox,
    FilmImage,
    FilmSession,
    Finding,
    Findings,
    Peer,
    Polyline,
    Severity,
)
from workbench.rendering import film_picture
from workbench.widgets import Viewer

LONG = '"><img src=x onerror="window.__x=1"><!--'
PNG = "data:image/png;base64,"
SHORT = "'\"><img src=x>"  # an AE title has 16 characters
SCRIPT = "</script></td><script>window.__x=1</script>"


def is_own_picture(tag, attrs):
    """Whether it is a PNG that stands in the page itself, and nothing besides."""
    given = dict(attrs)
    source = str(given.get("src"))
    is_png = source.startswith(PNG) and base64.b64decode(source.removeprefix(PNG), validate=True).startswith(b"\x89PNG")
    return tag == "img" and is_png and set(given) == {"src", "alt", "style"}


class Markup(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.words, self.scripts, self._in_script = [], [], [], False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, attrs))
        self._in_script = tag == "script"

    def handle_endtag(self, tag):
        self._in_script = self._in_script and tag != "script"

    def handle_data(self, data):
        (self.scripts if self._in_script else self.words).append(data)

    def handle_comment(self, data):
        self.elements.append(("comment", [("text", data)]))

    @property
    def acting(self):
        """Elements and attributes that can only be the payload's."""
        strange = {"img", "iframe", "object", "svg", "math", "link", "base", "comment", "form", "meta"}
        return [
            (tag, attrs)
            for tag, attrs in self.elements
            if (tag in strange and not is_own_picture(tag, attrs))
            or any(name.startswith("on") or "javascript:" in (value or "") for name, value in attrs)
        ] + [script for script in self.scripts if "__x" in script]


def hostile(dataset, uid):
    """Return a dataset whose every text of every kind carries a payload."""
    dataset = copy.deepcopy(dataset)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.PatientName, dataset.PatientID = f"{LONG}^{SCRIPT}", LONG
    for keyword in (
        "StudyDescription",
        "SeriesDescription",
        "InstitutionName",
        "Manufacturer",
        "ProtocolName",
        "ReferringPhysicianName",
    ):
        setattr(dataset, keyword, LONG)
    for keyword in ("AccessionNumber", "StudyID", "StationName"):
        setattr(dataset, keyword, SHORT)
    dataset.InstitutionAddress, dataset.PatientComments, dataset.ImageComments = SCRIPT, LONG + SCRIPT, f"{SCRIPT}\n{LONG}"
    dataset.TextValue, dataset.RetrieveURL = LONG * 3, f"javascript:{LONG}"
    dataset.ProcedureCodeSequence = [Dataset()]
    code = dataset.ProcedureCodeSequence[0]
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = SHORT, SHORT, LONG
    block = dataset.private_block(0x0029, LONG, create=True)
    block.add_new(1, "LO", LONG)
    block.add_new(2, "UT", SCRIPT)
    block.add_new(3, "UN", LONG.encode())
    dataset.add(DataElement(0x0008103F, "SQ", []))
    return dataset


def told(image):
    """Return a report whose every text carries a payload."""
    dataset, item = copy.deepcopy(image), Dataset()
    item.ValueType, item.RelationshipType, item.TextValue = "TEXT", SHORT, SCRIPT
    item.ConceptNameCodeSequence = dataset.ConceptNameCodeSequence = image.ProcedureCodeSequence
    dataset.ValueType, dataset.ContentSequence = "CONTAINER", [item]
    return dataset


def hostile_profile():
    """Return a device profile whose every text carries a payload, as one reads it."""
    head = dict.fromkeys(("name", "title", "maker", "product", "version", "statement", "edition", "summary"), LONG)
    entity = {"id": "e", "name": LONG, "source": LONG}
    activity = {"name": LONG, "does": "verify", "entity": "e", "source": LONG}
    rows = {
        "sop_classes": ("name uid scu", [LONG, "1.2", True]), "contexts": ("name uid syntaxes", [LONG, "1.2", ["1.2"]]),
        "keys": ("name tag matching", [LONG, "(0010,0010)", "single"]), "module": ("name tag value", [LONG, "(0010,0010)", SCRIPT]),
        "statuses": ("status meaning code behaviour", [LONG, SCRIPT, LONG, SCRIPT]),
        "events": ("event behaviour", [LONG, SCRIPT]), "parameters": ("parameter default", [LONG, SCRIPT]),
        "iod": ("entity module usage table", [LONG, SCRIPT, "M", "module"]),
    }  # fmt: skip
    tables = [
        {
            "id": kind, "kind": kind, "source": LONG, "title": LONG, "entity": "e",
            "role": "SCU" if kind in {"sop_classes", "contexts", "keys"} else "", "columns": columns.split(), "rows": [row],
        }
        for kind, (columns, row) in rows.items()
    ]  # fmt: skip
    parts = [("[profile]", head), ("[[entities]]", entity), ("[[activities]]", activity), *(("[[tables]]", t) for t in tables)]
    slip = {"table": "keys", "row": 1, "column": "name", "printed": SCRIPT, "rule": LONG}
    parts.append(("[[slips]]", slip))
    return load("\n".join(f"{name}\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in part.items()) for name, part in parts))


def systems():
    """Give what shows a device profile, a system at work and a printer, made of hostile text."""
    profile, printer = hostile_profile(), network.Printer()
    printer.fault("FILM JAM")
    pixels = (FilmImage(bytes(64), 8, 8),)
    film = Film(FilmSession(medium=SHORT, label=LONG, owner=SHORT), FilmBox(size=SHORT), pixels, (LONG, SCRIPT), draw=film_picture)
    row = network.PrintRow(LONG, 1, 1, network.PrintOutcome.FAILED, SHORT, SCRIPT, needs_attention=True)
    done = Done(LONG, SCRIPT, LONG, LONG, LONG, Outcome.FAILED, 0, 0.0, SCRIPT, LONG)
    return {
        "Profile": profile, "Profile as printed": profile.as_printed(), "Overview": devices.overview(profile),
        "Entities": profile.entities, "RealWorldActivities": profile.activities, "Tables": profile.tables,
        "Slips": profile.slips, "Table": profile.table("module"), "SopClasses": devices.sop_classes(profile),
        "Contexts": devices.contexts(profile), "Keys of a query": devices.keys(profile), "Statuses": devices.statuses(profile),
        "Events": devices.events(profile), "Parameters": devices.parameters(profile), "ObjectClasses": devices.objects(profile),
        "Attributes": devices.attributes(profile, "module"), "Modality": Modality(profile), "Activities": Activities([done]),
        "Film": film, "Film in words": replace(film, draw=None), "Printer": printer, "PrintReport": network.PrintReport([row]),
    }  # fmt: skip


def workflow(image):
    """What shows a worklist, performed steps and storage commitment, made of hostile text."""
    row = {"PatientName": SCRIPT, "PatientID": SCRIPT, "Modality": "CT", "ScheduledStationAETitle": SHORT,
           "ScheduledProcedureStepStartDate": "20261121"}  # fmt: skip
    items, steps, reports = network.Worklist([row]), network.ProcedureSteps(strict=False), network.CommitmentReports()
    told = Dataset()
    for keyword in ("PerformedStationAETitle", "Modality", "PerformedProcedureStepID", "PatientName", "PatientID"):
        setattr(told, keyword, LONG)
    told.PerformedProcedureStepStartDate, told.PerformedProcedureStepStartTime = "20261121", "120000"
    told.PerformedProcedureStepStatus, told.ScheduledStepAttributesSequence = "IN PROGRESS", [Dataset()]
    told.ScheduledStepAttributesSequence[0].StudyInstanceUID = "1.2.3"
    steps.create("1.2.3", told)
    reports.expect([(SCRIPT, LONG)], peer=LONG)
    commitment = network.Commitment(types.SimpleNamespace(keep_digests=lambda: None))
    commitment.records = lambda: [{LONG: SCRIPT, "requestor": LONG}]
    return {
        "Worklist": items, "ProcedureSteps": steps, "ProcedureStep": network.ProcedureStep(LONG, SCRIPT, told),
        "CommitmentReports": reports, "CommitmentReport": reports.report(), "Commitment": commitment,
    }  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Every object that shows itself as HTML, made of hostile text, by the name of its class."""
    folder = tmp_path_factory.mktemp("markup") / LONG.replace("/", "")
    folder.mkdir()
    plain_image = phantoms.ct_series(1, rows=32)[0]
    image, other = hostile(plain_image, "1.2.826.0.1.3680043.10.1"), hostile(plain_image, "1.2.826.0.1.3680043.10.2")
    other.PatientName = SCRIPT
    changed = copy.deepcopy(image)
    changed.StudyDescription = SCRIPT
    audit = flows.Audit(folder / "audit.jsonl")
    with audit.step(LONG) as step:
        step.note = SCRIPT
    keys = deid.Keys.create(folder / "key")
    region = builders.Region(
        image, Circle((16, 16), 4), (builders.Measurement(Code(SHORT, SHORT, LONG), 1.0, Code(SHORT, SHORT, SCRIPT)),), label=LONG
    )
    file = folder / f"{LONG.replace('/', '')}.dcm"
    file.write_bytes(b"no DICOM")
    peer = Peer(LONG, SHORT, port=free_port(), calling_ae_title=SHORT, web_url=f"http://127.0.0.1/{LONG}")
    book = network.AddressBook(folder / "peers.toml")
    book.add(peer)
    released = deid.apply(deid.plan(image), image, keys=keys)
    things = {
        "Summary": inspection.summary(image), "Tree": inspection.tree(image), "Differences": inspection.differences(image, other),
        "Content": inspection.report(told(image)),
        "Plan": deid.plan(image), "Report": deid.report(deid.plan(image)), "Report of a release": deid.report(released),
        "Keys": keys,
        "Findings": Findings([Finding(Severity.ERROR, LONG, LONG, SCRIPT, LONG)]), "Audit": audit, "AuditLines": audit.lines,
        "Findings of a check": conformance.check_many([image, file]), "AddressBook": book, "EchoReport": network.echo(peer),
        "Release": flows.release.release([image, Dataset()], keys=keys), "Region": region,
        "Derived": flows.annotate.Derived(image, None, other, f"{LONG}{SCRIPT}"),
        "RetrieveReport": network.RetrieveReport.of(
            [network.Retrieved(LONG, SCRIPT, LONG, 1, SCRIPT, 0)], method="get", seconds=0, cancelled=False, notes=[LONG, SCRIPT]
        ),
        **workflow(image), **systems(),
        "StorageClasses": workbench.standard.storage_classes(), "TransferSyntaxes": workbench.standard.transfer_syntaxes(),
    }  # fmt: skip
    with Department(folder / "archive", instances=[image, other], ae_title=SHORT) as department:
        with pytest.raises(workbench.errors.InstanceConflict):
            department.archive.add(changed)
        asked = department.peer.but(calling_ae_title=SHORT)
        things |= {
            "Department": department, "Server": department.server, "Archive": department.archive,
            "Conflicts": department.archive.conflicts(), "Archive's table": department.archive.table(),
            "Found": network.find(asked), "Found, a table": flows.pull.find(asked),
            "StoreReport": network.store(asked, [file, changed, other]), "Push": flows.exchange.push(asked, [other]),
            "table": inspection.table([image, other]),
        }  # fmt: skip
        network.print_images(
            department.peers["printer"], [FilmImage(bytes(64), 8, 8)], session=FilmSession(label=LONG, owner=SHORT),
            box=FilmBox(annotation="LABEL"), texts=[LONG],
        )  # fmt: skip
        things["Printer with a film"] = department.printer
        with network.trace(values=True) as recorded:
            network.find(asked, keys={"PatientID": SHORT})
        things |= {
            "Trace": recorded, "TraceRows": recorded.rows, "TracePdus": recorded.pdus, "TraceContexts": recorded.contexts,
        }  # fmt: skip
        yield {name: thing._repr_html_() for name, thing in things.items()}


def test_every_class_that_shows_itself_is_tried(shown):
    classes = set()
    for module in pkgutil.walk_packages(workbench.__path__, "workbench."):
        if module.name.endswith("__main__"):
            continue
        for name, thing in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            show = getattr(thing, "_repr_html_", None)
            if show and thing.__module__.startswith("workbench") and show.__module__.startswith("workbench") and name[0] != "_":
                classes.add(name)
    assert classes - {"Rows"} <= set(shown), classes - set(shown)


def test_no_payload_becomes_markup(shown):
    """B01: a parser finds no element of the payload in anything that shows itself."""
    assert {name: acting for name, text in shown.items() if (acting := Markup(text).acting)} == {}


def test_the_payload_is_there_to_be_read(shown):
    silent = {name for name, text in shown.items() if not any("<img src=x" in word or "__x" in word for word in Markup(text).words)}
    assert silent <= {
        "Keys",
        "Plan",
        "Printer",
        "Printer with a film",
        "Report",
        "Report of a release",
        "Release",
        "StorageClasses",
        "TraceContexts",
        "TracePdus",
        "TransferSyntaxes",
        "Conflicts",
        "Push",
        "Findings of a check",
        "EchoReport",
    }  # fmt: skip - these show no values


def test_this_test_would_see_one():
    assert Markup(f"<td>{LONG}</td>").acting
    assert Markup(f"<td title='{SHORT}'></td>").acting
    assert Markup(f"<td>{SCRIPT}</td>").acting
    assert Markup("<img src='http://127.0.0.1/a.png' alt='' style=''>").acting
    assert Markup("<img src='data:image/svg+xml;base64,PHN2Zz4=' alt='' style=''>").acting
    assert not Markup(entities.html_table([{LONG: SCRIPT}], caption=LONG)).acting


def test_the_viewer_and_its_picture(shown):
    """B01: the widget and its still picture."""
    image = hostile(phantoms.ct_series(1, rows=32)[0], "1.2.826.0.1.3680043.10.1")
    viewer = Viewer([image])
    bundle, metadata = viewer._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert "html" not in json.dumps([list(bundle), metadata]) or not Markup(bundle.get("text/html", "")).acting
    assert not Markup(str(bundle.get("text/plain", ""))).acting
    source = (Path(workbench.__file__).parent / "widgets" / "viewer.js").read_text()
    assert "innerHTML" not in source


def test_figures_take_names_for_words(tmp_path):
    from workbench import figures

    image = hostile(phantoms.ct_series(1, rows=32)[0], "1.2.826.0.1.3680043.10.1")
    image.PatientName = image.ReferringPhysicianName = "<img src^onerror"
    state = builders.grayscale([image], marks=[Polyline.rectangle(4, 4, 20, 20), entities.Text(LONG, (8, 8))], description=LONG)
    path = figures.save(figures.presentation(image, state), tmp_path / "a.svg")
    assert not [e for e in Markup(path.read_text()).acting if e[0] not in {"svg", "comment", "meta"}]
