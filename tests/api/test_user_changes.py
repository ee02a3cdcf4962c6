import asyncio

import pytest

from gw.store import interface, rows

from .conftest import HASHER, PASSWORD

OTHER = "Other-Horse-8!"
BODY = {
    "email": "Ann@Example.org ",
    "currentPassword": OTHER,
    "userRole": "admin",
    "name": "Ann",
    "description": "night shift",
    "notes": [{"note": "made by a test"}],
}


def number(answer):
    """The numbered error of a refusal."""
    found = answer.json()
    if answer.status_code == 403:
        return found["ErrorCode"]
    return int(found["ErrorDescription"].partition(":")[0])


@pytest.fixture
async def root(security, token):
    """The security listener, signed in as root."""
    security.headers["authorization"] = f"Bearer {token}"
    return security


@pytest.fixture
async def signed_in_as(security, store, sign_in):
    """Make a user of a role and return the header with a token of it."""

    async def make(role, id=""):
        id = id or f"id-{role}-1"
        email = f"{id}@localhost"
        row = rows.UserRow(id=id, email=email, role=role, password=HASHER.hash(PASSWORD))
        await store.commit(interface.Batch([interface.PutUser(row)]))
        token = (await sign_in(id)).json()["access_token"]
        return {"authorization": f"Bearer {token}"}

    return make


@pytest.mark.operation("owsec POST /user/{id}")
async def test_create(root, sign_in):
    answer = await root.post("/user/0", json=BODY)
    made = answer.json()
    assert answer.status_code == 200
    assert (made["email"], made["name"], made["userRole"]) == ("ann@example.org", "Ann", "admin")
    assert made["currentPassword"] == ""
    assert made["validated"] is True
    assert made["description"] == "night shift"
    assert made["notes"][0]["createdBy"] == "root@localhost"
    login = {"userId": "ANN@example.org", "password": OTHER}
    assert (await root.post("/oauth2", json=login)).status_code == 200
    assert number(await root.post("/user/0", json=BODY)) == 1061
    found = (await root.get("/user/ann@example.org?byEmail=true")).json()
    assert found["id"] == made["id"]


@pytest.mark.parametrize(
    ("path", "change", "error"),
    [
        ("/user/1", {}, 1038),
        ("/user/0", {"userRole": "king"}, 1039),
        ("/user/0", {"userRole": None}, 1003),
        ("/user/0", {"email": "nobody"}, 1040),
        ("/user/0", {"email": "a b@c"}, 1040),
        ("/user/0", {"email": "a@" + "b" * 400}, 1040),
        ("/user/0", {"currentPassword": "weak"}, 1047),
        ("/user/0", {"currentPassword": ""}, 1047),
        ("/user/0", {"name": "a\0b"}, 1003),
        ("/user/0", {"name": "x" * 70_000}, 1003),
        ("/user/0?email_verification=true", {}, 1085),
        ("/user/0", {"userTypeProprietaryInfo": {"mfa": {"enabled": True, "method": "x"}}}, 1045),
        ("/user/0", {"userTypeProprietaryInfo": {"mfa": {"enabled": True, "method": "sms"}}}, 1084),
    ],
)
async def test_create_refused(root, path, change, error):
    assert number(await root.post(path, json=BODY | change)) == error
    assert len((await root.get("/users")).json()["users"]) == 3


async def test_two_at_a_time(root):
    both = await asyncio.gather(*(root.post("/user/0", json=BODY) for _ in range(4)))
    assert sorted(one.status_code for one in both) == [200, 400, 400, 400]


@pytest.mark.parametrize(
    ("role", "other", "allowed"),
    [
        ("root", "root", True),
        ("partner", "root", False),
        ("partner", "partner", True),
        ("admin", "partner", False),
        ("admin", "admin", True),
        ("system", "admin", True),
        ("csr", "csr", True),
        ("csr", "admin", False),
        ("installer", "installer", True),
        ("noc", "accounting", False),
        ("subscriber", "subscriber", False),
    ],
)
async def test_who_may_create(security, signed_in_as, role, other, allowed):
    headers = await signed_in_as(role)
    answer = await security.post("/user/0", json=BODY | {"userRole": other}, headers=headers)
    assert (answer.status_code == 200) is allowed
    if not allowed:
        assert number(answer) == 7


@pytest.mark.operation("owsec PUT /user/{id}")
async def test_change(root, store):
    change = {"name": "C", "description": "d", "notes": [{"note": "n"}], "changePassword": True}
    found = (await root.put("/user/id-csr", json=change)).json()
    assert (found["id"], found["name"], found["description"]) == ("id-csr", "C", "d")
    assert found["changePassword"] is True
    again = (await root.put("/user/id-csr", json={"notes": [{"note": "o"}]})).json()
    assert [note["note"] for note in again["notes"]] == ["n", "o"]
    assert number(await root.put("/user/nobody", json={})) == 404
    assert number(await root.put("/user/id-csr", json={"userRole": "king"})) == 1039
    assert (await root.put("/user/id-csr?resetMFA=true", json={})).status_code == 200
    assert number(await root.put("/user/id-csr?forgotPassword=true", json={})) == 1085


async def test_nobody_lifts_a_user_above_themselves(security, signed_in_as, root):
    admin = await signed_in_as("admin")
    for role in ("root", "partner"):
        answer = await security.put("/user/id-csr", json={"userRole": role}, headers=admin)
        assert number(answer) == 7
    csr = await signed_in_as("csr")
    answer = await security.put("/user/id-csr", json={"userRole": "admin"}, headers=csr)
    assert number(answer) == 7
    # One's own role is for nobody to change, and root is for root to touch.
    own = await security.put("/user/id-admin-1", json={"userRole": "csr"}, headers=admin)
    assert number(own) == 7
    assert number(await security.put("/user/id-root", json={"name": "x"}, headers=admin)) == 7
    assert number(await root.put("/user/id-root", json={"userRole": "admin"})) == 7


async def test_new_password_ends_the_other_sessions(root, sign_in, token, security):
    csr = {"authorization": f"Bearer {(await sign_in('csr')).json()['access_token']}"}
    assert number(await root.put("/user/id-csr", json={"currentPassword": "weak"})) == 1047
    assert number(await root.put("/user/id-csr", json={"currentPassword": PASSWORD})) == 1041
    assert (await root.put("/user/id-csr", json={"currentPassword": OTHER})).status_code == 200
    assert number(await security.get("/oauth2?me=true", headers=csr)) == 8
    assert number(await sign_in("csr")) == 2
    assert (await sign_in("csr", password=OTHER)).status_code == 200
    assert number(await root.put("/user/id-csr", json={"currentPassword": PASSWORD})) == 1041
    # One's own session stays; the others of oneself end.
    elsewhere = {"authorization": f"Bearer {(await sign_in()).json()['access_token']}"}
    assert (await root.put("/user/id-root", json={"currentPassword": OTHER})).status_code == 200
    assert (await root.get("/oauth2?me=true")).status_code == 200
    assert number(await security.get("/oauth2?me=true", headers=elsewhere)) == 8


async def test_suspension_ends_sessions_at_once(root, sign_in, security):
    csr = {"authorization": f"Bearer {(await sign_in('csr')).json()['access_token']}"}
    assert (await security.get("/oauth2?me=true", headers=csr)).status_code == 200
    assert (await root.put("/user/id-csr", json={"suspended": True})).json()["suspended"] is True
    assert number(await security.get("/oauth2?me=true", headers=csr)) == 8
    assert number(await sign_in("csr")) == 15
    assert (await root.put("/user/id-csr", json={"suspended": False})).status_code == 200
    assert (await sign_in("csr")).status_code == 200


async def test_a_new_role_holds_at_once(root, sign_in, security):
    csr = {"authorization": f"Bearer {(await sign_in('csr')).json()['access_token']}"}
    assert number(await security.get("/users", headers=csr)) == 7
    await root.put("/user/id-csr", json={"userRole": "admin"})
    assert (await security.get("/users", headers=csr)).status_code == 200


@pytest.mark.operation("owsec DELETE /user/{id}")
async def test_delete(root, security, sign_in, signed_in_as, token):
    csr = {"authorization": f"Bearer {(await sign_in('csr')).json()['access_token']}"}
    other = await signed_in_as("csr", "id-csr-2")
    assert number(await security.delete("/user/id-csr-2", headers=csr)) == 7
    gone = await security.delete("/user/id-csr", headers=csr)
    assert (gone.status_code, gone.content) == (200, b"")
    assert number(await security.get("/oauth2?me=true", headers=csr)) == 8
    assert number(await root.delete("/user/id-csr")) == 404
    assert number(await root.delete("/user/id-root")) == 7
    assert (await root.delete("/user/id-csr-2")).status_code == 200
    assert number(await security.get("/oauth2?me=true", headers=other)) == 8


@pytest.mark.operation("owsec GET /wwwassets/{id}")
async def test_policy_pages(security):
    for name in ("password_policy", "access_policy"):
        answer = await security.get(f"https://gw.example:16001/wwwassets/{name}.html")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    rules = (await security.post("/oauth2?requirements=true", json={})).json()
    for member in ("accessPolicy", "passwordPolicy"):
        found = await security.get("https://gw.example:16001" + rules[member])
        assert found.status_code == 200
