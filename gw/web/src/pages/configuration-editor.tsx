import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError, reason, requestText } from "../api.ts";
import { type Checked, check, syntaxError } from "../data/check.ts";
import { plural, span } from "../format.ts";
import { useNow, useSettled } from "../hooks.ts";
import { differences } from "../json/diff.ts";
import { pretty } from "../json/document.ts";
import type { Command, Device, Rejection } from "../types.ts";
import { CodeEditor } from "../ui/code-editor.tsx";
import { Differences } from "../ui/differences.tsx";
import { Findings } from "../ui/findings.tsx";
import { Badge, Button, Card, Check } from "../ui/parts.tsx";
import { Rejections } from "../ui/rejections.tsx";

const LABEL = "Configuration";
const TYPING_MILLISECONDS = 350;
const PROBLEMS = "configuration-problems";

type Sending =
  | { kind: "no" }
  | { kind: "sent"; since: number }
  | { kind: "done"; command: Command }
  | { kind: "failed"; why: string };

export function ConfigurationEditor({
  device,
  stored,
  close,
}: {
  device: Device;
  stored: string;
  close: () => void;
}) {
  const start = useMemo(() => (stored ? pretty(stored) : "{\n  \n}"), []);
  const [text, setText] = useState(start);
  const [force, setForce] = useState(false);
  const [checked, setChecked] = useState<{ text: string; found: Checked }>();
  const [sending, setSending] = useState<Sending>({ kind: "no" });
  const settled = useSettled(text, TYPING_MILLISECONDS);
  const box = useRef<HTMLDivElement>(null);
  const path = `/device/${device.serialNumber}/configure`;

  useEffect(() => box.current?.querySelector("textarea")?.focus(), []);
  useEffect(() => {
    const gone = new AbortController();
    check(`${path}?validateOnly=true`, settled, gone.signal)
      .then((found) => setChecked({ text: settled, found }))
      .catch(() => undefined);
    return () => gone.abort();
  }, [settled, path]);

  const local = syntaxError(text);
  const current = checked?.text === text ? checked.found : undefined;
  const errors = current?.errors ?? (local ? [local] : []);
  const warnings = current?.warnings ?? [];
  const found = useMemo(
    () => (local ? [] : differences(stored, text)),
    [text, stored, local === undefined],
  );

  const apply = async () => {
    setSending({ kind: "sent", since: Date.now() / 1000 });
    try {
      const answer = await requestText("POST", `${path}${force ? "?force=true" : ""}`, {
        text: `{"serialNumber":"${device.serialNumber}","UUID":1,"when":0,"configuration":${text}}`,
      });
      setSending({ kind: "done", command: JSON.parse(answer) as Command });
    } catch (failed) {
      const why =
        failed instanceof ApiError && failed.number === 1008
          ? "The gateway does not store it: see what is wrong with it."
          : reason(failed);
      setSending({ kind: "failed", why });
    }
  };

  const blocked = errors.length > 0 || !current || found.length === 0;
  return (
    <div class="stack" ref={box}>
      <Card
        title="Edit configuration"
        note="Checked as you type against the schema and what this device can do. Nothing is sent before you apply it."
        actions={
          <>
            <Button onClick={close}>{sending.kind === "done" ? "Close" : "Cancel"}</Button>
            <Button
              kind="primary"
              icon="check"
              onClick={apply}
              disabled={blocked && !force}
              busy={sending.kind === "sent"}
            >
              Apply to the device
            </Button>
          </>
        }
      >
        <Progress sending={sending} />
        <CodeEditor
          label={LABEL}
          value={text}
          set={(value) => {
            setText(value);
            if (sending.kind !== "sent") setSending({ kind: "no" });
          }}
          marks={[...errors, ...warnings]}
          describedBy={PROBLEMS}
        />
        <div class="editor-foot">
          <span role="status" aria-live="polite">
            {errors.length > 0 ? (
              <Badge tone="bad" icon="cross">
                {plural(errors.length, "error")}
              </Badge>
            ) : current ? (
              <Badge tone="good" icon="check">
                Valid
              </Badge>
            ) : (
              <Badge tone="busy" icon="clock">
                Checking
              </Badge>
            )}{" "}
            {warnings.length > 0 && (
              <Badge tone="warn" icon="warning">
                {plural(warnings.length, "warning")}
              </Badge>
            )}
            {current?.unchecked && (
              <span class="note">Not checked by the schema: {current.unchecked}</span>
            )}
          </span>
          <span class="actions">
            <Check label="Send even if refused before" value={force} set={setForce} />
            <Button
              kind="quiet"
              disabled={local !== undefined}
              onClick={() => setText(pretty(text))}
            >
              Tidy up
            </Button>
            <Button kind="quiet" disabled={text === start} onClick={() => setText(start)}>
              Undo all
            </Button>
          </span>
        </div>
        {(errors.length > 0 || warnings.length > 0) && (
          <Findings id={PROBLEMS} editor={LABEL} found={[...errors, ...warnings]} />
        )}
      </Card>
      <Card title="What will change" note={local ? "Shown once the text is JSON." : undefined}>
        {!local &&
          (found.length === 0 ? (
            <p class="note">Nothing yet: this is what is stored.</p>
          ) : (
            <Differences found={found} before="Stored" after="New" label="Changes" />
          ))}
      </Card>
    </div>
  );
}

/** How far a change has come. */
function Progress({ sending }: { sending: Sending }) {
  const now = useNow(1);
  if (sending.kind === "no") return null;
  if (sending.kind === "failed") {
    return (
      <div class="outcome bad" role="alert">
        <strong>Not applied.</strong> {sending.why}
      </div>
    );
  }
  if (sending.kind === "sent") {
    return (
      <div class="outcome busy" role="status">
        <span class="spinner" aria-hidden="true" /> <strong>Sent.</strong> Waiting for the device to
        apply it, for {span(now - sending.since)}.
      </div>
    );
  }
  const { command } = sending;
  const rejected =
    (command.results as { status?: { rejected?: (Rejection | string)[] } } | null)?.status
      ?.rejected ?? [];
  if (command.status === "pending" || command.status === "executing") {
    return (
      <div class="outcome busy" role="status">
        <strong>Waiting.</strong> The device is away or has not answered; it gets this configuration
        when it is back.
      </div>
    );
  }
  if (command.errorCode === 0 && command.status === "completed") {
    return (
      <div class="outcome good" role="status">
        <strong>Applied.</strong> The device confirmed the new configuration.
      </div>
    );
  }
  return (
    <div class={`outcome ${command.errorCode === 1 ? "warn" : "bad"}`} role="alert">
      <strong>
        {command.errorCode === 1 ? "Applied with substitutions." : "Refused by the device."}
      </strong>{" "}
      {command.errorText || command.status}
      {rejected.length > 0 && <Rejections rejections={rejected} />}
    </div>
  );
}
