"""The rules that keep a device on its stored configuration."""

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gw.core.ids import MAX_CONFIG_UUID
from gw.protocol import configuration as rules
from gw.protocol import jsonrpc
from gw.protocol.configuration import (
    Adopt,
    Facts,
    Hold,
    InStep,
    Probe,
    Report,
    ResendPolicy,
    Result,
    Send,
    Source,
    Verdict,
    Wait,
)

POLICY = ResendPolicy(at_once=3, first_delay=30.0, max_delay=3600.0, limit=6)
NOW = 1_000.0
A, B, C = "a" * 32, "b" * 32, "c" * 32

STORED = {"config_uuid": 100, "config_hash": A}
PENDING = STORED | {"pending_uuid": 200, "pending_hash": B}
REFUSED = STORED | {"rejected_uuid": 100, "rejected_hash": A}
REFUSED_CHANGE = STORED | {"rejected_uuid": 200, "rejected_hash": B}
SUBSTITUTED = STORED | {"rejected_uuid": 100, "rejected_hash": "", "applied_hash": C}
SWITCH = {"is_switch": True}
FLYING = {"in_flight": True, "sends": 1, "last_sent": NOW}

CONNECT, STATE, HEALTH = Source.CONNECT, Source.STATE, Source.HEALTHCHECK
RESULT, OTHER = Source.RESULT, Source.OTHER

DECISIONS = [
    # What is not managed
    ("nothing stored", {}, (1, "", CONNECT), Hold(rules.HOLD_NOTHING)),
    ("quarantine", PENDING | {"quarantined": True}, (1, "", CONNECT), Hold(rules.HOLD_QUARANTINED)),
    ("firmware too old", STORED | {"barred": "old"}, (1, "", CONNECT), Hold("old")),
    ("in step with a firmware too old", STORED | {"barred": "old"}, (100, "", STATE), InStep()),
    ("adopted with a firmware too old", PENDING | {"barred": "old"}, (200, "", STATE), Adopt()),
    ("uuid 0 at connect", STORED, (0, "", CONNECT), Hold(rules.HOLD_UNMANAGED)),
    ("uuid 0 at connect, change waiting", PENDING, (0, "", CONNECT), Hold(rules.HOLD_UNMANAGED)),
    ("uuid 0 in a state says nothing", STORED | SWITCH, (0, "", STATE), Wait()),
    ("uuid 0 in a healthcheck", STORED, (0, "", HEALTH), Wait()),
    # In step
    ("same uuid, no hash", STORED, (100, "", STATE), InStep()),
    ("same uuid and hash", STORED, (100, A, STATE), InStep()),
    ("in step while an answer is due", STORED | FLYING, (100, A, STATE), InStep()),
    ("in step after sends", STORED | {"sends": 5}, (100, "", STATE), InStep()),
    ("switch in step", STORED | SWITCH, (100, "", STATE), InStep()),
    ("a change was refused, the stored one runs", REFUSED_CHANGE, (100, "", STATE), InStep()),
    # A change under way
    ("pending uuid at connect", PENDING, (200, "", CONNECT), Adopt()),
    ("pending uuid in a state", PENDING, (200, "", STATE), Adopt()),
    ("pending uuid in a ping", PENDING, (200, "", OTHER), Adopt()),
    ("pending uuid and hash", PENDING, (200, B, STATE), Adopt()),
    ("pending uuid after the last send", PENDING | {"sends": 6}, (200, "", STATE), Adopt()),
    ("pending uuid, other hash", PENDING, (200, A, CONNECT), Send(1000, "hash")),
    ("pending not sent yet", PENDING, (100, "", CONNECT), Send(200, "connect")),
    ("pending not sent yet, drift", PENDING, (50, "", STATE), Send(200, "drift")),
    ("the answer is late, the report is here", PENDING | FLYING, (200, "", STATE), Adopt()),
    ("the answer is to come, old uuid", PENDING | FLYING, (100, "", STATE), Wait()),
    ("drift while an answer is due", STORED | FLYING, (50, "", STATE), Wait()),
    # A switch names the id last asked for in its state, also if it refused it
    ("switch: pending in a state", PENDING | SWITCH, (200, "", STATE), Probe()),
    ("switch: pending in a state with hash", PENDING | SWITCH, (200, B, STATE), Adopt()),
    ("switch: pending at connect", PENDING | SWITCH, (200, "", CONNECT), Adopt()),
    ("switch: pending in a healthcheck", PENDING | SWITCH, (200, "", HEALTH), Adopt()),
    ("switch: pending in a result", PENDING | SWITCH, (200, "", RESULT), Adopt()),
    ("switch: resent, not answered", STORED | SWITCH | {"sends": 1}, (100, "", STATE), Probe()),
    ("switch: refused what its state names", REFUSED | SWITCH, (100, "", STATE),
     Hold(rules.HOLD_REJECTED)),
    ("switch: refused, state with hash", REFUSED | SWITCH, (100, A, STATE), InStep()),
    ("switch: refused once, active now", REFUSED | SWITCH, (100, "", RESULT), InStep()),
    ("switch: refused change, its state names it", REFUSED_CHANGE | SWITCH, (200, "", STATE),
     Hold(rules.HOLD_REJECTED_ID)),
    # Refused and unchanged
    ("refused", REFUSED, (50, "", CONNECT), Hold(rules.HOLD_REJECTED)),
    ("refused, whatever uuid", REFUSED, (70, C, STATE), Hold(rules.HOLD_REJECTED)),
    ("refused, ahead", REFUSED, (500, "", STATE), Hold(rules.HOLD_REJECTED)),
    ("refused, then applied after all", REFUSED, (100, "", STATE), InStep()),
    ("refused id, stored content", REFUSED_CHANGE, (200, A, STATE), Hold(rules.HOLD_REJECTED_ID)),
    ("refused id and content", REFUSED_CHANGE, (200, B, STATE), Hold(rules.HOLD_REJECTED_ID)),
    ("refused id, other content", REFUSED_CHANGE, (200, C, STATE), Send(1000, "ahead")),
    ("other content than refused", REFUSED_CHANGE, (50, "", STATE), Send(100, "drift")),
    # Applied with substitutions
    ("substituted", SUBSTITUTED, (100, C, STATE), InStep()),
    ("substituted, no hash ever", SUBSTITUTED | {"applied_hash": ""}, (100, C, STATE), InStep()),
    ("substituted, changed since", SUBSTITUTED, (100, B, STATE), Send(1000, "hash")),
    ("substituted, other uuid", SUBSTITUTED, (50, C, STATE), Send(100, "drift")),
    ("substituted, a change waits", SUBSTITUTED | PENDING, (100, C, STATE), Send(200, "drift")),
    # Drift
    ("older uuid at connect", STORED, (50, "", CONNECT), Send(100, "connect")),
    ("older uuid", STORED, (50, "", STATE), Send(100, "drift")),
    ("factory state", STORED, (1, "", CONNECT), Send(100, "connect")),
    ("same uuid, other content", STORED, (100, C, STATE), Send(1000, "hash")),
    ("ahead", STORED, (500, "", STATE), Send(1000, "ahead")),
    ("ahead of the clock", STORED, (5000, "", CONNECT), Send(5001, "ahead")),
    # No id is left that an access point can follow
    ("last id", STORED, (MAX_CONFIG_UUID - 1, "", STATE), Send(MAX_CONFIG_UUID, "ahead")),
    ("no id left", STORED, (MAX_CONFIG_UUID, "", STATE), Hold(rules.HOLD_IDS)),
    ("beyond 31 bits", STORED, (2**63 - 1, "", STATE), Hold(rules.HOLD_IDS)),
    ("no id left for a retry", {"config_uuid": MAX_CONFIG_UUID, "config_hash": A, "sends": 1},
     (50, "", STATE), Hold(rules.HOLD_IDS)),
    # Resends take a new id, grow apart, and end
    ("second send", STORED | {"sends": 1, "last_sent": NOW}, (50, "", STATE), Send(1000, "retry")),
    ("second send, ids ahead", {"config_uuid": 4000, "sends": 1}, (50, "", STATE),
     Send(4001, "retry")),
    ("fourth send too early", STORED | {"sends": 3, "last_sent": NOW - 29}, (50, "", STATE),
     Hold(rules.HOLD_SPACED)),
    ("fourth send", STORED | {"sends": 3, "last_sent": NOW - 30}, (50, "", STATE),
     Send(1000, "retry")),
    ("fifth send too early", STORED | {"sends": 4, "last_sent": NOW - 59}, (50, "", STATE),
     Hold(rules.HOLD_SPACED)),
    ("fifth send", STORED | {"sends": 4, "last_sent": NOW - 60}, (50, "", STATE),
     Send(1000, "retry")),
    ("fourth send, sent by a clock that was put back", STORED | {"sends": 3, "last_sent": NOW + 30},
     (50, "", STATE), Send(1000, "retry")),
    ("no send left", STORED | {"sends": 6}, (50, "", STATE), Hold(rules.HOLD_LIMIT)),
    ("no send left for a change", PENDING | {"sends": 6}, (50, "", STATE), Hold(rules.HOLD_LIMIT)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "report", "expected"),
    [row[1:] for row in DECISIONS],
    ids=[row[0] for row in DECISIONS],
)
def test_decide(facts, report, expected):
    assert rules.decide(Report(*report), Facts(**facts), POLICY, NOW) == expected


HASHES = st.sampled_from(["", A, B, C])
IDS = st.one_of(st.integers(0, 6), st.integers(MAX_CONFIG_UUID - 2, MAX_CONFIG_UUID))
ANY_FACTS = st.builds(
    Facts,
    config_uuid=IDS,
    config_hash=HASHES,
    pending_uuid=IDS,
    pending_hash=HASHES,
    rejected_uuid=IDS,
    rejected_hash=HASHES,
    applied_hash=HASHES,
    sends=st.integers(0, 10),
    last_sent=st.floats(0, 5000),
    in_flight=st.booleans(),
    is_switch=st.booleans(),
    quarantined=st.booleans(),
)
ANY_REPORT = st.builds(
    Report, IDS | st.integers(0, 2**63 - 1), HASHES, st.sampled_from(list(Source))
)


@given(ANY_REPORT, ANY_FACTS, st.floats(0, 5000) | st.just(float(MAX_CONFIG_UUID + 1)))
def test_what_decide_never_does(report, facts, now):
    before = msgspec.structs.replace(facts)
    action = rules.decide(report, facts, POLICY, now)
    assert facts == before
    if isinstance(action, Send):
        assert report.uuid < action.uuid <= MAX_CONFIG_UUID
        assert action.uuid >= facts.target_uuid > 0
        assert not facts.in_flight
        assert not facts.quarantined
        assert not (facts.rejected_hash and facts.rejected_hash == facts.target_hash)
        assert facts.sends < POLICY.limit
        if facts.sends:
            assert action.uuid > facts.target_uuid
    if isinstance(action, Adopt | Probe | InStep):
        assert report.uuid == facts.target_uuid
        assert report.hash in ("", facts.target_hash) or facts.substituted
    if isinstance(action, Adopt):
        assert facts.pending_uuid


class Loop:
    """A device and the facts about it, kept as the keeper keeps them."""

    def __init__(self, refuses: bool, *, pending: bool, **facts: object) -> None:
        self.refuses = refuses
        self.facts = Facts(**((PENDING if pending else STORED) | facts))
        self.now = NOW
        self.sent: list[tuple[float, int]] = []

    def step(self, seconds: float, uuid: int, source: Source) -> None:
        self.now += seconds
        facts = self.facts
        action = rules.decide(Report(uuid, "", source), facts, POLICY, self.now)
        if not isinstance(action, Send):
            return
        self.sent.append((self.now, action.uuid))
        facts.sends += 1
        facts.last_sent = self.now
        if facts.pending_uuid:
            facts.pending_uuid = action.uuid
        else:
            facts.config_uuid = action.uuid
        if self.refuses:
            answer = Result(uuid, "", 2, "no", [])
            assert rules.settle(answer, action.uuid) is Verdict.REFUSED
            facts.rejected_uuid, facts.rejected_hash = action.uuid, facts.target_hash
            facts.sends = 0
            if facts.pending_uuid:
                facts.pending_uuid, facts.pending_hash = 0, ""


STEPS = st.lists(
    st.tuples(st.integers(0, 5000), st.sampled_from([1, 50, 5_000_000]), st.sampled_from(Source)),
    min_size=30, max_size=80,
)  # fmt: skip


@given(STEPS, st.booleans(), st.booleans())
@example([(0, 1, STATE)] * 80, False, False)
@example([(5000, 1, CONNECT)] * 80, True, False)
def test_device_that_ignores_what_it_is_sent_gets_a_bounded_number(steps, pending, is_switch):
    loop = Loop(False, pending=pending, is_switch=is_switch)
    for step in steps:
        loop.step(*step)
    assert 1 <= len(loop.sent) <= POLICY.limit
    ids = [uuid for _, uuid in loop.sent]
    assert ids == sorted(set(ids))
    for number, ((earlier, _), (later, _)) in enumerate(
        zip(loop.sent, loop.sent[1:], strict=False), start=1
    ):
        assert later - earlier >= POLICY.delay(number)


@given(STEPS, st.booleans(), st.booleans())
def test_device_that_refuses_is_sent_each_content_once(steps, pending, is_switch):
    loop = Loop(True, pending=pending, is_switch=is_switch)
    for step in steps:
        loop.step(*step)
    # The change, and after its refusal the stored one, if the device does not run that.
    assert 1 <= len(loop.sent) <= 2 if pending else len(loop.sent) == 1


def test_switch_that_refused_is_not_sent_again_by_turns():
    """Its state names the refused id, its healthcheck the one that is active."""
    loop = Loop(True, pending=False, is_switch=True)
    loop.step(0, 50, CONNECT)
    for _ in range(20):
        loop.step(60, loop.facts.config_uuid, STATE)
        loop.step(60, 50, HEALTH)
    assert len(loop.sent) == 1


@pytest.mark.parametrize(
    ("sends", "delay"), [(0, 0), (2, 0), (3, 30), (4, 60), (9, 1920), (10, 3600), (10**6, 3600)]
)
def test_delay(sends, delay):
    assert POLICY.delay(sends) == delay


@pytest.mark.parametrize(
    ("now", "used", "expected"),
    [
        (1000.9, (), 1000),
        (1000, (999,), 1000),
        (1000, (1000,), 1001),
        (1000, (7, 2000, 3), 2001),
        (1000, (MAX_CONFIG_UUID - 1,), MAX_CONFIG_UUID),
    ],
)
def test_next_uuid(now, used, expected):
    assert rules.next_uuid(now, *used) == expected


@pytest.mark.parametrize(("now", "used"), [(1000, (MAX_CONFIG_UUID,)), (MAX_CONFIG_UUID + 1, ())])
def test_next_uuid_ends(now, used):
    with pytest.raises(OverflowError, match="2147483648"):
        rules.next_uuid(now, *used)


ONE = [rules.Rejection(reason="no")]


@pytest.mark.parametrize(
    ("error", "uuid", "rejections", "verdict"),
    [
        (0, 200, [], Verdict.APPLIED),
        (0, -1, [], Verdict.APPLIED),
        (0, 100, [], Verdict.APPLIED),
        (0, 200, ONE, Verdict.SUBSTITUTED),
        (1, 200, ONE, Verdict.SUBSTITUTED),
        (1, 200, [], Verdict.SUBSTITUTED),
        (1, 0, [], Verdict.REFUSED),
        (1, 100, ONE, Verdict.REFUSED),
        (1, -1, [], Verdict.REFUSED),
        (2, 200, [], Verdict.REFUSED),
        (2, 0, ONE, Verdict.REFUSED),
        (255, 200, [], Verdict.REFUSED),
        (-1, 200, [], Verdict.REFUSED),
    ],
)
def test_settle(error, uuid, rejections, verdict):
    assert rules.settle(Result(uuid, "", error, "", rejections), 200) is verdict


def answer(result: str) -> bytes:
    return b'{"jsonrpc":"2.0","id":4,"result":%s}' % result.encode()


@pytest.mark.parametrize(
    ("result", "uuid", "error", "text"),
    [
        ('{"serial":"a","uuid":7,"status":{"error":0,"text":"Success"}}', 7, 0, "Success"),
        ('{"status":{"text":"","error":0},"uuid":7,"id":4,"serial":"a"}', 7, 0, ""),
        ('{"uuid":7,"status":{"error":0}}', 7, 0, ""),
        ('{"status":{"error":2,"text":"x"}}', -1, 2, "x"),
        ('{"uuid":"7","status":{"error":0}}', -1, 0, ""),
        ('{"uuid":null,"status":{"error":0}}', -1, 0, ""),
        ('{"uuid":7.0,"status":{"error":0.0}}', 7, 0, ""),
        ('{"uuid":-9.223372036854776e+18,"status":{"error":0}}', -(2**63), 0, ""),
        ('{"uuid":1e30,"status":{"error":0}}', -1, 0, ""),
        ('{"status":{"error":1,"text":["a: no","b: no"]}}', -1, 1, "a: no; b: no"),
        ('{"status":{"error":1,"text":null}}', -1, 1, ""),
        ('{"status":{"error":1,"text":{"why":1}}}', -1, 1, '{"why":1}'),
        ('{"status":{"error":1,"text":7}}', -1, 1, "7"),
    ],
)
def test_read_result(result, uuid, error, text):
    found = rules.read_result(answer(result))
    assert (found.uuid, found.error, found.text, found.rejections) == (uuid, error, text, [])


def test_read_result_of_an_agent_that_tells_the_hash():
    found = rules.read_result(answer(f'{{"uuid":7,"config_hash":"{A}","status":{{"error":0}}}}'))
    assert found.hash == A


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ('{"code":-32601,"message":"Method not found"}', "Method not found"),
        ('{"code":-32601}', "JSON-RPC error -32601"),
        ('{"code":-1,"message":null}', "JSON-RPC error -1"),
    ],
)
def test_json_rpc_error_is_a_refusal(error, text):
    found = rules.read_result(b'{"jsonrpc":"2.0","id":4,"error":%s}' % error.encode())
    assert rules.settle(found, 7) is Verdict.REFUSED
    assert found.text == text


@pytest.mark.parametrize(
    "message",
    [
        answer("{}"),
        answer("null"),
        answer('"Success"'),
        answer("[]"),
        answer('{"uuid":7}'),
        answer('{"uuid":7,"status":null}'),
        answer('{"uuid":7,"status":{}}'),
        answer('{"uuid":7,"status":{"error":null}}'),
        answer('{"uuid":7,"status":{"error":"0"}}'),
        answer('{"uuid":7,"status":{"error":true}}'),
        answer('{"uuid":7,"status":{"error":1e300}}'),
        answer('{"uuid":[7],"status":{"error":0}}'),
        answer('{"status":{"error":0,"text":1e999}}'),
        answer('{"status":{"error":0,"text":' + "[" * 50_000 + "]" * 50_000 + "}}"),
        b'{"jsonrpc":"2.0","id":4,"error":null}',
        b'{"jsonrpc":"2.0","id":4,"error":"no"}',
        b'{"jsonrpc":"2.0","id":4,"error":{"code":"x"}}',
        b'{"jsonrpc":"2.0","id":4}',
    ],
)
def test_answers_that_say_nothing_usable(message):
    assert rules.read_result(message) is None


OBJECT = '{"parameter":{"channel":165},"reason":"radar","substitution":36}'
READ = ({"channel": 165}, "radar", 36)


@pytest.mark.parametrize(
    ("rejected", "expected"),
    [
        ("[]", []),
        ("null", []),
        (f"[{OBJECT}]", [READ]),
        (OBJECT, [READ]),
        ('["no radio","no port"]', [(None, "no radio", None), (None, "no port", None)]),
        ('"no radio"', [(None, "no radio", None)]),
        (f'["no radio",{OBJECT}]', [(None, "no radio", None), READ]),
        ('[{"parameter":5,"reason":7}]', [(None, '{"parameter":5,"reason":7}', None)]),
        ("[7]", [(None, "7", None)]),
    ],
)
@pytest.mark.parametrize(
    "form", ['{"status":{"error":1,"rejected":%s}}', '{"status":{"error":1},"rejected":%s}']
)
def test_rejections(form, rejected, expected):
    found = rules.read_result(answer(form % rejected)).rejections
    assert [
        (
            json.loads(bytes(one.parameter)),
            one.reason,
            None if one.substitution is msgspec.UNSET else json.loads(bytes(one.substitution)),
        )
        for one in found
    ] == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["status", "error", "text", "rejected", "uuid", "code", "reason"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.fixed_dictionaries({}, optional={"result": JSON, "error": JSON}))
def test_what_parse_takes_can_be_read(members):
    message = json.dumps({"jsonrpc": "2.0", "id": 4} | members).encode()
    try:
        jsonrpc.parse(message)
    except jsonrpc.MalformedMessageError:
        return  # Infinity, lone surrogates
    found = rules.read_result(message)
    uuid, _ = rules.read_active(message)
    assert uuid >= 0
    if found is not None:
        assert isinstance(rules.settle(found, 7), Verdict)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ('{"uuid":7}', (7, "")),
        (f'{{"uuid":7.0,"config_hash":"{A}"}}', (7, A)),
        ('{"uuid":-5}', (0, "")),
        ('{"uuid":"7"}', (0, "")),
        ('{"uuid":{}}', (0, "")),
        ('{"status":{"error":0}}', (0, "")),
        ("[]", (0, "")),
        ("null", (0, "")),
    ],
)
def test_read_active(result, expected):
    assert rules.read_active(answer(result)) == expected


def test_read_active_of_an_error():
    assert rules.read_active(b'{"jsonrpc":"2.0","id":4,"error":{"code":1}}') == (0, "")


SPELLINGS = b'{"uuid":9,"a":1.0,"b":1e0,"c":-0,"d":12345678901234567890123.50,"e":{"uuid":3}}'


def test_numbers_keep_their_spelling():
    assert rules.without_uuid(SPELLINGS) == SPELLINGS.replace(b'"uuid":9,', b"")
    assert rules.with_uuid(SPELLINGS, 77) == SPELLINGS.replace(b'"uuid":9,', b'"uuid":77,')


@pytest.mark.parametrize("document", ["{}", '{"uuid":1}', '{"a":[ 1,2 ],"uuid":"x"}'])
def test_uuid_is_set_and_taken_away(document):
    members = json.loads(document)
    members.pop("uuid", None)
    assert json.loads(rules.without_uuid(document.encode())) == members
    marked = rules.with_uuid(document, 5)
    assert json.loads(marked) == {"uuid": 5} | members
    assert marked.startswith(b'{"uuid":5')
    assert rules.without_uuid(marked) == rules.without_uuid(document.encode())


def test_configure_params_is_json():
    text = rules.configure_params("0a1b2c3d4e5f", 7, 0, rules.with_uuid('{"a":1}', 7), A)
    assert json.loads(text) == {
        "serial": "0a1b2c3d4e5f",
        "uuid": 7,
        "when": 0,
        "config_hash": A,
        "config": {"uuid": 7, "a": 1},
    }


@pytest.mark.parametrize(
    ("platform", "limit"), [("ap", 32_768), ("switch", 4_190_000), ("", 32_768), ("odd", 32_768)]
)
def test_frame_limit(platform, limit):
    assert rules.frame_limit(platform) == limit


def test_compressed_frame_covers_what_is_sent():
    document = json.dumps({"text": [str(n) for n in range(5000)]}).encode()
    params = rules.configure_params("0a1b2c3d4e5f", 7, 0, rules.with_uuid(document, 7), A)
    frame = jsonrpc.request(2**31 - 1, "configure", rules.compress(params))
    assert len(frame) <= len(rules.compressed_frame(document))
