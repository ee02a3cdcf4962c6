import type { Finding } from "../data/check.ts";
import { showLine } from "./code-editor.tsx";
import { Icon } from "./icons.tsx";

/** All that is wrong, each leading to its line. */
export function Findings({ found, editor, id }: { found: Finding[]; editor: string; id: string }) {
  return (
    <ul class="findings" id={id} aria-label="What is wrong">
      {found.map((one) => (
        <li key={`${one.path}${one.line}${one.text}`} class={one.tone}>
          <button type="button" onClick={() => showLine(editor, one.line)}>
            <Icon name={one.tone === "bad" ? "cross" : "warning"} />
            <span>
              {one.path && <strong>{one.path}</strong>} {one.text} <small>line {one.line}</small>
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}
