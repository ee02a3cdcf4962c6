import { get } from "../api.ts";
import { useNode } from "../data/node.ts";
import { count, percent, plural, rate } from "../format.ts";
import { useLoaded } from "../hooks.ts";
import { queryText } from "../router.ts";
import type { ConfigurationState, FleetPage, FleetSummary, Share } from "../types.ts";
import { Chart } from "../ui/chart.tsx";
import { Icon } from "../ui/icons.tsx";
import { Ago, Card, Empty, Failed, Link, Loading, Page, STATES } from "../ui/parts.tsx";

const SECONDS = 3;
const ORDER: ConfigurationState[] = [
  "in_step",
  "pending",
  "drifted",
  "held",
  "rejected",
  "unknown",
  "unmanaged",
];
const LISTED = 8;

export function OverviewPage() {
  const fleet = useLoaded<FleetSummary>(
    "summary",
    (signal) => get("/fleet/summary", { signal }),
    SECONDS,
  );
  const { node, rates } = useNode();
  const refused = useLoaded<FleetPage>(
    "refused",
    (signal) => get("/fleet/devices?state=rejected&limit=5", { signal }),
    SECONDS * 2,
  );
  if (!fleet.value) {
    return (
      <Page title="Overview">
        {fleet.error ? (
          <Failed what="The fleet could not be read." error={fleet.error} retry={fleet.reload} />
        ) : (
          <Loading what="Counting the fleet" />
        )}
      </Page>
    );
  }
  const { devices, connected, states } = fleet.value;
  const away = Math.max(0, devices - connected);
  return (
    <Page
      title="Overview"
      note={
        <>
          Counted <Ago at={fleet.value.at} />
        </>
      }
    >
      {fleet.error && <Failed what="What is shown may be old." error={fleet.error} />}
      {devices === 0 ? (
        <Empty icon="devices" title="No devices yet">
          A device appears here when it connects for the first time.{" "}
          <Link to="/node">See whether the node listens</Link>
        </Empty>
      ) : (
        <>
          <div class="headline">
            <Link to="/devices?connected=true" class="figure">
              <strong>{count(connected)}</strong>
              <span>of {plural(devices, "device")} connected</span>
            </Link>
            <Link to="/devices?connected=false" class="figure">
              <strong>{count(away)}</strong>
              <span>away</span>
            </Link>
            <Link to="/devices?state=drifted" class={`figure ${states.drifted ? "warn" : ""}`}>
              <strong>{count(states.drifted)}</strong>
              <span>drifted</span>
            </Link>
            <Link to="/devices?state=rejected" class={`figure ${states.rejected ? "bad" : ""}`}>
              <strong>{count(states.rejected)}</strong>
              <span>rejected</span>
            </Link>
            <div class="figure">
              <strong>{rate(rates.received.at(-1) ?? 0)}</strong>
              <span>messages a second</span>
            </div>
          </div>
          <Card title="Configurations">
            <StateBar states={states} total={devices} />
          </Card>
          <div class="grid two">
            <Card>
              <Chart
                label="Messages a second"
                live
                times={rates.times}
                format={rate}
                series={[
                  { label: "Received", colour: "--chart-1", values: rates.received },
                  { label: "Sent", colour: "--chart-2", values: rates.sent },
                ]}
              />
            </Card>
            <Card>
              <Chart
                label="Connects a second"
                live
                times={rates.times}
                format={rate}
                series={[{ label: "Connects", colour: "--chart-3", values: rates.connects }]}
              />
            </Card>
            <Card title="Needs attention">
              <Attention summary={fleet.value} refused={refused.value} />
            </Card>
            <Card title="Firmware">
              <Shares
                shares={fleet.value.firmwares}
                other={fleet.value.otherFirmwares}
                total={devices}
                filter="firmware"
              />
            </Card>
            <Card title="Types">
              <Shares
                shares={fleet.value.types}
                other={fleet.value.otherTypes}
                total={devices}
                filter="compatible"
              />
            </Card>
            <Card title="This node">
              {node.value ? (
                <p>
                  <strong>{node.value.name}</strong>, gw {node.value.version},{" "}
                  {plural(
                    node.value.processes.filter((one) => one.name.startsWith("worker")).length,
                    "worker",
                  )}
                  , {plural(node.value.commandsOpen, "command")} under way.{" "}
                  <Link to="/node">Processes and totals</Link>
                </p>
              ) : (
                <Loading />
              )}
            </Card>
          </div>
        </>
      )}
    </Page>
  );
}

/** One bar of all devices by state; its legend leads to the lists. */
function StateBar({
  states,
  total,
}: {
  states: Record<ConfigurationState, number>;
  total: number;
}) {
  let at = 0;
  return (
    <>
      <svg
        class="state-bar"
        viewBox="0 0 1000 20"
        preserveAspectRatio="none"
        role="img"
        aria-label="Devices by state of their configuration"
      >
        {ORDER.map((name) => {
          const width = total > 0 ? (1000 * states[name]) / total : 0;
          const from = at;
          at += width;
          return width > 0 ? (
            <rect
              key={name}
              x={from}
              y="0"
              width={Math.max(width, 2)}
              height="20"
              class={`fill ${name}`}
            />
          ) : null;
        })}
      </svg>
      <ul class="legend-list">
        {ORDER.map((name) => (
          <li key={name}>
            <Link to={`/devices?state=${name}`} title={STATES[name].help}>
              <span class={`swatch ${name}`} aria-hidden="true" />
              {STATES[name].label} <strong>{count(states[name])}</strong>{" "}
              <small>{percent(states[name], total)}</small>
            </Link>
          </li>
        ))}
      </ul>
    </>
  );
}

function Attention({
  summary,
  refused,
}: {
  summary: FleetSummary;
  refused: FleetPage | undefined;
}) {
  const { states, certificatesExpiring } = summary;
  if (!states.rejected && !states.held && !certificatesExpiring) {
    return (
      <Empty icon="check" title="All is well">
        No device refuses its configuration, and no certificate ends soon.
      </Empty>
    );
  }
  return (
    <ul class="attention">
      {refused?.devices.map((one) => (
        <li key={one.serialNumber} class="bad">
          <Icon name="cross" />
          <span>
            <Link to={`/devices/${one.serialNumber}/configuration`} class="mono">
              {one.serialNumber}
            </Link>{" "}
            refused its configuration
            <small>{one.rejectedText || "no reason was given"}</small>
          </span>
        </li>
      ))}
      {states.rejected > (refused?.devices.length ?? 0) && (
        <li class="bad">
          <Icon name="cross" />
          <Link to="/devices?state=rejected">All {count(states.rejected)} that refused theirs</Link>
        </li>
      )}
      {states.held > 0 && (
        <li class="hold">
          <Icon name="pause" />
          <Link to="/devices?state=held">{plural(states.held, "device")} held back</Link>
        </li>
      )}
      {certificatesExpiring > 0 && (
        <li class="warn">
          <Icon name="warning" />
          <Link to="/devices?expiring=true">
            {plural(certificatesExpiring, "certificate")} ending within 30 days
          </Link>
        </li>
      )}
    </ul>
  );
}

function Shares({
  shares,
  other,
  total,
  filter,
}: {
  shares: Share[];
  other: number;
  total: number;
  filter: string;
}) {
  const listed = shares.slice(0, LISTED);
  const rest = other + shares.slice(LISTED).reduce((sum, one) => sum + one.count, 0);
  const most = listed[0]?.count ?? 1;
  return (
    <ul class="shares">
      {listed.map((one) => (
        <li key={one.value}>
          <div>
            {one.value ? (
              <Link to={`/devices${queryText({ [filter]: one.value })}`} class="clip">
                {one.value}
              </Link>
            ) : (
              <span class="note">not known</span>
            )}
            <span>
              {count(one.count)} <small>{percent(one.count, total)}</small>
            </span>
          </div>
          <svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
            <rect width={(100 * one.count) / most} height="4" rx="1" />
          </svg>
        </li>
      ))}
      {rest > 0 && <li class="note">{plural(rest, "device")} with others</li>}
    </ul>
  );
}
