"""What of a configuration, or of a command's params, is hidden from who need not see it."""

import json

import pytest

from gw.security.configuration_secrets import MASK, masked, masked_answer, masked_rejections


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ({"encryption": {"proto": "psk2", "key": "open sesame"}},
         {"encryption": {"proto": "psk2", "key": MASK}}),
        ({"private_key": "a", "preshared-key": "b", "public-key": "c", "key-caching": True},
         {"private_key": MASK, "preshared-key": MASK, "public-key": "c", "key-caching": True}),
        ({"sae-password": ["first", ["second"]]}, {"sae-password": [MASK, [MASK]]}),
        ({"config-raw": [["set", "wireless.wlan0.key", "open sesame"]]},
         {"config-raw": [[MASK, MASK, MASK]]}),
        ({"hostapd-bss-raw": ["wpa_passphrase=open sesame"]}, {"hostapd-bss-raw": [MASK]}),
        ({"serial": "02a0d4000001", "certificates": "YXJjaGl2ZQ=="},
         {"serial": "02a0d4000001", "certificates": MASK}),
        ({"certificates": {"use-local-certificates": False, "ca": "c", "private-key": "k"}},
         {"certificates": {"use-local-certificates": False, "ca": "c", "private-key": MASK}}),
        ({"key": ""}, {"key": ""}),
    ],
)  # fmt: skip
def test_masked(document, shown):
    assert json.loads(masked(json.dumps(document).encode())) == shown


@pytest.mark.parametrize(
    ("free", "answer", "shown"),
    [
        (False, {"serial": "s", "status": {"error": 0, "text": "Success", "psk": "p"}},
         {"serial": "s", "status": {"error": 0, "text": "Success", "psk": MASK}}),
        (False, {"status": {"rejected": [
            {"parameter": "ssids/0/encryption/key", "reason": "short", "substitution": "p"},
            {"parameter": "radios.0.channel", "reason": "no", "substitution": 36},
            {"parameter": {"key": "p"}, "reason": "no"}, "in one's own words"]}},
         {"status": {"rejected": [
             {"parameter": "ssids/0/encryption/key", "reason": "short", "substitution": MASK},
             {"parameter": "radios.0.channel", "reason": "no", "substitution": 36},
             {"parameter": {"key": MASK}, "reason": "no"}, "in one's own words"]}}),
        (True, {"serial": "s", "uuid": 1, "status": {"error": 3, "result": "wpa_psk=p"},
                "result_64": "cA==", "result_sz": 1},
         {"serial": "s", "uuid": 1, "status": {"error": 3, "result": MASK},
          "result_64": MASK, "result_sz": 1}),
        (True, "wpa_psk=p", MASK),
        (True, ["a", ["", 1.50]], [MASK, ["", 1.50]]),
    ],
)  # fmt: skip
def test_answers_are_masked(free, answer, shown):
    assert json.loads(masked_answer(json.dumps(answer).encode(), free=free)) == shown


def test_rejections_are_masked():
    refused = b'[{"parameter":"a.psk","reason":"no","substitution":"p"}]'
    assert json.loads(masked_rejections(refused))[0]["substitution"] == MASK
    assert masked_rejections(b"{") == b"[]"
