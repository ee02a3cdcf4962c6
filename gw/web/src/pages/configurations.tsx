import { useEffect, useState } from "preact/hooks";
import { get, member, reason, request, requestText } from "../api.ts";
import { type Checked, check } from "../data/check.ts";
import { moment, plural } from "../format.ts";
import { useLoaded, useSettled } from "../hooks.ts";
import { pretty, without } from "../json/document.ts";
import type { DefaultConfiguration } from "../types.ts";
import { CodeEditor } from "../ui/code-editor.tsx";
import { Findings } from "../ui/findings.tsx";
import {
  Badge,
  Button,
  Confirm,
  Dialog,
  Empty,
  Failed,
  Loading,
  Page,
  Select,
  Table,
  Text,
} from "../ui/parts.tsx";
import { tell } from "../ui/toast.tsx";

const LABEL = "Default configuration";

export function ConfigurationsPage() {
  const list = useLoaded(
    "default-configurations",
    async (signal) =>
      (
        await get<{ configurations: DefaultConfiguration[] }>("/default_configurations?limit=500", {
          signal,
        })
      ).configurations,
  );
  const [editing, edit] = useState<DefaultConfiguration | "new">();
  const [removing, remove] = useState<DefaultConfiguration>();
  return (
    <Page
      title="Default configurations"
      note="What a new device of a type is given when it connects for the first time."
      actions={
        <Button kind="primary" icon="plus" onClick={() => edit("new")}>
          New default
        </Button>
      }
    >
      {list.error && (
        <Failed
          what="The default configurations could not be read."
          error={list.error}
          retry={list.reload}
        />
      )}
      {list.loading && <Loading />}
      {list.value?.length === 0 && (
        <Empty icon="configuration" title="No default configuration">
          New devices keep what they came with until somebody configures them.
        </Empty>
      )}
      {list.value && list.value.length > 0 && (
        <Table
          label="Default configurations"
          rows={list.value}
          rowKey={(one) => one.name}
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
            {
              head: "Types",
              cell: (one) => one.modelIds.map((id) => (id === "*" ? "any" : id)).join(", "),
            },
            {
              head: "Platform",
              cell: (one) => (one.platform === "switch" ? "Switch" : "Access point"),
            },
            { head: "Changed", cell: (one) => moment(one.lastModified) },
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
                    aria-label={`Delete ${one.name}`}
                    onClick={() => remove(one)}
                  />
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
            await request("DELETE", `/default_configuration/${encodeURIComponent(removing.name)}`);
            tell(`${removing.name} is deleted`);
            list.reload();
          }}
        >
          <p>Devices keep what they were given.</p>
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
  known: DefaultConfiguration | undefined;
  close: () => void;
  done: () => void;
}) {
  const [name, setName] = useState(known?.name ?? "");
  const [description, setDescription] = useState(known?.description ?? "");
  const [types, setTypes] = useState(known?.modelIds.join(", ") ?? "*");
  const [platform, setPlatform] = useState(known?.platform ?? "ap");
  const [text, setText] = useState('{\n  "uuid": 1\n}');
  const [checked, setChecked] = useState<{ text: string; found: Checked }>();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const settled = useSettled(text, 350);

  // The list's own numbers may have lost their spelling: what is edited is read to the letter.
  useEffect(() => {
    if (!known) return;
    requestText("GET", `/default_configuration/${encodeURIComponent(known.name)}`)
      .then((answer) => setText(pretty(without(member(answer, "configuration"), "uuid"))))
      .catch((failed) => setError(reason(failed)));
  }, [known]);
  useEffect(() => {
    const gone = new AbortController();
    check(`/device/000000000000?validateOnly=true&deviceType=${platform}`, settled, gone.signal)
      .then((found) => setChecked({ text: settled, found }))
      .catch(() => undefined);
    return () => gone.abort();
  }, [settled, platform]);

  const current = checked?.text === text ? checked.found : undefined;
  const errors = current?.errors ?? [];
  const save = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError("");
    const models = JSON.stringify(
      types
        .split(",")
        .map((one) => one.trim())
        .filter(Boolean),
    );
    try {
      await requestText(
        known ? "PUT" : "POST",
        `/default_configuration/${encodeURIComponent(name)}`,
        {
          text: `{"description":${JSON.stringify(description)},"platform":"${platform}","modelIds":${models},"configuration":${text}}`,
        },
      );
      tell(`${name} is stored`);
      done();
      close();
    } catch (failed) {
      setError(reason(failed));
      setBusy(false);
    }
  };
  return (
    <Dialog title={known ? `Edit ${known.name}` : "New default configuration"} close={close} wide>
      <form onSubmit={save}>
        <div class="dialog-body">
          <div class="row">
            <Text label="Name" value={name} set={setName} required disabled={known !== undefined} />
            <Text
              label="Types"
              value={types}
              set={setTypes}
              required
              hint="Separated by commas; * is any."
            />
            <Select
              label="Platform"
              value={platform}
              set={setPlatform}
              options={[
                ["ap", "Access point"],
                ["switch", "Switch"],
              ]}
            />
          </div>
          <Text label="Description" value={description} set={setDescription} />
          <CodeEditor
            label={LABEL}
            value={text}
            set={setText}
            marks={errors}
            describedBy="default-problems"
          />
          <p role="status">
            {errors.length > 0 ? (
              <Badge tone="bad" icon="cross">
                {plural(errors.length, "error")}
              </Badge>
            ) : current ? (
              <Badge tone="good" icon="check">
                Valid
              </Badge>
            ) : (
              <Badge tone="busy" icon="clock">
                Checking
              </Badge>
            )}
          </p>
          {errors.length > 0 && <Findings id="default-problems" editor={LABEL} found={errors} />}
          {error && (
            <p class="error" role="alert">
              {error}
            </p>
          )}
        </div>
        <footer>
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" type="submit" busy={busy} disabled={errors.length > 0}>
            Store
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
