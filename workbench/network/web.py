"""DICOMweb: QIDO-RS to ask, WADO-RS to fetch (PS3.18).

Knows: HTTP by the standard library, DICOM JSON, multipart/related as a stream.
Does not know: DIMSE, or what is done with what it brings.
"""

import base64
import fnmatch
import http.client
import json
import logging
import os
import re
import ssl
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from workbench.entities import Peer, plain
from workbench.errors import (
    AssociationAborted,
    InputError,
    NetworkError,
    PeerTimeout,
    PeerUnreachable,
    StatusFailure,
)
from workbench.standard import UNIQUE_KEYS

__all__ = ["entries", "first", "request", "search"]

log = logging.getLogger(__name__)

_PAGE = 5_000
_LONGEST_JSON = 512 * 1024 * 1024
_AS_IT_IS = "!$'()*,/:;?@^`{|}~\\[]"  # what browsers do not encode in a query either (WHATWG URL 1.3)
_ENCODED = re.compile(r"[^A-Za-z0-9._" + re.escape(_AS_IT_IS) + "-]+")
_REMEDIES = {
    400: "It does not take one of the keys: leave some out.",
    401: "It wants a login: name an environment variable that holds user:password as web_secret of the peer.",
    403: "The login may not do this: ask its administrator.",
    404: "Check web_url: it is the base of the DICOMweb services, such as http://host:8042/dicom-web.",
    413: "Ask for less: more keys, a smaller range, or a limit.",
    503: "Try again later.",
}


@contextmanager
def request(
    peer: Peer, path: str, *, accept: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None
) -> Iterator[http.client.HTTPResponse]:
    """Send a request below ``peer.web_url`` and yield the answer, if its status is one of success.

    Raises
    ------
    InputError
        If the peer has no `web_url`, or its secret is not in the environment.
    PeerUnreachable, PeerTimeout, AssociationAborted
        For trouble beneath HTTP; AssociationAborted where the connection is lost.
    StatusFailure
        With the HTTP status.
    """
    where = base_address(peer)
    address = f"{where.hostname}:{where.port or (443 if where.scheme == 'https' else 80)}"
    connection = _connection(peer, where.scheme, where.hostname or "", where.port)
    sent = {"Accept": accept, **login(peer, where), **(headers or {})}
    try:
        try:
            connection.connect()
        except ssl.SSLError as error:
            message = f"{address} can't be trusted or does not speak TLS: {error.reason or 'handshake failed'}."
            raise _said(AssociationAborted(message), "Check web_url and the certificate of the server.") from error
        except TimeoutError as error:
            message = f"{address} did not answer within {peer.timeouts.connect_s:g} s (TCP)."
            raise _said(PeerTimeout(message), "A firewall may drop the connection, or the machine is off.") from error
        except OSError as error:
            message = f"Nothing answers at {address}: {error.strerror or 'no connection'}."
            raise _said(PeerUnreachable(message), "Check web_url; the DICOMweb service may not be running.") from error
        connection.sock.settimeout(peer.timeouts.dimse_s)
        with _translated(peer, address):
            connection.request(method, f"{where.path.rstrip('/')}/{path}", body=body, headers=sent)
            answer = connection.getresponse()
            if not 200 <= answer.status < 300:
                remedy = _REMEDIES.get(answer.status, "The server's log may say more.")
                message = f"{peer.web_url} answered {answer.status} {plain(answer.reason)} (PS3.18 8.5)."
                raise _said(StatusFailure(message, status=answer.status), remedy)
            yield answer
    finally:
        connection.close()


@contextmanager
def _translated(peer: Peer, address: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        message = f"{address} was silent for {peer.timeouts.dimse_s:g} s (HTTP)."
        raise _said(PeerTimeout(message), "Ask for less at once, or allow more time (Timeouts.dimse_s).") from error
    except http.client.IncompleteRead as error:
        raise _said(AssociationAborted(f"{address} closed the connection before its answer was complete (HTTP).")) from error
    except http.client.HTTPException as error:
        raise _said(AssociationAborted(f"{address} answered with something that is not HTTP."), "Check web_url.") from error
    except (ConnectionError, ssl.SSLError) as error:
        raise _said(AssociationAborted(f"The connection to {address} was lost (HTTP).")) from error


def _said(error: NetworkError, remedy: str = "") -> NetworkError:
    error.layer, error.remedy = "web", remedy
    error.args = (f"{error.args[0]} {remedy}".strip(),)
    return error


def base_address(peer: Peer) -> Any:
    where = urlsplit(peer.web_url)
    if where.scheme not in {"http", "https"} or not where.hostname:
        raise InputError(f"Peer {peer.name!r} has no web_url that begins with http:// or https://: DICOMweb needs one.")
    try:
        _ = where.port
    except ValueError as error:
        raise InputError(f"web_url of peer {peer.name!r} has a port that is no number from 1 to 65535.") from error
    return where


def _connection(peer: Peer, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=peer.timeouts.connect_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=peer.timeouts.connect_s)


def login(peer: Peer, where: Any) -> dict[str, str]:
    if not peer.web_secret:
        return {}
    secret = os.environ.get(peer.web_secret, "")
    if ":" not in secret:
        raise InputError(
            f"The environment variable {peer.web_secret}, which peer {peer.name!r} names, does not hold user:password."
        )
    if where.scheme == "http" and where.hostname not in {"127.0.0.1", "localhost", "::1"}:
        log.warning("the login for %s travels unencrypted: its web_url is not https", peer.name)
    return {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}


def search(peer: Peer, identifier: Dataset, *, level: str, limit: int) -> Iterator[Dataset]:
    """Yield the answers of QIDO-RS (PS3.18 10.6) to the same identifier that C-FIND would get.

    Parameters
    ----------
    identifier : pydicom.Dataset
        Keys: those with a value are matched, all are wanted back.
    level : str
        PATIENT, STUDY, SERIES or IMAGE; QIDO-RS has no patients, so that PATIENT asks for studies and yields each patient once.
    limit : int
        How many are enough.
    """
    for entry in entries(peer, identifier, level=level, limit=limit):
        try:
            yield Dataset.from_json(entry, lambda *_: None)
        except Exception as error:  # whatever pydicom raises for JSON that is not DICOM's
            raise _not_json(peer) from error


def entries(peer: Peer, identifier: Dataset, *, level: str, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the answers of QIDO-RS as DICOM JSON (PS3.18 F), page by page, each once.

    Some servers do not decode a percent-encoded value and would find nothing. So what would have to be encoded is
    asked for as ``*``, and answers that do not match are left out here.
    """
    path, query = _question(identifier, level)
    sieve = {
        name: re.compile(fnmatch.translate(_folded(text).replace("[", "[[]")))
        for name, text in query
        if _ENCODED.search(text) and "." not in name
    }
    asked = [(name, _ENCODED.sub("*", text)) for name, text in query]
    seen: set[str] = set()
    offset = kept = 0
    while True:
        size = min(_PAGE, limit - kept) if level != "PATIENT" and not sieve else _PAGE
        page, more = _page(peer, path, [*asked, ("limit", str(size)), ("offset", str(offset))])
        before = len(seen)
        for entry in page:
            unique = first(entry, UNIQUE_KEYS[level])
            is_new = unique not in seen
            seen.add(unique)
            if not is_new or not all(pattern.match(_folded(first(entry, name))) for name, pattern in sieve.items()):
                continue
            kept += 1
            yield entry
            if kept >= limit:
                return
        offset += len(page)
        if not page or (len(page) < size and not more) or (len(seen) == before and level != "PATIENT"):
            return


def _folded(text: str) -> str:
    """Return text as names are compared: without case, accents, and spaces at the end."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.rstrip(" ")) if not unicodedata.combining(c)).casefold()


def first(entry: dict[str, Any], keyword: str) -> str:
    """Return the first value of an attribute in DICOM JSON as text, empty where there is none."""
    value = (entry.get(f"{tag_for_keyword(keyword) or 0:08X}", {}).get("Value") or [""])[0]
    if isinstance(value, dict):  # the component groups of a name (PS3.18 F.2.2)
        return "=".join(value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")).rstrip("=")
    return str(value or "")


def _question(identifier: Dataset, level: str) -> tuple[str, list[tuple[str, str]]]:
    """Return path and query: a single study or series UID stands in the path, everything else in the query."""
    query: list[tuple[str, str]] = []
    parents = {"SERIES": ["StudyInstanceUID"], "IMAGE": ["StudyInstanceUID", "SeriesInstanceUID"]}.get(level, [])
    segments, names = "", {"StudyInstanceUID": "studies", "SeriesInstanceUID": "series"}
    for keyword in parents:
        value = str(identifier.get(keyword) or "")
        if not value or not set(value) <= set("0123456789."):
            break
        segments += f"{names[keyword]}/{value}/"
    for element in identifier:
        if element.keyword in {"QueryRetrieveLevel", "SpecificCharacterSet"} or not element.keyword:
            continue
        query += [(name, text) for name, text in _matched(element) if f"/{text}/" not in f"/{segments}"]
        query.append(("includefield", element.keyword))
    resource = {"PATIENT": "studies", "STUDY": "studies", "SERIES": "series", "IMAGE": "instances"}[level]
    return segments + resource, query


def _matched(element: DataElement) -> Iterator[tuple[str, str]]:
    """Yield the parameters for a key that has a value; a key in a sequence is named by its path (PS3.18 8.3.4.1)."""
    if element.VR == "SQ":
        for inner in (inner for item in element.value for inner in item):
            yield from ((f"{element.keyword}.{name}", text) for name, text in _matched(inner))
        return
    values = element.value if element.VM > 1 else [element.value]
    text = ("," if element.VR == "UI" else "\\").join(str(value) for value in values if value is not None)
    if text not in {"", "*"}:
        yield element.keyword, text


def _page(peer: Peer, path: str, query: list[tuple[str, str]]) -> tuple[list[dict[str, Any]], bool]:
    """Return the entries of one answer, and whether the server says that there are more (Warning 299)."""
    path = f"{path}?{urlencode(query, quote_via=quote, safe=_AS_IT_IS)}"
    with request(peer, path, accept="application/dicom+json") as answer:
        content = answer.read(_LONGEST_JSON + 1)
        more = "299" in (answer.headers.get("Warning") or "")
        if answer.status == 204 or not content:
            return [], False
        if len(content) > _LONGEST_JSON:
            raise _said(StatusFailure(f"The answer of {peer.web_url} is larger than {_LONGEST_JSON} bytes."), _REMEDIES[413])
    try:
        page = json.loads(content)
    except ValueError as error:
        raise _not_json(peer) from error
    if not isinstance(page, list) or not all(
        isinstance(v, dict) for e in page for v in (e, *(e.values() if isinstance(e, dict) else ()))
    ):
        raise _not_json(peer)
    return page, more


def _not_json(peer: Peer) -> NetworkError:
    message = f"{peer.web_url} answered a query with something that is not DICOM JSON (PS3.18 F)."
    return _said(StatusFailure(message, status=200), "Check web_url.")
