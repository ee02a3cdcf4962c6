import { ApiError, reason, request } from "../api.ts";
import { JsonError, lineOf, locate, type Node, parse } from "../json/document.ts";
import type { Problem, Validity } from "../types.ts";
import type { Mark } from "../ui/code-editor.tsx";

export interface Finding extends Mark {
  /** Such as `radios › 0 › channel`; empty: the text as a whole. */
  path: string;
}

export interface Checked {
  /** What keeps it from being stored. */
  errors: Finding[];
  /** What the device cannot do of it. */
  warnings: Finding[];
  /** Why the gateway could not judge; empty: it did. */
  unchecked: string;
  wouldChange: boolean;
}

/** Reads the text here; undefined: it is JSON. */
export function syntaxError(text: string): Finding | undefined {
  try {
    if (parse(text).kind === "object") return undefined;
    return { line: 1, text: "a configuration is an object", tone: "bad", path: "" };
  } catch (error) {
    const at = error instanceof JsonError ? error.at : 0;
    return { line: lineOf(text, at), text: reason(error), tone: "bad", path: "" };
  }
}

function finding(text: string, root: Node, problem: Problem, tone: Mark["tone"]): Finding {
  const place = locate(root, problem.context);
  return {
    line: lineOf(text, place.start),
    text: problem.description,
    tone,
    path: problem.context.join(" › "),
  };
}

/** Turns problems of the gateway into findings at their lines. */
export function findings(text: string, problems: Problem[], tone: Mark["tone"]): Finding[] {
  const root = parse(text);
  return problems.map((one) => finding(text, root, one, tone));
}

/** Has the gateway look at a configuration without sending it. `path` is where to ask. */
export async function check(path: string, text: string, signal: AbortSignal): Promise<Checked> {
  const wrong = syntaxError(text);
  if (wrong) return { errors: [wrong], warnings: [], unchecked: "", wouldChange: true };
  try {
    const answer = await request<Validity>("POST", path, {
      text: `{"configuration":${text}}`,
      signal,
    });
    const errors = findings(text, answer.errors ?? [], "bad");
    if (answer.valid === false && errors.length === 0) {
      errors.push({ line: 1, text: answer.error || "it is not valid", tone: "bad", path: "" });
    }
    return {
      errors,
      warnings: findings(text, answer.warnings ?? [], "warn"),
      unchecked: answer.unchecked ?? "",
      wouldChange: answer.wouldChange ?? true,
    };
  } catch (error) {
    if (signal.aborted || !(error instanceof ApiError)) throw error;
    return { errors: [], warnings: [], unchecked: error.message, wouldChange: true };
  }
}
