import { type Node, parse } from "./document.ts";

export type Change = "added" | "removed" | "changed";

export interface Difference {
  /** Names and indices from the root. */
  path: string[];
  change: Change;
  /** JSON of the value before; empty: it was not there. */
  before: string;
  after: string;
}

function label(item: Node): string | undefined {
  if (item.kind !== "object") return undefined;
  for (const name of ["name", "id", "ssid", "band"]) {
    const found = item.members.find((one) => one.name === name)?.value;
    if (found?.kind === "string") return `${name}=${found.value}`;
  }
  return undefined;
}

/** Compares two JSON texts field by field; of what is new or gone as a whole only its root. */
export function differences(before: string, after: string): Difference[] {
  const found: Difference[] = [];
  const was = before ? parse(before) : null;
  const is = after ? parse(after) : null;
  walk(was, is, []);
  return found;

  function walk(a: Node | null, b: Node | null, path: string[]): void {
    if (a && b && a.kind === "object" && b.kind === "object") {
      const right = new Map(b.members.map((one) => [one.name, one.value]));
      for (const one of a.members) {
        walk(one.value, right.get(one.name) ?? null, [...path, one.name]);
        right.delete(one.name);
      }
      for (const [name, value] of right) walk(null, value, [...path, name]);
      return;
    }
    if (a && b && a.kind === "array" && b.kind === "array") {
      const length = Math.max(a.items.length, b.items.length);
      for (let i = 0; i < length; i++) {
        const one = a.items[i] ?? null;
        const other = b.items[i] ?? null;
        const named = label((other ?? one) as Node);
        walk(one, other, [...path, named ? `${i} (${named})` : String(i)]);
      }
      return;
    }
    const old = a ? before.slice(a.start, a.end) : "";
    const young = b ? after.slice(b.start, b.end) : "";
    if (old === young || (a && b && same(old, young))) return;
    found.push({
      path,
      change: !a ? "added" : !b ? "removed" : "changed",
      before: old,
      after: young,
    });
  }
}

/** Tells whether two JSON values mean the same: 1 and 1.0, "a" and "\u0061". */
function same(a: string, b: string): boolean {
  return JSON.stringify(JSON.parse(a)) === JSON.stringify(JSON.parse(b));
}
