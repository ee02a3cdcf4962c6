"""Requests as the community web UI makes them: axios in a browser, from another origin.

Each call that a browser would announce by a preflight is announced, and what the browser would
refuse for reasons of CORS fails here. Base addresses are found as the UI finds them.
"""

from __future__ import annotations

import ssl
from typing import Any

import httpx
from gateway import DEADLINE, Gateway

ORIGIN = "https://ui.example.org"
"""The UI is served from elsewhere."""
_SAFELISTED = frozenset({"accept"})


class Axios:
    """An axios instance: `base` is its baseURL."""

    def __init__(self, base: str, tls: ssl.SSLContext, token: str = "") -> None:
        self.base = base
        self.token = token
        self._tls = tls

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self._call("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return await self._call("POST", path, body, **more)

    async def put(self, path: str, body: Any, **more: Any) -> httpx.Response:
        return await self._call("PUT", path, body, **more)

    async def delete(self, path: str, **more: Any) -> httpx.Response:
        return await self._call("DELETE", path, **more)

    async def _call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        # axios joins base and path with one slash, and leaves query texts as they are.
        url = f"{self.base}/{path.lstrip('/')}".replace("//localhost:", "//127.0.0.1:")
        accept = "application/json" if method in ("GET", "POST") else (
            "application/json, text/plain, */*"
        )  # fmt: skip
        headers = {"accept": accept}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["content-type"] = "application/json"
            more["json"] = body
        async with httpx.AsyncClient(verify=self._tls, timeout=DEADLINE) as browser:
            await preflight(browser, method, url, set(headers) - _SAFELISTED)
            answer = await browser.request(
                method, url, headers=headers | {"origin": ORIGIN, "referer": f"{ORIGIN}/"}, **more
            )
        assert answer.headers["access-control-allow-origin"] == ORIGIN, (method, url)
        assert "Origin" in answer.headers["vary"]
        return answer


async def preflight(
    browser: httpx.AsyncClient, method: str, url: str, names: set[str], origin: str = ORIGIN
) -> None:
    """Ask as a browser does before a request that is no simple one; it must be allowed."""
    if not names and method in ("GET", "POST"):
        return
    asked = ",".join(sorted(names))
    headers = {"origin": origin, "access-control-request-method": method}
    if asked:
        headers["access-control-request-headers"] = asked
    answer = await browser.options(url, headers=headers)
    assert answer.status_code == 200, (url, answer.text)
    assert answer.content == b""
    allowed = answer.headers
    assert allowed["access-control-allow-origin"] == origin
    assert method in allowed["access-control-allow-methods"].split(", "), (method, url)
    assert allowed.get("access-control-allow-headers", "") == asked
    assert int(allowed["access-control-max-age"]) > 0


class Ui:
    """The UI of one user: its axios instances, before and after discovery."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        base = f"{gateway.ready['security']}/api/v1"
        # Until a service is discovered its client keeps the address of the security service.
        self.sec, self.gw, self.fms, self.prov = (Axios(base, gateway._tls) for _ in range(4))
        self.token = ""

    async def sign_in(self, user: str, password: str) -> dict[str, Any]:
        """Sign in, and find the other services; returns the answer to the sign-in."""
        answer = await self.sec.post("oauth2", {"userId": user, "password": password})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        await self.begin(found["access_token"])
        return found

    async def begin(self, token: str) -> None:
        """Go on with a token, as after a sign-in or a reload of the page."""
        self.token = token
        for one in (self.sec, self.gw, self.fms, self.prov):
            one.token = token
        clients = {"owgw": self.gw, "owfms": self.fms, "owprov": self.prov}
        for endpoint in (await self.sec.get("systemEndpoints")).json()["endpoints"]:
            if endpoint["type"] in clients:
                clients[endpoint["type"]].base = f"{endpoint['uri']}/api/v1"

    def system(self, endpoint: str) -> Axios:
        """The instance of the services page, which takes whole addresses."""
        return Axios(f"{endpoint}/api/v1", self.gateway._tls, self.token)
