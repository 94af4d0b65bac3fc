"""DICOMweb: QIDO-RS to ask, WADO-RS to fetch (PS3.18).

Knows: HTTP by the standard library, DICOM JSON, multipart/related as a stream.
Does not know: DIMSE, or what is done with what it brings.
"""

import base64
import http.client
import json
import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

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

__all__ = ["request", "search"]

log = logging.getLogger(__name__)

_PAGE = 5_000
_LONGEST_JSON = 512 * 1024 * 1024
_UNIQUE = {"PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
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
    where = _address(peer)
    address = f"{where.hostname}:{where.port or (443 if where.scheme == 'https' else 80)}"
    connection = _connection(peer, where.scheme, where.hostname or "", where.port)
    sent = {"Accept": accept, **_login(peer, where.scheme), **(headers or {})}
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


def _address(peer: Peer) -> Any:
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


def _login(peer: Peer, scheme: str) -> dict[str, str]:
    if not peer.web_secret:
        return {}
    secret = os.environ.get(peer.web_secret, "")
    if ":" not in secret:
        raise InputError(
            f"The environment variable {peer.web_secret}, which peer {peer.name!r} names, does not hold user:password."
        )
    if scheme == "http" and peer.host not in {"127.0.0.1", "localhost", "::1"}:
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
    path, query = _question(identifier, level)
    seen: set[str] = set()
    offset = 0
    while True:
        size = min(_PAGE, limit - len(seen)) if level != "PATIENT" else _PAGE
        page, more = _page(peer, f"{path}?{urlencode([*query, ('limit', size), ('offset', offset)], quote_via=quote, safe='*,')}")
        fresh = 0
        for answer in page:
            unique = str(answer.get(_UNIQUE[level], ""))
            if unique in seen:
                continue
            seen.add(unique)
            fresh += 1
            yield answer
            if len(seen) >= limit:
                return
        offset += len(page)
        if not page or (len(page) < size and not more) or (not fresh and level != "PATIENT"):
            return


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


def _page(peer: Peer, path: str) -> tuple[list[Dataset], bool]:
    """Return the datasets of one answer, and whether the server says that there are more (Warning 299)."""
    with request(peer, path, accept="application/dicom+json") as answer:
        content = answer.read(_LONGEST_JSON + 1)
        more = "299" in (answer.headers.get("Warning") or "")
        if answer.status == 204 or not content:
            return [], False
        if len(content) > _LONGEST_JSON:
            raise _said(StatusFailure(f"The answer of {peer.web_url} is larger than {_LONGEST_JSON} bytes."), _REMEDIES[413])
    try:
        entries = json.loads(content)
        return [Dataset.from_json(entry, lambda *_: None) for entry in entries], more
    except Exception as error:  # whatever pydicom raises for JSON that is not DICOM's
        message = f"{peer.web_url} answered a query with something that is not DICOM JSON (PS3.18 F)."
        raise _said(StatusFailure(message, status=200), "Check web_url.") from error
