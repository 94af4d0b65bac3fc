"""A profile may be spread over several files: its own, and parts with more of its tables and slips."""

import pytest

from workbench.devices import catalog
from workbench.devices.reading import load
from workbench.errors import ProfileInvalid

HEAD = """
[profile]
name = "some"
title = "Some system"
maker = "Some"
product = "System"
version = "1"
statement = "A statement"
edition = "2016"
summary = "Does something."
[[tables]]
id = "first"
kind = "rows"
source = "Table 1"
title = "First"
columns = ["a"]
rows = [["1"]]
"""
PART = """
[[tables]]
id = "{0}"
kind = "rows"
source = "Table {0}"
title = "More"
columns = ["a"]
rows = [["2"]]
[[slips]]
table = "{0}"
row = 1
column = "a"
printed = "3"
rule = "PS3.6 6: so it is"
"""


def test_parts_are_appended_in_their_order():
    found = load(HEAD, PART.format("b"), PART.format("c"))
    assert [table.id for table in found.tables] == ["first", "b", "c"]
    assert [slip.table for slip in found.slips] == ["b", "c"]
    assert found.as_printed().table("c").rows == (("3",),)


def test_a_part_holds_tables_and_slips_alone():
    with pytest.raises(ProfileInvalid, match=r"A part of profile 'some' may hold tables and slips: not profile, tables"):
        load(HEAD, HEAD)


def test_an_id_is_taken_once_over_all_parts():
    with pytest.raises(ProfileInvalid, match="more than one table with the id b"):
        load(HEAD, PART.format("b"), PART.format("b"))


def test_a_part_is_found_beside_its_profile_and_is_no_profile_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "profiles").mkdir()
    for name, text in (("some", HEAD), ("some.z", PART.format("z")), ("some.b", PART.format("b")), ("someone.x", "?")):
        (tmp_path / "profiles" / f"{name}.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(catalog, "files", lambda package: tmp_path)
    assert catalog.names.__wrapped__() == ("some",)
    monkeypatch.setattr(catalog, "names", lambda: ("some",))
    assert [table.id for table in catalog._profile.__wrapped__("some").tables] == ["first", "b", "z"]
