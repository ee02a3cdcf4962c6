import { useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, get } from "../api.ts";
import { count, DAY, mac } from "../format.ts";
import { useLoaded, useSettled } from "../hooks.ts";
import { go, type Place, queryText } from "../router.ts";
import type { FleetDevice, FleetPage, FleetSummary } from "../types.ts";
import { Icon } from "../ui/icons.tsx";
import {
  Ago,
  Badge,
  Button,
  type Column,
  Connected,
  Empty,
  Failed,
  Loading,
  Page,
  Select,
  STATES,
  StateBadge,
  Table,
} from "../ui/parts.tsx";

const PAGE = 50;
const TYPING_MILLISECONDS = 120;
const REFRESH_SECONDS = 5;
const FILTERS = [
  "q",
  "state",
  "firmware",
  "compatible",
  "platform",
  "connected",
  "expiring",
] as const;
type Filters = Partial<Record<(typeof FILTERS)[number], string>>;

function filtersOf(place: Place): Filters {
  const found: Filters = {};
  for (const name of FILTERS) {
    const value = place.query.get(name);
    if (value) found[name] = value;
  }
  return found;
}

const COLUMNS: Column<FleetDevice>[] = [
  {
    head: "Device",
    cell: (one) => (
      <>
        <span class="mono strong">{one.serialNumber}</span>
        <small class="mono">{mac(one.serialNumber)}</small>
      </>
    ),
  },
  { head: "Connection", cell: (one) => <Connected connected={one.connected} /> },
  {
    head: "Configuration",
    cell: (one) => (
      <>
        <StateBadge state={one.configurationState} />
        {(one.configurationState === "rejected" || one.configurationState === "held") && (
          <small class="clip">{one.rejectedText || one.hold}</small>
        )}
      </>
    ),
  },
  { head: "Type", cell: (one) => <span class="clip">{one.compatible || one.deviceType}</span> },
  {
    head: "Firmware",
    cell: (one) => (
      <span class="clip" title={one.firmware}>
        {one.firmware || "–"}
      </span>
    ),
  },
  {
    head: "Last contact",
    cell: (one) => (
      <>
        <Ago at={one.lastContact} />
        {one.certificateExpiryDate > 0 &&
          one.certificateExpiryDate < Date.now() / 1000 + 30 * DAY && (
            <Badge tone="warn" icon="warning">
              Certificate ends soon
            </Badge>
          )}
      </>
    ),
  },
];

interface Rows {
  key: string;
  devices: FleetDevice[];
  next: string;
  total: number | undefined;
}

export function DevicesPage({ place }: { place: Place }) {
  const filters = filtersOf(place);
  const [typed, setTyped] = useState(filters.q ?? "");
  const text = useSettled(typed.trim(), TYPING_MILLISECONDS);
  const search = useRef<HTMLInputElement>(null);
  const fleet = useLoaded<FleetSummary>(
    "summary",
    (signal) => get("/fleet/summary", { signal }),
    30,
  );
  const key = queryText({ ...filters, q: text });
  const [rows, setRows] = useState<Rows>({ key: "none", devices: [], next: "", total: undefined });
  const [error, setError] = useState<ApiError>();
  const [more, setMore] = useState(false);

  const set = (name: (typeof FILTERS)[number], value: string) =>
    go(`/devices${queryText({ ...filters, q: text, [name]: value })}`, { replace: true });

  // what is typed goes into the address
  useEffect(() => {
    if ((filters.q ?? "") !== text) set("q", text);
  }, [text]);

  const load = async (after: string, limit: number, signal?: AbortSignal): Promise<FleetPage> =>
    get(
      `/fleet/devices${queryText({ ...filters, q: text, after, limit, count: after === "" && !filters.connected })}`,
      { signal },
    );

  const shown = useRef(rows);
  shown.current = rows;
  // `key` holds all that matters
  useEffect(() => {
    const gone = new AbortController();
    let timer = 0;
    const refresh = async () => {
      const kept =
        shown.current.key === key
          ? Math.min(Math.max(shown.current.devices.length, PAGE), 500)
          : PAGE;
      try {
        const page = await load("", kept, gone.signal);
        // What was loaded further down meanwhile stays.
        if (shown.current.key !== key || shown.current.devices.length <= kept)
          setRows({ key, devices: page.devices, next: page.next, total: page.count });
        setError(undefined);
      } catch (failed) {
        if (gone.signal.aborted) return;
        setError(failed as ApiError);
      }
      if (!gone.signal.aborted) timer = window.setTimeout(refresh, REFRESH_SECONDS * 1000);
    };
    void refresh();
    return () => {
      gone.abort();
      clearTimeout(timer);
    };
  }, [key]);

  const loadMore = async () => {
    setMore(true);
    try {
      const page = await load(rows.next, PAGE);
      setRows((old) =>
        old.key === key
          ? { ...old, devices: [...old.devices, ...page.devices], next: page.next }
          : old,
      );
    } catch (failed) {
      setError(failed as ApiError);
    } finally {
      setMore(false);
    }
  };

  const filtered = FILTERS.some((name) => filters[name]) || text !== "";
  const current = rows.key === key;
  const values = fleet.value;
  const clear = () => {
    setTyped("");
    go("/devices", { replace: true });
    search.current?.focus();
  };

  return (
    <Page
      title="Devices"
      note={
        current && rows.total !== undefined
          ? `${count(rows.total)} ${filtered ? "match" : "in the fleet"}`
          : undefined
      }
    >
      <search class="filters">
        <div class="search-box">
          <Icon name="search" />
          <input
            id="search"
            ref={search}
            type="search"
            placeholder="Serial, type or firmware"
            aria-label="Search devices"
            autocomplete="off"
            spellcheck={false}
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
            onKeyDown={(event) => {
              const only = current && rows.devices.length > 0 ? rows.devices[0] : undefined;
              if (event.key === "Enter" && only) go(`/devices/${only.serialNumber}`);
            }}
          />
          <kbd title="Press / to search">/</kbd>
        </div>
        <Select
          label="Configuration"
          value={filters.state ?? ""}
          set={(value) => set("state", value)}
          options={[
            ["", "Any"],
            ...Object.entries(STATES).map(([name, one]): [string, string] => [
              name,
              values
                ? `${one.label} (${count(values.states[name as keyof typeof STATES] ?? 0)})`
                : one.label,
            ]),
          ]}
        />
        <Select
          label="Connection"
          value={filters.connected ?? ""}
          set={(value) => set("connected", value)}
          options={[
            ["", "Any"],
            ["true", "Connected"],
            ["false", "Away"],
          ]}
        />
        <Select
          label="Type"
          value={filters.compatible ?? ""}
          set={(value) => set("compatible", value)}
          options={[
            ["", "Any"],
            ...withChosen(values?.types.map((one) => one.value) ?? [], filters.compatible),
          ]}
        />
        <Select
          label="Firmware"
          value={filters.firmware ?? ""}
          set={(value) => set("firmware", value)}
          options={[
            ["", "Any"],
            ...withChosen(values?.firmwares.map((one) => one.value) ?? [], filters.firmware),
          ]}
        />
        {filters.expiring && (
          <Button kind="plain" icon="cross" onClick={() => set("expiring", "")}>
            Certificate ends within 30 days
          </Button>
        )}
        {filtered && (
          <Button kind="quiet" onClick={clear}>
            Clear all
          </Button>
        )}
      </search>
      {error && <Failed error={error} what="The devices could not be listed." />}
      {!current && !error && rows.key === "none" && <Loading what="Looking for devices" />}
      {current &&
        rows.devices.length === 0 &&
        !rows.next &&
        !error &&
        (filtered ? (
          <Empty icon="search" title="No device matches">
            Try fewer digits, or{" "}
            <button type="button" class="link" onClick={clear}>
              clear the filters
            </button>
            .
          </Empty>
        ) : (
          <Empty icon="devices" title="No devices yet">
            A device appears here when it connects for the first time, or when the API creates it.
          </Empty>
        ))}
      {rows.devices.length > 0 && (
        <div class={current ? "" : "stale"}>
          <Table
            label="Devices"
            columns={COLUMNS}
            rows={rows.devices}
            rowKey={(one) => one.serialNumber}
            to={(one) => `/devices/${one.serialNumber}`}
          />
        </div>
      )}
      {current && rows.next && (
        <p class="more">
          <Button busy={more} onClick={loadMore}>
            Show {PAGE} more
          </Button>
          <span class="note">
            {count(rows.devices.length)}
            {rows.total !== undefined && ` of ${count(rows.total)}`} shown
          </span>
        </p>
      )}
    </Page>
  );
}

function withChosen(values: string[], chosen: string | undefined): [string, string][] {
  const all = chosen && !values.includes(chosen) ? [chosen, ...values] : values;
  return all.filter(Boolean).map((one) => [one, one]);
}
