import { useState } from "preact/hooks";
import { get, request } from "../api.ts";
import { count, date, percent } from "../format.ts";
import { useLoaded } from "../hooks.ts";
import { queryText } from "../router.ts";
import type { DefaultFirmware, FleetSummary } from "../types.ts";
import {
  Button,
  Card,
  Confirm,
  Empty,
  Failed,
  Link,
  Loading,
  Page,
  Table,
  Text,
} from "../ui/parts.tsx";
import { tell } from "../ui/toast.tsx";

export function FirmwarePage() {
  const list = useLoaded(
    "default-firmwares",
    async (signal) =>
      (await get<{ firmwares: DefaultFirmware[] }>("/default_firmwares?limit=500", { signal }))
        .firmwares,
  );
  const fleet = useLoaded<FleetSummary>(
    "summary",
    (signal) => get("/fleet/summary", { signal }),
    15,
  );
  const [editing, edit] = useState<DefaultFirmware | "new">();
  const [removing, remove] = useState<DefaultFirmware>();
  return (
    <Page
      title="Firmware"
      note="The image of each type, and the least that a device must have before it is configured."
      actions={
        <Button kind="primary" icon="plus" onClick={() => edit("new")}>
          New firmware
        </Button>
      }
    >
      {list.error && (
        <Failed what="The firmware could not be read." error={list.error} retry={list.reload} />
      )}
      {list.loading && <Loading />}
      {list.value?.length === 0 && (
        <Empty icon="firmware" title="No default firmware">
          Without one no device is upgraded by itself.
        </Empty>
      )}
      {list.value && list.value.length > 0 && (
        <Table
          label="Default firmware"
          rows={list.value}
          rowKey={(one) => one.deviceType}
          columns={[
            {
              head: "Type",
              cell: (one) => (
                <>
                  <span class="strong">{one.deviceType}</span>
                  <small>{one.description}</small>
                </>
              ),
            },
            { head: "Revision", cell: (one) => <span class="wrap">{one.revision}</span> },
            {
              head: "Least revision",
              cell: (one) => <span class="wrap">{one.minimumRevision || "none"}</span>,
            },
            {
              head: "Image",
              cell: (one) => (
                <span class="clip" title={one.uri}>
                  {one.uri}
                </span>
              ),
            },
            { head: "Built", cell: (one) => date(one.imageCreationDate) },
            {
              head: "Actions",
              cell: (one) => (
                <span class="row-actions">
                  <Button kind="quiet" icon="edit" onClick={() => edit(one)}>
                    Edit
                  </Button>
                  <Button
                    kind="quiet"
                    icon="trash"
                    aria-label={`Delete ${one.deviceType}`}
                    onClick={() => remove(one)}
                  />
                </span>
              ),
            },
          ]}
        />
      )}
      <Card title="In the fleet" note="What devices said when they connected.">
        {fleet.value ? (
          <Table
            label="Firmware in the fleet"
            rows={fleet.value.firmwares}
            rowKey={(one) => one.value}
            columns={[
              {
                head: "Version",
                cell: (one) =>
                  one.value ? (
                    <Link to={`/devices${queryText({ firmware: one.value })}`}>{one.value}</Link>
                  ) : (
                    "not known"
                  ),
              },
              { head: "Devices", cell: (one) => count(one.count) },
              { head: "Share", cell: (one) => percent(one.count, fleet.value?.devices ?? 0) },
            ]}
          />
        ) : fleet.error ? (
          <Failed what="The fleet could not be read." error={fleet.error} />
        ) : (
          <Loading />
        )}
      </Card>
      {editing && (
        <Editor
          known={editing === "new" ? undefined : editing}
          close={() => edit(undefined)}
          done={list.reload}
        />
      )}
      {removing && (
        <Confirm
          title={`Delete the firmware of ${removing.deviceType}?`}
          action="Delete it"
          danger
          close={() => remove(undefined)}
          run={async () => {
            await request("DELETE", `/default_firmware/${encodeURIComponent(removing.deviceType)}`);
            tell(`The firmware of ${removing.deviceType} is deleted`);
            list.reload();
          }}
        >
          <p>Devices keep what they run.</p>
        </Confirm>
      )}
    </Page>
  );
}

function Editor({
  known,
  close,
  done,
}: {
  known: DefaultFirmware | undefined;
  close: () => void;
  done: () => void;
}) {
  const [type, setType] = useState(known?.deviceType ?? "");
  const [values, setValues] = useState({
    uri: known?.uri ?? "",
    revision: known?.revision ?? "",
    minimumRevision: known?.minimumRevision ?? "",
    description: known?.description ?? "",
  });
  const set = (name: keyof typeof values) => (value: string) =>
    setValues((old) => ({ ...old, [name]: value }));
  return (
    <Confirm
      title={known ? `Firmware of ${known.deviceType}` : "New firmware"}
      action="Store"
      close={close}
      run={async () => {
        await request(known ? "PUT" : "POST", `/default_firmware/${encodeURIComponent(type)}`, {
          body: values,
        });
        tell(`The firmware of ${type} is stored`);
        done();
      }}
    >
      <Text
        label="Type"
        value={type}
        set={setType}
        required
        disabled={known !== undefined}
        hint="As devices name it, such as edgecore_eap101."
      />
      <Text
        label="Address of the image"
        type="url"
        value={values.uri}
        set={set("uri")}
        required
        placeholder="https://"
      />
      <Text label="Revision" value={values.revision} set={set("revision")} required />
      <Text
        label="Least revision"
        value={values.minimumRevision}
        set={set("minimumRevision")}
        hint="Older devices are upgraded before they are configured. Empty: none is."
      />
      <Text label="Description" value={values.description} set={set("description")} />
    </Confirm>
  );
}
