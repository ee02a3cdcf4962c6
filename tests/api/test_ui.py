"""A built UI is served beside the API (`api.ui_dir`)."""

import base64
import gzip
import hashlib
import ssl

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.api import ui
from gw.api.ui import Ui

INLINE = "window.started = 1;"
INDEX = (
    '<!doctype html><script src="/env-config.js"></script>'
    f"<script>{INLINE}</script><div id=root></div>"
)
SCRIPT = "console.log('ui');\n" * 100
SECRET = "not for anybody"


def build(folder):
    files = {
        "index.html": INDEX,
        "favicon.ico": "icon",
        "assets/index-a1B2c3D4.js": SCRIPT,
        "assets/plain.js": SCRIPT,
        "locales/en/translation.json": "{}",
        "devices/edgecore eap101.png": "png",
        ".env": SECRET,
        "assets/.git/config": SECRET,
        "odd.xyz": "?",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder.parent / "outside.txt").write_text(SECRET)
    (folder / "link.txt").symlink_to(folder.parent / "outside.txt")
    (folder / "inner.js").symlink_to(folder / "assets/plain.js")
    return folder


@pytest.fixture
def folder(tmp_path):
    return build(tmp_path / "build")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return Ui(str(build(tmp_path_factory.mktemp("ui") / "build")))


@pytest.mark.parametrize(
    ("path", "kind", "caching"),
    [
        ("/", "text/html", "no-cache"),
        ("/login", "text/html", "no-cache"),
        ("/a/b/c/", "text/html", "no-cache"),
        ("/assets/index-a1B2c3D4.js", "text/javascript", "immutable"),
        ("/assets/plain.js", "text/javascript", "no-cache"),
        ("/inner.js", "text/javascript", "no-cache"),
        ("/locales/en/translation.json", "application/json", "no-cache"),
        ("/devices/edgecore eap101.png", "image/png", "no-cache"),
        ("/odd.xyz", "application/octet-stream", "no-cache"),
    ],
)
def test_files_have_their_type_and_age(shared, path, kind, caching):
    found = shared.find(path)
    assert found is not None
    assert found.media_type == kind
    assert caching in found.caching


@pytest.mark.parametrize(
    "path",
    [
        "/assets/none.js", "/.env", "/assets/.git/config", "/../outside.txt", "/link.txt",
        "/assets/../../outside.txt", "/..", "/a\\..\\outside.txt", "/a\0.js", "/" + "a" * 2000,
        "/assets/./plain.js",
    ],
)  # fmt: skip
def test_what_is_hidden_or_elsewhere_or_absent_is_not_there(shared, path):
    assert shared.find(path) is None


@given(
    st.lists(st.sampled_from(["..", ".", "", "assets", "link.txt", "outside.txt", ".env", "\0"]))
)
def test_no_path_leads_out(shared, parts):
    found = shared.find("/" + "/".join(parts))
    assert found is None or SECRET.encode() not in found.content


def test_what_is_too_large_is_not_served(folder, monkeypatch):
    monkeypatch.setattr(ui, "LARGEST_FILE", 100)
    assert Ui(str(folder)).find("/assets/plain.js") is None


def test_scripts_in_the_page_are_allowed_by_hash(shared):
    digest = base64.b64encode(hashlib.sha256(INLINE.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in shared.find("/").policy
    assert "sha256" not in shared.find("/inner.js").policy


def test_a_folder_without_index_is_refused(tmp_path):
    with pytest.raises(OSError, match=r"index\.html"):
        Ui(str(tmp_path))


@pytest.fixture
async def browse(start_gateway, folder, pki_dir):
    gateway = await start_gateway(**{"api.ui_dir": str(folder)})
    url = gateway.ready["api"].replace("//localhost:", "//127.0.0.1:")
    tls = ssl.create_default_context(cafile=str(pki_dir / "ca.pem"))
    async with httpx.AsyncClient(base_url=url, verify=tls, timeout=60.0) as client:
        client.gateway = gateway
        yield client


@pytest.mark.e2e
async def test_a_browser_gets_the_ui_and_the_api(browse, folder):
    page = await browse.get("/")
    assert page.text == INDEX
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert (await browse.get("/login")).text == INDEX
    assert (await browse.get("/favicon.ico")).text == "icon"

    port = browse.gateway.ready["security"].rpartition(":")[2]
    told = await browse.get("/env-config.js", headers={"Host": "gw.example:16002"})
    expected = f'{{"REACT_APP_UCENTRALSEC_URL":"https://gw.example:{port}"}}'
    assert told.text == f"window._env_ = {expected};\n"
    assert told.headers["cache-control"] == "no-store"
    assert told.headers["content-type"].startswith("text/javascript")

    path = "/assets/index-a1B2c3D4.js"
    script = await browse.get(path)
    assert script.headers["content-encoding"] == "gzip"
    assert "immutable" in script.headers["cache-control"]
    assert script.text == SCRIPT
    head = await browse.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(gzip.compress(SCRIPT.encode(), 4, mtime=0))
    again = await browse.get(path, headers={"If-None-Match": script.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == script.headers["etag"]
    (folder / path[1:]).write_text("changed")
    again = await browse.get(path, headers={"If-None-Match": script.headers["etag"]})
    assert again.text == "changed"

    for hidden in ("/.env", "/%2e%2e/outside.txt", "/..%2foutside.txt", "/link.txt", "/no.js"):
        answer = await browse.get(hidden)
        assert answer.status_code == 404, hidden
        assert answer.json()["ErrorCode"] == 404
    for method in ("POST", "PUT", "DELETE"):
        answer = await browse.request(method, "/login")
        assert answer.status_code == 400
        assert answer.json()["ErrorDescription"].startswith("1004")

    assert (await browse.get("/api/v1/devices")).json()["ErrorCode"] == 8
    assert (await browse.get("/api/v1/nothing")).json()["ErrorDescription"].startswith("1004")
    assert (await browse.get("/openapi.json")).json()["openapi"].startswith("3.1")
    assert "html" in (await browse.get("/docs")).headers["content-type"]
