import type { Difference } from "../json/diff.ts";
import { Badge, type Tone } from "./parts.tsx";

const TONES: Record<Difference["change"], [Tone, string]> = {
  added: ["good", "new"],
  removed: ["bad", "gone"],
  changed: ["busy", "changed"],
};
const LONGEST = 400;

function cut(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text;
}

/** Field by field, what differs between two configurations. */
export function Differences({
  found,
  before,
  after,
  label,
}: {
  found: Difference[];
  before: string;
  after: string;
  label: string;
}) {
  return (
    <div class="table-box">
      <table class="differences" aria-label={label}>
        <thead>
          <tr>
            <th scope="col">Field</th>
            <th scope="col">{before}</th>
            <th scope="col">{after}</th>
          </tr>
        </thead>
        <tbody>
          {found.map((one) => (
            <tr key={one.path.join("/")} class={one.change}>
              <td data-label="Field">
                <span class="path">{one.path.join(" › ") || "(all of it)"}</span>
                <Badge tone={TONES[one.change][0]}>{TONES[one.change][1]}</Badge>
              </td>
              <td data-label={before}>
                {one.before ? (
                  <code class="old">{cut(one.before)}</code>
                ) : (
                  <span class="note">not there</span>
                )}
              </td>
              <td data-label={after}>
                {one.after ? (
                  <code class="new">{cut(one.after)}</code>
                ) : (
                  <span class="note">not there</span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
