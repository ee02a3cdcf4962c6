/** JSON read with places, so that a problem can be shown at its line and numbers stay as written. */

export interface Member {
  name: string;
  start: number;
  value: Node;
}

interface Span {
  /** Index of its first character. */
  start: number;
  /** Index behind its last character. */
  end: number;
}

export type Node = Span &
  (
    | { kind: "object"; members: Member[] }
    | { kind: "array"; items: Node[] }
    | { kind: "string"; value: string }
    | { kind: "number" | "literal" }
  );

/** The text is not JSON, and where it stops being so. */
export class JsonError extends Error {
  readonly at: number;

  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

const DEEPEST = 200;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
const SPACE = /[ \t\r\n]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a string may not hold
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const LITERAL = /true|false|null/y;

class Reader {
  private at = 0;

  constructor(private readonly text: string) {}

  document(): Node {
    const found = this.value(0);
    this.space();
    if (this.at < this.text.length) this.fail("nothing may follow the document");
    return found;
  }

  private value(depth: number): Node {
    this.space();
    if (depth > DEEPEST) this.fail(`nested more than ${DEEPEST} deep`);
    const start = this.at;
    switch (this.text[start]) {
      case "{":
        return this.object(start, depth);
      case "[":
        return this.array(start, depth);
      case '"': {
        const value = this.string();
        return { kind: "string", value, start, end: this.at };
      }
      case undefined:
        return this.fail("the text ends too early");
    }
    if (this.take(NUMBER) !== undefined) return { kind: "number", start, end: this.at };
    if (this.take(LITERAL) !== undefined) return { kind: "literal", start, end: this.at };
    return this.fail("a value is expected here");
  }

  private object(start: number, depth: number): Node {
    const members: Member[] = [];
    const names = new Set<string>();
    this.at++;
    this.space();
    while (this.text[this.at] !== "}") {
      if (members.length > 0) this.expect(",", "a comma or } is expected here");
      this.space();
      const place = this.at;
      if (this.text[place] !== '"') this.fail("a name in double quotes is expected here");
      const name = this.string();
      if (names.has(name)) this.fail(`"${name}" is there twice`, place);
      names.add(name);
      this.space();
      this.expect(":", "a colon is expected here");
      members.push({ name, start: place, value: this.value(depth + 1) });
      this.space();
    }
    this.at++;
    return { kind: "object", members, start, end: this.at };
  }

  private array(start: number, depth: number): Node {
    const items: Node[] = [];
    this.at++;
    this.space();
    while (this.text[this.at] !== "]") {
      if (items.length > 0) this.expect(",", "a comma or ] is expected here");
      items.push(this.value(depth + 1));
      this.space();
    }
    this.at++;
    return { kind: "array", items, start, end: this.at };
  }

  private string(): string {
    const found = this.take(STRING);
    if (found === undefined) return this.fail("this string does not end properly");
    return JSON.parse(found) as string;
  }

  private expect(sign: string, message: string): void {
    if (this.text[this.at] !== sign) this.fail(message);
    this.at++;
  }

  private space(): void {
    this.take(SPACE);
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  private fail(message: string, at = this.at): never {
    throw new JsonError(message, at);
  }
}

/** Reads a text. Throws JsonError. */
export function parse(text: string): Node {
  return new Reader(text).document();
}

/** Writes a node anew with an indent of two, numbers and strings as they were. */
export function pretty(text: string, node: Node = parse(text), indent = ""): string {
  const inner = `${indent}  `;
  if (node.kind === "object" && node.members.length > 0) {
    const lines = node.members.map(
      (one) => `${inner}${JSON.stringify(one.name)}: ${pretty(text, one.value, inner)}`,
    );
    return `{\n${lines.join(",\n")}\n${indent}}`;
  }
  if (node.kind === "array" && node.items.length > 0) {
    const plain = node.items.every((one) => one.kind !== "object" && one.kind !== "array");
    const items = node.items.map((one) => pretty(text, one, inner));
    const line = `[${items.join(", ")}]`;
    if (plain && indent.length + line.length < 80) return line;
    return `[\n${items.map((one) => inner + one).join(",\n")}\n${indent}]`;
  }
  if (node.kind === "object") return "{}";
  if (node.kind === "array") return "[]";
  return text.slice(node.start, node.end);
}

/** Writes an object without one of its members; other texts as they are. */
export function without(text: string, name: string): string {
  const root = parse(text);
  if (root.kind !== "object") return text;
  return pretty(text, { ...root, members: root.members.filter((one) => one.name !== name) });
}

/** Returns the place of a path of names and indices; of what is missing, its nearest parent's. */
export function locate(root: Node, path: readonly string[]): Span {
  let node = root;
  let span: Span = { start: root.start, end: root.start + 1 };
  for (const name of path) {
    if (node.kind === "object") {
      const found = node.members.find((one) => one.name === name);
      if (!found) return span;
      node = found.value;
      span = { start: found.start, end: node.end };
    } else if (node.kind === "array") {
      const found = node.items[Number(name)];
      if (!found) return span;
      node = found;
      span = node;
    } else return span;
  }
  return span;
}

/** Returns the line of an index, counted from 1. */
export function lineOf(text: string, at: number): number {
  let line = 1;
  for (let i = text.indexOf("\n"); i >= 0 && i < at; i = text.indexOf("\n", i + 1)) line++;
  return line;
}
