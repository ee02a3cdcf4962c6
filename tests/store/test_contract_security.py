"""What every store does for the security service, whatever its database."""

import msgspec
import pytest

from gw.store import interface as ops
from gw.store import rows
from gw.store import security_ops as security
from gw.store.errors import BatchError

from .test_contract import full, write


def key(id, user="1", **values):
    values = {"name": f"n{id}", "key_hash": f"h{id}", **values}
    return full(rows.ApiKeyRow, id=id, user_id=user, **values)


async def test_api_keys(store):
    one, two, other = key("b", name="a"), key("a", name="b"), key("c", user="2")
    await write(store, *(security.PutApiKey(row) for row in (two, one, other)))
    assert await store.api_keys("1") == [one, two]
    assert await store.api_key("hb") == one
    assert await store.api_key("hx") is None
    await write(store, security.SetApiKeyUse("b", 77), security.SetApiKeyUse("x", 77))
    assert (await store.api_key("hb")).last_use == 77
    await write(store, security.DeleteApiKey("b", "2"), security.DeleteApiKey("a", "1"))
    assert [row.id for row in await store.api_keys("1")] == ["b"]


async def test_one_key_is_of_one_user(store):
    await write(store, security.PutApiKey(key("a")))
    with pytest.raises(BatchError):
        await write(store, security.PutApiKey(key("b", key_hash="ha")))


async def test_subscribers_are_no_users(store):
    one, two = full(rows.UserRow, id="1", email="b@x"), full(rows.UserRow, id="2", email="a@x")
    await write(store, security.PutSubscriber(one), security.PutSubscriber(two))
    await write(store, security.PutApiKey(key("k")))
    assert await store.subscribers() == [two, one]
    assert await store.subscribers(offset=1, limit=1) == [one]
    assert await store.subscriber("1") == one
    assert await store.subscriber_by_email("a@x") == two
    assert await store.user("1") is None
    assert await store.user_by_email("a@x") is None
    await write(store, security.DeleteSubscriber("1"))
    assert await store.subscriber("1") is None
    assert await store.api_keys("1") == []


def link(id, action="password_reset", user="1", expires=10):
    return rows.ActionLinkRow(link_hash=id, action=action, user_id=user, created=1, expires=expires)


async def test_a_new_link_replaces_those_of_its_kind(store):
    await write(store, *(security.PutActionLink(link(n)) for n in ("a", "b")))
    await write(store, security.PutActionLink(link("c", "email_verification")))
    found = [n for n in "abc" if await store.action_link(n)]
    assert found == ["b", "c"]
    await write(store, security.DeleteActionLinks("1"))
    assert await store.action_link("b") is None


async def test_avatars(store):
    row = rows.AvatarRow(user_id="1", media_type="image/png", image=b"\x89\x00\xff", modified=5)
    await write(store, security.PutAvatar(row))
    assert await store.avatar("1") == row
    await write(store, security.DeleteAvatar("1"))
    assert await store.avatar("1") is None


async def test_secrets(store):
    for name in ("b", "a"):
        await write(store, security.PutSecret(rows.SecretRow(name=name, value=f"v{name}")))
    assert [(row.name, row.value) for row in await store.secrets()] == [("a", "va"), ("b", "vb")]
    await write(store, security.DeleteSecret("a"))
    assert [row.name for row in await store.secrets()] == ["b"]


async def test_a_user_goes_with_all_that_is_the_users(store):
    await write(
        store,
        ops.PutUser(rows.UserRow(id="1", email="a@x")),
        security.PutApiKey(key("a")),
        security.PutApiKey(key("b", user="2")),
        security.PutActionLink(link("l")),
        security.PutAvatar(rows.AvatarRow(user_id="1", media_type="t", image=b"i", modified=5)),
        ops.DeleteUser("1"),
    )
    assert await store.api_keys("1") == []
    assert len(await store.api_keys("2")) == 1
    assert await store.action_link("l") is None
    assert await store.avatar("1") is None


async def test_sessions_of_a_user_oldest_first(store):
    for n in (3, 1, 2):
        row = full(rows.TokenRow, access_hash=f"h{n}", refresh_hash=f"r{n}", user_id="1", created=n)
        await write(store, ops.PutToken(row))
    assert [row.access_hash for row in await store.tokens_of("1")] == ["h1", "h2", "h3"]
    assert await store.tokens_of("2") == []


def entry(n, **values):
    return full(rows.AuditRow, id=0, entry=f"e{n}", recorded=n, result=-1, **values)


async def test_audit_keeps_every_column(store):
    row = entry(5)
    await write(store, security.InsertAudit(row))
    (found,) = await store.audit()
    assert found.id > 0
    assert msgspec.structs.replace(found, id=0) == row


async def test_audit_entries_and_results_are_written_once(store):
    await write(store, security.InsertAudit(entry(1, author="a")))
    await write(store, security.InsertAudit(entry(1, author="b")))
    await write(store, security.SetAuditResult("e1", 7, "no"))
    await write(store, security.SetAuditResult("e1", 0, ""))
    (found,) = await store.audit()
    assert (found.author, found.result, found.detail) == ("a", 7, "no")


async def test_audit_pages_and_conditions(store):
    for n in range(1, 7):
        values = {"author": "ab"[n % 2], "target": f"t{n % 3}"}
        await write(store, security.InsertAudit(entry(n, **values)))

    async def read(**conditions):
        return [row.recorded for row in await store.audit(**conditions)]

    assert await read() == [6, 5, 4, 3, 2, 1]
    first = await store.audit(limit=2)
    assert await read(before=first[-1].id, limit=2) == [4, 3]
    assert await read(author="b") == [5, 3, 1]
    assert await read(target="t0", author="a") == [6]
    assert await read(start=2, end=4) == [4, 3, 2]
    assert await read(end=0, start=6) == [6]
    assert await read(end=3, author="a") == [2]
