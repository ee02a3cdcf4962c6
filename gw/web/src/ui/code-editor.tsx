import type { JSX } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";

export interface Mark {
  /** Counted from 1. */
  line: number;
  text: string;
  tone: "bad" | "warn";
}

interface CodeEditorProps {
  label: string;
  value: string;
  set: (value: string) => void;
  marks: Mark[];
  describedBy?: string;
}

/** A text area with numbers of lines, and what is wrong shown behind the text of its line. */
export function CodeEditor({ label, value, set, marks, describedBy }: CodeEditorProps) {
  const area = useRef<HTMLTextAreaElement>(null);
  const mirror = useRef<HTMLDivElement>(null);
  const gutter = useRef<HTMLDivElement>(null);
  const lines = useMemo(() => value.split("\n"), [value]);
  const byLine = useMemo(() => {
    const found = new Map<number, Mark[]>();
    for (const one of marks) found.set(one.line, [...(found.get(one.line) ?? []), one]);
    return found;
  }, [marks]);

  const follow = () => {
    const from = area.current;
    if (!from) return;
    if (mirror.current)
      mirror.current.style.transform = `translate(${-from.scrollLeft}px, ${-from.scrollTop}px)`;
    if (gutter.current) gutter.current.style.transform = `translateY(${-from.scrollTop}px)`;
  };
  useLayoutEffect(follow);

  const typed = (event: JSX.TargetedKeyboardEvent<HTMLTextAreaElement>) => {
    // Tab moves on, as everywhere; only inside a line's indent Enter keeps that indent.
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
    const { selectionStart, selectionEnd } = event.currentTarget;
    const line = value.slice(value.lastIndexOf("\n", selectionStart - 1) + 1, selectionStart);
    const indent = (/^ */.exec(line)?.[0] ?? "") + (/[{[]\s*$/.test(line) ? "  " : "");
    event.preventDefault();
    event.currentTarget.setRangeText(`\n${indent}`, selectionStart, selectionEnd, "end");
    set(event.currentTarget.value);
  };

  return (
    <div class="editor">
      <div class="gutter" aria-hidden="true">
        <div ref={gutter}>
          {lines.map((_, at) => (
            // a line is its number
            <div key={at} class={byLine.get(at + 1)?.[0]?.tone}>
              {at + 1}
            </div>
          ))}
        </div>
      </div>
      <div class="sheet">
        <div class="mirror" aria-hidden="true">
          <div ref={mirror}>
            {lines.map((line, at) => {
              const own = byLine.get(at + 1);
              return (
                // a line is its number
                <div key={at} class={`line ${own?.[0]?.tone ?? ""}`}>
                  {own && (
                    <>
                      <span class="ghost">{line}</span>
                      <em>{own.map((one) => one.text).join("; ")}</em>
                    </>
                  )}
                </div>
              );
            })}
          </div>
        </div>
        <textarea
          ref={area}
          aria-label={label}
          aria-invalid={marks.some((one) => one.tone === "bad")}
          aria-describedby={describedBy}
          value={value}
          onInput={(event) => set(event.currentTarget.value)}
          onKeyDown={typed}
          onScroll={follow}
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          wrap="off"
        />
      </div>
    </div>
  );
}

/** Puts the cursor of an editor at a line. */
export function showLine(label: string, line: number): void {
  const area = document.querySelector<HTMLTextAreaElement>(
    `textarea[aria-label="${CSS.escape(label)}"]`,
  );
  if (!area) return;
  const start =
    area.value
      .split("\n")
      .slice(0, line - 1)
      .join("\n").length + (line > 1 ? 1 : 0);
  const end = area.value.indexOf("\n", start);
  area.focus();
  area.setSelectionRange(start, end < 0 ? area.value.length : end);
  area.scrollTop = Math.max(0, (line - 5) * Number.parseFloat(getComputedStyle(area).lineHeight));
}
