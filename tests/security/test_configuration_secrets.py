"""What of a configuration, or of a command's params, is hidden from who need not see it."""

import json

import pytest

from gw.security.configuration_secrets import MASK, masked


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
