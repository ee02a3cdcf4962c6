import { describe, expect, it } from "vitest";
import { JsonError, lineOf, locate, parse, pretty, without } from "../src/json/document.ts";

describe("reading", () => {
  it("accepts what JSON.parse accepts", () => {
    for (const text of ['{"a":[1,-0.5e3,"x\\n\\u00e9",true,null,{}]}', " [] ", '"x"', "0"]) {
      expect(JSON.parse(pretty(text))).toEqual(JSON.parse(text));
    }
  });

  it.each([
    ['{"a":1,}', 7],
    ['{"a" 1}', 5],
    ["[1 2]", 3],
    ["{", 1],
    ["", 0],
    ["01", 1],
    ['{"a":1,"a":2}', 7],
    ['{"a":1} x', 8],
    ['"a\nb"', 0],
    ["tru", 0],
  ])("says where %s stops being JSON", (text, at) => {
    try {
      parse(text);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(JsonError);
      expect((error as JsonError).at).toBe(at);
    }
  });

  it("refuses what is nested too deep instead of failing", () => {
    expect(() => parse("[".repeat(5000))).toThrow(JsonError);
  });
});

describe("writing", () => {
  it("keeps the spelling of numbers and strings", () => {
    const text = '{"n":1.50,"big":10000000000000000001,"s":"\\u00e9"}';
    expect(pretty(text)).toBe(
      '{\n  "n": 1.50,\n  "big": 10000000000000000001,\n  "s": "\\u00e9"\n}',
    );
  });

  it("takes one member out", () => {
    expect(without('{"uuid":5,"a":{"uuid":6}}', "uuid")).toBe('{\n  "a": {\n    "uuid": 6\n  }\n}');
  });
});

describe("places", () => {
  const text = '{\n  "radios": [\n    {"band": "5G",\n     "channel": "x"}\n  ]\n}';

  it("finds the line of a path", () => {
    const root = parse(text);
    expect(lineOf(text, locate(root, ["radios", "0", "channel"]).start)).toBe(4);
    expect(lineOf(text, locate(root, ["radios"]).start)).toBe(2);
    expect(lineOf(text, locate(root, []).start)).toBe(1);
  });

  it("finds the nearest parent of what is missing", () => {
    const root = parse(text);
    expect(lineOf(text, locate(root, ["radios", "0", "width"]).start)).toBe(3);
    expect(lineOf(text, locate(root, ["radios", "7", "width"]).start)).toBe(2);
  });
});
