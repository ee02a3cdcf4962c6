import { describe, expect, it } from "vitest";
import { differences } from "../src/json/diff.ts";

describe("differences", () => {
  it("names each field with its values", () => {
    const before = '{"unit":{"name":"a","zone":"UTC"},"radios":[{"band":"5G","channel":36}]}';
    const after = '{"unit":{"name":"b"},"radios":[{"band":"5G","channel":40}],"x":[1]}';
    expect(differences(before, after)).toEqual([
      { path: ["unit", "name"], change: "changed", before: '"a"', after: '"b"' },
      { path: ["unit", "zone"], change: "removed", before: '"UTC"', after: "" },
      { path: ["radios", "0 (band=5G)", "channel"], change: "changed", before: "36", after: "40" },
      { path: ["x"], change: "added", before: "", after: "[1]" },
    ]);
  });

  it("is empty for equal contents in another spelling or order", () => {
    expect(differences('{"a":1,"b":"\\u0061"}', '{ "b": "a", "a": 1.0 }')).toEqual([]);
  });

  it("compares with nothing", () => {
    expect(differences("", '{"a":1}')).toEqual([
      { path: [], change: "added", before: "", after: '{"a":1}' },
    ]);
    expect(differences("", "")).toEqual([]);
  });

  it("tells items that came and went", () => {
    expect(differences("[1,2]", "[1]").map((one) => one.change)).toEqual(["removed"]);
    expect(differences("[1]", "[1,2]").map((one) => one.path)).toEqual([["1"]]);
  });
});
