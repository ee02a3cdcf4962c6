"""Vendors, countries, the regulatory database, and their files."""

import pytest

from gw.api import oui, regulatory_file
from gw.api.oui import Vendors
from gw.api.regulatory_file import FrequencyRange, RangeOptions, Regulatory

IEEE = """OUI/MA-L                                                    Organization
company_id                                                  Organization

24-F5-A2   (hex)\t\tBelkin International Inc.
24F5A2     (base 16)\t\tBelkin International Inc.
\t\t\t\tEl Segundo  CA  90245
"""
CSV = "Registry,Assignment,Organization Name,Organization Address\n" + (
    'MA-L,286FB9,"Nokia Shanghai Bell Co., Ltd.",No.388 Ning Qiao Road\n'
    "MA-M,0055DA1,Shinko Technos,Tokyo\nMA-S,8C1F64F5A,Telco Antennas,Melbourne\n"
)

REGDB = """wmmrule ETSI:
  vo_c: cw_min=3, cw_max=7, aifsn=2, cot=2
# Andorra
country AD: DFS-ETSI
	(2400 - 2483.5 @ 40), (20)
	(5250 - 5350 @ 80), (200 mW), NO-OUTDOOR, DFS, AUTO-BW, wmmrule=ETSI
country 00:
	(2474 - 2494 @ 20), (20), NO-IR, NO-OFDM
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (IEEE, {"24F5A2": "Belkin International Inc."}),
        (
            CSV,
            {
                "286FB9": "Nokia Shanghai Bell Co., Ltd.",
                "0055DA1": "Shinko Technos",
                "8C1F64F5A": "Telco Antennas",
            },
        ),
        ("00:00:0c\tCisco\tCisco Systems, Inc\n", {"00000C": "Cisco Systems, Inc"}),
        ("aabbcc My Company\nnonsense\n# x\n12345 short\n", {"AABBCC": "My Company"}),
        ("", {}),
    ],
)
def test_lists_of_vendors(text, expected):
    assert oui.parse(text) == expected


def test_the_longest_prefix_counts_and_a_bad_file_changes_nothing(tmp_path):
    file = tmp_path / "oui.txt"
    file.write_text(CSV + "0055DA\tIEEE\n")
    vendors = Vendors(str(file))
    assert vendors.of("00:55:DA:1f:00:01") == "Shinko Technos"
    assert vendors.of("00-55-da-2f-00-01") == "IEEE"
    assert vendors.of("ffffff000000") == vendors.of("") == ""
    file.write_text("nothing of the kind")
    vendors.reload()
    assert vendors.of("0055da2f0001") == "IEEE"
    file.write_text("0055da Other\n")
    vendors.reload()
    assert vendors.of("0055da2f0001") == "Other"
    with pytest.raises(OSError, match="absent"):
        Vendors(str(tmp_path / "absent"))


def test_regulatory_database():
    found = regulatory_file.parse(REGDB)
    assert list(found) == ["AD", "00"]
    assert (found["AD"].domain, found["00"].domain) == ("DFS-ETSI", "")
    assert found["AD"].ranges == [
        FrequencyRange(
            from_=2400, to=2483.5, channel_width=40, power_db=20, options=RangeOptions()
        ),
        FrequencyRange(
            from_=5250,
            to=5350,
            channel_width=80,
            power_db=23.01,
            options=RangeOptions(dfs=True, auto_bw=True, no_outdoor=True, wmmrule_etsi=True),
        ),
    ]
    assert found["00"].ranges[0].options == RangeOptions(no_ir=True, no_ofdm=True)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\t(1 - 2 @ 3), (4)\n", 1),
        ("country AD:\n\t(1 - 2), (4)\n", 2),
        ("country AD:\n\t(1 - 2..5 @ 3), (4)\n", 2),
    ],
)
def test_a_broken_database_says_where(text, line):
    with pytest.raises(ValueError, match=f"line {line}:"):
        regulatory_file.parse(text)


@pytest.mark.operation("GET /ouis")
async def test_vendors(api, apps, tmp_path):
    assert (await api.get("/ouis", params={"macList": ""})).json() == {"tagList": []}
    unknown = await api.get("/ouis", params={"macList": "24f5a2000001,nonsense"})
    assert unknown.json() == {
        "tagList": [{"tag": "24f5a2000001", "value": ""}, {"tag": "nonsense", "value": ""}]
    }
    (tmp_path / "oui.txt").write_text(IEEE)
    apps.context.vendors = Vendors(str(tmp_path / "oui.txt"))
    known = await api.get("/ouis", params={"macList": "24:f5:a2:00:00:01"})
    assert known.json() == {
        "tagList": [{"tag": "24:f5:a2:00:00:01", "value": "Belkin International Inc."}]
    }
    many = await api.get("/ouis", params={"macList": ",".join(["a"] * 1001)})
    assert many.json()["ErrorDescription"].startswith("1018: ")


@pytest.mark.operation("GET /iptocountry")
async def test_countries(api, settings):
    settings.devices.default_country = "DE"
    found = await api.get("/iptocountry", params={"iplist": "192.0.2.1,2001:db8::1"})
    assert found.json() == {"enabled": False, "countryCodes": ["DE", "DE"]}
    absent = await api.get("/iptocountry")
    assert absent.status_code == 400
    assert absent.json()["ErrorDescription"].startswith("1018: ")


@pytest.mark.operation("GET /regulatory")
async def test_regulatory(api, apps, tmp_path):
    assert (await api.get("/regulatory?countries=AD")).json() == {"countries": []}
    file = tmp_path / "db.txt"
    file.write_text(REGDB)
    apps.context.regulatory = Regulatory(str(file))
    found = (await api.get("/regulatory?countries=ad,XX")).json()["countries"]
    assert [one["country"] for one in found] == ["AD"]
    assert found[0]["ranges"][1] == {
        "from": 5250,
        "to": 5350,
        "channelWidth": 80,
        "powerDb": 23.01,
        "options": {
            "NO_IR": False,
            "AUTO_BW": True,
            "DFS": True,
            "NO_OUTDOOR": True,
            "wmmrule_ETSI": True,
            "NO_OFDM": False,
        },
    }
    file.write_text("country AD:\n\t(oops)\n")
    broken = await api.get("/regulatory?reload=true")
    assert broken.status_code == 500
    assert "line 2" in broken.json()["ErrorDescription"]
    assert len((await api.get("/regulatory?countries=AD")).json()["countries"]) == 1
    file.write_text("country DE: DFS-ETSI\n\t(2400 - 2483 @ 40), (20)\n")
    reloaded = await api.get("/regulatory?reload=true")
    assert reloaded.json() == {"Code": 0, "Operation": "GET", "Details": "reloaded"}
    assert (await api.get("/regulatory?countries=AD")).json() == {"countries": []}
    assert (await api.get("/regulatory")).json()["ErrorDescription"].startswith("1018: ")
