"""What agents in the field do otherwise than the protocol says, and the gateway tolerates.

One named quirk each. The place in the code that tolerates it says `Quirk: <name>`; a test over a
real socket is marked `quirk("<name>")`. Both are checked (tests/protocol/test_quirks_table.py),
and docs/messages-and-commands.md has the table.
"""

from __future__ import annotations

from typing import Final

import msgspec

UNKNOWN_UUID: Final = 1
"""What agents themselves report when they have no configuration of a gateway."""
_MISREAD_UUID: Final = -(2.0**63)
"""What a switch makes of an id that was a string."""


class Quirk(msgspec.Struct, frozen=True):
    """One tolerated deviation."""

    name: str
    who: str
    what: str
    """What it does, and what the gateway makes of it."""
    source: str
    """Where that is described."""
    where: str
    """Module that tolerates it."""


QUIRKS: Final = (
    Quirk(
        "float-uuid",
        "switch",
        "does arithmetic in double, so a uuid may arrive as 1795490000.0: taken as the integer",
        "agents.md, configure",
        "gw/protocol/quirks.py",
    ),
    Quirk(
        "misread-uuid",
        "switch",
        "reports -9.2e18 for ever after an id that was a string: taken as 1, nothing of ours",
        "agents.md, configure",
        "gw/protocol/quirks.py",
    ),
    Quirk(
        "log-before-connect",
        "both",
        "a `log` comes before `connect`, or instead of it: stored, and no protocol error",
        "agents.md, connect",
        "gw/protocol/messages.py",
    ),
    Quirk(
        "log-newline",
        "switch",
        "ends its log lines with a newline: stored without it",
        "agents.md, What comes unasked",
        "gw/coordinator/messages.py",
    ),
    Quirk(
        "log-before-result",
        "switch",
        "sends the reasons of a refusal as `log` before the result, without an id: stored as "
        "lines of log; the result decides",
        "agents.md, configure",
        "gw/coordinator/messages.py",
    ),
    Quirk(
        "refused-uuid-in-state",
        "switch",
        "its `state` names the uuid last asked for, also a refused one: proves nothing",
        "agents.md, configure",
        "gw/protocol/configuration.py",
    ),
    Quirk(
        "zero-uuid-in-state",
        "switch",
        "after a start its `state` carries uuid 0 until the next configure: no news",
        "agents.md, configure",
        "gw/protocol/configuration.py",
    ),
    Quirk(
        "refusal-with-uuid-0",
        "switch",
        "answers what it cannot read with error 2 and uuid 0: a refusal of what was sent",
        "agents.md, configure",
        "gw/protocol/configuration.py",
    ),
    Quirk(
        "text-before-error",
        "switch",
        "writes `text` before `error` in some results: members are read by name",
        "agents.md, configure",
        "gw/protocol/configuration.py",
    ),
    Quirk(
        "rejected-strings",
        "access point",
        "`rejected` holds plain text instead of {parameter, reason}: each is a reason",
        "agents.md, configure",
        "gw/protocol/configuration.py",
    ),
    Quirk(
        "error-answer",
        "both",
        "may answer with a JSON-RPC `error` where owgw waits for a `result`: a failure with the "
        "error's message",
        "southbound.md 1.4, 3.2",
        "gw/protocol/configuration.py",
    ),
    Quirk(
        "foreign-answer-id",
        "access point",
        "answers with id 0, or with the previous configuration's uuid as id: counted as an "
        "answer to no request, and no fault of the device",
        "agents.md, configure; southbound.md 3.1",
        "gw/worker/session.py",
    ),
    Quirk(
        "no-answer",
        "access point",
        "may answer a configure late, on a later connection, or never: the next report decides",
        "agents.md, configure",
        "gw/coordinator/keeper.py",
    ),
    Quirk(
        "error-text",
        "access point",
        "`status.error` of a script may be a text: its `result` is the code, else it is 1",
        "agents.md, The other methods",
        "gw/protocol/commands.py",
    ),
    Quirk(
        "text-array",
        "both",
        "`status.text` may be an array, and `txt` may stand for it: joined",
        "southbound.md 3.18",
        "gw/protocol/commands.py",
    ),
    Quirk(
        "ping-without-status",
        "both",
        "the result of a `ping` may have no `status`: it was answered",
        "southbound.md 3.2, 3.15",
        "gw/protocol/commands.py",
    ),
    Quirk(
        "second-result",
        "both",
        "answers a request a second time with the same id, or with an error after the first: "
        "the first one counts",
        "agents.md, The other methods",
        "gw/worker/session.py",
    ),
    Quirk(
        "upgrade-events",
        "switch",
        "says yes to an `upgrade` before it begins, and tells the rest, a failure too, by events "
        "`firmware_upgrade_status`: the last one is kept as the command's late answer",
        "agents.md, The other methods",
        "gw/coordinator/messages.py",
    ),
    Quirk(
        "no-compress-sz",
        "access point",
        "`compress_sz` may be missing, or be spelled `compressed_sz`: the stream tells its end",
        "southbound.md 1.6",
        "gw/protocol/compression.py",
    ),
    Quirk(
        "compressed-answer",
        "access point",
        "the list of packages comes as `status.compress_64`, and the output of a script may as "
        "`result_64`: expanded, and kept as `packages` and `result`",
        "southbound.md 3.2, 3.13; read from its source",
        "gw/protocol/commands.py",
    ),
    Quirk(
        "version-shapes",
        "both",
        "`capabilities.version` has other members on switches, or is missing: kept as it is",
        "agents.md, connect",
        "gw/protocol/messages.py",
    ),
    Quirk(
        "platform-case",
        "switch",
        "`platform` may be in upper case: lower-cased",
        "southbound.md 2.1",
        "gw/protocol/messages.py",
    ),
    Quirk(
        "model-only",
        "both",
        "`compatible` may be missing: `model` stands for it",
        "southbound.md 2.1",
        "gw/protocol/messages.py",
    ),
    Quirk(
        "odd-capabilities",
        "both",
        "members of `capabilities` may have other types: such a one counts as absent",
        "agents.md, connect",
        "gw/protocol/messages.py",
    ),
    Quirk(
        "extra-members",
        "both",
        "any message may have members that no document names: ignored, and kept in documents",
        "southbound.md 2.1",
        "gw/protocol/jsonrpc.py",
    ),
    Quirk(
        "serial-case",
        "both",
        "`serial` may be in upper case, or with spaces around it: normalised",
        "southbound.md 1.3",
        "gw/worker/session.py",
    ),
    Quirk(
        "no-reason-no-password",
        "switch",
        "`connect` has no `reason`, and often no `password`: the stored ones stay",
        "southbound.md 2.1; agents.md, connect",
        "gw/coordinator/onboarding.py",
    ),
    Quirk(
        "missing-members",
        "both",
        "a message without `serial`, a `state` without a member, an `event` that is none: "
        "counted, but they end no session",
        "southbound.md 1.5, 2.2, 2.12",
        "gw/protocol/messages.py",
    ),
)


def whole_uuid(value: float) -> int | None:
    """Return the configuration id that a double stands for; None if it is none.

    Quirk: float-uuid. Quirk: misread-uuid.
    """
    if value == _MISREAD_UUID:
        return UNKNOWN_UUID
    return int(value) if value.is_integer() and 0 <= value < 2**63 else None
