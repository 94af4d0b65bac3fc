"""The address book: what it keeps, and the secrets that it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.entities import Peer, Timeouts
from workbench.errors import AttributeUnusable, InputError, PeerUnknown
from workbench.network import AddressBook, as_peer, echo, find, retrieve, store, web_client

PACS = Peer(
    name="pacs", ae_title="ARCHIVE1", host="pacs.example.org", port=11112, web_url="https://pacs.example.org/dicom-web",
    web_secret="PACS_LOGIN", retrieve_by="move", timeouts=Timeouts(dimse_s=120.0),
)  # fmt: skip


def test_what_is_saved_is_loaded(tmp_path):
    book = AddressBook.load(tmp_path / "sub" / "peers.toml")
    assert len(book) == 0
    book.add(PACS)
    book.add(Peer(name="CT 1", ae_title="CT"))
    assert book.save() == tmp_path / "sub" / "peers.toml"
    again = AddressBook.load(tmp_path / "sub" / "peers.toml")
    assert list(again) == [PACS, Peer(name="CT 1", ae_title="CT")]
    assert again.get("pacs") == PACS
    assert "pacs" in again


# a surrogate can't stand in a file, and TOML wants DEL escaped
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


HOSTS = NAMES.filter(lambda text: not any(character.isspace() for character in text))


@given(name=NAMES, host=HOSTS, port=st.integers(1, 65535))
def test_any_name_survives_the_file(tmp_path_factory, name, host, port):
    path = tmp_path_factory.mktemp("book") / "peers.toml"
    book = AddressBook.load(path)
    peer = book.add(Peer(name=name, ae_title="X", host=host, port=port))
    book.save()
    assert AddressBook.load(path).get(name) == peer


def test_the_environment_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_PEERS", str(tmp_path / "elsewhere.toml"))
    book = AddressBook.load()
    book.add(PACS)
    book.save()
    assert (tmp_path / "elsewhere.toml").is_file()
    assert AddressBook.load().get("pacs") == PACS


def test_a_peer_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    book = AddressBook.load(tmp_path / "peers.toml")
    book.add(PACS)
    with pytest.raises(PeerUnknown, match=r"no peer 'pcas'; it has 'pacs'.*AETITLE@HOST:PORT.*workbench peers add NAME.*add\(\)"):
        book.get("pcas")
    book.remove("pacs")
    with pytest.raises(PeerUnknown, match=r"no peer 'pacs' to remove; it has none\.$"):
        book.remove("pacs")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[peers.a]\nae_title = "A"\npassword = "hunter2"', "peers.a.password looks like a secret"),
        ('[peers.a]\nae_title = "A"\nwebPassword = "hunter2"', "looks like a secret"),
        ('[peers.a]\nae_title = "A"\n[peers.a.web]\napi-key = "hunter2"', "peers.a.web.api-key looks like a secret"),
        ('access_token = "hunter2"', "access_token looks like a secret"),
        ('[peers.a]\nae_title = "A"\nweb_secret = "user:hunter2"', "name of an environment variable"),
        ('[peers.a]\nae_title = "A"\nweb_url = "https://me:hunter2@host/"', "has a user or password in it"),
    ],
)
def test_a_secret_is_refused_and_not_repeated(tmp_path, content, message):
    path = tmp_path / "peers.toml"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        AddressBook.load(path)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("peers", "is not a TOML file"),
        ('[peers.a]\nae_title = "A"\nshoe = true', r"\['shoe'\], which no peer has"),
        ('[peers.a]\nae_title = "A"\nport = "104"', "port of peer 'a' must be of type int"),
        ('[peers.a]\nae_title = "A"\nport = true', "port of peer 'a' must be of type int"),
        ("[peers.a]\nport = 104", "lacks ae_title"),
        ('[peers.a]\nae_title = "A"\n[peers.a.timeouts]\ndimse_s = -1', "greater than 0"),
        ("[other]\nx = 1", r"\['other'\] does not"),
        ("[peers]\na = 1", r"\[peers.a\] must be a table"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(tmp_path, content, message):
    path = tmp_path / "peers.toml"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        AddressBook.load(path)


def test_a_port_out_of_range_is_refused(tmp_path):
    path = tmp_path / "peers.toml"
    path.write_text('[peers.a]\nae_title = "A"\nport = 70000')
    with pytest.raises(AttributeUnusable, match="1 to 65535"):
        AddressBook.load(path)


def test_a_name_that_is_html_is_shown_as_text(tmp_path):
    book = AddressBook.load(tmp_path / "peers.toml")
    book.add(Peer(name="<script>x</script>", ae_title="A"))
    assert "<script>" not in book._repr_html_()


def test_a_peer_in_one_word(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_PEERS", str(tmp_path / "peers.toml"))
    book = AddressBook.load()
    book.add(PACS)
    book.save()
    assert as_peer("pacs") == PACS
    assert as_peer(PACS) is PACS
    assert as_peer("ARCHIVE1@pacs.example.org:104") == Peer("ARCHIVE1", "ARCHIVE1", "pacs.example.org", 104)
    assert as_peer("ARCHIVE1@[::1]:104").host == "::1"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("nobody", PeerUnknown, "no peer 'nobody'; it has none"),
        ("X@127.0.0.1", InputError, "'X@127.0.0.1' is neither"),
        ("X@127.0.0.1:dicom", InputError, "is neither"),
        ("X@:104", InputError, "is neither"),
        ("X@h:0", InputError, "from 1 to 65535"),
        ("X@h:" + "9" * 5000, InputError, "from 1 to 65535"),
        ("@h:104", AttributeUnusable, "AE title must have 1 to 16"),
        ("SEVENTEEN_LETTERS@h:104", AttributeUnusable, "not 'SEVENTEEN_LETTERS'"),
        (None, InputError, r"not a NoneType: make one with Peer\(name, ae_title, host, port\)"),
    ],
)
def test_what_names_no_peer(text, error, message, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_PEERS", str(tmp_path / "peers.toml"))
    with pytest.raises(error, match=message):
        as_peer(text)


class Owner:
    """Something that has a peer, as a department and a server have."""

    peer = PACS


@pytest.mark.parametrize(
    "ask",
    [echo, find, web_client, lambda peer: store(peer, []), lambda peer: retrieve(peer, [], into=print)],
    ids=["echo", "find", "web_client", "store", "retrieve"],
)
def test_every_door_takes_a_name_and_refuses_the_owner_of_a_peer(ask, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_PEERS", str(tmp_path / "peers.toml"))
    with pytest.raises(PeerUnknown, match="no peer 'nobody'"):
        ask("nobody")
    with pytest.raises(InputError, match=r"not a Owner: pass its \.peer"):
        ask(Owner())
