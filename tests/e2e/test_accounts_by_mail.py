"""Forgotten passwords, verified addresses, invitations, and codes by mail (security.md 2, 3, 6)."""

import asyncio
import re
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from gateway import Gateway
from mail_server import MailServer

pytestmark = pytest.mark.e2e
OLD, NEW = "Correct-Horse-9!", "Other-Stable-7?"
PUBLIC = "https://accounts.example.org"


@pytest.fixture(scope="module")
def mail_server(pki_dir):
    with MailServer(pki_dir) as server:
        yield server


@pytest.fixture(scope="module")
def module_gateway(tmp_path_factory, pki_dir, mail_server):
    settings = mail_server.settings | {
        "security.public_url": PUBLIC,
        "security.login_attempts_per_minute": 1000,
    }
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), pki_dir, **settings)
    asyncio.run(gateway.start())
    yield gateway
    assert asyncio.run(gateway.stop()) == 0


async def next_mail(server):
    return await asyncio.to_thread(server.next)


async def login(gateway, email, password, query="", **more):
    body = {"userId": email, "password": password, **more}
    return await gateway.request(
        "POST", f"oauth2{query}", service="security", signed=False, json=body
    )


def code(answer):
    assert answer.status_code == 403, answer.text
    return answer.json()["ErrorCode"]


async def make_user(gateway, email, query="", role="csr"):
    new = {"email": email, "userRole": role, "currentPassword": OLD}
    made = await gateway.request("POST", f"user/0{query}", service="security", json=new)
    assert made.status_code == 200, made.text
    return made.json()


def link_of(message):
    """The query of the link of a mail, and the whole text."""
    text = message.get_content()
    url = re.search(r"https://\S+", text)[0]
    assert url.startswith(f"{PUBLIC}/api/v1/actionLink?"), url
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def page(gateway, link, *, form=None):
    path = f"actionLink?action={link['action']}&id={link['id'] if form is None else ''}"
    method, more = ("GET", {}) if form is None else ("POST", {"data": {"id": link["id"]} | form})
    answer = await gateway.request(method, path, service="security", signed=False, **more)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    return answer.text


@pytest.mark.operation("owsec GET /actionLink", "owsec POST /actionLink")
async def test_a_forgotten_password(shared_gateway, mail_server):
    gateway = shared_gateway
    await make_user(gateway, "forgot@x.org")
    session = (await login(gateway, "forgot@x.org", OLD)).json()
    nobody = await login(gateway, "nobody@x.org", "", "?forgotPassword=true")
    known = await login(gateway, "forgot@x.org", "", "?forgotPassword=true")
    assert known.json() == nobody.json()
    message = await next_mail(mail_server)
    assert message["To"] == "forgot@x.org"
    assert message["From"] == "gw@example.org"
    link = link_of(message)
    assert link["action"] == "password_reset"
    assert "Choose a new password" in await page(gateway, link)
    assert "differ" in await page(gateway, link, form={"password1": NEW, "password2": OLD})
    weak = {"password1": "weak", "password2": "weak"}
    assert "breaks the rules" in await page(gateway, link, form=weak)
    same = {"password1": OLD, "password2": OLD}
    assert "used before" in await page(gateway, link, form=same)
    right = {"password1": NEW, "password2": NEW}
    assert "Password changed" in await page(gateway, link, form=right)
    assert code(await login(gateway, "forgot@x.org", OLD)) == 2
    assert (await login(gateway, "forgot@x.org", NEW)).status_code == 200
    me = await gateway.request(
        "GET", "oauth2?me=true", service="security", signed=False,
        extra_headers={"Authorization": f"Bearer {session['access_token']}"},
    )  # fmt: skip
    assert code(me) == 8
    # It works once; and nothing of it is in the database or the log.
    assert "does not work" in await page(gateway, link, form=right)
    assert "does not work" in await page(gateway, link)
    assert link["id"] not in gateway.log()
    assert mail_server.empty


async def test_a_subscriber_has_links_of_its_own(shared_gateway, mail_server):
    gateway = shared_gateway
    new = {"email": "sub@x.org", "userRole": "subscriber", "currentPassword": OLD}
    await gateway.request("POST", "subuser/0", service="security", json=new)

    async def subscriber(password, query="", **more):
        body = {"userId": "sub@x.org", "password": password, **more}
        return await gateway.request(
            "POST", f"suboauth2{query}", service="security", signed=False, json=body
        )

    await subscriber("", "?forgotPassword=true")
    link = link_of(await next_mail(mail_server))
    assert link["action"] == "sub_password_reset"
    assert "Choose a new password" in await page(gateway, link)
    assert "does not work" in await page(gateway, link | {"action": "password_reset"})
    form = {"password1": NEW, "password2": NEW}
    assert "Password changed" in await page(gateway, link, form=form)
    assert code(await subscriber(OLD)) == 2
    assert (await subscriber(NEW)).status_code == 200


async def test_a_newer_link_replaces_the_older(shared_gateway, mail_server):
    gateway = shared_gateway
    user = await make_user(gateway, "twice@x.org")
    links = []
    for _ in range(2):
        answer = await gateway.request(
            "PUT", f"user/{user['id']}?forgotPassword=true", service="security", json={}
        )
        assert answer.json()["Code"] == 0
        links.append(link_of(await next_mail(mail_server)))
    assert "does not work" in await page(gateway, links[0])
    assert "Choose a new password" in await page(gateway, links[1])
    kept = gateway.sql("SELECT link_hash FROM action_links")
    assert links[1]["id"] not in str(kept)


async def test_an_invitation(shared_gateway, mail_server):
    gateway = shared_gateway
    made = await make_user(gateway, "invited@x.org", "?email_verification=true")
    assert (made["waitingForEmailCheck"], made["validated"]) == (True, False)
    assert code(await login(gateway, "invited@x.org", OLD)) == 4
    link = link_of(await next_mail(mail_server))
    assert link["action"] == "email_verification"
    assert "invited@x.org" in await page(gateway, link)
    # Looking at it is not enough: programs that look through mails do so.
    assert code(await login(gateway, "invited@x.org", OLD)) == 4
    assert "Address confirmed" in await page(gateway, link, form={})
    assert (await login(gateway, "invited@x.org", OLD)).status_code == 200
    shown = await gateway.get(f"user/{made['id']}", service="security")
    assert (shown["waitingForEmailCheck"], shown["validated"]) == (False, True)


async def test_a_link_is_for_its_action_only(shared_gateway, mail_server):
    gateway = shared_gateway
    await make_user(gateway, "action@x.org", "?email_verification=true")
    link = link_of(await next_mail(mail_server))
    wrong = link | {"action": "password_reset"}
    assert "does not work" in await page(gateway, wrong)
    form = {"password1": NEW, "password2": NEW}
    assert "does not work" in await page(gateway, wrong, form=form)


@pytest.mark.parametrize("query", ["", "?action=password_reset", "?action=x&id=%22%3E%3Cscript%3E"])
async def test_any_other_link_is_a_page(shared_gateway, query):
    answer = await shared_gateway.request(
        "GET", f"actionLink{query}", service="security", signed=False
    )
    assert answer.status_code == 200
    assert "does not work" in answer.text
    assert "<script>" not in answer.text


async def set_mfa(gateway, id, enabled, method):
    info = {"mfa": {"enabled": enabled, "method": method}}
    return await gateway.request(
        "PUT", f"user/{id}", service="security", json={"userTypeProprietaryInfo": info}
    )


async def complete(gateway, challenge, answer):
    body = {"uuid": challenge["uuid"], "answer": answer}
    return await login(gateway, "", "", "?completeMFAChallenge=true", **body)


async def test_a_code_by_mail(shared_gateway, mail_server):
    gateway = shared_gateway
    user = await make_user(gateway, "mfa@x.org")
    answer = await set_mfa(gateway, user["id"], True, "email")
    assert answer.json()["userTypeProprietaryInfo"]["mfa"] == {"enabled": True, "method": "email"}
    challenge = (await login(gateway, "mfa@x.org", OLD)).json()
    assert set(challenge) == {"uuid", "created", "question", "method"}
    assert (challenge["method"], challenge["question"]) == ("email", "mfa challenge")
    first = re.search(r"\b\d{6}\b", (await next_mail(mail_server)).get_content())[0]
    again = await login(gateway, "", "", "?resendMFACode=true", uuid=challenge["uuid"])
    assert again.json()["Code"] == 0
    second = re.search(r"\b\d{6}\b", (await next_mail(mail_server)).get_content())[0]
    wrong = f"{(int(second) + 1) % 1_000_000:06}"
    assert code(await complete(gateway, challenge, wrong)) == 12
    token = await complete(gateway, challenge, second)
    assert token.json()["access_token"]
    assert code(await complete(gateway, challenge, second)) == 11
    assert second not in gateway.log()
    assert first not in gateway.log()
    assert await gateway.metric("gw_logins_total", result="success") >= 1


async def test_a_challenge_is_over_after_some_wrong_answers(shared_gateway, mail_server):
    gateway = shared_gateway
    user = await make_user(gateway, "guess@x.org")
    await set_mfa(gateway, user["id"], True, "email")
    challenge = (await login(gateway, "guess@x.org", OLD)).json()
    right = re.search(r"\b\d{6}\b", (await next_mail(mail_server)).get_content())[0]
    wrong = "000000" if right != "000000" else "000001"
    codes = [code(await complete(gateway, challenge, wrong)) for _ in range(6)]
    assert codes == [12, 12, 12, 12, 12, 11]
    assert code(await complete(gateway, challenge, right)) == 11


async def test_a_new_password_waits_for_the_second_factor(shared_gateway, mail_server):
    gateway = shared_gateway
    user = await make_user(gateway, "both@x.org")
    await set_mfa(gateway, user["id"], True, "email")
    challenge = (await login(gateway, "both@x.org", OLD, newPassword=NEW)).json()
    sent = re.search(r"\b\d{6}\b", (await next_mail(mail_server)).get_content())[0]
    assert code(await login(gateway, "both@x.org", NEW)) == 2
    assert (await complete(gateway, challenge, sent)).status_code == 200
    assert code(await login(gateway, "both@x.org", OLD)) == 2


async def test_the_mail_server_fails_for_a_while(shared_gateway, mail_server):
    gateway = shared_gateway
    mail_server.refusals = 2
    await make_user(gateway, "retry@x.org", "?email_verification=true")
    assert (await next_mail(mail_server))["To"] == "retry@x.org"
    assert len(gateway.logged("mail not sent")) == 2
    assert await gateway.wait_metric("gw_mails_total", 1, outcome="sent") >= 1


@pytest.mark.operation("owsec POST /email")
async def test_a_mail_to_try_the_server(shared_gateway, mail_server):
    gateway = shared_gateway

    async def send(**change):
        mail = {"subject": "Try", "text": "It works.", "recipients": ["ops@x.org"]} | change
        return await gateway.request("POST", "email", service="security", json=mail)

    assert (await send()).json()["Code"] == 0
    message = await next_mail(mail_server)
    assert (message["Subject"], message.get_content().strip()) == ("Try", "It works.")
    assert (await send(recipients=["a@x.org\nBcc: b@x.org"])).status_code == 400
    assert (await send(subject="a\nBcc: b@x.org")).status_code == 400
    mail_server.refusals = 1
    assert (await send()).status_code == 503
    assert mail_server.empty


async def test_without_a_mail_server_what_needs_one_is_refused(start_gateway):
    gateway = await start_gateway()
    user = await make_user(gateway, "none@x.org")
    for path in ("forgotPassword", "email_verification"):
        answer = await gateway.request(
            "PUT", f"user/{user['id']}?{path}=true", service="security", json={}
        )
        assert answer.json()["ErrorDescription"].startswith("1085: ")
    refused = await set_mfa(gateway, user["id"], True, "email")
    assert refused.json()["ErrorDescription"].startswith("1085: ")
    forgot = await login(gateway, "none@x.org", "", "?forgotPassword=true")
    assert forgot.status_code == 200
