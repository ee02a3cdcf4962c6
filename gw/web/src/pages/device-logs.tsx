import { useState } from "preact/hooks";
import { get } from "../api.ts";
import { moment } from "../format.ts";
import { useLoaded } from "../hooks.ts";
import type { DeviceEvent, LogLine } from "../types.ts";
import { Badge, Card, Empty, Failed, Loading, Select, type Tone } from "../ui/parts.tsx";

const KINDS: [string, string][] = [
  ["0", "Log"],
  ["1", "Crashes"],
  ["2", "Before reboots"],
  ["events", "Events"],
];
const SEVERITIES: [string, Tone][] = [
  ["emergency", "bad"],
  ["alert", "bad"],
  ["critical", "bad"],
  ["error", "bad"],
  ["warning", "warn"],
  ["notice", "busy"],
  ["info", "plain"],
  ["debug", "plain"],
];
const EMPTY: Record<string, string> = {
  "0": "The device has sent no log line.",
  "1": "The device has reported no crash. Good.",
  "2": "The device has saved nothing before a reboot.",
  events: "The device has sent no event.",
};
const REFRESH_SECONDS = 5;

export function DeviceLogs({ serial }: { serial: string }) {
  const [kind, setKind] = useState("0");
  const [limit, setLimit] = useState("100");
  const [search, setSearch] = useState("");
  const lines = useLoaded(
    `${serial} ${kind} ${limit}`,
    async (signal) => {
      if (kind !== "events") {
        const found = await get<{ values: LogLine[] }>(
          `/device/${serial}/logs?newest=true&logType=${kind}&limit=${limit}`,
          { signal },
        );
        return found.values.map((one) => ({
          at: one.recorded,
          severity: one.severity,
          text: one.log,
        }));
      }
      const found = await get<{ events: DeviceEvent[] }>(
        `/device/${serial}/events?newest=true&limit=${limit}`,
        { signal },
      );
      return found.events.map((one) => ({
        at: one.recorded,
        severity: 6,
        text: `${one.type} ${JSON.stringify(one.data)}`,
      }));
    },
    REFRESH_SECONDS,
  );
  const wanted = search.trim().toLowerCase();
  const shown = lines.value?.filter((one) => one.text.toLowerCase().includes(wanted));
  return (
    <Card title="Logs" note="As the device sent them, newest first.">
      <div class="filters">
        <Select label="What" value={kind} set={setKind} options={KINDS} />
        <Select
          label="Lines"
          value={limit}
          set={setLimit}
          options={[
            ["100", "100"],
            ["500", "500"],
            ["1000", "1,000"],
          ]}
        />
        <div class="field">
          <label for="log-search">Containing</label>
          <input
            id="log-search"
            type="search"
            value={search}
            onInput={(event) => setSearch(event.currentTarget.value)}
          />
        </div>
      </div>
      {lines.error && (
        <Failed what="The logs could not be read." error={lines.error} retry={lines.reload} />
      )}
      {lines.loading && <Loading />}
      {shown?.length === 0 && (
        <Empty icon="scripts" title={wanted ? "No line contains it" : "Nothing here"}>
          {wanted ? undefined : EMPTY[kind]}
        </Empty>
      )}
      {shown && shown.length > 0 && (
        <ol class="log">
          {shown.map((one, at) => {
            const [name, tone] = SEVERITIES[one.severity] ?? ["", "plain"];
            return (
              // lines have no identity
              <li key={at}>
                <time>{moment(one.at)}</time>
                {kind !== "events" && <Badge tone={tone}>{name}</Badge>}
                <span class="wrap mono">{one.text}</span>
              </li>
            );
          })}
        </ol>
      )}
    </Card>
  );
}
