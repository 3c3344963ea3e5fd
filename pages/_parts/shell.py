"""What the server sends beside Streamlit. In its page, what stands in its place until it has drawn,
the ways past the menus, and the browser's history; with a library, how long a browser keeps it."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages._parts.assets import ASSETS

_SHELL = ASSETS / "shell"
_ASKED_AGAIN = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")


def shell() -> bytes:
    """The markup, styles and script that stand at the end of the page's body."""
    styles, markup, script = (
        "".join(path.read_text("utf-8") for path in sorted(_SHELL.glob(f"*.{kind}")))
        for kind in ("css", "html", "js")
    )
    return f"<style>{styles}</style>{markup}<script>{script}</script>".encode()


class Shell:
    """Puts `shell()` into every page of HTML that the app behind it sends to be looked at."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._shell = shell()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or "text/html" not in Headers(scope=scope).get("accept", ""):
            await self._app(scope, receive, send)
            return
        whole = [each for each in scope["headers"] if each[0] not in _ASKED_AGAIN]
        start: Message = {}
        body = b""

        async def add(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            headers = MutableHeaders(raw=list(start["headers"]))
            if "text/html" in headers.get("content-type", "") and b"</body>" in body:
                body = body.replace(b"</body>", self._shell + b"</body>", 1)
                headers["content-length"] = str(len(body))
                for name in ("etag", "last-modified"):
                    if name in headers:
                        del headers[name]
            await send({**start, "headers": headers.raw})
            await send({"type": "http.response.body", "body": body})

        await self._app({**scope, "headers": whole}, receive, add)


class Kept:
    """Has a browser keep the JavaScript libraries it is given, whose addresses name their version:
    it does not ask for them again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                headers = MutableHeaders(raw=list(message["headers"]))
                headers["cache-control"] = "public, max-age=31536000, immutable"
                message = {**message, "headers": headers.raw}
            await send(message)

        versioned = "/component/" in scope.get("path", "") and scope.get("query_string")
        await self._app(scope, receive, keep if versioned else send)
