"""Who may use the page: on loopback this machine's own pages, from elsewhere whoever has the token."""

import contextlib
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

Answer = Callable[[ServerConnection, Request], Response | None]
"""The server's own answer to a request; None opens a websocket."""
Handler = Callable[[ServerConnection], Awaitable[None]]
"""Talks over a websocket until it closes."""


class Beside(Protocol):
    """What we serve at the server's own address, to those whom the gate lets in."""

    def answer(self, connection: ServerConnection, request: Request, inner: Answer) -> Response | None:
        """Answer a request, change the server's answer, or hand it on."""
        ...

    def hears(self, connection: ServerConnection) -> bool:
        """Whether a websocket is ours and not the server's."""
        ...

    async def hear(self, connection: ServerConnection) -> None:
        """Talk over it until it closes."""
        ...


class Gate:
    """Looks at every request, for a file or for a websocket, before the server does.

    On loopback the request must name this machine, so that a foreign name that was made to point here (DNS rebinding)
    is refused, and must not come from another site's page. From elsewhere it must bring the token: first in the
    address, from then on in a cookie that only this page sends.

    Args:
        host: The address to listen on.

    Attributes:
        token: What a visitor must know; None on loopback.
        closed: Whether the gate stands in front of a server.
    """

    def __init__(self, host: str):
        self.token = None if is_loopback(host) else secrets.token_urlsafe(24)
        self.closed = False

    @property
    def query(self) -> str:
        """What belongs behind the page's address."""
        return "" if self.token is None else f"?token={self.token}"

    def answer(self, connection: ServerConnection, request: Request, inner: Answer) -> Response | None:
        """Refuse a request, take a token, or hand it on to the server."""
        hosts, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
        if len(hosts) != 1 or len(origins) > 1:
            return _refuse("a request names one host and one origin")
        if origins and urlsplit(origins[0]).netloc.lower() != hosts[0].lower():
            return _refuse(f"this page does not talk to pages of {origins[0]}")
        if self.token is None:
            if not is_loopback(_name(hosts[0])):
                return _refuse(f"this page is at localhost, not at {hosts[0]}")
            return inner(connection, request)
        given = parse_qs(urlsplit(request.path).query).get("token", [])
        if given and _same(given[0], self.token):
            cookie = f"{self._cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"
            return Response(HTTPStatus.SEE_OTHER, "See Other", Headers(Location="./", **{"Set-Cookie": cookie}))
        if _same(self._brought(request), self.token):
            return inner(connection, request)
        return _refuse("this page wants the token that was printed with its address")

    @property
    def _cookie(self) -> str:
        """Cookies do not tell ports apart, so that two viewers on a machine need two names."""
        return "robopolicy_" + hashlib.sha256((self.token or "").encode()).hexdigest()[:8]

    def _brought(self, request: Request) -> str:
        for header in request.headers.get_all("Cookie"):
            with contextlib.suppress(CookieError):
                morsel = SimpleCookie(header).get(self._cookie)
                if morsel is not None:
                    return morsel.value
        return ""


@contextlib.contextmanager
def stand_before(gate: Gate, beside: Beside) -> Iterator[None]:
    """The gate stands before every server that is started inside: viser has no hook of its own for this."""
    serve = websockets.asyncio.server.serve

    def guarded(handler: Handler, *arguments: Any, process_request: Answer, **options: Any) -> Any:
        gate.closed = True

        def inside(connection: ServerConnection, request: Request) -> Response | None:
            return beside.answer(connection, request, process_request)

        def look(connection: ServerConnection, request: Request) -> Response | None:
            return gate.answer(connection, request, inside)

        async def talk(connection: ServerConnection) -> None:
            await (beside.hear(connection) if beside.hears(connection) else handler(connection))

        return serve(talk, *arguments, process_request=look, **options)

    websockets.asyncio.server.serve = guarded  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        websockets.asyncio.server.serve = serve  # type: ignore[misc]


def is_loopback(host: str) -> bool:
    """Whether a name or an address can only mean this machine."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """The host without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode(), b.encode())


def _refuse(why: str) -> Response:
    body = f"{why}\n".encode()
    headers = Headers(**{"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))})
    return Response(HTTPStatus.FORBIDDEN, "Forbidden", headers, body)
