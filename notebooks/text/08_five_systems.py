# %% [markdown]
# # Five systems and what they say
# A conformance statement (PS3.2) tells what a system proposes, accepts, asks, creates and does when something goes wrong.
# Five real ones are kept here as data: **as meant** and **as printed**, since print has slips. What a statement claims can
# be looked up, counted, checked against the standard, and performed.
#
# **Reads** the device profiles and the embedded department with its phantoms.
# **Writes** nothing.

# %%
import pandas as pd
from IPython.display import display

from workbench import conformance, devices
from workbench.department import Department, buildable, not_yet

pd.set_option("display.max_colwidth", None)  # nothing is cut

# %% [markdown]
# ## Who they are

# %%
profiles = devices.profiles()
pd.DataFrame(
    [(p.title, p.version, p.edition, len(p.entities), len(p.tables), len(p.slips)) for p in profiles.values()],
    columns=["system", "version", "DICOM edition", "entities", "tables", "slips"],
    index=list(profiles),
)

# %% [markdown]
# ## One of them
# A profile shows itself: application entities, activities in the order of the statement, and, folded, its SOP classes, the
# objects that it creates, its tables, and its **slips**. A slip is where the document prints something else than it means: a
# wrong value, or a row that is lacking, doubled or run into another. Each says what is printed, what is meant, and the rule.

# %%
microscope = profiles["topcon-sp1p"]
microscope

# %% [markdown]
# Each part is a table as well, as are the rows of each table of the statement:

# %%
display(microscope.activities.table()[["name", "does", "entity", "source"]])
microscope.table("storage-parameters").table()

# %% [markdown]
# ## What can they send to each other?
# Two systems understand each other where one **proposes** what the other **accepts**: the same SOP class, and at least one
# transfer syntax in common (PS3.8 7.1.1.13). That is a join of two tables.

# %%
scanner = devices.contexts(profiles["philips-vereos"], role="SCU", activity="Image Export")
viewer = {c.uid: c for c in devices.contexts(profiles["canon-vitrea-read"], role="SCP")}
rows = []
for context in scanner:
    other = viewer.get(context.uid)
    common = set(context.syntaxes) & set(other.syntaxes) if other else set()
    rows.append((context.name, bool(other), len(common)))
matrix = pd.DataFrame(rows, columns=["the scanner exports", "the viewer accepts the class", "syntaxes in common"])
matrix

# %% [markdown]
# What the scanner exports and the viewer does not take is lost unless somebody looks here first:

# %%
matrix[~matrix["the viewer accepts the class"]]

# %% [markdown]
# ## What do they ask a worklist?
# Each asks other keys, and matches other ones: by any value (universal), one value (single), wildcards, a range (PS3.4
# C.2.2.2). A worklist that supports what all of them ask serves all of them. Keys in sequences stand with their sequence.
#
# **sequence**: its items hold keys, which have rows of their own · **returned**: asked for without a value, so that the answer
# has it · **empty**: not asked for. canon-vitrea-read has no column: its statement has no worklist. Keys that three systems or
# more ask for are shown.

# %%
WORKLIST = "1.2.840.10008.5.1.4.31"
asked = {name: devices.keys(p, uid=WORKLIST) for name, p in profiles.items()}
names = {key.path: key.name for keys in asked.values() for key in keys}


def called(path):
    tags = path.split(".")
    return " › ".join(names[".".join(tags[:n])] for n in range(1, len(tags) + 1))


# %%
table = pd.DataFrame({
    system: {key.path: ", ".join(key.matching.split()) or "returned" for key in keys} for system, keys in asked.items() if keys
}).rename(index=called).fillna("")  # fmt: skip
table[(table != "").sum(axis=1) >= 3]

# %% [markdown]
# ## Where print and standard disagree
# `lint` holds every row against the standard's tables. Each finding says what is printed, what is meant, and the rule.

# %%
findings = pd.concat([devices.lint(p).table().assign(system=name) for name, p in profiles.items()], ignore_index=True)
pd.crosstab(findings.system, findings.severity)

# %%
some = findings[findings.severity == "error"]  # UIDs, tags, representations, roles: what peers rely on
some.groupby("system").head(3)[["system", "path", "message", "remedy"]].rename(columns={"remedy": "rule"})

# %% [markdown]
# The same table in both views: the specular microscope's serial number has the tag of the model name in print.

# %%
slip = next(s for s in microscope.slips if s.printed == "(0008,1090)")
meant, printed = microscope.table(slip.table), microscope.as_printed().table(slip.table)
pd.DataFrame([meant.records()[slip.row - 1], printed.records()[slip.row - 1]], index=["meant", "printed"])

# %% [markdown]
# ## What they create
# A statement lists every attribute of every object, when it is present and where its value comes from. Objects whose builder
# exists are created by these tables; the others are named, not feigned.
#
# Presence has the words of PS3.2 A.8.1: **ALWAYS**, with a value · **VNAP**, value not always present: there, perhaps empty ·
# **ANAP**, attribute not always present · **EMPTY**, there without a value.

# %%
pd.DataFrame(
    [(name, ", ".join(sorted({o.title for o in buildable(p)})), ", ".join(sorted({o.title for o in not_yet(p)})))
     for name, p in profiles.items()],
    columns=["system", "created here", "not yet"],
)  # fmt: skip

# %% [markdown]
# ## Performed
# One system at work: it verifies, asks the worklist, acquires a phantom, fills its objects in by its own tables and sends
# them, in the order of its statement.

# %%
department = Department(instances=[])
camera = department.modalities["optos-v2-vantage"]
done = camera.run()
done.table()[["activity", "peer", "outcome", "count", "message", "source"]]

# %% [markdown]
# What it made is held against its own tables, and against the standard:

# %%
checks = pd.DataFrame(
    [(image.SOPClassUID.name,
      len(conformance.check_claims(image, camera.profile).errors),
      len(conformance.check(image).errors)) for image in camera.made],
    columns=["object", "errors against its statement", "errors against the standard"],
)  # fmt: skip
checks

# %% [markdown]
# An object can't always please both. Table 28 of the statement has *Presentation LUT Shape* ALWAYS; the standard has it in
# ophthalmic photographs only where they are MONOCHROME2 (type 1C, PS3.3 C.8.17.2), and these are in colour. The objects are
# what the system sends, so they follow its statement, and whatever the standard's validator has against them stands there:

# %%
rows = [
    row
    for claimed in devices.objects(camera.profile)
    for row in devices.attributes(camera.profile, *claimed.modules)
]  # fmt: skip
says = {row.name.replace(" ", ""): f"{row.source}: {row.presence} {row.value}" for row in rows if row.presence}
# %%
disputed = pd.DataFrame(
    [(f.path, says.get(f.path, ""), f.message)
     for image in camera.made for f in conformance.check(image).errors],
    columns=["attribute", "the statement", "the standard"],
).drop_duplicates()  # fmt: skip
disputed

# %% [markdown]
# ## The other way round
# The microscope and the video station both send Secondary Captures. Held against the microscope's tables its own object fits;
# that of the other maker does not, and the findings say where:

# %%
station = department.modalities["meddream-videostation"]
worker = department.modalities["topcon-sp1p"]
station.run()
worker.run()
own, stranger = worker.made[0], station.made[0]
print(own.SOPClassUID.name, "|", stranger.SOPClassUID.name)
fits, differs = (conformance.check_claims(image, microscope) for image in (own, stranger))
print(f"its own: {len(fits.errors)} errors; the other maker's: {len(differs.errors)}")
differs

# %% [markdown]
# So do they where an object of its own lacks what its statement has ALWAYS:

# %%
broken = own.copy()
del broken.ConversionType
lacking = conformance.check_claims(broken, microscope)
lacking

# %%
department.stop()
assert done.complete
assert not checks["errors against its statement"].any()
assert disputed["the statement"].str.contains("ALWAYS").all()
assert not fits.errors and {"ConversionType"} < {finding.path for finding in differs.errors}
assert [finding.path for finding in lacking.errors] == ["ConversionType"]
