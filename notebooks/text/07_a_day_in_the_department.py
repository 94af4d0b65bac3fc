# %% [markdown]
# # A day in the department
# What happens between an order and an image on a screen: a worklist is asked, a step is performed and reported, images are
# stored, somebody answers for their safekeeping, a film is printed. Each of these is a DICOM service of its own (PS3.4), and
# all of them run here, in this kernel, on 127.0.0.1.
#
# **Reads** nothing but the embedded department, its phantoms and the device profiles.
# **Writes** nothing outside a temporary folder.

# %%
import os
import secrets
import tempfile

import pandas as pd
from IPython.display import display

from workbench import network, phantoms, quantification
from workbench.department import Department

# %%
from workbench.entities import Identity, Tls
from workbench.errors import StatusFailure
from workbench.network import procedure_step, security
from workbench.network.authority import test_authority

# %%
pd.set_option("display.max_colwidth", None)  # nothing is cut
department = Department()
department

# %% [markdown]
# ## Morning: what is scheduled?
# The information system keeps a **modality worklist** (PS3.4 K). Everybody may ask it: by station, date, modality, patient.

# %%
ris, archive, printer = department.peers["ris"], department.peers["archive"], department.peers["printer"]
scheduled = network.worklist(ris)
scheduled.table(["PatientID", "ScheduledProcedureStepSequence.Modality", "RequestedProcedureDescription"])

# %% [markdown]
# Keys match as in any query, and those of the step need no path:

# %%
(patient,) = [item for item in scheduled if item.ScheduledProcedureStepSequence[0].Modality == "PT"]
found = network.worklist(ris, keys={"Modality": "PT", "PatientName": f"{patient.PatientName.family_name}*"})
found.table(["PatientID", "PatientName"])

# %% [markdown]
# ## A scanner at work
# The PET/CT scanner does what its conformance statement says, in that order: it verifies, asks the worklist for *its* keys,
# acquires (phantoms, filled in by its own tables), reports the step, queries, fetches, stores, asks for commitment, receives,
# prints. The step is *begun* before anything is acquired, as the third row says, though the row that ends it comes later. What
# the workbench can't do yet says so.

# %%
scanner = department.modalities["philips-vereos"]
with network.trace() as recorded:
    day = scanner.run()
day.table()[["activity", "peer", "outcome", "count", "message"]]

# %% [markdown]
# ## The performed step
# While it worked, the scanner kept the information system informed (**MPPS**, PS3.4 F): *in progress* at the start,
# *completed* at the end, with every series and instance that it made. After that nothing may change any more. The department
# notes this at the *scheduled* step as well. Its status has the defined terms SCHEDULED, ARRIVED, READY, STARTED and DEPARTED
# (PS3.3 C.4.10), which may be extended: here by COMPLETED and DISCONTINUED, the words of the performed step. Such a step is over
# and comes in no answer, unless its status is asked for.

# %%
display(department.steps.table()[["PatientID", "PerformedStationAETitle", "PerformedProcedureStepStatus"]])
(mine,) = [item for item in department.worklist.items if item.StudyInstanceUID == scanner.item.StudyInstanceUID]
mine.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus

# %% [markdown]
# The video station tells nobody what it performed: its statement has neither MPPS nor storage commitment. A step can be told
# for it, and an archive asked to answer for its images:

# %%
station = department.modalities["meddream-videostation"]
station.run()
with network.trace() as short:
    begun = procedure_step.begin(ris, station.item)
    series = procedure_step.performed_series(station.made, step=begun)
    step = procedure_step.finish(ris, begun, status="COMPLETED", series=series)
    network.commit(archive, station.made)
step

# %% [markdown]
# A step that has ended stays as it is (PS3.4 F.7.2.2). What is illegal is refused with the standard's own status:

# %%
try:
    procedure_step.finish(ris, begun, status="DISCONTINUED", series=series)
except StatusFailure as refused:
    print(refused)

# %% [markdown]
# ## Who answers for the images?
# A success status of C-STORE says that they arrived. **Storage commitment** (PS3.4 J) says that somebody answers for them, so
# that they may be deleted here. An instance that the archive does not have fails, with its reason:

# %%
wanted = [(str(image.SOPClassUID), str(image.SOPInstanceUID)) for image in scanner.made[:3]]
commitment = network.commit(archive, [*wanted, (wanted[0][0], "1.2.3.4")])
commitment.table()[["sop_instance_uid", "outcome", "message"]]

# %% [markdown]
# ## A film
# Printing is a service too (PS3.4 H): a film session, a film box with a layout, image boxes. The printer of the department
# keeps its films, and shows the last ones:

# %%
department.printer

# %% [markdown]
# A film shows itself as it looks on a light box; `workbench.figures.film` draws it for paper.

# %%
film = department.printer.films[-1]
film

# %% [markdown]
# ## What was said on the wire
# Everything that the scanner said was recorded. As a table: which requests each SOP class saw, in the order in which they first
# came. The step begins (N-CREATE) before anything is stored, and ends with N-SET; commitment is asked for with N-ACTION and
# answered with N-EVENT-REPORT; a film is created, filled, printed and deleted.

# %%
said = recorded.table()
requests = said[said.message_id.notna() & said.name.str.endswith("-RQ")]
requests.groupby(["sop_class", "name"], sort=False, observed=True).size().rename("requests").to_frame()

# %% [markdown]
# As a sequence diagram: the video station's step and its commitment. UIDs are shown, other values masked unless asked for.

# %%
short

# %% [markdown]
# ## Who is there?
# An AE title is no proof. A server can insist on **TLS** (PS3.15 B.12) with a certificate of an authority that it trusts, and
# on a **user** with a passcode (PS3.7 D.3.3.7). Here the authority is one for tests. The passcode stands in the environment,
# never in a notebook or an address book.

# %%
folder = tempfile.TemporaryDirectory()
authority = test_authority(folder.name)
os.environ["READER"] = secrets.token_urlsafe()
users = {"reader": security.hashed(os.environ["READER"])}
guarded = network.Server(department.archive, tls=authority.server, identify=users).start()
us = guarded.peer.but(tls=authority.client, identity=Identity("passcode", user="reader", kept_in="env:READER"))
network.echo(us)

# %%
strangers = {
    "no TLS": us.but(tls=None, identity=None),
    "no certificate": us.but(tls=Tls(ca=authority.ca)),
    "no user": us.but(identity=None),
}
turned_away = {who: network.echo(stranger) for who, stranger in strangers.items()}
is_known = network.echo(us).ok
guarded.stop()
pd.DataFrame([(who, not said.ok, said.layer, said.message) for who, said in turned_away.items()],
             columns=["who", "refused", "layer", "message"])  # fmt: skip

# %% [markdown]
# ## Does the number hold?
# The phantom's six spheres have a standardized uptake value of 8. The PET series went through the scanner's tables, the network
# and the archive, for a patient of another weight than the phantom's: here it is as the archive has it. Measured is the mean in
# the core of each sphere, 2 mm inside its surface, where no voxel holds background as well.

# %%
made = next(image for image in scanner.made if image.Modality == "PT")
refs = [ref for ref in department.archive if ref.series_instance_uid == made.SeriesInstanceUID]
suv = quantification.suv([department.archive.open(ref) for ref in refs])
spheres = phantoms.pet_ct().spheres


def mean_of(sphere):
    core = quantification.regions.sphere(suv, center_mm=sphere.center_mm, diameter_mm=sphere.diameter_mm - 4)
    return quantification.regions.statistics(suv.values, core, units=suv.units, voxel_volume_ml=suv.voxel_ml).mean


# %%
measured = pd.DataFrame({
    "diameter, mm": [sphere.diameter_mm for sphere in spheres],
    "truth, g/ml": [sphere.suv for sphere in spheres],
    "measured, g/ml": [mean_of(sphere) for sphere in spheres],
})  # fmt: skip
measured["off by, %"] = 100 * (measured["measured, g/ml"] / measured["truth, g/ml"] - 1)
measured.round(3) + 0.0  # no negative zeros

# %%
department.stop()
folder.cleanup()
assert day.complete and list(requests.name).index("N-CREATE-RQ") < list(requests.name).index("C-STORE-RQ")
assert is_known and not any(said.ok for said in turned_away.values())
assert step.status == "COMPLETED" and [item.PatientID for item in found] == [patient.PatientID]
assert [row.outcome.value for row in commitment] == ["committed"] * 3 + ["failed"]
assert any(film.images)
assert measured["off by, %"].abs().max() < 0.1  # percent of the truth
