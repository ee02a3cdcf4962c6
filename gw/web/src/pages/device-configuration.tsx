import { useMemo, useState } from "preact/hooks";
import { get, member, request, requestText } from "../api.ts";
import { moment, plural } from "../format.ts";
import { useLoaded } from "../hooks.ts";
import { differences } from "../json/diff.ts";
import { pretty, without } from "../json/document.ts";
import type { Command, Device, HistoryEntry } from "../types.ts";
import { Differences } from "../ui/differences.tsx";
import {
  Ago,
  Button,
  Card,
  Code,
  Confirm,
  Empty,
  Facts,
  Failed,
  Loading,
  STATES,
  StateBadge,
  Table,
} from "../ui/parts.tsx";
import { Rejections } from "../ui/rejections.tsx";
import { tell } from "../ui/toast.tsx";
import { ConfigurationEditor } from "./configuration-editor.tsx";
import type { DeviceFacts } from "./device.tsx";

const HISTORY = 50;

async function former(serial: string, id: number, signal?: AbortSignal): Promise<string> {
  const text = await requestText("GET", `/device/${serial}/configurations/${id}`, { signal });
  return without(member(text, "configuration"), "uuid");
}

export function DeviceConfiguration({
  device,
  desired,
  changed,
}: DeviceFacts & { changed: () => void }) {
  const [editing, edit] = useState(false);
  const serial = device.serialNumber;
  const history = useLoaded(`${serial} ${device.UUID}`, async (signal) => {
    const found = await get<{ configurations: HistoryEntry[] }>(
      `/device/${serial}/configurations?limit=${HISTORY}`,
      { signal },
    );
    return found.configurations;
  });
  if (editing) {
    return (
      <ConfigurationEditor
        device={device}
        stored={desired}
        close={() => {
          edit(false);
          changed();
        }}
      />
    );
  }
  const state = STATES[device.configurationState];
  const refused = device.rejections.length > 0 || device.rejectedText;
  return (
    <div class="stack">
      <Card
        title={
          <>
            Stored against applied <StateBadge state={device.configurationState} />
          </>
        }
        note={state.help}
        actions={
          <Button kind="primary" icon="edit" onClick={() => edit(true)}>
            Edit configuration
          </Button>
        }
      >
        <Facts
          facts={[
            ["Stored", <Version uuid={device.UUID} at={device.lastConfigurationChange} />],
            ["Applied by the device", <Version uuid={device.appliedUUID} at={0} />],
            ...(device.pendingUUID
              ? [
                  ["On its way", <Version uuid={device.pendingUUID} at={0} />] as [
                    string,
                    preact.JSX.Element,
                  ],
                ]
              : []),
            ...(device.hold ? [["Why nothing is sent", device.hold] as [string, string]] : []),
          ]}
        />
        <Comparison device={device} desired={desired} history={history.value} />
      </Card>
      {refused && (
        <Card
          title={device.rejectedUUID ? "Refused by the device" : "Applied with substitutions"}
          note={
            device.rejectedUUID
              ? `Configuration ${device.rejectedUUID} was not applied. The same content is not sent again by itself: change it, or send it with force.`
              : "The device could not use these values as they were."
          }
          class="refused"
        >
          {device.rejectedText && <p class="quote">“{device.rejectedText}”</p>}
          {device.rejections.length > 0 && <Rejections rejections={device.rejections} />}
        </Card>
      )}
      {desired && (
        <Card title="Stored configuration">
          <Code label="Stored configuration" text={pretty(desired)} />
        </Card>
      )}
      <Card title="History" note="What this device was to have, newest first.">
        {history.error && (
          <Failed
            what="The history could not be read."
            error={history.error}
            retry={history.reload}
          />
        )}
        {history.loading && <Loading />}
        {history.value &&
          (history.value.length === 0 ? (
            <Empty icon="clock" title="No history yet">
              Each configuration that is stored from now on is kept here.
            </Empty>
          ) : (
            <History serial={serial} entries={history.value} desired={desired} changed={changed} />
          ))}
      </Card>
    </div>
  );
}

function Version({ uuid, at }: { uuid: number; at: number }) {
  if (!uuid) return <span class="note">none</span>;
  return (
    <>
      <span class="mono">{uuid}</span>
      {at > 0 && (
        <small>
          <Ago at={at} />
        </small>
      )}
    </>
  );
}

/** Field by field: what the device would get, against what it last said it has. */
function Comparison({
  device,
  desired,
  history,
}: {
  device: Device;
  desired: string;
  history: HistoryEntry[] | undefined;
}) {
  const serial = device.serialNumber;
  const pending = device.pendingUUID > 0 && device.pendingConfiguration !== "";
  const applied = history?.find((one) => one.UUID === device.appliedUUID);
  const alike =
    device.appliedUUID === device.UUID &&
    ["", device.configurationHash].includes(device.appliedHash);
  const compared = useLoaded(
    pending || alike || !applied ? "" : `${serial} ${applied.id}`,
    (signal) => former(serial, applied?.id ?? 0, signal),
  );
  const found = useMemo(() => {
    if (pending) return differences(desired, without(device.pendingConfiguration, "uuid"));
    if (compared.value !== undefined) return differences(compared.value, desired);
    return undefined;
  }, [pending, desired, device.pendingConfiguration, compared.value]);

  if (!desired && !pending) {
    return (
      <Empty icon="configuration" title="No configuration is stored">
        The device runs what it came with. Store one to have it managed.
      </Empty>
    );
  }
  if (compared.error)
    return <Failed what="The applied configuration could not be read." error={compared.error} />;
  if (alike && !pending)
    return <p class="ok">The device reports exactly the stored configuration.</p>;
  if (found) {
    if (found.length === 0)
      return <p class="ok">The contents are the same; only their numbers differ.</p>;
    return (
      <>
        <p>
          {plural(found.length, "field")} {found.length === 1 ? "differs" : "differ"}.
        </p>
        <Differences
          found={found}
          label="Differences"
          before={pending ? "Stored" : "Applied"}
          after={pending ? "On its way" : "Stored"}
        />
      </>
    );
  }
  if (history && !applied) {
    return (
      <p class="warned">
        {device.appliedUUID
          ? `The device reports configuration ${device.appliedUUID}${device.appliedUUID === device.UUID ? " with other contents" : ""}, which was not made here, so there is nothing to compare it with.${device.hold ? "" : " The stored one is sent again."}`
          : "The device has not reported a configuration yet."}
      </p>
    );
  }
  return null;
}

function History({
  serial,
  entries,
  desired,
  changed,
}: {
  serial: string;
  entries: HistoryEntry[];
  desired: string;
  changed: () => void;
}) {
  const [chosen, choose] = useState<HistoryEntry>();
  const [restoring, restore] = useState<HistoryEntry>();
  const compared = useLoaded(chosen ? `${serial} ${chosen.id}` : "", (signal) =>
    former(serial, chosen?.id ?? 0, signal),
  );
  return (
    <>
      <Table
        label="Former configurations"
        rows={entries}
        rowKey={(one) => one.id}
        columns={[
          { head: "Version", cell: (one) => <span class="mono">{one.UUID}</span> },
          { head: "Stored", cell: (one) => moment(one.recorded) },
          { head: "By", cell: (one) => one.author || one.through },
          {
            head: "Actions",
            cell: (one) =>
              one === entries[0] ? (
                <span class="note">present</span>
              ) : (
                <span class="row-actions">
                  <Button
                    kind="quiet"
                    onClick={() => choose(one === chosen ? undefined : one)}
                    aria-expanded={one === chosen}
                  >
                    Compare
                  </Button>
                  <Button kind="quiet" icon="restart" onClick={() => restore(one)}>
                    Put back
                  </Button>
                </span>
              ),
          },
        ]}
      />
      {chosen && compared.value !== undefined && (
        <Differences
          found={differences(compared.value, desired)}
          before={String(chosen.UUID)}
          after="Stored"
          label={`Since ${chosen.UUID}`}
        />
      )}
      {compared.error && <Failed what="It could not be read." error={compared.error} />}
      {restoring && (
        <Confirm
          title={`Put version ${restoring.UUID} back?`}
          action="Put it back"
          close={() => restore(undefined)}
          run={async () => {
            const done = await request<Command>(
              "POST",
              `/device/${serial}/configurations/${restoring.id}/restore`,
            );
            tell(
              done.errorCode === 0
                ? "The configuration was sent"
                : `The device refused it: ${done.errorText}`,
              done.errorCode === 0 ? "good" : "bad",
            );
            changed();
          }}
        >
          <p>The device is configured with what it was to have on {moment(restoring.recorded)}.</p>
        </Confirm>
      )}
    </>
  );
}
