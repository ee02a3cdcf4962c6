import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { reason } from "../api.ts";
import { ago, moment } from "../format.ts";
import { useNow } from "../hooks.ts";
import { BASE } from "../router.ts";
import type { ConfigurationState } from "../types.ts";
import { Icon, type IconName } from "./icons.tsx";

export type Tone = "good" | "busy" | "warn" | "bad" | "hold" | "plain";

export const STATES: Record<
  ConfigurationState,
  { label: string; tone: Tone; icon: IconName; help: string }
> = {
  in_step: {
    label: "In step",
    tone: "good",
    icon: "check",
    help: "The device has the stored configuration.",
  },
  pending: { label: "Pending", tone: "busy", icon: "clock", help: "A change is under way." },
  drifted: {
    label: "Drifted",
    tone: "warn",
    icon: "drift",
    help: "The device reports another configuration; it is sent again.",
  },
  rejected: {
    label: "Rejected",
    tone: "bad",
    icon: "cross",
    help: "The device refused the stored configuration.",
  },
  held: {
    label: "Held",
    tone: "hold",
    icon: "pause",
    help: "Nothing is sent for now, and the device page says why.",
  },
  unmanaged: {
    label: "Unmanaged",
    tone: "plain",
    icon: "dash",
    help: "No configuration is stored, or the device asks for none.",
  },
  unknown: {
    label: "Not seen yet",
    tone: "plain",
    icon: "dots",
    help: "The device has not reported its configuration yet.",
  },
};

export function Badge({
  tone,
  icon,
  children,
  title,
}: {
  tone: Tone;
  icon?: IconName;
  children: ComponentChildren;
  title?: string;
}) {
  return (
    <span class={`badge ${tone}`} title={title}>
      {icon && <Icon name={icon} />}
      {children}
    </span>
  );
}

export function StateBadge({ state }: { state: ConfigurationState }) {
  const shown = STATES[state];
  return (
    <Badge tone={shown.tone} icon={shown.icon} title={shown.help}>
      {shown.label}
    </Badge>
  );
}

export function Connected({ connected }: { connected: boolean }) {
  return <span class={`dot ${connected ? "on" : "off"}`}>{connected ? "Connected" : "Away"}</span>;
}

/** When something was, as an age; the exact time is its title. */
export function Ago({ at }: { at: number }) {
  const now = useNow(10);
  return (
    <time dateTime={at > 0 ? new Date(at * 1000).toISOString() : undefined} title={moment(at)}>
      {ago(at, Math.max(now, Date.now() / 1000))}
    </time>
  );
}

export function Link({
  to,
  children,
  ...more
}: { to: string; children: ComponentChildren } & JSX.AnchorHTMLAttributes) {
  return (
    <a href={BASE + to} {...more}>
      {children}
    </a>
  );
}

interface ButtonProps extends Omit<JSX.ButtonHTMLAttributes, "icon" | "size"> {
  kind?: "primary" | "plain" | "danger" | "quiet";
  icon?: IconName;
  busy?: boolean;
  children?: ComponentChildren;
}

export function Button({
  kind = "plain",
  icon,
  busy = false,
  children,
  disabled,
  ...more
}: ButtonProps) {
  return (
    <button
      type="button"
      {...more}
      class={`button ${kind}`}
      disabled={Boolean(disabled) || busy}
      aria-busy={busy}
    >
      {busy ? <span class="spinner" aria-hidden="true" /> : icon && <Icon name={icon} />}
      {children !== undefined && <span>{children}</span>}
    </button>
  );
}

export function Card({
  title,
  note,
  actions,
  children,
  class: more = "",
}: {
  title?: ComponentChildren;
  note?: ComponentChildren;
  actions?: ComponentChildren;
  children?: ComponentChildren;
  class?: string;
}) {
  return (
    <section class={`card ${more}`}>
      {(title || actions) && (
        <header class="card-head">
          <div>
            {title && <h2>{title}</h2>}
            {note && <p class="note">{note}</p>}
          </div>
          {actions && <div class="actions">{actions}</div>}
        </header>
      )}
      {children}
    </section>
  );
}

export function Page({
  title,
  note,
  actions,
  children,
}: {
  title: ComponentChildren;
  note?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <div class="page">
      <header class="page-head">
        <div>
          <h1 tabIndex={-1}>{title}</h1>
          {note && <p class="note">{note}</p>}
        </div>
        {actions && <div class="actions">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

/** Says that there is nothing, and what that means. */
export function Empty({
  icon = "dots",
  title,
  children,
}: {
  icon?: IconName;
  title: string;
  children?: ComponentChildren;
}) {
  return (
    <div class="empty">
      <Icon name={icon} />
      <h3>{title}</h3>
      {children && <p>{children}</p>}
    </div>
  );
}

/** Says what failed, and offers to try again. */
export function Failed({
  error,
  what,
  retry,
}: {
  error: unknown;
  what: string;
  retry?: () => void;
}) {
  return (
    <div class="failed" role="alert">
      <Icon name="cross" />
      <div>
        <strong>{what}</strong>
        <p>{reason(error)}</p>
      </div>
      {retry && <Button onClick={retry}>Try again</Button>}
    </div>
  );
}

export function Loading({ what = "Loading" }: { what?: string }) {
  return (
    <div class="loading" role="status">
      <span class="spinner" aria-hidden="true" /> {what} …
    </div>
  );
}

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  error?: string | undefined;
  children: (props: {
    id: string;
    "aria-describedby"?: string;
    "aria-invalid"?: boolean;
  }) => ComponentChildren;
}

/** A labelled control with a hint and an error beside it. */
export function Field({ label, hint, error, children }: FieldProps) {
  const id = useId();
  const described = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""]
    .filter(Boolean)
    .join(" ");
  return (
    <div class={`field${error ? " wrong" : ""}`}>
      <label for={id}>{label}</label>
      {children({
        id,
        ...(described ? { "aria-describedby": described } : {}),
        ...(error ? { "aria-invalid": true } : {}),
      })}
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error && (
        <p class="error" id={`${id}-error`} role="alert">
          {error}
        </p>
      )}
    </div>
  );
}

interface TextProps extends Omit<JSX.InputHTMLAttributes, "value" | "onInput" | "label"> {
  label: string;
  value: string;
  set: (value: string) => void;
  hint?: ComponentChildren;
  error?: string | undefined;
}

export function Text({ label, value, set, hint, error, ...more }: TextProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(props) => (
        <input
          type="text"
          {...more}
          {...props}
          value={value}
          onInput={(event) => set(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

interface SelectProps {
  label: string;
  value: string;
  set: (value: string) => void;
  options: [value: string, label: string][];
  hint?: ComponentChildren;
}

export function Select({ label, value, set, options, hint }: SelectProps) {
  return (
    <Field label={label} hint={hint}>
      {(props) => (
        <select {...props} value={value} onChange={(event) => set(event.currentTarget.value)}>
          {options.map(([one, text]) => (
            <option key={one} value={one}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

export function Check({
  label,
  value,
  set,
  hint,
}: {
  label: string;
  value: boolean;
  set: (value: boolean) => void;
  hint?: ComponentChildren;
}) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={value}
        onChange={(event) => set(event.currentTarget.checked)}
      />
      <span>
        {label}
        {hint && <small>{hint}</small>}
      </span>
    </label>
  );
}

/** A dialog of the browser's own: it holds the focus and closes by Escape. */
export function Dialog({
  title,
  close,
  children,
  wide = false,
}: {
  title: string;
  close: () => void;
  children: ComponentChildren;
  wide?: boolean;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      class={wide ? "wide" : ""}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
    >
      <header>
        <h2 id={id}>{title}</h2>
        <Button kind="quiet" icon="cross" aria-label="Close" onClick={close} />
      </header>
      {children}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  action: string;
  close: () => void;
  run: () => Promise<unknown>;
  danger?: boolean;
  children: ComponentChildren;
}

/** Asks before something is done, and shows why it failed. */
export function Confirm({ title, action, close, run, danger = false, children }: ConfirmProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError("");
    try {
      await run();
      close();
    } catch (failed) {
      setError(reason(failed));
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} close={close}>
      <form onSubmit={submit}>
        <div class="dialog-body">
          {children}
          {error && (
            <p class="error" role="alert">
              {error}
            </p>
          )}
        </div>
        <footer>
          <Button onClick={close}>Cancel</Button>
          <Button kind={danger ? "danger" : "primary"} type="submit" busy={busy}>
            {action}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

export interface Column<T> {
  head: string;
  cell: (row: T) => ComponentChildren;
  class?: string;
}

/** A table that becomes a list of cards on a phone. */
export function Table<T>({
  columns,
  rows,
  rowKey,
  label,
  to,
}: {
  columns: Column<T>[];
  rows: T[];
  rowKey: (row: T) => string | number;
  label: string;
  to?: (row: T) => string;
}) {
  return (
    <div class="table-box">
      <table aria-label={label}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.head} scope="col" class={column.class}>
                {column.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)} class={to ? "linked" : ""}>
              {columns.map((column, at) => (
                <td key={column.head} class={column.class} data-label={column.head}>
                  {at === 0 && to ? (
                    <Link to={to(row)} class="row-link">
                      {column.cell(row)}
                    </Link>
                  ) : (
                    column.cell(row)
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function Facts({ facts }: { facts: [name: string, value: ComponentChildren][] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value === "" || value === undefined || value === null ? "–" : value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Copies a text; says so for a moment. */
export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const [done, set] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    set(true);
    setTimeout(() => set(false), 1500);
  };
  return (
    <Button kind="quiet" icon={done ? "check" : "copy"} onClick={copy} aria-label={label}>
      {done ? "Copied" : undefined}
    </Button>
  );
}

/** A text of a machine, which scrolls in a box of its own. */
export function Code({ label, text }: { label: string; text: string }) {
  return (
    // A box that scrolls has to be reached by the keyboard.
    <section class="code" tabIndex={0} aria-label={label}>
      <pre>{text}</pre>
    </section>
  );
}
