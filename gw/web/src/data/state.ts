/** What a state report says, read leniently: agents and firmware differ. */

export interface Radio {
  name: string;
  band: string;
  channel: number;
  width: number;
  power: number;
  noise: number | null;
  /** Percent of the time that the channel is busy. */
  busy: number | null;
  temperature: number | null;
  clients: number;
}

export interface Client {
  station: string;
  ssid: string;
  band: string;
  rssi: number;
  connected: number;
  received: number;
  sent: number;
  address: string;
  bitrate: number;
}

export interface Port {
  name: string;
  role: string;
  up: boolean;
  speed: number;
  duplex: string;
  received: number;
  sent: number;
  errors: number;
}

export interface Snapshot {
  uptime: number;
  loads: number[];
  /** Percent. */
  memory: number | null;
  memoryTotal: number;
  temperature: number | null;
  radios: Radio[];
  clients: Client[];
  ports: Port[];
  addresses: string[];
  /** Of the upstream, since the device started. */
  received: number;
  sent: number;
}

type Json = Record<string, unknown>;

function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Json)
    : {};
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function number(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

function optional(value: unknown): number | null {
  const one = Array.isArray(value) ? Math.max(...value.map(number)) : value;
  return typeof one === "number" && Number.isFinite(one) && one !== 0 ? one : null;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}

/** 2.4, 5 or 6 GHz, by what the report names. */
export function bandOf(band: unknown, channel: unknown, frequency: unknown): string {
  const named = text(Array.isArray(band) ? band[0] : band);
  if (named) return named.replace(/^(\d)G.*$/, "$1 GHz").replace("2 GHz", "2.4 GHz");
  const mhz = number(Array.isArray(frequency) ? frequency[0] : frequency);
  if (mhz > 5925) return "6 GHz";
  if (mhz > 4900 || number(channel) > 14) return "5 GHz";
  return "2.4 GHz";
}

function radioOf(ssid: Json): number {
  const reference = text(object(ssid.radio).$ref);
  return Number(/(\d+)$/.exec(reference)?.[1] ?? -1);
}

/** Reads one state document. */
export function snapshot(state: unknown): Snapshot {
  const root = object(state);
  const unit = object(root.unit);
  const memory = object(unit.memory);
  const total = number(memory.total);
  const free = number(memory.free) + number(memory.cached) + number(memory.buffered);
  const interfaces = list(root.interfaces).map(object);
  const ssids = interfaces.flatMap((one) => list(one.ssids).map(object));
  const bands = list(root.radios).map((one) => {
    const radio = object(one);
    return bandOf(radio.band, radio.channel, radio.frequency);
  });
  const clients = ssids.flatMap((ssid) =>
    list(ssid.associations).map((one): Client => {
      const client = object(one);
      return {
        station: text(client.station),
        ssid: text(ssid.ssid),
        band: bands[radioOf(ssid)] ?? bandOf(ssid.band, 0, ssid.frequency),
        rssi: number(client.rssi),
        connected: number(client.connected),
        received: number(client.rx_bytes),
        sent: number(client.tx_bytes),
        address: text(client.ipaddr_v4),
        bitrate: number(object(client.tx_rate).bitrate),
      };
    }),
  );
  const radios = list(root.radios).map((one, at): Radio => {
    const radio = object(one);
    const survey = object(list(radio.survey)[0]);
    const time = number(survey.time) || number(radio.active_ms);
    const busy = number(survey.busy) || number(radio.busy_ms);
    return {
      name: text(radio.phy) || `radio ${at}`,
      band: bands[at] ?? "",
      channel: number(radio.channel),
      width: number(radio.channel_width),
      power: number(radio.tx_power),
      noise: optional(survey.noise) ?? optional(radio.noise),
      busy: time > 0 ? Math.min(100, (100 * busy) / time) : null,
      temperature: optional(radio.temperature),
      clients: ssids
        .filter((ssid) => (radioOf(ssid) >= 0 ? radioOf(ssid) === at : ssid.phy === radio.phy))
        .reduce((sum, ssid) => sum + list(ssid.associations).length, 0),
    };
  });
  const ports = Object.entries(object(root["link-state"])).flatMap(([role, group]) =>
    Object.entries(object(group)).map(([name, value]): Port => {
      const port = object(value);
      const counters = object(port.counters);
      return {
        name,
        role,
        up: Boolean(port.carrier),
        speed: number(port.speed),
        duplex: text(port.duplex),
        received: number(counters.rx_bytes),
        sent: number(counters.tx_bytes),
        errors: number(counters.rx_errors) + number(counters.tx_errors),
      };
    }),
  );
  const counters = interfaces.map((one) => object(one.counters));
  return {
    uptime: number(unit.uptime),
    loads: list(unit.load).map(number),
    memory: total > 0 ? (100 * (total - free)) / total : null,
    memoryTotal: total,
    temperature: optional(unit.temperature),
    radios,
    clients,
    ports,
    addresses: interfaces
      .flatMap((one) => list(object(one.ipv4).addresses).map(text))
      .filter(Boolean),
    received: counters.reduce((sum, one) => sum + number(one.rx_bytes), 0),
    sent: counters.reduce((sum, one) => sum + number(one.tx_bytes), 0),
  };
}

/** Bytes a second between reports; null where a counter went back, as after a restart. */
export function rates(times: number[], totals: number[]): (number | null)[] {
  return totals.map((total, at) => {
    const before = totals[at - 1];
    const seconds = (times[at] ?? 0) - (times[at - 1] ?? 0);
    if (before === undefined || seconds <= 0 || total < before) return null;
    return (total - before) / seconds;
  });
}

/** How good a signal is, in words. */
export function signal(rssi: number): {
  label: string;
  tone: "good" | "warn" | "bad";
  bars: number;
} {
  if (rssi >= -60) return { label: "strong", tone: "good", bars: 4 };
  if (rssi >= -68) return { label: "good", tone: "good", bars: 3 };
  if (rssi >= -75) return { label: "fair", tone: "warn", bars: 2 };
  return { label: "weak", tone: "bad", bars: 1 };
}
