import type { Rejection } from "../types.ts";

function shown(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Devices name a field by a document that has nothing else in it: read as a path. */
function field(parameter: unknown): string {
  const path: string[] = [];
  let at = parameter;
  while (typeof at === "object" && at !== null) {
    const entries = Object.entries(at);
    const [name, value] = entries[0] ?? [];
    if (entries.length !== 1 || name === undefined) break;
    path.push(name);
    at = value;
  }
  if (path.length === 0) return shown(parameter);
  return path.join(" › ") + (at === null || at === undefined ? "" : ` = ${shown(at)}`);
}

/** What a device refused, field by field, with its reason and what it took instead. */
export function Rejections({ rejections }: { rejections: (Rejection | string)[] }) {
  return (
    <ul class="rejections" aria-label="Refused by the device">
      {rejections.map((one) =>
        typeof one === "string" ? (
          <li key={one}>{one}</li>
        ) : (
          <li key={JSON.stringify(one)}>
            {one.parameter !== undefined && <code>{field(one.parameter)}</code>}
            <span>{one.reason || "no reason was given"}</span>
            {one.substitution !== undefined && one.substitution !== null && (
              <small>
                used instead: <code>{shown(one.substitution)}</code>
              </small>
            )}
          </li>
        ),
      )}
    </ul>
  );
}
