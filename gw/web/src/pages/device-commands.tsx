import { useState } from "preact/hooks";
import { get, reason, request, session } from "../api.ts";
import { moment, span } from "../format.ts";
import { useLoaded, useNow } from "../hooks.ts";
import type { Command, Device, Rejection, Script } from "../types.ts";
import type { IconName } from "../ui/icons.tsx";
import {
  Ago,
  Badge,
  Button,
  Card,
  Check,
  Code,
  Dialog,
  Empty,
  Failed,
  Field,
  Loading,
  Select,
  Text,
  type Tone,
} from "../ui/parts.tsx";
import { Rejections } from "../ui/rejections.tsx";
import { tell } from "../ui/toast.tsx";

const RUNNING_SECONDS = 1;
const LISTED = 30;
const OPEN = new Set(["pending", "executing", "executed"]);

/** The latest commands, followed while one is under way. */
export function useCommands(serial: string) {
  return useLoaded(
    `${serial} commands`,
    async (signal) => {
      const found = await get<{ commands: Command[] }>(
        `/commands?serialNumber=${serial}&newest=true&limit=${LISTED}`,
        { signal },
      );
      return found.commands;
    },
    RUNNING_SECONDS,
  );
}

const STATUS: Record<string, [Tone, IconName, string]> = {
  pending: ["busy", "clock", "Waiting"],
  executing: ["busy", "clock", "Sent"],
  executed: ["busy", "clock", "Answered"],
  completed: ["good", "check", "Done"],
  failed: ["bad", "cross", "Failed"],
  timedout: ["bad", "clock", "No answer"],
  expired: ["plain", "dash", "Expired"],
};

export function DeviceCommands({ serial, run }: { serial: string; run: () => void }) {
  const commands = useCommands(serial);
  return (
    <Card
      title="Commands"
      note="Newest first; those under way are followed."
      actions={
        <Button icon="play" onClick={run}>
          Run a command
        </Button>
      }
    >
      {commands.error && (
        <Failed
          what="The commands could not be read."
          error={commands.error}
          retry={commands.reload}
        />
      )}
      {commands.loading && <Loading />}
      {commands.value?.length === 0 && (
        <Empty icon="play" title="No command yet">
          What is asked of the device is listed here with its result.
        </Empty>
      )}
      <ul class="commands">
        {commands.value?.map((one) => (
          <CommandItem key={one.UUID} command={one} />
        ))}
      </ul>
    </Card>
  );
}

export function CommandItem({ command, open = false }: { command: Command; open?: boolean }) {
  const now = useNow(1);
  const [tone, icon, label] = STATUS[command.status] ?? ["plain", "dots", command.status];
  const under = OPEN.has(command.status);
  const status = (
    command.results as { status?: { text?: string; rejected?: (Rejection | string)[] } } | null
  )?.status;
  const steps: [string, boolean][] = [
    ["Accepted", true],
    ["Sent to the device", command.attempts > 0 || command.executed > 0],
    ["Answered", command.answered > 0 || command.status === "completed"],
    [under ? "Result" : label, !under],
  ];
  return (
    <li class={`command ${tone}`}>
      <details open={open}>
        <summary>
          <span class="strong">{command.command}</span>
          <Badge tone={tone} icon={icon}>
            {label}
          </Badge>
          <span class="note">
            {under ? `for ${span(now - command.submitted)}` : <Ago at={command.submitted} />} ·{" "}
            {command.submittedBy || "gateway"}
          </span>
          {command.errorText && <span class="clip bad-text">{command.errorText}</span>}
        </summary>
        <ol class="steps">
          {steps.map(([name, done]) => (
            <li key={name} class={done ? "done" : under ? "next" : "missed"}>
              {name}
            </li>
          ))}
        </ol>
        <p class="note">
          {moment(command.submitted)}
          {command.executionTime > 0 && ` · took ${command.executionTime.toFixed(0)} ms`}
          {command.when > 0 && ` · planned for ${moment(command.when)}`}
        </p>
        {command.errorCode > 0 && (
          <p class="bad-text">
            Error {command.errorCode}: {command.errorText || status?.text}
          </p>
        )}
        {status?.rejected && status.rejected.length > 0 && (
          <Rejections rejections={status.rejected} />
        )}
        {command.attachFile > 0 && <Download command={command} />}
        <details class="raw">
          <summary>Request and result</summary>
          <Code
            label="Request and result"
            text={JSON.stringify({ request: command.details, result: command.results }, null, 2)}
          />
        </details>
      </details>
    </li>
  );
}

function Download({ command }: { command: Command }) {
  const fetchFile = async () => {
    try {
      const answer = await fetch(
        `/api/v1/file/${command.UUID}?serialNumber=${command.serialNumber}`,
        { headers: { Authorization: `Bearer ${session()?.access ?? ""}` } },
      );
      if (!answer.ok) throw new Error(`The gateway answered ${answer.status}.`);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await answer.blob());
      link.download = `${command.serialNumber}-${command.command}-${command.UUID.slice(0, 8)}`;
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (failed) {
      tell(reason(failed), "bad");
    }
  };
  return (
    <Button icon="down" onClick={fetchFile}>
      Download the file
    </Button>
  );
}

interface Kind {
  name: string;
  label: string;
  help: string;
  /** May be asked of a device that is away. */
  later?: boolean;
  danger?: boolean;
}

const KINDS: Kind[] = [
  {
    name: "ping",
    label: "Ping",
    help: "Asks the device for a sign of life, and measures how long it takes.",
  },
  {
    name: "leds",
    label: "Lights",
    help: "Switches or blinks the lights, to find the device on a wall.",
  },
  {
    name: "request",
    label: "Ask for a report",
    help: "Has the device send its state or a health check now.",
  },
  {
    name: "wifiscan",
    label: "Scan the neighbourhood",
    help: "Lists the networks around. Clients may be interrupted for some seconds.",
  },
  {
    name: "reboot",
    label: "Reboot",
    help: "Restarts the device. Its clients lose their network for a minute or two.",
    danger: true,
  },
  {
    name: "trace",
    label: "Capture packets",
    help: "Captures what passes an interface, into a file to download.",
  },
  { name: "script", label: "Run a script", help: "Runs a stored script on the device." },
  {
    name: "upgrade",
    label: "Install firmware",
    help: "Installs an image from an address. A device that is away gets it when it is back.",
    later: true,
    danger: true,
  },
  {
    name: "factory",
    label: "Factory reset",
    help: "Puts the device back to how it came. Its configuration there is lost.",
    later: true,
    danger: true,
  },
];

type Values = Record<string, string | boolean>;
const DEFAULTS: Values = {
  pattern: "blink",
  duration: "30",
  message: "state",
  keepRedirector: true,
  uri: "",
  network: "up",
  seconds: "10",
  script: "",
  activeScan: false,
};

function body(kind: string, serial: string, values: Values): Record<string, unknown> {
  const common = { serialNumber: serial, when: 0 };
  switch (kind) {
    case "leds":
      return { ...common, pattern: values.pattern, duration: Number(values.duration) };
    case "request":
      return { ...common, message: values.message };
    case "wifiscan":
      return { ...common, activeScan: values.activeScan };
    case "trace":
      return { ...common, network: values.network, duration: Number(values.seconds) };
    case "script":
      return { ...common, scriptId: values.script, type: "shell" };
    case "upgrade":
      return { ...common, uri: values.uri, keepRedirector: values.keepRedirector };
    case "factory":
      return { ...common, keepRedirector: values.keepRedirector };
    default:
      return common;
  }
}

/** Chooses a command, and follows it to its result. */
export function RunCommand({
  device,
  connected,
  close,
}: {
  device: Device;
  connected: boolean;
  close: () => void;
}) {
  const serial = device.serialNumber;
  const [name, setName] = useState("ping");
  const [values, setValues] = useState(DEFAULTS);
  const [since, setSince] = useState(0);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const [pong, setPong] = useState("");
  const commands = useCommands(serial);
  const scripts = useLoaded(
    name === "script" ? "scripts" : "",
    async (signal) => (await get<{ scripts: Script[] }>("/scripts", { signal })).scripts,
  );
  const kind = KINDS.find((one) => one.name === name) ?? (KINDS[0] as Kind);
  const set = (field: string) => (value: string | boolean) =>
    setValues((old) => ({ ...old, [field]: value }));
  const text = (field: string) => String(values[field] ?? "");
  const away = !connected && !kind.later;

  const run = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError("");
    setPong("");
    setSince(Math.floor(Date.now() / 1000) - 1);
    try {
      const answer = await request<{ latency?: string }>("POST", `/device/${serial}/${name}`, {
        body: body(name, serial, values),
      });
      if (name === "ping" && answer.latency)
        setPong(`The device answered in ${Number.parseFloat(answer.latency).toFixed(0)} ms.`);
    } catch (failed) {
      setError(reason(failed));
    } finally {
      setBusy(false);
      commands.reload();
    }
  };

  const own =
    since > 0
      ? commands.value?.find((one) => one.command === name && one.submitted >= since)
      : undefined;
  return (
    <Dialog title={`Run a command on ${serial}`} close={close} wide>
      <form onSubmit={run}>
        <div class="dialog-body">
          <Field label="Command">
            {(props) => (
              <select
                {...props}
                value={name}
                disabled={busy}
                onChange={(event) => {
                  setName(event.currentTarget.value);
                  setSince(0);
                  setError("");
                  setPong("");
                }}
              >
                {KINDS.map((one) => (
                  <option key={one.name} value={one.name}>
                    {one.label}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <p class="note">{kind.help}</p>
          {name === "leds" && (
            <div class="row">
              <Select
                label="Lights"
                value={text("pattern")}
                set={set("pattern")}
                options={[
                  ["blink", "Blink"],
                  ["on", "On"],
                  ["off", "Off"],
                ]}
              />
              <Text
                label="Seconds"
                type="number"
                min={1}
                max={3600}
                value={text("duration")}
                set={set("duration")}
              />
            </div>
          )}
          {name === "request" && (
            <Select
              label="Report"
              value={text("message")}
              set={set("message")}
              options={[
                ["state", "State"],
                ["healthcheck", "Health check"],
              ]}
            />
          )}
          {name === "wifiscan" && (
            <Check
              label="Send probes as well"
              hint="Finds more, and takes longer."
              value={values.activeScan === true}
              set={set("activeScan")}
            />
          )}
          {name === "trace" && (
            <div class="row">
              <Select
                label="Network"
                value={text("network")}
                set={set("network")}
                options={[
                  ["up", "Upstream"],
                  ["down", "Downstream"],
                ]}
              />
              <Text
                label="Seconds"
                type="number"
                min={1}
                max={600}
                value={text("seconds")}
                set={set("seconds")}
              />
            </div>
          )}
          {name === "script" && (
            <Select
              label="Script"
              value={text("script")}
              set={set("script")}
              options={[
                ["", scripts.value?.length ? "Choose one" : "No script is stored"],
                ...(scripts.value ?? []).map((one): [string, string] => [one.id, one.name]),
              ]}
            />
          )}
          {name === "upgrade" && (
            <Text
              label="Address of the image"
              type="url"
              placeholder="https://"
              required
              value={text("uri")}
              set={set("uri")}
            />
          )}
          {(name === "upgrade" || name === "factory") && (
            <Check
              label="Keep the redirector"
              hint="So that the device finds this gateway again."
              value={values.keepRedirector === true}
              set={set("keepRedirector")}
            />
          )}
          {away && <p class="warned">The device is away. This command cannot wait for it.</p>}
          {!connected && kind.later && (
            <p class="warned">The device is away. The command waits until it is back.</p>
          )}
          {error && (
            <p class="error" role="alert">
              {error}
            </p>
          )}
          {pong && (
            <p class="ok" role="status">
              {pong}
            </p>
          )}
          {own && (
            <ul class="commands" aria-label="Progress">
              <CommandItem key={own.UUID} command={own} open />
            </ul>
          )}
        </div>
        <footer>
          <Button onClick={close}>Close</Button>
          <Button
            kind={kind.danger ? "danger" : "primary"}
            icon="play"
            type="submit"
            busy={busy}
            disabled={away || (name === "script" && !values.script)}
          >
            {kind.label}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
