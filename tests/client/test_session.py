"""Signing in and trying again: the conversation, without a gateway."""

import json

import pytest

from gw.client.call import Call, Reply, member, nothing, path
from gw.client.calls import commands, devices
from gw.client.errors import ApiError, UnexpectedAnswerError, UnreachableError
from gw.client.options import Options
from gw.client.session import Enter, Fault, Pause, Send, Session

READ = devices.device_count()
CHANGE = devices.delete_device("02a0f2000001")
COUNT = Reply(200, {}, b'{"count":3}')
REFUSED = OSError("no route")


def session(**more):
    given = {"url": "https://gw.test:16002", "token": "t0"} | more
    return Session(Options(**given))


def by_password(**more):
    return session(token="", user="a@x", password="Secret-1!", **more)


def failed(status, code, text, **headers):
    document = {"ErrorCode": code, "ErrorDetails": "GET", "ErrorDescription": text}
    return Reply(status, headers, json.dumps(document).encode())


def play(steps, *told):
    """Tell the conversation what came of each step; return the steps and what it led to."""
    seen = []
    answers = iter(told)
    step = next(steps)
    while True:
        seen.append(step)
        came = next(answers) if isinstance(step, Send) else None
        try:
            step = steps.send(came)
        except StopIteration as end:
            return seen, end.value
        except Exception as error:
            return seen, error


def sent(steps):
    return [one for one in steps if isinstance(one, Send)]


def test_a_call_is_sent_once_with_its_token():
    steps, count = play(session().perform(READ), COUNT)
    assert count == 3
    (request,) = steps
    assert request.url == "https://gw.test:16002/api/v1/devices"
    assert request.params == {"countOnly": "true"}
    assert request.headers["Authorization"] == "Bearer t0"


def test_an_api_key_is_shown_instead_of_a_token():
    steps, _ = play(session(token="", api_key="k1").perform(READ), COUNT)
    assert steps[0].headers["X-API-KEY"] == "k1"
    assert "Authorization" not in steps[0].headers


@pytest.mark.parametrize(
    "broken", [Fault(REFUSED, False), Reply(503, {}, b""), Reply(502, {}, b"")]
)
def test_a_reading_call_is_tried_again_with_growing_pauses(broken):
    steps, count = play(session().perform(READ), broken, broken, COUNT)
    assert count == 3
    pauses = [one.seconds for one in steps if isinstance(one, Pause)]
    assert 0.2 <= pauses[0] <= 0.4 <= pauses[1] <= 0.8


def test_tries_are_bounded():
    steps, error = play(session(retries=1).perform(READ), *[Fault(REFUSED, True)] * 5)
    assert isinstance(error, UnreachableError)
    assert "no route" in str(error)
    assert len(sent(steps)) == 2


@pytest.mark.parametrize("broken", [Fault(REFUSED, False), Reply(503, {}, b"")])
def test_what_may_have_been_done_is_not_done_twice(broken):
    steps, error = play(session().perform(CHANGE), broken, COUNT)
    assert isinstance(error, (UnreachableError, ApiError))
    assert len(sent(steps)) == 1


def test_a_change_that_never_left_is_tried_again():
    steps, error = play(session().perform(CHANGE), Fault(REFUSED, True), Reply(200, {}, b""))
    assert error is None
    assert len(sent(steps)) == 2


def test_a_limit_is_waited_for_also_with_changes():
    limited = failed(403, 10, "10: Too many requests.", **{"retry-after": "7"})
    steps, error = play(session().perform(CHANGE), limited, Reply(200, {}, b""))
    assert error is None
    assert [one.seconds for one in steps if isinstance(one, Pause)] == [7]


def test_a_limit_that_lasts_too_long_is_told():
    limited = failed(403, 10, "10: Too many requests.", **{"retry-after": "70"})
    steps, error = play(session().perform(READ), limited)
    assert (error.number, error.status, error.retry_after) == (10, 403, 70)
    assert len(steps) == 1


def test_the_first_call_signs_in_and_an_ended_session_is_renewed_once():
    client = by_password()
    steps = client.perform(READ)
    assert next(steps) == Enter("")
    client.access = "t1"
    assert steps.send(None).headers["Authorization"] == "Bearer t1"
    gone = failed(403, 9, "9: The access token has expired.")
    assert steps.send(gone) == Enter("t1")
    client.access = "t2"
    assert steps.send(None).headers["Authorization"] == "Bearer t2"
    with pytest.raises(ApiError) as caught:
        steps.send(gone)
    assert caught.value.number == 9


def token(access, refresh):
    return Reply(200, {}, json.dumps({"access_token": access, "refresh_token": refresh}).encode())


def test_a_session_is_refreshed_and_signed_in_anew_when_that_is_refused():
    client = by_password()
    steps, _ = play(client.enter(), token("a1", "r1"))
    assert json.loads(steps[0].body) == {"userId": "a@x", "password": "Secret-1!"}
    assert steps[0].url == "https://gw.test:16001/api/v1/oauth2"
    steps, _ = play(client.enter(), token("a2", "r2"))
    assert steps[0].params == {"grant_type": "refresh_token"}
    assert json.loads(steps[0].body) == {"refreshToken": "r1"}
    assert steps[0].headers["Authorization"] == "Bearer a1"
    refused = failed(403, 14, "14: The refresh token is not accepted.")
    steps, _ = play(client.enter(), refused, token("a3", "r3"))
    assert len(steps) == 2
    assert client.access == "a3"


def test_a_wrong_password_and_a_second_factor_are_told():
    _, error = play(by_password().enter(), failed(403, 2, "2: Unknown user or wrong password."))
    assert (error.number, error.status) == (2, 403)
    challenge = Reply(200, {}, b'{"method":"email","uuid":"u","created":1}')
    _, error = play(by_password().enter(), challenge)
    assert isinstance(error, UnexpectedAnswerError)
    assert "second factor" in str(error)


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        (failed(400, 400, "1018: A parameter is wrong: limit."), 1018),
        (failed(404, 404, "404: The resource does not exist."), 404),
        (failed(403, 7, "7: The role does not allow this."), 7),
        (Reply(413, {}, b"<html>too large</html>"), 413),
        (Reply(400, {}, b""), 400),
    ],
)
def test_errors_have_their_number(reply, number):
    _, error = play(session().perform(CHANGE), reply)
    assert isinstance(error, ApiError)
    assert (error.number, error.status) == (number, reply.status)
    assert error.text


@pytest.mark.parametrize("body", [b"", b"[]", b'{"count":"3"}', b"{}", b"\xff"])
def test_an_answer_of_another_shape_is_told(body):
    _, error = play(session().perform(READ), Reply(200, {}, body))
    assert isinstance(error, UnexpectedAnswerError)


def test_commands_wait_as_long_as_the_gateway():
    waits = [
        next(session(timeout=10).perform(call)).timeout
        for call in (READ, commands.leds("02a0f2000001", "on"), commands.trace("02a0f2000001"))
    ]
    assert waits == [10, 130, 310]


def test_no_secret_is_shown():
    client = by_password()
    steps, _ = play(client.enter(), token("AAAA", "RRRR"))
    shown = f"{steps}{client._options}{vars(client)['_options']!r}{Enter('AAAA')}"
    assert "Secret-1!" not in shown
    assert "AAAA" not in shown


@pytest.mark.parametrize("part", ["", ".", ".."])
def test_paths_keep_their_shape(part):
    with pytest.raises(ValueError, match="path"):
        path("device", part)
    assert path("a/b?c", "é") == "a%2Fb%3Fc/%C3%A9"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"url": "gw.test"}, "url"),
        ({"api_key": "k"}, "one of"),
        ({"token": ""}, "one of"),
        ({"retries": -1}, "retries"),
        ({"security_url": "ftp://x"}, "security_url"),
    ],
)
def test_wrong_options_are_named(options, named):
    with pytest.raises(ValueError, match=named):
        session(**options)


def test_configurations_go_to_the_letter():
    text = '{"a": 1.50,  "b": 9007199254740993}'
    call = devices.configure("02a0f2000001", text)
    assert text.encode() in call.body
    with pytest.raises(ValueError, match="not JSON"):
        devices.configure("02a0f2000001", "{")


def test_a_file_name_leads_nowhere_else():
    call: Call[commands.File | None] = commands.file("u", "02a0f2000001")
    headers = {"content-disposition": "attachment; filename=../../etc/x.pcap"}
    found = call.read(Reply(200, headers, b"abc"))
    assert found == commands.File("x.pcap", b"abc")
    assert call.read(Reply(202, {}, b"")) is None
    assert nothing(COUNT) is None
    assert member("count", int)(COUNT) == 3
