import { describe, expect, it } from "vitest";
import { NO_RATES, withRates } from "../src/data/rates.ts";
import { rates, signal, snapshot } from "../src/data/state.ts";
import type { NodeFacts } from "../src/types.ts";

const STATE = {
  unit: {
    uptime: 90,
    load: [0.5, 0.25, 0.1],
    memory: { total: 1000, free: 500, cached: 100, buffered: 100 },
    temperature: [40, 55],
  },
  radios: [
    {
      band: ["5G"],
      channel: 36,
      channel_width: 80,
      tx_power: 20,
      survey: [{ busy: 300, time: 1000, noise: -95 }],
    },
    { channel: 6, frequency: [2437] },
  ],
  interfaces: [
    {
      counters: { rx_bytes: 10, tx_bytes: 20 },
      ipv4: { addresses: ["10.0.0.2/24"] },
      ssids: [
        {
          ssid: "a",
          radio: { $ref: "#/radios/0" },
          associations: [{ station: "02:00", rssi: -50, rx_bytes: 1, tx_bytes: 2 }],
        },
      ],
    },
  ],
  "link-state": { upstream: { eth0: { carrier: 1, speed: 1000, duplex: "full", counters: {} } } },
};

describe("a state report", () => {
  it("is read", () => {
    const found = snapshot(STATE);
    expect(found).toMatchObject({
      uptime: 90,
      memory: 30,
      temperature: 55,
      received: 10,
      sent: 20,
    });
    expect(found.radios[0]).toMatchObject({ band: "5 GHz", busy: 30, noise: -95, clients: 1 });
    expect(found.radios[1]).toMatchObject({ band: "2.4 GHz", busy: null, clients: 0 });
    expect(found.clients[0]).toMatchObject({ band: "5 GHz", rssi: -50, ssid: "a" });
    expect(found.ports[0]).toMatchObject({ name: "eth0", up: true, speed: 1000 });
    expect(found.addresses).toEqual(["10.0.0.2/24"]);
  });

  it.each([
    null,
    5,
    [],
    {},
    {
      unit: 3,
      radios: [null, 1],
      interfaces: [{ ssids: [{ associations: "x" }] }],
      "link-state": [],
    },
  ])("may be anything: %j", (state) => {
    expect(snapshot(state).clients).toEqual([]);
  });
});

describe("rates", () => {
  it("leave out what a restart set back", () => {
    expect(rates([0, 10, 20, 30], [100, 200, 50, 150])).toEqual([null, 10, null, 10]);
  });

  it("of the node are differences by its own clock", () => {
    const node = (now: number, value: number) =>
      ({ now, totals: { messagesReceived: value, messagesSent: 0, connects: 0 } }) as NodeFacts;
    const made = withRates(NO_RATES, node(10, 100), node(12, 150));
    expect(made).toMatchObject({ times: [12], received: [25], sent: [0] });
    expect(withRates(made, node(12, 150), node(14, 3)).received).toEqual([25, null]);
    expect(withRates(made, undefined, node(14, 3))).toBe(made);
  });
});

it("says how good a signal is", () => {
  expect([-45, -65, -70, -90].map((one) => signal(one).bars)).toEqual([4, 3, 2, 1]);
});
