import { useState } from "preact/hooks";
import { get, request } from "../api.ts";
import { moment } from "../format.ts";
import { useLoaded } from "../hooks.ts";
import { useSession } from "../session.tsx";
import type { Script } from "../types.ts";
import {
  Badge,
  Button,
  Confirm,
  Empty,
  Failed,
  Field,
  Loading,
  Page,
  Select,
  Table,
  Text,
} from "../ui/parts.tsx";
import { tell } from "../ui/toast.tsx";

export function ScriptsPage() {
  const { user } = useSession();
  const root = user.userRole === "root";
  const list = useLoaded(
    "scripts",
    async (signal) => (await get<{ scripts: Script[] }>("/scripts?limit=500", { signal })).scripts,
  );
  const [editing, edit] = useState<Script | "new">();
  const [removing, remove] = useState<Script>();
  return (
    <Page
      title="Scripts"
      note="Stored here, run on a device from its page."
      actions={
        root && (
          <Button kind="primary" icon="plus" onClick={() => edit("new")}>
            New script
          </Button>
        )
      }
    >
      {list.error && (
        <Failed what="The scripts could not be read." error={list.error} retry={list.reload} />
      )}
      {list.loading && <Loading />}
      {list.value?.length === 0 && (
        <Empty icon="scripts" title="No script is stored">
          {root
            ? "Store what you run often, and say which roles may run it."
            : "Only root may store scripts."}
        </Empty>
      )}
      {list.value && list.value.length > 0 && (
        <Table
          label="Scripts"
          rows={list.value}
          rowKey={(one) => one.id}
          columns={[
            {
              head: "Name",
              cell: (one) => (
                <>
                  <span class="strong">{one.name}</span>
                  <small>{one.description}</small>
                </>
              ),
            },
            { head: "Version", cell: (one) => one.version || "–" },
            { head: "Kind", cell: (one) => <Badge tone="plain">{one.type}</Badge> },
            {
              head: "Who may run it",
              cell: (one) => (one.restricted.length ? one.restricted.join(", ") : "root"),
            },
            { head: "Changed", cell: (one) => moment(one.modified) },
            {
              head: "Actions",
              cell: (one) => (
                <span class="row-actions">
                  <Button kind="quiet" icon="edit" onClick={() => edit(one)}>
                    {root ? "Edit" : "Look"}
                  </Button>
                  {root && (
                    <Button
                      kind="quiet"
                      icon="trash"
                      aria-label={`Delete ${one.name}`}
                      onClick={() => remove(one)}
                    />
                  )}
                </span>
              ),
            },
          ]}
        />
      )}
      {editing && (
        <Editor
          known={editing === "new" ? undefined : editing}
          close={() => edit(undefined)}
          done={list.reload}
        />
      )}
      {removing && (
        <Confirm
          title={`Delete ${removing.name}?`}
          action="Delete it"
          danger
          close={() => remove(undefined)}
          run={async () => {
            await request("DELETE", `/script/${removing.id}`);
            tell(`${removing.name} is deleted`);
            list.reload();
          }}
        >
          <p>Results of earlier runs stay with their devices.</p>
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
  known: Script | undefined;
  close: () => void;
  done: () => void;
}) {
  const { user } = useSession();
  const [values, setValues] = useState({
    name: known?.name ?? "",
    description: known?.description ?? "",
    version: known?.version ?? "1",
    type: known?.type ?? "shell",
    content: known?.content ?? "#!/bin/sh\n",
    roles: known?.restricted.join(", ") ?? "",
    timeout: String(known?.timeout ?? 30),
  });
  const set = (name: keyof typeof values) => (value: string) =>
    setValues((old) => ({ ...old, [name]: value }));
  return (
    <Confirm
      title={known ? known.name : "New script"}
      action="Store"
      close={close}
      run={async () => {
        const { roles, timeout, ...rest } = values;
        const restricted = roles
          .split(",")
          .map((one) => one.trim())
          .filter(Boolean);
        await request(known ? "PUT" : "POST", `/script/${known?.id ?? "0"}`, {
          body: { ...rest, restricted, timeout: Number(timeout), author: user.email },
        });
        tell(`${values.name} is stored`);
        done();
      }}
    >
      <div class="row">
        <Text label="Name" value={values.name} set={set("name")} required />
        <Text label="Version" value={values.version} set={set("version")} />
        <Select
          label="Kind"
          value={values.type}
          set={set("type")}
          options={[
            ["shell", "Shell"],
            ["bundle", "Bundle"],
          ]}
        />
      </div>
      <Text label="Description" value={values.description} set={set("description")} />
      <Field label="Script">
        {(props) => (
          <textarea
            {...props}
            class="mono"
            rows={10}
            spellcheck={false}
            value={values.content}
            onInput={(event) => set("content")(event.currentTarget.value)}
          />
        )}
      </Field>
      <div class="row">
        <Text
          label="Who may run it"
          value={values.roles}
          set={set("roles")}
          hint="Roles, separated by commas. Empty: only root."
        />
        <Text
          label="Longest run"
          type="number"
          min={1}
          max={3600}
          value={values.timeout}
          set={set("timeout")}
          hint="Seconds."
        />
      </div>
    </Confirm>
  );
}
