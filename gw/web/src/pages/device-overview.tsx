import { bytes, count, DAY, date, moment, percent, span } from "../format.ts";
import { Icon } from "../ui/icons.tsx";
import { Ago, Badge, Card, Facts, Link, STATES } from "../ui/parts.tsx";
import type { DeviceFacts } from "./device.tsx";

const VERDICTS: Record<string, string> = {
  NO_CERTIFICATE: "no certificate",
  VALID_CERTIFICATE: "valid certificate",
  MISMATCH_SERIAL: "name differs from the serial number",
  VERIFIED: "verified",
  SIMULATED: "simulated",
};

/** What there is to know at a glance, and what to do about it. */
export function DeviceOverview({ device, connection }: DeviceFacts) {
  const now = Date.now() / 1000;
  const state = STATES[device.configurationState];
  const expiry = connection.certificateExpiryDate || device.certificateExpiryDate;
  const left = expiry - now;
  return (
    <div class="grid two">
      <Card class={`state-card ${state.tone}`}>
        <div class="state-line">
          <Icon name={state.icon} />
          <div>
            <h2>{state.label}</h2>
            <p>{state.help}</p>
            {device.hold && <p>Why: {device.hold}.</p>}
            {device.rejectedText && <p>The device said: “{device.rejectedText}”</p>}
            <p>
              <Link to={`/devices/${device.serialNumber}/configuration`}>
                Look at the configuration
              </Link>
            </p>
          </div>
        </div>
      </Card>
      <Card title="Identity">
        <Facts
          facts={[
            ["Type", device.compatible],
            ["Platform", device.deviceType === "switch" ? "Switch" : "Access point"],
            ["Manufacturer", device.manufacturer],
            ["Firmware", <span class="wrap">{device.firmware}</span>],
            ["MAC address", <span class="mono">{device.macAddress}</span>],
            ["Venue", device.venue],
            ["Entity", device.entity],
            ["Locale", device.locale],
            ["Known since", date(device.createdTimestamp)],
          ]}
        />
      </Card>
      <Card
        title="Session"
        note={
          connection.connected
            ? undefined
            : "The device is away. What is shown is from its last session."
        }
      >
        <Facts
          facts={[
            ["Address", <span class="mono">{connection.ipAddress}</span>],
            [
              "Connected for",
              connection.connected && connection.started ? span(now - connection.started) : "–",
            ],
            [
              "Last contact",
              <Ago at={Number(connection.lastContact) || device.lastRecordedContact} />,
            ],
            ["Reason of the connect", connection.connectReason || device.connectReason],
            ["Messages", connection.connected ? count(connection.messageCount) : "–"],
            [
              "Received, sent",
              connection.connected
                ? `${bytes(connection.rxBytes)}, ${bytes(connection.txBytes)}`
                : "–",
            ],
            [
              "Health",
              connection.connected && connection.sanity > 0 ? (
                <Badge tone={connection.sanity >= 90 ? "good" : "warn"}>
                  {connection.sanity} %
                </Badge>
              ) : (
                "–"
              ),
            ],
            [
              "Memory, load",
              connection.memoryUsed > 0
                ? `${percent(connection.memoryUsed, 100)}, ${connection.load.toFixed(2)}`
                : "–",
            ],
            [
              "Clients",
              connection.connected
                ? `${connection.associations_2G + connection.associations_5G + connection.associations_6G}`
                : "–",
            ],
          ]}
        />
      </Card>
      <Card title="Certificate">
        <Facts
          facts={[
            [
              "Ends",
              expiry > 0 ? (
                <>
                  {moment(expiry)}{" "}
                  <Badge tone={left < 0 ? "bad" : left < 30 * DAY ? "warn" : "good"}>
                    {left < 0 ? "has ended" : `in ${span(left)}`}
                  </Badge>
                </>
              ) : (
                "–"
              ),
            ],
            ["Issued by", connection.certificateIssuerName],
            [
              "At the last connect",
              connection.connected
                ? (VERDICTS[connection.verifiedCertificate] ?? connection.verifiedCertificate)
                : "–",
            ],
          ]}
        />
      </Card>
      {device.notes.length > 0 && (
        <Card title="Notes">
          <ul class="notes">
            {device.notes.map((one) => (
              <li key={`${one.created}${one.note}`}>
                {one.note}
                <small>
                  {one.createdBy}, {date(one.created)}
                </small>
              </li>
            ))}
          </ul>
        </Card>
      )}
    </div>
  );
}
