import { useMemo, useState } from "preact/hooks";
import { get } from "../api.ts";
import { type Client, type Port, type Radio, rates, signal, snapshot } from "../data/state.ts";
import { bytes, count, moment, plural, span } from "../format.ts";
import { useLoaded } from "../hooks.ts";
import type { HealthEntry, StateEntry } from "../types.ts";
import { Chart } from "../ui/chart.tsx";
import { Ago, Badge, Card, Empty, Facts, Failed, Loading, Select, Table } from "../ui/parts.tsx";

const REPORTS: [string, string][] = [
  ["60", "Last 60 reports"],
  ["200", "Last 200 reports"],
  ["500", "Last 500 reports"],
];
const REFRESH_SECONDS = 10;

/** What the device reports of itself, as pictures. */
export function DeviceState({ serial }: { serial: string }) {
  const [limit, setLimit] = useState("60");
  const reports = useLoaded(
    `${serial} ${limit}`,
    async (signal) => {
      const [states, health] = await Promise.all([
        get<{ data: StateEntry[] }>(`/device/${serial}/statistics?newest=true&limit=${limit}`, {
          signal,
        }),
        get<{ values: HealthEntry[] }>(
          `/device/${serial}/healthchecks?newest=true&limit=${limit}`,
          { signal },
        ),
      ]);
      return { states: states.data.toReversed(), health: health.values.toReversed() };
    },
    REFRESH_SECONDS,
  );
  const made = useMemo(() => {
    const states = reports.value?.states ?? [];
    const seen = states.map((one) => snapshot(one.data));
    const times = states.map((one) => one.recorded);
    return {
      times,
      latest: seen.at(-1),
      memory: seen.map((one) => one.memory),
      loads: [0, 1, 2].map((at) => seen.map((one) => one.loads[at] ?? null)),
      clients: seen.map((one) => one.clients.length),
      received: rates(
        times,
        seen.map((one) => one.received),
      ),
      sent: rates(
        times,
        seen.map((one) => one.sent),
      ),
      temperature: seen.map((one) => one.temperature),
    };
  }, [reports.value]);

  if (reports.error && !reports.value)
    return (
      <Failed what="The reports could not be read." error={reports.error} retry={reports.reload} />
    );
  if (!reports.value) return <Loading what="Reading reports" />;
  const { latest, times } = made;
  if (!latest) {
    return (
      <Empty icon="wifi" title="No report yet">
        A device sends its state every minute or so. “Run a command” can ask for one now.
      </Empty>
    );
  }
  const health = reports.value.health;
  return (
    <div class="stack">
      <div class="bar">
        <span class="note">
          Newest report: <Ago at={times.at(-1) ?? 0} />
        </span>
        <Select label="Time" value={limit} set={setLimit} options={REPORTS} />
      </div>
      <div class="tiles">
        <Tile name="Up for" value={span(latest.uptime)} />
        <Tile name="Clients" value={count(latest.clients.length)} />
        <Tile
          name="Memory used"
          value={latest.memory === null ? "–" : `${latest.memory.toFixed(0)} %`}
          note={latest.memoryTotal ? `of ${bytes(latest.memoryTotal)}` : ""}
        />
        <Tile
          name="Load"
          value={latest.loads[0]?.toFixed(2) ?? "–"}
          note={latest.loads
            .slice(1)
            .map((one) => one.toFixed(2))
            .join(", ")}
        />
        <Tile
          name="Temperature"
          value={latest.temperature === null ? "–" : `${latest.temperature} °C`}
        />
        <Tile name="Health" value={health.length > 0 ? `${health.at(-1)?.sanity} %` : "–"} />
      </div>
      <div class="grid two">
        <Card>
          <Chart
            label="Traffic"
            times={times}
            format={(value) => `${bytes(value)}/s`}
            series={[
              { label: "Received", colour: "--chart-1", values: made.received },
              { label: "Sent", colour: "--chart-2", values: made.sent },
            ]}
          />
        </Card>
        <Card>
          <Chart
            label="Clients"
            times={times}
            format={(value) => count(Math.round(value))}
            series={[{ label: "Clients", colour: "--chart-3", values: made.clients }]}
          />
        </Card>
        <Card>
          <Chart
            label="Memory"
            times={times}
            top={100}
            format={(value) => `${value.toFixed(0)} %`}
            series={[{ label: "Used", colour: "--chart-4", values: made.memory }]}
          />
        </Card>
        <Card>
          <Chart
            label="Load"
            times={times}
            format={(value) => value.toFixed(2)}
            series={[
              { label: "1 min", colour: "--chart-1", values: made.loads[0] ?? [] },
              { label: "5 min", colour: "--chart-2", values: made.loads[1] ?? [] },
              { label: "15 min", colour: "--chart-3", values: made.loads[2] ?? [] },
            ]}
          />
        </Card>
      </div>
      {latest.radios.length > 0 && (
        <Card title="Radios">
          <div class="radios">
            {latest.radios.map((one) => (
              <RadioPicture key={one.name} radio={one} />
            ))}
          </div>
        </Card>
      )}
      {latest.clients.length > 0 && (
        <Card title={plural(latest.clients.length, "client")}>
          <Clients clients={latest.clients} />
        </Card>
      )}
      {latest.ports.length > 0 && (
        <Card title="Ports">
          <Ports ports={latest.ports} />
        </Card>
      )}
      {health.length > 0 && (
        <Card title="Health">
          <ol class="health" aria-label="Health checks, oldest first">
            {health.slice(-60).map((one) => (
              <li
                key={one.recorded}
                class={one.sanity >= 90 ? "good" : one.sanity >= 60 ? "warn" : "bad"}
                title={`${one.sanity} %, ${moment(one.recorded)}`}
              >
                <span class="sr">{`${one.sanity} % at ${moment(one.recorded)}`}</span>
              </li>
            ))}
          </ol>
        </Card>
      )}
    </div>
  );
}

export function Tile({ name, value, note }: { name: string; value: string; note?: string }) {
  return (
    <div class="tile">
      <span>{name}</span>
      <strong>{value}</strong>
      {note && <small>{note}</small>}
    </div>
  );
}

function RadioPicture({ radio }: { radio: Radio }) {
  const busy = radio.busy ?? 0;
  return (
    <div class="radio">
      <h3>
        {radio.band} <small>channel {radio.channel || "?"}</small>
      </h3>
      <div class="meter">
        <svg
          viewBox="0 0 100 6"
          preserveAspectRatio="none"
          role="img"
          aria-label={
            radio.busy === null
              ? "Use of the channel unknown"
              : `Channel busy ${busy.toFixed(0)} percent`
          }
        >
          <rect width="100" height="6" class="meter-back" rx="3" />
          <rect
            width={busy}
            height="6"
            class={busy > 70 ? "meter-bad" : busy > 40 ? "meter-warn" : "meter-good"}
            rx="3"
          />
        </svg>
        <span>{radio.busy === null ? "use unknown" : `${busy.toFixed(0)} % busy`}</span>
      </div>
      <Facts
        facts={[
          ["Width", radio.width ? `${radio.width} MHz` : "–"],
          ["Power", radio.power ? `${radio.power} dBm` : "–"],
          ["Noise", radio.noise === null ? "–" : `${radio.noise} dBm`],
          ["Temperature", radio.temperature === null ? "–" : `${radio.temperature} °C`],
          ["Clients", count(radio.clients)],
        ]}
      />
    </div>
  );
}

function Signal({ rssi }: { rssi: number }) {
  const { label, tone, bars } = signal(rssi);
  return (
    <span class={`signal ${tone}`}>
      <svg viewBox="0 0 20 16" width="20" height="16" aria-hidden="true">
        {[1, 2, 3, 4].map((one) => (
          <rect
            key={one}
            x={(one - 1) * 5}
            y={16 - one * 4}
            width="3.500"
            height={one * 4}
            rx="1"
            class={one <= bars ? "lit" : "unlit"}
          />
        ))}
      </svg>
      {rssi} dBm <small>{label}</small>
    </span>
  );
}

function Clients({ clients }: { clients: Client[] }) {
  return (
    <Table
      label="Clients"
      rows={clients.toSorted((a, b) => b.rssi - a.rssi)}
      rowKey={(one) => one.station + one.ssid}
      columns={[
        { head: "Station", cell: (one) => <span class="mono">{one.station}</span> },
        { head: "Network", cell: (one) => `${one.ssid}, ${one.band}` },
        { head: "Signal", cell: (one) => <Signal rssi={one.rssi} /> },
        { head: "Connected", cell: (one) => span(one.connected) },
        { head: "Received, sent", cell: (one) => `${bytes(one.received)}, ${bytes(one.sent)}` },
        { head: "Address", cell: (one) => <span class="mono">{one.address || "–"}</span> },
      ]}
    />
  );
}

function Ports({ ports }: { ports: Port[] }) {
  return (
    <Table
      label="Ports"
      rows={ports}
      rowKey={(one) => one.name}
      columns={[
        { head: "Port", cell: (one) => <span class="mono">{one.name}</span> },
        { head: "Role", cell: (one) => one.role },
        {
          head: "Link",
          cell: (one) => (
            <Badge tone={one.up ? "good" : "plain"} icon={one.up ? "check" : "dash"}>
              {one.up ? `${one.speed} Mbit/s ${one.duplex}` : "down"}
            </Badge>
          ),
        },
        { head: "Received, sent", cell: (one) => `${bytes(one.received)}, ${bytes(one.sent)}` },
        {
          head: "Errors",
          cell: (one) => (one.errors ? <Badge tone="warn">{count(one.errors)}</Badge> : "none"),
        },
      ]}
    />
  );
}
