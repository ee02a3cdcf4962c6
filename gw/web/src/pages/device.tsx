import { useState } from "preact/hooks";
import { get, member, request, requestText } from "../api.ts";
import { mac } from "../format.ts";
import { useLoaded } from "../hooks.ts";
import { without } from "../json/document.ts";
import { go } from "../router.ts";
import { isAdministrator, useSession } from "../session.tsx";
import type { Connection, Device } from "../types.ts";
import {
  Badge,
  Button,
  Confirm,
  Connected,
  Copy,
  Failed,
  Link,
  Loading,
  Page,
  StateBadge,
  Text,
} from "../ui/parts.tsx";
import { tell } from "../ui/toast.tsx";
import { DeviceCommands, RunCommand } from "./device-commands.tsx";
import { DeviceConfiguration } from "./device-configuration.tsx";
import { DeviceLive } from "./device-live.tsx";
import { DeviceLogs } from "./device-logs.tsx";
import { DeviceOverview } from "./device-overview.tsx";
import { DeviceState } from "./device-state.tsx";

export interface DeviceFacts {
  device: Device;
  /** The stored configuration as written, without its uuid. */
  desired: string;
  connection: Connection;
}

const REFRESH_SECONDS = 2;

/** Of a device that is away the gateway says no more than that. */
const AWAY: Connection = {
  ipAddress: "",
  connected: false,
  started: 0,
  lastContact: 0,
  txBytes: 0,
  rxBytes: 0,
  messageCount: 0,
  certificateExpiryDate: 0,
  certificateIssuerName: "",
  verifiedCertificate: "",
  connectReason: "",
  uptime: 0,
  sanity: 0,
  memoryUsed: 0,
  load: 0,
  temperature: 0,
  associations_2G: 0,
  associations_5G: 0,
  associations_6G: 0,
};

async function load(serial: string, signal: AbortSignal): Promise<DeviceFacts> {
  const [text, connection] = await Promise.all([
    requestText("GET", `/device/${serial}`, { signal }),
    get<Partial<Connection>>(`/device/${serial}/status`, { signal }),
  ]);
  const configuration = member(text, "configuration");
  return {
    device: JSON.parse(text) as Device,
    desired: configuration && configuration !== "{}" ? without(configuration, "uuid") : "",
    connection: { ...AWAY, ...connection },
  };
}

export function DevicePage({ serial, tab }: { serial: string; tab: string }) {
  const { user } = useSession();
  const loaded = useLoaded(serial, (signal) => load(serial, signal), REFRESH_SECONDS);
  const [asking, ask] = useState<"" | "run" | "delete" | "block">("");
  const tabs: [path: string, label: string][] = [
    ["overview", "Overview"],
    ["configuration", "Configuration"],
    ["state", "State"],
    ["commands", "Commands"],
    ["logs", "Logs"],
  ];
  if (isAdministrator(user)) tabs.push(["live", "Live"]);
  if (!loaded.value) {
    if (loaded.error) {
      const missing = loaded.error.status === 404;
      return (
        <Page title={serial}>
          <Failed
            what={missing ? "This device is not in the store." : "The device could not be read."}
            error={loaded.error}
            retry={loaded.reload}
          />
          <p>
            <Link to="/devices">All devices</Link>
          </p>
        </Page>
      );
    }
    return <Loading what={`Reading ${serial}`} />;
  }
  const facts = loaded.value;
  const { device, connection } = facts;
  return (
    <div class="page device">
      <header class="page-head">
        <div>
          <p class="crumbs">
            <Link to="/devices">Devices</Link>
          </p>
          <h1 tabIndex={-1} class="mono">
            {serial} <Copy text={serial} label="Copy the serial number" />
          </h1>
          <p class="badges">
            <Connected connected={connection.connected} />
            <StateBadge state={device.configurationState} />
            {device.blackListed && (
              <Badge tone="bad" icon="block">
                Blacklisted
              </Badge>
            )}
            {device.restrictedDevice && <Badge tone="plain">Restricted</Badge>}
            {device.simulated && <Badge tone="plain">Simulated</Badge>}
            <span class="note">
              {[device.compatible, device.firmware, device.macAddress || mac(serial)]
                .filter(Boolean)
                .join(" · ")}
            </span>
          </p>
        </div>
        <div class="actions">
          <Button kind="primary" icon="play" onClick={() => ask("run")}>
            Run a command
          </Button>
          {!device.blackListed && (
            <Button icon="block" onClick={() => ask("block")}>
              Blacklist
            </Button>
          )}
          {isAdministrator(user) && (
            <Button
              kind="quiet"
              icon="trash"
              aria-label="Delete the device"
              title="Delete the device"
              onClick={() => ask("delete")}
            />
          )}
        </div>
      </header>
      {loaded.error && <Failed what="What is shown may be old." error={loaded.error} />}
      <nav class="tabs" aria-label="Of this device">
        {tabs.map(([path, label]) => (
          <Link
            key={path}
            to={`/devices/${serial}${path === "overview" ? "" : `/${path}`}`}
            aria-current={tab === path ? "page" : undefined}
          >
            {label}
          </Link>
        ))}
      </nav>
      {tab === "overview" && <DeviceOverview {...facts} />}
      {tab === "configuration" && <DeviceConfiguration {...facts} changed={loaded.reload} />}
      {tab === "state" && <DeviceState serial={serial} />}
      {tab === "commands" && <DeviceCommands serial={serial} run={() => ask("run")} />}
      {tab === "logs" && <DeviceLogs serial={serial} />}
      {tab === "live" && <DeviceLive serial={serial} />}
      {asking === "run" && (
        <RunCommand device={device} connected={connection.connected} close={() => ask("")} />
      )}
      {asking === "block" && <Block serial={serial} close={() => ask("")} done={loaded.reload} />}
      {asking === "delete" && (
        <Confirm
          title={`Delete ${serial}?`}
          action="Delete the device"
          danger
          close={() => ask("")}
          run={async () => {
            await request("DELETE", `/device/${serial}`);
            tell(`${serial} is deleted`);
            go("/devices");
          }}
        >
          <p>
            Its configuration, reports, logs and commands are deleted with it. A device that
            connects again begins anew.
          </p>
        </Confirm>
      )}
    </div>
  );
}

function Block({ serial, close, done }: { serial: string; close: () => void; done: () => void }) {
  const [why, set] = useState("");
  return (
    <Confirm
      title={`Blacklist ${serial}?`}
      action="Blacklist the device"
      danger
      close={close}
      run={async () => {
        await request("POST", `/blacklist/${serial}`, {
          body: { serialNumber: serial, reason: why },
        });
        tell(`${serial} is refused from now on`);
        done();
      }}
    >
      <p>Its session ends at once, and it is refused until it is taken off the blacklist.</p>
      <Text
        label="Reason"
        value={why}
        set={set}
        hint="Others see it when they wonder why the device is away."
      />
    </Confirm>
  );
}
