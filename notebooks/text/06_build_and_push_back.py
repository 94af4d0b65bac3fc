# %% [markdown]
# # Build, check, push back
# From marks to numbers, from numbers to three derived objects, from there back to the archive. A structured report (SR) says what
# was measured, a presentation state (GSPS) how it was seen, a key object selection (KO) what belongs together.
#
# **Reads** nothing but the embedded department and its phantoms.
# **Writes** an archive, a figure and the audit trail in the folder that `WORKBENCH_OUTPUT` names (by default `build-output`).

# %%
import os
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pandas as pd

from workbench import conformance, figures, inspection, phantoms
from workbench.archive import Archive
from workbench.department import Department

# %%
from workbench.builders import Author
from workbench.entities import Circle, Code, Ellipse, Polyline
from workbench.errors import BuildRefused, NetworkError
from workbench.flows import Audit, annotate, exchange, pull
from workbench.network import Server

# %%
pd.set_option("display.max_colwidth", None)
output = Path(os.environ.get("WORKBENCH_OUTPUT", "build-output"))
audit = Audit(output / "audit.jsonl")
department = Department(instances=phantoms.ct_series(5))
archive = Archive(output / "archive")
pulled = pull.retrieve(department.peer, pull.find(department.peer, audit=audit), into=archive, audit=audit)

# %% [markdown]
# ## Mark and measure
# A mark is a frozen value in image coordinates: (column, row), origin at the top-left corner of the top-left pixel
# (PS3.3 C.10.5.1.2). The viewer gives the same values: `viewer.drawn()`.

# %%
image = sorted(map(archive.open, archive), key=lambda d: d.InstanceNumber)[2]
square = Polyline.polygon((266, 358), (246, 358), (246, 338), (266, 338))
marks = {
    "Aorta": (Circle((287, 318), 9), Code("15825003", "SCT", "Aorta")),
    "Left lung": (Ellipse((370, 250), (24, 40)), Code("44029006", "SCT", "Left lung")),
    "Vertebra": (square, Code("51282000", "SCT", "Thoracic vertebra")),
}
regions = [annotate.measure(image, mark, label=label, site=site) for label, (mark, site) in marks.items()]

# %%
rows = [{(m.derivation or m.name).meaning: m.value for m in region.measurements} for region in regions]
measured = pd.DataFrame(rows, index=[region.label for region in regions])
measured.round(1)

# %% [markdown]
# Every number carries its meaning and its unit as codes (PS3.16, UCUM): that is the difference from a spreadsheet.

# %%
[f"{m.name} · {m.derivation or ''} = {m.value:.1f} {m.unit}" for m in regions[0].measurements]

# %% [markdown]
# ## Three objects
# All inherit patient and study from the image, and refer to it by UID. None repeats pixels.

# %%
reader = Author(person="Reader^Robin")
derived = annotate.annotate(regions, window=(40, 400), description="Three regions", author=reader, audit=audit)
print(derived)
columns = ["Modality", "SeriesNumber", "SeriesDescription", "PatientName", "StudyDescription", "ContentCreatorName"]
inspection.table(derived.datasets, columns).T.set_axis(["report", "presentation state", "selection"], axis=1)

# %% [markdown]
# ## Reading the report
# A structured report is a tree of content items: a relationship, a concept, a value (PS3.3 C.17.3). They can be read aloud,
# whoever made the report: nothing of TID 1500 is needed for that. What is not merely contained has its relationship before it.

# %%
content = inspection.report(derived.report)
content

# %% [markdown]
# Further down is what was measured, here of the first region:

# %%
lines = str(content).splitlines()
start = next(i for i, line in enumerate(lines) if line.strip() == "Measurement Group")
print(*lines[start : start + 12], sep="\n")

# %% [markdown]
# The same object as a plain tree of attributes, to fold and to search (try *Aorta* or *GraphicData*):

# %%
inspection.tree(derived.report)

# %% [markdown]
# ## The presentation state
# Window, layer and marks as any conformant viewer shows them (PS3.3 C.11, PS3.4 Annex N); the image itself is untouched.

# %%
picture = figures.presentation(image, derived.presentation)
figures.save(picture, output / "presentation.png")
picture

# %% [markdown]
# ## Check
# dciodvfy holds each object against its IOD; checks of our own look at references, layers and evidence.

# %%
findings = conformance.check_many(derived.datasets)
print(len(findings.errors), "errors")
findings

# %% [markdown]
# Would it find anything? Two planted faults: a mark on a layer that is not there (PS3.3 C.10.5), and a selection whose
# evidence lists another instance than its content (C.17.2.3).

# %%
layerless, unproven = deepcopy(derived.presentation), deepcopy(derived.selection)
del layerless.GraphicLayerSequence
evidence = unproven.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
evidence.ReferencedSOPInstanceUID = "1.2.826.0.1.3680043.10.1"
faults = [conformance.check(faulty).errors for faulty in (layerless, unproven)]
faults[0]

# %%
faults[1].table()[["path", "section", "message"]]

# %% [markdown]
# Some faults can't even be built:

# %%
beyond = replace(regions[0], mark=Circle((600, 318), 9), label="Beyond")
try:
    annotate.annotate([beyond])
except BuildRefused as error:
    refused = error
    print(error)

# %% [markdown]
# ## Push back
# *Stored* is what a peer says. *Verified* is more: the peer lists the instance, gives it back, and it is equal
# attribute by attribute. What has errors is not sent at all.

# %%
pushed = exchange.push(department.peer, derived.datasets, audit=audit)
pushed

# %%
exchange.push(department.peer, [layerless], audit=audit)

# %%
there = pull.find(department.peer, level="SERIES", StudyInstanceUID=image.StudyInstanceUID)
there[["Modality", "SeriesNumber", "SeriesDescription", "NumberOfSeriesRelatedInstances"]].sort_values("SeriesNumber")

# %% [markdown]
# ## When the peer says no
# A strict archive takes associations only from AE titles that it knows. Each instance has its row, its outcome and the reason.

# %%
with Archive(output / "strict") as shelf, Server(shelf, ae_title="STRICT", require_calling_ae_titles={"FRIEND"}) as strict:
    unwelcome = exchange.push(strict.peer, derived.datasets, audit=audit)
    friendly = exchange.push(strict.peer.but(calling_ae_title="FRIEND"), derived.datasets, audit=audit)
print(unwelcome, unwelcome[0].message, friendly, sep="\n\n")

# %% [markdown]
# And when it is gone: nothing is lost, nothing is reported as done. A query has no rows to tell it in; there it is an error
# with a name.

# %%
peer = department.peer
department.stop()
gone = exchange.push(peer, derived.datasets[:1], audit=audit)
try:
    pull.find(peer, audit=audit)
except NetworkError as error:
    absent = error
    print(f"{type(error).__name__}: {error}")
gone

# %% [markdown]
# ## The audit trail
# One line a step: how many, how long, whether proven. It holds UIDs and counts, no names: so it can be kept with the results.

# %%
trail = Audit.read(output / "audit.jsonl")
archive.close()
trail.table().tail(len(audit.lines)).drop(columns="time")

# %%
assert abs(measured.loc["Aorta", "Mean"] - 85) < 3 and measured.loc["Left lung", "Mean"] < -700
assert any("Attenuation Coefficient" in line for line in lines) and not findings.errors
assert all(len(f) for f in faults) and "Beyond" in str(refused)
assert all(d.StudyInstanceUID == image.StudyInstanceUID for d in derived.datasets)
assert pushed.verified and friendly.verified and not unwelcome.verified and not gone.verified
assert type(absent).__name__ == "PeerUnreachable" and "Okonkwo" not in (output / "audit.jsonl").read_text()
