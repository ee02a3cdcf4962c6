import { useEffect, useRef, useState } from "preact/hooks";
import { useNode } from "../data/node.ts";
import { bytes, count, DAY, moment, rate, span } from "../format.ts";
import { useNow } from "../hooks.ts";
import type { NodeFacts, ProcessFacts } from "../types.ts";
import { Chart } from "../ui/chart.tsx";
import { Badge, Card, Facts, Failed, Loading, Page, Table } from "../ui/parts.tsx";
import { Tile } from "./device-state.tsx";

export function NodePage() {
  const { node, rates } = useNode();
  const now = useNow(2);
  const perProcess = useProcessRates(node.value);
  if (!node.value) {
    return (
      <Page title="Node">
        {node.error ? (
          <Failed what="The node could not be read." error={node.error} retry={node.reload} />
        ) : (
          <Loading />
        )}
      </Page>
    );
  }
  const { totals, processes, certificateExpiryDate: expiry } = node.value;
  const left = expiry - now;
  return (
    <Page title="Node" note={`${node.value.name}, gw ${node.value.version}`}>
      {node.error && <Failed what="What is shown may be old." error={node.error} />}
      <div class="tiles">
        <Tile name="Devices connected" value={count(node.value.devicesConnected)} />
        <Tile
          name="Received"
          value={`${rate(rates.received.at(-1) ?? 0)} /s`}
          note={`${count(totals.messagesReceived)} in all`}
        />
        <Tile
          name="Sent"
          value={`${rate(rates.sent.at(-1) ?? 0)} /s`}
          note={`${count(totals.messagesSent)} in all`}
        />
        <Tile name="Commands under way" value={count(node.value.commandsOpen)} />
        <Tile
          name="Records stored"
          value={count(totals.recordsStored)}
          note={
            totals.storeErrors ? `${count(totals.storeErrors)} failed commits` : "no failed commit"
          }
        />
        <Tile
          name="Handshakes"
          value={count(totals.handshakes)}
          note={`${count(totals.handshakeFailures)} refused`}
        />
      </div>
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
      </div>
      <Card
        title="Processes"
        note="Workers hold the sessions of devices; the coordinator alone writes the database."
      >
        <Table<ProcessFacts>
          label="Processes"
          rows={processes}
          rowKey={(one) => one.name}
          columns={[
            { head: "Process", cell: (one) => <span class="strong">{one.name}</span> },
            {
              head: "Starts",
              cell: (one) =>
                one.starts > 1 ? (
                  <Badge tone="warn" icon="restart">
                    {count(one.starts)}
                  </Badge>
                ) : (
                  count(one.starts)
                ),
            },
            {
              head: "Sessions",
              cell: (one) => (one.name.startsWith("worker") ? count(one.connections) : "–"),
            },
            {
              head: "Messages a second",
              cell: (one) =>
                one.name.startsWith("worker") ? rate(perProcess.get(one.name) ?? 0) : "–",
            },
            {
              head: "Received, sent",
              cell: (one) =>
                one.name.startsWith("worker")
                  ? `${bytes(one.bytesReceived)}, ${bytes(one.bytesSent)}`
                  : "–",
            },
            {
              head: "Handshakes",
              cell: (one) =>
                one.name.startsWith("worker")
                  ? `${count(one.handshakes)}${one.handshakesInFlight ? `, ${one.handshakesInFlight} under way` : ""}`
                  : "–",
            },
          ]}
        />
      </Card>
      <Card title="About">
        <Facts
          facts={[
            ["Version", node.value.version],
            ["Runs since", `${moment(node.value.started)} (${span(now - node.value.started)})`],
            ["Database", node.value.store === "postgresql" ? "PostgreSQL" : "SQLite"],
            [
              "Certificate of the API ends",
              <>
                {moment(expiry)}{" "}
                <Badge tone={left < 0 ? "bad" : left < 30 * DAY ? "warn" : "good"}>
                  {left < 0 ? "has ended" : `in ${span(left)}`}
                </Badge>
              </>,
            ],
            [
              "Configurations sent, refused",
              `${count(totals.configurationsSent)}, ${count(totals.configurationsRejected)}`,
            ],
            ["Received, sent", `${bytes(totals.bytesReceived)}, ${bytes(totals.bytesSent)}`],
            ["REST requests", count(totals.requests)],
          ]}
        />
      </Card>
    </Page>
  );
}

/** Messages a second of each process, from the last two answers. */
function useProcessRates(node: NodeFacts | undefined): Map<string, number> {
  const before = useRef<NodeFacts>();
  const [found, set] = useState(new Map<string, number>());
  useEffect(() => {
    if (!node) return;
    const last = before.current;
    before.current = node;
    if (!last || node.now <= last.now) return;
    const old = new Map(last.processes.map((one) => [one.name, one.messagesReceived]));
    set(
      new Map(
        node.processes.map((one) => [
          one.name,
          Math.max(0, one.messagesReceived - (old.get(one.name) ?? 0)) / (node.now - last.now),
        ]),
      ),
    );
  }, [node]);
  return found;
}
