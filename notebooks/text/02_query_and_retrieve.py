# %% [markdown]
# # Query and retrieve
# What is in an archive, how to ask for it, how to bring it here, and what is said when something does not work.
# Query/Retrieve is PS3.4 Annex C; association and transport are PS3.8.
#
# **Reads** nothing but the embedded department and its phantoms.
# **Writes** four small archives in the folder that `WORKBENCH_OUTPUT` names (by default `query-output`).

# %%
import os
from pathlib import Path

import pandas as pd
from IPython.display import display

from workbench import network, phantoms, standard
from workbench.archive import Archive
from workbench.department import Department

# %%
from workbench.entities import Peer, StudyRef
from workbench.errors import NetworkError, QueryKeyInvalid
from workbench.flows import pull

output = Path(os.environ.get("WORKBENCH_OUTPUT", "query-output"))
pd.set_option("display.max_colwidth", None)

# %% [markdown]
# A **peer** is another application entity: an AE title, a host, a port. For C-MOVE the archive must know *us* as a peer
# too, since it opens a second connection to deliver. So we choose a free port and tell the department.

# %%
port = network.free_port()
department = Department(known_peers={"this notebook": Peer("this notebook", "WORKBENCH", port=port)})
department

# %% [markdown]
# ## Is anybody there?
# C-ECHO (PS3.4 Annex A) is the ping of DICOM. When it fails, the interesting question is *where*: the name, the TCP
# connection, the association, the presentation context, or the service itself. Each has another remedy.

# %%
peers = {
    "as it is": department.peer,
    "another port": department.peer.but(port=1),
    "another AE title": department.peer.but(ae_title="WRONG"),
    "another host": department.peer.but(host="nosuch.invalid"),
}
echoes = {what: network.echo(peer) for what, peer in peers.items()}
for report in echoes.values():
    display(report)

# %% [markdown]
# ## Two models, four levels
# A query has an information model and a level (PS3.4 C.6). *Patient Root* begins with the patient; *Study Root* has the
# patient's attributes at its study level. Each level has a **unique** key, keys that are **required**, and **optional**
# ones that an archive may ignore. Below the top, the unique keys of the levels above need a single value.

# %%
models = [("PATIENT", level) for level in ("PATIENT", "STUDY", "SERIES", "IMAGE")]
models += [("STUDY", level) for level in ("STUDY", "SERIES", "IMAGE")]
rows = []
for model, level in models:
    keys = standard.query_keys(model, level).values()
    named = {kind: [k.keyword for k in keys if k.kind == kind] for kind in "URO"}
    rows.append((f"{model.title()} Root", level, ", ".join(named["U"]), ", ".join(named["R"]), len(named["O"])))
pd.DataFrame(rows, columns=["model", "level", "unique", "required", "optional"])

# %% [markdown]
# From patient to instance, one level after the other, as a worklist on a screen does:

# %%
patients = pull.find(department.peer, model="PATIENT", level="PATIENT", PatientName="Linden*")
studies = pull.find(department.peer, model="PATIENT", level="STUDY", PatientID=patients.PatientID[0])
series = pull.find(department.peer, level="SERIES", StudyInstanceUID=studies.StudyInstanceUID[0])
series[["Modality", "SeriesDescription", "SeriesNumber", "NumberOfSeriesRelatedInstances"]]

# %%
above = {keyword: series[keyword][0] for keyword in ("StudyInstanceUID", "SeriesInstanceUID")}
images = pull.find(department.peer, level="IMAGE", **above)
images[["InstanceNumber", "SOPInstanceUID", "Rows", "Columns"]].sort_values("InstanceNumber").head(4)

# %% [markdown]
# ## Five ways to match
# PS3.4 C.2.2.2. Text is matched with regard to case: `CT*` finds *CT thorax*, `ct*` does not. For names the standard leaves
# that to the archive; this one disregards it, and looks at each component group of a Japanese name. A range is a tuple, open
# where it has `None`. Universal matching (an empty key) restricts nothing: it asks for the attribute to be returned.

# %%
both = pull.find(department.peer).StudyInstanceUID.tolist()[:2]
asked = {
    "single value": {"AccessionNumber": "ACC20260212"},
    "wildcard": {"PatientName": "*tarou"},
    "wildcard, ideographic": {"PatientName": "山田*"},
    "wildcard, case matters": {"StudyDescription": "ct*"},
    "range": {"StudyDate": ("20260215", None)},
    "list of UIDs": {"StudyInstanceUID": both},
    "universal": {"StudyDescription": ""},
}

# %%
answers = {way: pull.find(department.peer, **keys) for way, keys in asked.items()}
found = [(way, *keys, len(answers[way]), ", ".join(answers[way].StudyDescription)) for way, keys in asked.items()]
pd.DataFrame(found, columns=["way", "key", "answers", "studies"]).set_index("way")

# %% [markdown]
# ## More than the baseline
# What goes beyond it is *negotiated* (PS3.4 C.5.1.1): four bits that one side proposes and the other grants. A **relational**
# query may ask for series by the name of a patient; a **fuzzy** one finds *Linden* as *linden*; two more are about moments
# and time zones. What was granted is part of the answer.

# %%
beyond = network.QueryOptions(relational=True, fuzzy=True)
ct = {"PatientName": "linden", "Modality": "CT"}
related = network.find(department.peer, level="SERIES", keys=ct, options=beyond)
print("granted:", ", ".join(sorted(related.granted)))
related.table(["PatientName", "Modality", "SeriesDescription"])

# %% [markdown]
# Many archives grant nothing. Here is one with the same images: it is asked level by level instead, first for the studies and
# then for the series of each, and the answer is the same.

# %%
grants_nothing = network.QueryPolicy(grants=network.QueryOptions())
with network.Server(department.archive, queries=grants_nothing) as strict:
    walked = network.find(strict.peer, level="SERIES", keys=ct | {"PatientName": "Linden*"}, options=beyond)
print(*walked.notes, sep="\n")
walked.table(["PatientName", "Modality", "SeriesDescription"])

# %% [markdown]
# ## Other alphabets
# Text is written in the character set that its dataset names (PS3.3 C.12.1.1.2). This file has its name in JIS, as many
# Japanese systems write it; the query has it in UTF-8, without a single Latin letter; and the name is found all the same.

# %%
cornea = next(image for image in phantoms.everything() if "山田" in str(image.PatientName))
cornea.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
older = Archive(output / "older")
older.add(cornea)
with network.Server(older) as server:
    written = [network.find(server.peer, keys={"PatientName": name}) for name in ("山田^太郎", "やまだ*", "山本*")]
print([len(found) for found in written], written[0][0].PatientName, older.open(next(iter(older))).SpecificCharacterSet)

# %% [markdown]
# ## A key that does not exist
# An archive silently ignores a key that it does not know, and then *everything* matches. So keys are checked
# before anything is sent.

# %%
wrong = [{"PatientNam": "Linden*"}, {"Modality": "CT"}, {"StudyDate": "2026-02-*"}]
refusals = []
for keys in wrong:
    try:
        pull.find(department.peer, **keys)
    except QueryKeyInvalid as error:
        refusals.append(error)
        print(error, end="\n\n")

# %% [markdown]
# ## More than wanted
# An archive of a hospital has millions of studies. A limit ends the query with C-CANCEL (PS3.7 9.3.2.3), and the table says
# that this is not all.

# %%
some = pull.find(department.peer, limit=2)
len(some), some.attrs["truncated"]

# %% [markdown]
# ## Answers are data
# Value representations become column types (PS3.5 6.2): dates are dates, counts integers, coded strings categories. So
# the rest is pandas. Which patients are over 60 at their study, and how many images do they have?

# %%
table = pull.find(department.peer)
age = (table.StudyDate - table.PatientBirthDate).dt.days / 365.25
seniors = table.assign(age=age.round(1))[age > 60]
seniors[["PatientName", "age", "ModalitiesInStudy", "NumberOfStudyRelatedInstances"]]

# %%
table[["StudyDate", "ModalitiesInStudy", "NumberOfStudyRelatedInstances", "PatientName"]].dtypes.astype(str).to_frame("type")

# %% [markdown]
# ## Retrieve by C-GET
# The instances come back over the same association (PS3.4 C.4.3): no port of ours need be open. One row an instance: what
# came, what did not, and why. They are stored byte for byte as they were sent.

# %%
thorax = pull.find(department.peer, StudyDescription="CT thorax")
mine = Archive(output / "by-get")
got = pull.retrieve(department.peer, thorax, into=mine, method="get")
print(got)
got.table()[["sop_instance_uid", "outcome", "size_bytes"]].head(3)

# %% [markdown]
# Asking again changes nothing: the same bytes are *already there*.

# %%
again = pull.retrieve(department.peer, thorax, into=mine, method="get")
again.counts()

# %% [markdown]
# ## Retrieve by C-MOVE
# Here the archive sends to a *destination*, named by AE title only (PS3.4 C.4.2): it must have our address in its
# configuration. `move_port` is where we listen while the retrieval lasts.

# %%
study = StudyRef(thorax.StudyInstanceUID[0])
by_move = Archive(output / "by-move")
moved = network.retrieve(department.peer, study, into=by_move, method="move", move_port=port)
moved.counts(), len(by_move), by_move.verify().worst

# %% [markdown]
# And the failure that everybody meets once: the archive has never heard of us.

# %%
try:
    network.retrieve(department.peer.but(calling_ae_title="NOBODY"), study, into=by_move, method="move")
except NetworkError as error:
    stranger = error
    print(type(error).__name__, error, sep="\n")

# %% [markdown]
# ## When only a part succeeds
# Two datasets with one SOP Instance UID can't both be right (PS3.3 C.12.1), yet it happens: someone has edited a copy. Here
# our archive has an edited slice before the original comes. Nothing is overwritten: the outcome is `conflict`, both are kept.

# %%
edited = mine.open(next(iter(mine)))
edited.ImageComments = "edited here"
partly = Archive(output / "conflict")
partly.add(edited)
mixed = pull.retrieve(department.peer, thorax, into=partly)
mixed.counts(), mixed.complete

# %%
mixed.troubles.table()[["outcome", "message"]]

# %% [markdown]
# What the department does not have is said too, and the report is not complete:

# %%
partial = network.retrieve(department.peer, [study, StudyRef("1.2.3")], into=mine)
partial.counts(), partial.complete, partial.notes

# %% [markdown]
# ## The same with Orthanc, or any archive with DICOMweb
# A peer may have a web address beside its DIMSE one; then the same calls speak QIDO-RS and WADO-RS (PS3.18 10):
#
# ```python
# login = "ORTHANC_LOGIN"   # the environment variable that holds user and password; a notebook never does
# orthanc = Peer("orthanc", "ORTHANC", host="orthanc.lab", port=4242,
#                web_url="https://orthanc.lab/dicom-web", web_secret=login)
# pull.find(orthanc, StudyDate=("20260101", None))              # C-FIND
# pull.find(orthanc, StudyDate=("20260101", None), via="web")   # QIDO-RS: the same columns
# pull.retrieve(orthanc, studies, into=archive, method="web")   # WADO-RS
# ```
#
# `network.AddressBook` keeps peers by name in a file, so that a notebook says `AddressBook.load().get("orthanc")`.

# %%
same = {ref.sop_instance_uid for ref in mine} == {ref.sop_instance_uid for ref in by_move}
for archive in (mine, by_move, partly, older):
    archive.close()
department.stop()

# %%
assert [e.layer for e in echoes.values()] == ["verified", "tcp", "association", "name"]
assert [len(a) for a in answers.values()] == [1, 1, 1, 0, 3, 2, 5]
assert related.granted == {"relational", "fuzzy"} and not walked.granted
assert len(related) == 1 and related[0].SeriesInstanceUID == walked[0].SeriesInstanceUID
assert [len(found) for found in written] == [1, 1, 0]
assert len(refusals) == 3 and some.attrs["truncated"]
assert got.complete and moved.complete and same and again.counts() == {"already there": 12}
assert mixed.counts()["conflict"] == 1 and len(mixed) == 12 and not mixed.complete
assert not partial.complete and stranger.status == 0xA801
