"""The secret stays one, and what it makes is always the same."""

import copy
import os
import pickle
import subprocess
import sys
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from workbench import deid
from workbench.deid import Keys
from workbench.errors import KeyRefused

FIXED = bytes(range(32))


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "project.key"
    file.write_bytes(FIXED)
    file.chmod(0o600)
    return file


def test_a_new_key_is_random_private_and_not_overwritten(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    keys = Keys.create(one)
    assert one.stat().st_mode & 0o777 == 0o600
    assert one.stat().st_size == 32
    assert keys.uid("1.2") == Keys.load(one).uid("1.2") != Keys.create(other).uid("1.2")
    before = one.read_bytes()
    with pytest.raises(KeyRefused, match="already there"):
        Keys.create(one)
    assert one.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="file modes")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_that_others_can_read_is_refused(path, mode):
    path.chmod(mode)
    with pytest.raises(KeyRefused, match=r"Others can read project\.key \(mode 6\d\d\).*chmod 600"):
        Keys.load(path)


def test_an_absent_a_short_and_an_invented_key_are_refused(path, tmp_path):
    with pytest.raises(KeyRefused, match="no key file none"):
        Keys.load(tmp_path / "none")
    path.write_bytes(FIXED[:31])
    with pytest.raises(KeyRefused, match="too short for a key: 31 bytes"):
        Keys.load(path)
    with pytest.raises(KeyRefused, match="not a file"):
        Keys.load(tmp_path)
    with pytest.raises(KeyRefused, match=r"Keys\.create"):
        Keys()


def test_a_key_shows_itself_to_nobody(path):
    keys = Keys.load(path)
    try:
        raise RuntimeError  # noqa: TRY301
    except RuntimeError as error:
        trace = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    for shown in (repr(keys), str(keys), f"{keys}", keys._repr_html_(), trace, str(vars(deid))):
        assert "a secret" in shown or shown == str(vars(deid))
        assert repr(FIXED)[2:20] not in shown
        assert FIXED.hex() not in shown
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(KeyRefused, match="not copied or pickled"):
            copied(keys)
    with pytest.raises(KeyRefused, match="does not change"):
        keys._secret = b"x"
    assert not hasattr(keys, "__dict__")


def test_what_a_key_makes_does_not_change_between_versions_and_processes(path):
    keys = Keys.load(path)
    code = (
        f"from workbench.deid import Keys; k = Keys.load({str(path)!r}); print(k.uid('1.2.3'), k.pseudonym('p'), k.shift_days('p'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [keys.uid("1.2.3"), keys.pseudonym("p"), str(keys.shift_days("p"))]
    # known answer: HMAC-SHA256(00..1f, "workbench uid" NUL "1.2.3"), first 16 bytes with version 8 and variant 2
    assert keys.uid("1.2.3") == "2.25.14945724510722839016031080458265062571"


@given(st.text(max_size=80))
def test_uids_are_uids_and_shifts_are_one_to_ten_years(text):
    keys = Keys._of(FIXED)
    uid = UID(keys.uid(text))
    assert uid.is_valid
    assert len(uid) <= 44
    assert -3650 <= keys.shift_days(text) <= -365
    assert len(keys.pseudonym(text)) == 16
