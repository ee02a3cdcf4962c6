import { expect, it } from "vitest";
import { ago, bytes, mac, percent, plural, rate, span } from "../src/format.ts";

it.each([
  [0, "0 s"],
  [59, "59 s"],
  [61, "1 min 1 s"],
  [3600, "1 h"],
  [90_061, "1 d 1 h"],
  [-5, "0 s"],
  [Number.NaN, "–"],
])("a span of %d s is %s", (seconds, text) => expect(span(seconds)).toBe(text));

it.each([
  [0, "never"],
  [998, "just now"],
  [940, "1 min ago"],
])("%d is, at 1000, %s", (at, text) => expect(ago(at, 1000)).toBe(text));

it("sizes, shares and counts", () => {
  expect([0, 999, 1500, 123_456_789].map(bytes)).toEqual(["0 B", "999 B", "1.5 kB", "123 MB"]);
  expect([percent(1, 0), percent(1, 3), percent(1, 5000), percent(4999, 5000)]).toEqual([
    "–",
    "33 %",
    "< 0.1 %",
    "> 99.9 %",
  ]);
  expect([plural(1, "device"), plural(20_000, "device")]).toEqual(["1 device", "20,000 devices"]);
  expect([rate(0.123), rate(12.3), rate(1234.5)]).toEqual(["0.1", "12", "1,235"]);
  expect([mac("02a0ae000001"), mac("x")]).toEqual(["02:a0:ae:00:00:01", "x"]);
});
