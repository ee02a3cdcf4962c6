import { useState } from "preact/hooks";
import { get, request } from "../api.ts";
import { count, moment } from "../format.ts";
import { useLoaded } from "../hooks.ts";
import type { Blacklisted } from "../types.ts";
import { Button, Confirm, Empty, Failed, Loading, Page, Table, Text } from "../ui/parts.tsx";
import { tell } from "../ui/toast.tsx";

const LISTED = 500;

export function BlacklistPage() {
  const list = useLoaded(
    "blacklist",
    async (signal) =>
      (await get<{ devices: Blacklisted[] }>(`/blacklist?limit=${LISTED}`, { signal })).devices,
  );
  const [adding, add] = useState(false);
  const [allowing, allow] = useState<Blacklisted>();
  const [wanted, want] = useState("");
  const shown = list.value?.filter((one) =>
    `${one.serialNumber} ${one.reason} ${one.author}`
      .toLowerCase()
      .includes(wanted.trim().toLowerCase()),
  );
  return (
    <Page
      title="Blacklist"
      note="Devices that are refused, whatever their certificate."
      actions={
        <Button kind="primary" icon="plus" onClick={() => add(true)}>
          Refuse a device
        </Button>
      }
    >
      {list.error && (
        <Failed what="The blacklist could not be read." error={list.error} retry={list.reload} />
      )}
      {list.loading && <Loading />}
      {list.value && list.value.length > 10 && (
        <div class="filters">
          <div class="field">
            <label for="blacklist-search">Containing</label>
            <input
              id="blacklist-search"
              type="search"
              value={wanted}
              onInput={(event) => want(event.currentTarget.value)}
            />
          </div>
        </div>
      )}
      {list.value?.length === 0 && (
        <Empty icon="check" title="Nobody is refused">
          A device that is lost or misbehaves can be refused here; its session ends at once.
        </Empty>
      )}
      {shown && shown.length > 0 && (
        <Table
          label="Refused devices"
          rows={shown}
          rowKey={(one) => one.serialNumber}
          columns={[
            { head: "Device", cell: (one) => <span class="mono strong">{one.serialNumber}</span> },
            { head: "Reason", cell: (one) => one.reason || "–" },
            { head: "Since", cell: (one) => moment(one.created) },
            { head: "By", cell: (one) => one.author },
            {
              head: "Actions",
              cell: (one) => (
                <Button kind="quiet" onClick={() => allow(one)}>
                  Allow again
                </Button>
              ),
            },
          ]}
        />
      )}
      {list.value && list.value.length >= LISTED && (
        <p class="note">The first {count(LISTED)} are shown.</p>
      )}
      {adding && <Refuse close={() => add(false)} done={list.reload} />}
      {allowing && (
        <Confirm
          title={`Allow ${allowing.serialNumber} again?`}
          action="Allow it"
          close={() => allow(undefined)}
          run={async () => {
            await request("DELETE", `/blacklist/${allowing.serialNumber}`);
            tell(`${allowing.serialNumber} may connect again`);
            list.reload();
          }}
        >
          <p>It was refused because: {allowing.reason || "no reason was given"}.</p>
        </Confirm>
      )}
    </Page>
  );
}

function Refuse({ close, done }: { close: () => void; done: () => void }) {
  const [typed, set] = useState("");
  const [why, setWhy] = useState("");
  const serial = typed.toLowerCase().replaceAll(/[:.\-\s]/g, "");
  const wrong =
    typed && !/^[0-9a-f]{12}$/.test(serial)
      ? "A serial number has twelve hexadecimal digits."
      : undefined;
  return (
    <Confirm
      title="Refuse a device"
      action="Refuse it"
      danger
      close={close}
      run={async () => {
        if (wrong || !serial) throw new Error(wrong ?? "Which device?");
        await request("POST", `/blacklist/${serial}`, {
          body: { serialNumber: serial, reason: why },
        });
        tell(`${serial} is refused from now on`);
        done();
      }}
    >
      <Text label="Serial number" value={typed} set={set} error={wrong} required class="mono" />
      <Text label="Reason" value={why} set={setWhy} />
    </Confirm>
  );
}
